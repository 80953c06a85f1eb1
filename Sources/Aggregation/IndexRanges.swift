/// A set of sample indices, kept as ascending ranges: the samples of a run mostly follow one another.
public struct IndexRanges: Equatable, Sendable {
  public private(set) var ranges: [Range<Int64>] = []

  public init() {}

  public var count: Int { ranges.reduce(0) { $0 + $1.count } }

  /// Adds `new`; returns an index that was there already, in which case nothing changes.
  public mutating func insert(_ new: Range<Int64>) -> Int64? {
    guard !new.isEmpty else { return nil }
    let low = firstRange(notBefore: new)
    var joined = new
    var end = low
    while end < ranges.count, ranges[end].lowerBound <= new.upperBound {
      if ranges[end].overlaps(new) { return max(ranges[end].lowerBound, new.lowerBound) }
      joined = min(joined.lowerBound, ranges[end].lowerBound)..<max(joined.upperBound, ranges[end].upperBound)
      end += 1
    }
    ranges.replaceSubrange(low..<end, with: [joined])
    return nil
  }

  /// The first index of `other` that is in the set.
  public func firstCommon(with other: Range<Int64>) -> Int64? {
    guard !other.isEmpty else { return nil }
    return ranges[firstRange(notBefore: other)...].prefix { $0.lowerBound < other.upperBound }
      .first { $0.overlaps(other) }.map { max($0.lowerBound, other.lowerBound) }
  }

  /// The number of the first range that does not end before `other` begins.
  private func firstRange(notBefore other: Range<Int64>) -> Int {
    var (low, high) = (0, ranges.count)
    while low < high {
      let middle = (low + high) / 2
      if ranges[middle].upperBound < other.lowerBound { low = middle + 1 } else { high = middle }
    }
    return low
  }
}
