import SparseAutoencoders
import SystemIO
import TensorStream

extension AverageCollection {
  /// What makes averages differ that are of the same features: what the two streams say otherwise of their origin.
  public func differences(from other: AverageCollection) -> [String] {
    Self.scaleKeys.compactMap { key in
      guard let first = said(key), let second = other.said(key), first != second else { return nil }
      return "\(key): \(printable(second)), and \(printable(first)) of what it is compared with"
    }
  }

  /// Of the model and text, of the gradients, and of their averages.
  private static let scaleKeys = [
    "model.weights.xxh64", "stride", "stride_scope", "error_term", "loss_reduction", "weighting", "from_position",
  ]

  private func said(_ key: String) -> String? {
    // Streams that leave out no position do not say so.
    provenance[key] ?? (key == "from_position" && provenance["weighting"] != nil ? "0" : nil)
  }

  /// Nil where the autoencoders are the same wherever both tell of one: the number of a feature means nothing elsewhere.
  public func differenceOfAutoencoders(from other: AverageCollection) throws -> Failure? {
    for key in provenance.keys.sorted() {
      guard let place = PlaceValue.basis.place(key) ?? PlaceValue.sae.place(key) else { continue }
      let found = [PlaceValue.basis, .sae].compactMap { other.provenance[$0.name(place)] }.first
      guard let found else { continue }
      let (own, its): (BasisReference, BasisReference)
      do { (own, its) = (try BasisReference(parsing: provenance[key]!), try BasisReference(parsing: found)) } catch {
        throw error.at("begin record: \(key)")
      }
      guard !own.isSameDecoder(as: its) else { continue }
      return Failure(
        .malformed,
        "\(place): averages of another autoencoder: expected XXH64 \(own.hash) (\(own.path)), found \(its.hash) "
          + "(\(its.path))")
    }
    return nil
  }
}
