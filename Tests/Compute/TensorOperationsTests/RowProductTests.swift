import CVectorMath
import TestSupport
import Testing

/// Products of a row with several: each against a loop in Double, and to the bit what it is alone.
@Suite struct RowProductTests {
  @Test(arguments: [1, 7, 8, 16, 19, 40, 896]) func rows(count: Int) {
    var numbers = SeededNumbers(seed: 3)
    let (a, b) = (numbers.floats(count), numbers.floats(5 * count))
    let rows: [Int32] = [2, 0, 1, 1, 4, 3, 2]
    let alone = rows.map { row in
      var sum = Double.nan
      vector_dot_rows(&sum, a, b, [row], 1, count)
      return sum
    }
    for (row, sum) in zip(rows, alone) {
      let products = (0..<count).map { Double(a[$0]) * Double(b[Int(row) * count + $0]) }
      #expect(abs(sum - products.reduce(0, +)) <= 1e-14 * products.reduce(0) { $0 + abs($1) })
    }
    for number in 0...rows.count {
      var together = [Double](repeating: .nan, count: rows.count)
      vector_dot_rows(&together, a, b, rows, number, count)
      #expect(Array(together[..<number]) == Array(alone[..<number]) && together[number...].allSatisfy(\.isNaN))
    }
  }
}
