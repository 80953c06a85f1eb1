import Aggregation
import TensorStream
import TestSupport
import Testing

@Suite struct SampleNumbersTests {
  private let known = TextIdentity(whole: "1", start: "s")
  private let other = TextIdentity(whole: "2", start: "s")
  private let fromPipe = TextIdentity(whole: nil, start: "s")

  private func ranges(_ numbers: SampleNumbers) -> [Range<Int64>] {
    Array(numbers.byText[known]?.ranges ?? RangeSet().ranges)
  }

  @Test func neighboursJoin() {
    var numbers = SampleNumbers()
    for range in [0..<2, 10..<12, 4..<5, 2..<4, 5..<10] as [Range<Int64>] {
      #expect(numbers.insert(range, of: known) == nil)
    }
    #expect(ranges(numbers) == [0..<12])
    #expect(numbers.count == 12)
    #expect(numbers.insert(3..<3, of: known) == nil)
    #expect(ranges(numbers) == [0..<12])
  }

  @Test func whatIsThereAlreadyIsNamed() {
    var numbers = SampleNumbers()
    for range in [0..<3, 10..<20] as [Range<Int64>] { #expect(numbers.insert(range, of: known) == nil) }
    let before = numbers
    #expect(numbers.insert(2..<5, of: known) == 2)
    #expect(numbers.insert(5..<11, of: known) == 10)
    #expect(numbers.insert(3..<40, of: known) == 10)
    #expect(numbers.insert(12..<13, of: known) == 12)
    #expect(numbers.insert(19..<25, of: known) == 19)
    #expect(numbers == before)
    #expect(numbers.insert(3..<10, of: known) == nil)
    #expect(ranges(numbers) == [0..<20])
  }

  @Test func extremes() {
    var numbers = SampleNumbers()
    #expect(numbers.insert(.max - 1 ..< .max, of: known) == nil)
    #expect(numbers.insert(0..<1, of: known) == nil)
    #expect(numbers.insert(1 ..< .max - 1, of: known) == nil)
    #expect(ranges(numbers) == [0 ..< .max])
    #expect(numbers.insert(5..<6, of: known) == 5)
  }

  /// Random insertions against a plain set.
  @Test func againstASet() {
    var random = SeededNumbers(seed: 5)
    for _ in 0..<200 {
      var numbers = SampleNumbers()
      var set = Set<Int64>()
      for _ in 0..<60 {
        let start = Int64.random(in: 0..<100, using: &random)
        let new = start..<start + Int64.random(in: 0..<6, using: &random)
        let duplicate = new.first { set.contains($0) }
        #expect(numbers.insert(new, of: known) == duplicate)
        if duplicate == nil { set.formUnion(new) }
        #expect(numbers.count == set.count)
      }
      #expect(Set(ranges(numbers).flatMap { $0 }) == set)
      #expect(zip(ranges(numbers), ranges(numbers).dropFirst()).allSatisfy { $0.upperBound < $1.lowerBound })
    }
  }

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
