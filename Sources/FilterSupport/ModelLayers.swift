import SystemIO
import TensorStream

extension LayerList {
  /// `self`, every layer of which must be one of a model's `layerCount` layers.
  public func checked(layerCount: Int) throws -> LayerList {
    guard let last = layers.last, last >= layerCount else { return self }
    throw Failure(.usage, "--layers: layer \(last): the model's last layer is \(layerCount - 1)")
  }

  /// The layers that a stream's provenance names.
  public init(_ segment: Segment) throws {
    guard let text = segment.provenance["layers"], let list = try? LayerList(text) else {
      throw Failure(
        .malformed,
        "begin record: layers: expected a list such as 0-23, found \(segment.provenance["layers"] ?? "none")")
    }
    self = list
  }
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
