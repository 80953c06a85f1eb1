import TensorStream

// Layers stand alone where they are spoken of at the default site, as in the PyTorch scripts, which know no other.

extension Place {
  /// "Layer 11" of titles; "Layer 11 (resid_post)" at another site than the MLP's output.
  public var title: String { "Layer \(layer)\(site.remark)" }

  /// What the names of files about the place begin with: `layer_11`, `layer_11_resid_post`.
  public var fileName: String { "layer_\(layer)\(site.fileSuffix)" }
}

extension Site {
  /// " (resid_post)"; nothing of the MLP's output.
  public var remark: String { self == .mlpOut ? "" : " (\(rawValue))" }

  /// "_resid_post"; nothing of the MLP's output.
  public var fileSuffix: String { self == .mlpOut ? "" : "_\(rawValue)" }
}
