import TensorStream

/// The name of an array file: `layer_11_mean_abs_gradients.npy` at the MLP's output,
/// `layer_11_resid_post_mean_attributions.npy` at another site, `layer_11_firing.npy`; with `_se` before the extension, of
/// standard errors. The PyTorch scripts' early versions leave the mode out: `layer_11_gradients.npy`.
public struct ArrayFileName: Equatable, Sendable, CustomStringConvertible {
  public let place: Place
  /// Nil of firing.
  public let quantity: Quantity?
  /// Nil where the name tells none.
  public let mode: AveragingMode?
  public let isStandardError: Bool

  public init(_ place: Place, _ quantity: Quantity?, _ mode: AveragingMode?, isStandardError: Bool = false) {
    self.place = place
    self.quantity = quantity
    self.mode = mode
    self.isStandardError = isStandardError
  }

  public init(_ place: Place, _ measure: Measure, isStandardError: Bool = false) {
    self.init(
      place, measure.quantity, measure.quantity == nil ? nil : measure.mode, isStandardError: isStandardError)
  }

  /// Nil for a name of another form.
  public init?(parsing path: String) {
    let name = path.split(separator: "/").last ?? ""
    guard name.hasPrefix(Self.beginning), name.hasSuffix(Self.fileExtension) else { return nil }
    var rest = name.dropFirst(Self.beginning.count).dropLast(Self.fileExtension.count)
    let isStandardError = rest.hasSuffix(Self.errorSuffix)
    if isStandardError { rest = rest.dropLast(Self.errorSuffix.count) }
    guard let quantity = Self.quantities.first(where: { rest.hasSuffix(Self.ending($0)) }) else { return nil }
    rest = rest.dropLast(Self.ending(quantity).count)
    let digits = rest.prefix { $0.isASCII && $0.isNumber }
    guard let layer = Int(digits), Place.layers.contains(layer) else { return nil }
    rest = rest.dropFirst(digits.count)
    // The MLP's output may be named, too.
    let site = Site.allCases.first { rest == "_\($0.rawValue)" || rest.hasPrefix("_\($0.rawValue)_") }
    if let site { rest = rest.dropFirst(site.rawValue.count + 1) }
    let place = Place(site ?? .mlpOut, layer)
    guard !rest.isEmpty else {
      self.init(place, quantity, nil, isStandardError: isStandardError)
      return
    }
    guard quantity != nil, rest.first == "_", let mode = AveragingMode(\.file, String(rest.dropFirst())) else {
      return nil
    }
    self.init(place, quantity, mode, isStandardError: isStandardError)
  }

  private static let beginning = "layer_"
  private static let fileExtension = ".npy"
  private static let errorSuffix = "_se"
  private static let quantities = Quantity.allCases.map(Optional.some) + [nil]

  private static func ending(_ quantity: Quantity?) -> String {
    quantity.map { "_\($0.rawValue)s" } ?? "_\(Measure.firing.name)"
  }

  public var description: String {
    "\(place.fileName)\(mode.map { "_\($0.names.file)" } ?? "")\(Self.ending(quantity))"
      + "\(isStandardError ? Self.errorSuffix : "")\(Self.fileExtension)"
  }
}
