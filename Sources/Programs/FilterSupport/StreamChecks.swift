import Decoders
import SystemIO
import TensorStream

extension Segment {
  /// The places that the provenance names.
  ///
  /// - Throws: `Failure` of kind malformed where it names none, or one that the model lacks.
  public func places(of description: DecoderDescription) throws(Failure) -> PlaceList {
    let list = try places()
    guard let last = list.places.last, last.layer < description.layerCount else {
      throw Failure(
        .malformed,
        "begin record: places: expected the model's layers, 0-\(description.layerCount - 1), found \(list)")
    }
    do { try description.check(list.places.map(\.site)) } catch {
      throw Failure(.malformed, "begin record: places: \(error)")
    }
    return list
  }

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

  /// A whole number of at least 0 of the provenance, where it is known.
  public func count(_ key: String) -> Int? { provenance[key].flatMap { Int($0) }.flatMap { $0 >= 0 ? $0 : nil } }
}
