import Aggregation
import Testing

@Suite struct CorrelationTests {
  @Test func pearson() throws {
    #expect(abs(try #require(correlation([1, 2, 3, 5], [2, 1, 4, 4])) - 0.7481900559272088) < 1e-12)
    #expect(abs(try #require(correlation([1, 2, 3], [-2, -4, -6])) + 1) < 1e-12)
    #expect(correlation([1], [1]) == nil && correlation([1, 1], [1, 2]) == nil)
    #expect(correlation([1, .nan], [1, 2]) == nil)
    // Never beyond 1, however the sums are rounded.
    for count in 2..<300 {
      let values = (0..<count).map { 0.1 * Double($0 % 7) + 1e-9 * Double($0) }
      #expect(try #require(correlation(values, values.map { 3 * $0 })) <= 1)
    }
  }

  @Test func spearman() throws {
    // scipy.stats.spearmanr, which gives equal values the mean of their ranks.
    #expect(abs(try #require(rankCorrelation([1, 2, 2, 9, 3], [5, 6, 7, 8, 7])) - 0.9210526315789475) < 1e-12)
    #expect(rankCorrelation([1, .nan, 3], [1, 2, 3]) == nil && rankCorrelation([2, 2], [1, 2]) == nil)
  }
}
