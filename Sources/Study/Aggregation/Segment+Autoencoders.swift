import SparseAutoencoders
import SystemIO
import TensorStream

extension Segment {
  /// The autoencoders of whose features the segment has values, by their places.
  ///
  /// - Throws: `Failure` of kind malformed that names the entry which cannot be read.
  public func autoencoders() throws(Failure) -> [Place: BasisReference] {
    var references: [Place: BasisReference] = [:]
    for value in [PlaceValue.basis, .sae] {
      for place in try places(of: value) {
        let key = value.name(place)
        do { references[place] = try BasisReference(parsing: provenance[key]!) } catch {
          throw error.at("begin record: \(key)")
        }
      }
    }
    return references
  }
}
