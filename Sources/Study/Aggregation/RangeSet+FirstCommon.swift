extension RangeSet<Int64> {
  /// The first number of `other` that is in the set.
  ///
  /// Found without looking at every range, of which samples that are taken at random make many.
  func firstCommon(with other: Range<Int64>) -> Int64? {
    let ranges = ranges
    var (low, high) = (0, ranges.count)
    while low < high {
      let middle = (low + high) / 2
      if ranges[middle].upperBound <= other.lowerBound { low = middle + 1 } else { high = middle }
    }
    guard !other.isEmpty, low < ranges.count, ranges[low].lowerBound < other.upperBound else { return nil }
    return Swift.max(ranges[low].lowerBound, other.lowerBound)
  }
}
