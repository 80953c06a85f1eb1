import SparseAutoencoders
import SystemIO

/// Joins the provenance of several segments that are averaged together, and refuses those that must not be.
public struct ProvenanceAgreement {
  public private(set) var joined: [String: String]?

  public init() {}

  /// - Throws: `Failure` of kind malformed that names the first difference which makes the numbers incomparable.
  public mutating func add(_ provenance: [String: String]) throws {
    guard var all = joined else {
      joined = provenance
      return
    }
    for key in Set(all.keys).union(provenance.keys).sorted() {
      switch (all[key], provenance[key]) {
      case (let first?, let other?) where first != other:
        if Self.isSameDecoder(key, first, other) { continue }
        guard Self.mayDiffer(key) else { throw Self.difference(key, first, other) }
        all[key] = Self.join(first, other)
      case (nil, let other?):
        guard Self.mayDiffer(key) || Self.mayBeMissing(key) else { throw Self.difference(key, "none", other) }
        all[key] = other
      case (let first?, nil):
        guard Self.mayDiffer(key) || Self.mayBeMissing(key) else { throw Self.difference(key, first, "none") }
      default: break
      }
    }
    joined = all
  }

  /// Whether two values name copies of one autoencoder, which may lie at different paths.
  private static func isSameDecoder(_ key: String, _ first: String, _ other: String) -> Bool {
    guard key.hasPrefix("basis.") || key.hasPrefix("sae."), let first = try? BasisReference(parsing: first),
      let other = try? BasisReference(parsing: other)
    else { return false }
    return first.isSameDecoder(as: other)
  }

  /// The different values of a key, a line each. After some hundred the rest is only hinted at, as a header has its
  /// limits and thousands of shards may be merged.
  private static func join(_ values: String, _ other: String) -> String {
    guard !values.hasSuffix("\n…"), !values.split(separator: "\n").contains(other[...]) else { return values }
    return "\(values)\n\(values.utf8.count < 16_384 ? other : "…")"
  }

  /// What tells shards of one run apart: which samples and layers they hold and how they were called.
  private static func mayDiffer(_ key: String) -> Bool {
    ["samples", "batches", "layers", "model", "tokenizer", "text", "skip"].contains(key) || key.hasPrefix("history.")
  }

  /// What belongs to a layer is known where that layer is.
  private static func mayBeMissing(_ key: String) -> Bool {
    key.hasPrefix("basis.") || key.hasPrefix("sae.")
  }

  private static func difference(_ key: String, _ first: String, _ other: String) -> Failure {
    Failure(.malformed, "the inputs do not belong together: \(key): expected \(first) as before, found \(other)")
  }
}
