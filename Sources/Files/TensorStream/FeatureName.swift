/// A feature of the autoencoder at a place, or a dimension of the activation there: `3:17` is feature 17 at `mlp_out.3`,
/// `resid_post.3:17` one at another site.
public struct FeatureName: Hashable, Sendable, CustomStringConvertible {
  public let place: Place
  public let index: Int

  public init(_ place: Place, _ index: Int) {
    self.place = place
    self.index = index
  }

  /// nil for anything else.
  public init?(_ text: some StringProtocol) {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    guard parts.count == 2, parts[1].utf8.count <= 9, parts[1].utf8.allSatisfy({ (0x30...0x39).contains($0) }),
      let index = Int(parts[1]), let place = Place(parts[0]) ?? Place("\(Site.mlpOut.rawValue).\(parts[0])")
    else { return nil }
    self.init(place, index)
  }

  public var description: String { place.site == .mlpOut ? "\(place.layer):\(index)" : "\(place):\(index)" }
}
