import TensorStream

/// The samples that went into an average: their numbers, by the text they were taken from. Those of a run mostly follow
/// one another.
public struct SampleNumbers: Equatable, Sendable {
  public private(set) var byText: [TextIdentity: RangeSet<Int64>] = [:]

  public init() {}

  /// At most `Int.max`, as the ranges of several texts may claim more.
  public var count: Int {
    byText.values.flatMap(\.ranges).reduce(0) { count, range in
      let (sum, overflow) = count.addingReportingOverflow(range.count)
      return overflow ? .max : sum
    }
  }

  /// Adds samples of `text`; returns a number that was there already, of the same text as far as is known, in which
  /// case nothing changes.
  public mutating func insert(_ new: Range<Int64>, of text: TextIdentity) -> Int64? {
    // Of a text whose end is not known here, samples may have been added where it is.
    for (other, ranges) in byText where other.agrees(with: text) {
      if let duplicate = ranges.firstCommon(with: new) { return duplicate }
    }
    byText[text, default: RangeSet()].insert(contentsOf: new)
    return nil
  }
}
