import SystemIO
import TensorStream

extension LayerList {
  /// `self`, every layer of which must be one of a model's `layerCount` layers.
  public func checked(layerCount: Int) throws -> LayerList {
    guard let last = layers.last, last >= layerCount else { return self }
    throw Failure(.usage, "--layers: layer \(last): the model's last layer is \(layerCount - 1)")
  }

  /// The layers whose values at `site` a stream has, by its provenance.
  public init(_ segment: Segment, at site: Site) throws {
    let places = try segment.places()
    self.init(places.layers(at: site))
    guard !layers.isEmpty else {
      throw Failure(.malformed, "begin record: places: expected layers of \(site.rawValue), found \(places)")
    }
  }

  /// What provenance says of these layers at `site`.
  public func places(at site: Site) -> PlaceList { PlaceList(sites: [site], layers: layers) }
}

extension Segment {
  /// Refuses a stream whose captured activations come from another model than the one at hand, or do not say from
  /// which.
  public func check(identity: [String: String]) throws {
    for (key, expected) in identity.sorted(by: { $0.key < $1.key }) where key != "model" {
      let found = provenance[key]
      guard found != expected else { continue }
      throw Failure(
        .malformed,
        "the stream comes from another model: \(key): expected \(expected) (\(identity["model"] ?? "")), "
          + "found \(found ?? "none") (\(provenance["model"] ?? "unnamed"))")
    }
  }

  /// A whole number of the provenance, where it is known.
  public func count(_ key: String) -> Int? { provenance[key].flatMap { Int($0) } }
}
