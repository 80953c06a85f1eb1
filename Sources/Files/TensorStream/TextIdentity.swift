import SystemIO

/// Which text samples were taken from, as far as a stream says: XXH64 of its bytes, the hashes `text.xxh64` and `text.start.xxh64` of its
/// provenance. Of a stream without them the text is unknown.
public struct TextIdentity: Hashable, Comparable, Sendable {
  /// Of all of the text; nil where it could not be read ahead, as from a pipe.
  public let whole: String?
  /// Of its first 64 KiB.
  public let start: String?

  public static let unknown = TextIdentity(whole: nil, start: nil)

  public init(whole: String?, start: String?) {
    self.whole = whole
    self.start = start
  }

  /// Whether both are one text, as far as is known: the whole text decides where it is known of both, else its start.
  public func agrees(with other: TextIdentity) -> Bool {
    if let whole, let other = other.whole { return whole == other }
    if let start, let other = other.start { return start == other }
    return self == other
  }

  public static func < (one: TextIdentity, other: TextIdentity) -> Bool {
    (one.start ?? "", one.whole ?? "") < (other.start ?? "", other.whole ?? "")
  }

  // MARK: - In the provenance

  public static let wholeKey = "text.xxh64"
  public static let startKey = "text.start.xxh64"

  /// The texts that a begin record names. The hashes of several are in two lists of lines, where an empty line is a
  /// hash that is not known. Without any hash the one text is unknown.
  ///
  /// - Throws: `Failure` of kind malformed where the lists do not go together or name a text twice.
  public static func texts(of provenance: [String: String]) throws -> [TextIdentity] {
    func hashes(_ key: String) -> [String?]? {
      provenance[key]?.split(separator: "\n", omittingEmptySubsequences: false).map { $0.isEmpty ? nil : String($0) }
    }
    let wholes = hashes(wholeKey)
    let starts = hashes(startKey)
    let count = wholes?.count ?? starts?.count ?? 1
    guard wholes?.count ?? count == count, starts?.count ?? count == count else {
      throw Failure(
        .malformed, "begin record: \(startKey): expected \(count) hashes as of \(wholeKey), found \(starts!.count)")
    }
    let texts = (0..<count).map { TextIdentity(whole: wholes?[$0], start: starts?[$0]) }
    guard Set(texts).count == count, count == 1 || !texts.contains(.unknown) else {
      throw Failure(.malformed, "begin record: \(wholeKey), \(startKey): expected the hashes of different texts")
    }
    return texts
  }

  /// What `texts(of:)` reads.
  public static func provenance(of texts: [TextIdentity]) -> [String: String] {
    func lines(_ hashes: [String?]) -> String? {
      hashes.contains { $0 != nil } ? hashes.map { $0 ?? "" }.joined(separator: "\n") : nil
    }
    let lists = [wholeKey: lines(texts.map(\.whole)), startKey: lines(texts.map(\.start))]
    return lists.compactMapValues { $0 }
  }
}
