import Aggregation
import SystemIO
import TensorStream
import TestSupport
import Testing

/// The features that rank highest in an aggregates stream.
@Suite struct FeatureRankingTests {
  private func ranking(
    _ records: [[String: [Float]]], by key: String, top: Int = 2,
    isWanted: @escaping (Place) -> Bool = { _ in true }
  ) throws -> FeatureRanking {
    let bytes = try streamBytes { writer in
      try writer.begin(.aggregates, provenance: [:])
      for (number, tensors) in records.enumerated() {
        var record = OutputRecord()
        for (name, values) in tensors.sorted(by: { $0.key < $1.key }) { record.add(name, values) }
        try writer.write(record, batch: number)
      }
      try writer.end()
    }
    return try FeatureRanking(
      ReusedFile().opened(with: bytes), by: RankingKey(key), top: top, isWanted: isWanted
    ) { _ in }
  }

  private static let records: [[String: [Float]]] = [
    [
      "mean_abs.mlp_out.3": [1, 3, 2], "attribution_mean_abs.mlp_out.3": [5, 0, 6],
      "attribution_mean.mlp_out.3": [-5, 1, 2],
    ], ["mean_abs.resid_post.1": [0, 0, 9], "attribution_mean_abs.resid_post.1": [0, 8, 9]],
  ]

  @Test func everyAverageHasItsOrder() throws {
    let (mlp, stream) = (Place(.mlpOut, 3), Place(.residPost, 1))
    #expect(try ranking(Self.records, by: "gradient.mean_abs").features == [mlp: [1, 2], stream: [2, 0]])
    #expect(try ranking(Self.records, by: "attribution.mean_abs").features == [mlp: [2, 0], stream: [2, 1]])
    // By magnitude.
    #expect(try ranking(Self.records, by: "attribution.mean", top: 1).features == [mlp: [0]])
    #expect(
      try ranking(Self.records, by: "gradient.mean_abs", top: 9) { $0.site == .residPost }.features == [
        stream: [2, 0, 1]
      ])
  }

  @Test func refusals() throws {
    let absent = #expect(throws: Failure.self) { try ranking(Self.records, by: "activation.mean") }
    #expect(absent?.kind == .malformed)
    #expect(
      absent?.description.contains(
        "expected averages activation.mean of the places asked for, found averages attribution.mean, "
          + "attribution.mean_abs, gradient.mean_abs") == true)
    let twice = #expect(throws: Failure.self) {
      try ranking([Self.records[1], Self.records[1]], by: "gradient.mean_abs")
    }
    #expect(twice?.description.contains("resid_post.1, mean_abs was in ") == true)
    let partial = #expect(throws: Failure.self) {
      try ranking([["sum_abs.mlp_out.3": [1]]], by: "gradient.mean_abs")
    }
    #expect(partial?.description.contains("no finished averages") == true)
    for wrong in ["mean_abs", "gradient", "gradient.median", "size.mean", "gradient.mean.3"] {
      #expect(throws: Failure.self) { try RankingKey(wrong) }
    }
  }
}
