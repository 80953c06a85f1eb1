import GradientStatistics

/// What the name of an array file tells: `layer_11_mean_abs_gradients.npy`, or `layer_11_gradients.npy` of the
/// PyTorch scripts' early versions, which leave the mode out.
public struct ArrayFileName: Equatable, Sendable {
  public let layer: Int
  public let mode: AveragingMode?

  public init(layer: Int, mode: AveragingMode?) {
    self.layer = layer
    self.mode = mode
  }

  /// Nil for a name of another form.
  public init?(parsing path: String) {
    let name = path.split(separator: "/").last ?? ""
    guard name.hasPrefix("layer_"), name.hasSuffix("_gradients.npy") else { return nil }
    let middle = name.dropFirst("layer_".count).dropLast("_gradients.npy".count)
    let digits = middle.prefix { $0.isASCII && $0.isNumber }
    guard let layer = Int(digits) else { return nil }
    let rest = middle.dropFirst(digits.count)
    guard !rest.isEmpty else {
      self.init(layer: layer, mode: nil)
      return
    }
    guard rest.first == "_", let mode = AveragingMode(rawValue: String(rest.dropFirst())) else { return nil }
    self.init(layer: layer, mode: mode)
  }

  /// "layer_11_mean_abs_gradients.npy"
  public var description: String {
    "layer_\(layer)\(mode.map { "_\($0.rawValue)" } ?? "")_gradients.npy"
  }
}
