import SparseAutoencoders
import SystemIO
import TensorStream

/// Joins the provenance of several segments that are averaged together, and refuses those that must not be.
public struct ProvenanceAgreement {
  private let mixesTexts: Bool
  /// Of the segments so far, without the texts.
  private var common: [String: String]?
  private var knownTexts: Set<TextIdentity> = []

  /// - Parameter mixesTexts: whether samples of several texts may be averaged together.
  public init(mixesTexts: Bool = false) {
    self.mixesTexts = mixesTexts
  }

  /// The texts of all segments, in an order that does not depend on theirs.
  public var texts: [TextIdentity] { knownTexts.sorted() }

  /// What is known of all segments together; nil before the first.
  public var joined: [String: String]? {
    common?.merging(TextIdentity.provenance(of: texts)) { $1 }
  }

  /// Adds a segment that was, or will be, averaged by `choices`.
  ///
  /// - Returns: the texts that its samples are from.
  /// - Throws: `Failure` of kind malformed that names the first difference which makes the numbers incomparable.
  @discardableResult
  public mutating func add(_ provenance: [String: String], _ choices: AggregationChoices) throws -> [TextIdentity] {
    let texts = try TextIdentity.texts(of: provenance)
    try check(texts)
    var other = provenance.merging(choices.provenance) { $1 }
    for key in [TextIdentity.wholeKey, TextIdentity.startKey] { other[key] = nil }
    let isOtherText = mixesTexts && texts.allSatisfy { text in !knownTexts.contains { $0.agrees(with: text) } }
    common = try common.map { try Self.join($0, other, choices, isOtherText: isOtherText) } ?? other
    knownTexts.formUnion(texts)
    return texts
  }

  /// Every text of a segment must be every text before it, unless texts are to be mixed. An unknown one never is: which
  /// of its samples are there already, nobody can tell.
  private func check(_ texts: [TextIdentity]) throws {
    for text in texts {
      let others = knownTexts.filter {
        mixesTexts ? ($0 == .unknown) != (text == .unknown) : !$0.agrees(with: text)
      }
      guard let known = others.min() else { continue }
      let (isWhole, hasStart) = (known.whole != nil && text.whole != nil, known.start != nil || text.start != nil)
      let remedy = known == .unknown || text == .unknown ? "" : "; --mix-texts averages over several texts"
      guard isWhole || !hasStart else {
        throw Self.difference(TextIdentity.startKey, known.start ?? "none", text.start ?? "none", remedy)
      }
      throw Self.difference(TextIdentity.wholeKey, known.whole ?? "none", text.whole ?? "none", remedy)
    }
  }

  private static func join(
    _ all: [String: String], _ new: [String: String], _ choices: AggregationChoices, isOtherText: Bool
  ) throws -> [String: String] {
    var all = all
    for key in Set(all.keys).union(new.keys).sorted() where all[key] != new[key] {
      let (first, other) = (all[key], new[key])
      if let first, let other, isSameDecoder(key, first, other) { continue }
      guard
        mayDiffer(key, new, choices) || (isOfPlace(key) && (first == nil || other == nil))
          || (numbersSamples(key) && (isOtherText || areOfTextsTogether(first ?? "", other ?? "")))
      else {
        throw difference(key, first ?? "none", other ?? "none")
      }
      if let first, let other { all[key] = join(first, other) } else { all[key] = first ?? other }
    }
    return all
  }

  /// Whether two values name copies of one autoencoder, which may lie at different paths.
  private static func isSameDecoder(_ key: String, _ first: String, _ other: String) -> Bool {
    guard isOfPlace(key), let first = try? BasisReference(parsing: first),
      let other = try? BasisReference(parsing: other)
    else { return false }
    return first.isSameDecoder(as: other)
  }

  /// The different values of a key, a line each. After some hundred the rest is only hinted at, as a header has its
  /// limits and thousands of shards may be merged.
  private static func join(_ values: String, _ other: String) -> String {
    var lines = Self.lines(values)
    for line in Self.lines(other) {
      guard lines.last != "…" else { break }
      guard !lines.contains(line) else { continue }
      lines.append(lines.reduce(0) { $0 + $1.utf8.count + 1 } < 16_384 ? line : "…")
    }
    return lines.joined(separator: "\n")
  }

  /// Each text may have samples of its own kind, but those of one text must be numbered alike.
  private static func numbersSamples(_ key: String) -> Bool { ["samples.form", "min_chars"].contains(key) }

  /// Whether one of two values is a list, of several texts, that has all of the other.
  private static func areOfTextsTogether(_ first: String, _ other: String) -> Bool {
    let (first, other) = (Set(lines(first)), Set(lines(other)))
    return max(first.count, other.count) > 1 && (first.isSubset(of: other) || other.isSubset(of: first))
  }

  private static func lines(_ values: String) -> [Substring] {
    values.split(separator: "\n", omittingEmptySubsequences: false)
  }

  /// What tells shards of one run apart: which samples and places they hold and how they were called; and how many
  /// samples a batch had, unless the averages, or the positions that were recorded, depend on it.
  private static func mayDiffer(
    _ key: String, _ provenance: [String: String], _ choices: AggregationChoices
  ) -> Bool {
    if key == "batch_size" { return !choices.dependOnBatchSize && provenance["stride_scope"] != "batch" }
    return ["samples", "batches", "places", "model", "tokenizer", "text", "skip"].contains(key)
      || key.hasPrefix("history.")
  }

  /// What belongs to a place is known where that place is.
  private static func isOfPlace(_ key: String) -> Bool {
    [PlaceValue.basis, .sae].contains { $0.place(key) != nil }
  }

  private static func difference(_ key: String, _ first: String, _ other: String, _ remedy: String = "") -> Failure {
    Failure(
      .malformed, "the inputs do not belong together: \(key): expected \(first) as before, found \(other)\(remedy)")
  }
}
