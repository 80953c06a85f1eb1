import TensorStream

/// The name of an array file: `layer_11_mean_abs_gradients.npy` at the MLP's output,
/// `layer_11_resid_post_mean_abs_gradients.npy` at another site. The PyTorch scripts' early versions leave the mode out:
/// `layer_11_gradients.npy`.
public struct ArrayFileName: Equatable, Sendable, CustomStringConvertible {
  public let place: Place
  public let mode: AveragingMode?

  public init(_ place: Place, _ mode: AveragingMode?) {
    self.place = place
    self.mode = mode
  }

  /// Nil for a name of another form.
  public init?(parsing path: String) {
    let name = path.split(separator: "/").last ?? ""
    guard name.hasPrefix("layer_"), name.hasSuffix(Self.suffix) else { return nil }
    let middle = name.dropFirst("layer_".count).dropLast(Self.suffix.count)
    let digits = middle.prefix { $0.isASCII && $0.isNumber }
    guard let layer = Int(digits), Place.layers.contains(layer) else { return nil }
    var rest = middle.dropFirst(digits.count)
    // The MLP's output may be named, too.
    let site = Site.allCases.first { rest == "_\($0.rawValue)" || rest.hasPrefix("_\($0.rawValue)_") }
    if let site { rest = rest.dropFirst(site.rawValue.count + 1) }
    let place = Place(site ?? .mlpOut, layer)
    guard !rest.isEmpty else {
      self.init(place, nil)
      return
    }
    guard rest.first == "_", let mode = AveragingMode(\.file, String(rest.dropFirst())) else { return nil }
    self.init(place, mode)
  }

  private static let suffix = "_gradients.npy"

  /// Of an average, or of its standard errors: `layer_11_mean_abs_attributions.npy`, `layer_11_mean_gradients_se.npy`,
  /// `layer_11_firing.npy`.
  public static func name(_ place: Place, _ measure: Measure, isStandardError: Bool = false) -> String {
    let ofMeasure = measure.quantity.map { "\(measure.mode.names.file)_\($0.rawValue)s" } ?? measure.name
    return "\(place.fileName)_\(ofMeasure)\(isStandardError ? "_se" : "").npy"
  }

  public var description: String {
    "\(place.fileName)\(mode.map { "_\($0.names.file)" } ?? "")\(Self.suffix)"
  }
}
