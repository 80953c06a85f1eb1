import Aggregation
import TestSupport
import Testing

@Suite struct IndexRangesTests {
  @Test func neighboursJoin() {
    var ranges = IndexRanges()
    for range in [0..<2, 10..<12, 4..<5, 2..<4, 5..<10] as [Range<Int64>] { #expect(ranges.insert(range) == nil) }
    #expect(ranges.ranges == [0..<12])
    #expect(ranges.count == 12)
    #expect(ranges.insert(3..<3) == nil)
    #expect(ranges.ranges == [0..<12])
  }

  @Test func whatIsThereAlreadyIsNamed() {
    var ranges = IndexRanges()
    for range in [0..<3, 10..<20] as [Range<Int64>] { #expect(ranges.insert(range) == nil) }
    let before = ranges
    #expect(ranges.insert(2..<5) == 2)
    #expect(ranges.insert(5..<11) == 10)
    #expect(ranges.insert(3..<40) == 10)
    #expect(ranges.insert(12..<13) == 12)
    #expect(ranges.insert(19..<25) == 19)
    #expect(ranges == before)
    #expect(ranges.insert(3..<10) == nil)
    #expect(ranges.ranges == [0..<20])
  }

  @Test func extremes() {
    var ranges = IndexRanges()
    #expect(ranges.insert(.max - 1 ..< .max) == nil)
    #expect(ranges.insert(0..<1) == nil)
    #expect(ranges.insert(1 ..< .max - 1) == nil)
    #expect(ranges.ranges == [0 ..< .max])
    #expect(ranges.insert(5..<6) == 5)
  }

  /// Random insertions against a plain set.
  @Test func againstASet() {
    var numbers = SeededNumbers(seed: 5)
    for _ in 0..<200 {
      var ranges = IndexRanges()
      var set = Set<Int64>()
      for _ in 0..<60 {
        let start = Int64.random(in: 0..<100, using: &numbers)
        let new = start..<start + Int64.random(in: 0..<6, using: &numbers)
        let duplicate = new.first { set.contains($0) }
        #expect(ranges.firstCommon(with: new) == duplicate)
        #expect(ranges.insert(new) == duplicate)
        if duplicate == nil { set.formUnion(new) }
        #expect(ranges.count == set.count)
      }
      #expect(Set(ranges.ranges.flatMap { $0 }) == set)
      #expect(zip(ranges.ranges, ranges.ranges.dropFirst()).allSatisfy { $0.upperBound < $1.lowerBound })
    }
  }
}

@Suite struct SampleNumbersTests {
  private let known = TextIdentity(whole: "1", start: "s")
  private let other = TextIdentity(whole: "2", start: "s")
  private let fromPipe = TextIdentity(whole: nil, start: "s")

  /// A text from a pipe may be any that begins alike: a sample of it that is there already is noticed, in any order.
  @Test func whatMayBeTheSameTextSharesItsNumbers() {
    for (first, second) in [(known, fromPipe), (fromPipe, known), (other, fromPipe), (known, known)] {
      var numbers = SampleNumbers()
      #expect(numbers.insert(0..<5, of: first) == nil)
      #expect(numbers.insert(3..<8, of: second) == 3)
      #expect(numbers.insert(5..<8, of: second) == nil)
      #expect(numbers.count == 8)
    }
    var numbers = SampleNumbers()
    #expect(numbers.insert(0..<5, of: known) == nil)
    #expect(numbers.insert(3..<8, of: other) == nil)
    #expect(numbers.insert(7..<8, of: fromPipe) == 7)
  }

  @Test func countsThatOverflow() {
    var numbers = SampleNumbers()
    #expect(numbers.insert(0 ..< .max, of: known) == nil)
    #expect(numbers.insert(0 ..< .max, of: other) == nil)
    #expect(numbers.count == .max)
  }
}
