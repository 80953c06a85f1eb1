import Aggregation
import Foundation
import SystemIO
import Tables
import TensorStream
import TestSupport
import Testing

@Suite struct FeatureTableTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func averages(
    _ layer: Int, _ quantity: Quantity?, _ mode: AveragingMode, _ values: [Double], _ errors: [Double]? = nil
  ) -> PlaceAverages {
    PlaceAverages(
      place: Place(.mlpOut, layer), measure: quantity.map { .average($0, mode) } ?? .firing, unit: .feature,
      values: values, standardErrors: errors, areFloat32: true)
  }

  private var places: [PlaceColumns] {
    get throws {
      try PlaceColumns.byPlace([
        averages(3, .gradient, .mean, [0.5, -2, 0.25, .nan], [0.25, 0.5, 0, 1]),
        averages(3, .attribution, .meanAbsolute, [3, 0, 4, 5]), averages(3, nil, .mean, [0.5, 0, 0.25, 1]),
        averages(4, .gradient, .mean, [1, -3, 2]), averages(4, .attribution, .meanAbsolute, [1, 7, 4.5]),
      ])
    }
  }

  private func text(_ table: FeatureTable, _ format: TableFormat, width: Int? = nil) throws -> String {
    let path = folder.file("table")
    let file = try OutputFile(path: path)
    try table.write(as: format, to: file, width: width)
    try file.finish()
    return try String(contentsOfFile: path, encoding: .utf8)
  }

  /// Rows of cells, the first with the columns' names.
  private func cells(_ table: FeatureTable) throws -> [[String]] {
    try text(table, .tsv).split(separator: "\n").map {
      $0.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
    }
  }

  private func order(_ table: FeatureTable) throws -> [String] {
    try cells(table).dropFirst().map { "\($0[1]):\($0[2])" }
  }

  @Test func forPrograms() throws {
    let rows = try cells(FeatureTable(places, .all, by: nil))
    #expect(
      rows[0] == [
        "site", "layer", "index", "gradient_mean", "gradient_mean_se", "gradient_z", "attribution_mean_abs", "firing",
      ])
    #expect(rows[1] == ["mlp_out", "3", "3", "NaN", "1.0", "NaN", "5.0", "1.0"])
    #expect(rows[2] == ["mlp_out", "3", "2", "0.25", "0.0", "Inf", "4.0", "0.25"])
    #expect(rows[4] == ["mlp_out", "3", "1", "-2.0", "0.5", "4.0", "0.0", "0.0"])
    // What a place lacks is empty.
    #expect(rows[5] == ["mlp_out", "4", "1", "-3.0", "", "", "7.0", ""])
    #expect(rows.count == 1 + 7)
    let lines = try text(FeatureTable(places, .top(1), by: nil), .jsonl).split(separator: "\n")
    let objects = try lines.map { try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any] ?? [:] }
    #expect(objects.count == 2)
    #expect(objects[0]["gradient_mean"] is NSNull && objects[0]["firing"] as? Double == 1)
    #expect(objects[1]["index"] as? Int == 1 && objects[1]["site"] as? String == "mlp_out")
    #expect(objects.allSatisfy { Set($0.keys) == Set(rows[0]) } && objects[1]["firing"] is NSNull)
  }

  @Test func orders() throws {
    func order(_ selection: FeatureTable.Selection, _ by: String?) throws -> [String] {
      try self.order(FeatureTable(places, selection, by: by.map(TableOrder.init)))
    }
    #expect(try order(.top(2), nil) == ["3:3", "3:2", "4:1", "4:2"])
    #expect(try order(.topOverall(3), nil) == ["4:1", "3:3", "4:2"])
    // By magnitude; what is no number comes last.
    #expect(try order(.all, "gradient.mean") == ["3:1", "3:0", "3:2", "3:3", "4:1", "4:2", "4:0"])
    #expect(try order(.topOverall(9), "gradient_mean") == ["4:1", "3:1", "4:2", "4:0", "3:0", "3:2", "3:3"])
    #expect(try order(.all, "index") == ["3:0", "3:1", "3:2", "3:3", "4:0", "4:1", "4:2"])
    #expect(try order(.topOverall(2), "index") == ["3:0", "3:1"])
    #expect(try order(.all, "index").count == 7)
    let failure = #expect(throws: Failure.self) { try order(.all, "firing") }
    #expect(
      failure?.description
        == "--sort: expected firing at mlp_out.4, found gradient.mean, attribution.mean_abs")
  }

  @Test func everyColumnIsNamedTwoWays() throws {
    for column in FeatureColumn.all {
      #expect(FeatureColumn(column.name) == column && FeatureColumn(column.title) == column)
      #expect(try TableOrder(column.title) == .magnitude(column))
    }
    #expect(Set(FeatureColumn.all.map(\.name)).count == FeatureColumn.all.count)
    for wrong in ["", "mean", "gradient", "attribution.mean.abs", "gradient.z.se", "loss"] {
      #expect(throws: Failure.self) { try TableOrder(wrong) }
    }
  }

  @Test func forTheEye() throws {
    #expect(
      try text(FeatureTable(places, .top(2), by: nil), .text) == """
        mlp_out.3: 4 features
          gradient.mean         max 2.000e+00  mean -4.167e-01  std 1.124e+00
          gradient.mean: left out: 1 NaN (at 3)
          attribution.mean_abs  max 5.000e+00  mean 3.000e+00  std 1.871e+00
          firing                max 1.000e+00  mean 4.375e-01  std 3.698e-01
                  gradient                attribution
          index       mean     ± SE    z     mean_abs    firing
              3          -  1.0e+00    -    5.000e+00  100.00 %
              2  2.500e-01  0.0e+00  inf    4.000e+00   25.00 %

        mlp_out.4: 3 features
          gradient.mean         max 3.000e+00  mean 0.000e+00  std 2.160e+00
          attribution.mean_abs  max 7.000e+00  mean 4.167e+00  std 2.461e+00
                   gradient  attribution
          index        mean     mean_abs
              1  -3.000e+00    7.000e+00
              2   2.000e+00    4.500e+00

        """)
    let overall = try text(FeatureTable(places, .topOverall(2), by: nil), .text).split(separator: "\n")
    #expect(overall.count == 4 && overall[1].hasPrefix("    place  index        mean"))
    #expect(overall[2].hasPrefix("mlp_out.4      1 ") && overall[3].hasPrefix("mlp_out.3      3 "))
  }

  @Test func chosenFeatures() throws {
    let chosen: Set = [
      FeatureName(Place(.mlpOut, 3), 1), FeatureName(Place(.mlpOut, 3), 2), FeatureName(Place(.mlpOut, 4), 0),
    ]
    #expect(try order(FeatureTable(places, .only(chosen), by: nil)) == ["3:2", "3:1", "4:0"])
    #expect(try order(FeatureTable(places, .only(chosen), by: .index)) == ["3:1", "3:2", "4:0"])
    #expect(try text(FeatureTable(places, .only(chosen), by: nil), .text).contains("mlp_out.3: 4 features\n"))
    try places.check(chosen)
    for (wrong, words) in [
      (FeatureName(Place(.mlpOut, 4), 3), "mlp_out.4: expected features from 0 to 2, found 4:3"),
      (FeatureName(Place(.attnOut, 3), 0), "expected features at mlp_out.3-4, found attn_out.3:0 at attn_out.3"),
    ] {
      let failure = #expect(throws: Failure.self) { try places.check([wrong]) }
      #expect(failure?.description == words && failure?.kind == .usage)
    }
  }

  /// Narrower and narrower, down to what rows are sorted by.
  @Test func noWiderThanATerminal() throws {
    let whole = try text(FeatureTable(places, .top(2), by: nil), .text)
    #expect(try text(FeatureTable(places, .top(2), by: nil), .text, width: 71) == whole)
    // The names are those of the columns of TSV.
    for (width, names) in [
      (54, "gradient_z"), (49, "gradient_mean_se, gradient_z"), (40, "gradient_mean, gradient_mean_se, gradient_z"),
    ] {
      let lines = try text(FeatureTable(places, .top(2), by: nil), .text, width: width).split(separator: "\n")
      #expect(lines.allSatisfy { $0.count <= width }, "\(width): \(lines)")
      let said = lines.drop { !$0.hasPrefix("left out to fit") }.flatMap { $0.split(separator: " ") }
      #expect(
        said.joined(separator: " ") == "left out to fit \(width) columns: \(names); --format tsv has them", "\(lines)")
    }
    // What is sorted by stays, with what stands behind it.
    let sorted = try text(FeatureTable([places[0]], .top(2), by: TableOrder("gradient.z")), .text, width: 30)
    #expect(sorted.contains("index        mean     ± SE"), "\(sorted)")
    #expect(sorted.contains("attribution_mean_abs"), "\(sorted)")
    // Programs get all columns, however wide.
    let tsv = try text(FeatureTable(places, .all, by: nil), .tsv)
    #expect(try text(FeatureTable(places, .all, by: nil), .tsv, width: 20) == tsv)
  }

  @Test func theShareOfPositionZero() throws {
    let shares = [0.25, .nan, 1, 0.5]
    let places = try PlaceColumns.byPlace([
      PlaceAverages(
        place: Place(.mlpOut, 3), measure: .average(.attribution, .meanAbsolute), unit: .feature,
        values: [4, 0, 1, 3], firstShares: shares, areFloat32: true)
    ])
    let rows = try cells(FeatureTable(places, .all, by: TableOrder("first_share")))
    #expect(rows[0] == ["site", "layer", "index", "attribution_mean_abs", "first_share"])
    #expect(rows.dropFirst().map { $0[4] } == ["1.0", "0.5", "0.25", "NaN"])
    // (4 · 0.25 + 1 + 3 · 0.5) / 8
    let lines = try text(FeatureTable(places, .all, by: nil), .text).split(separator: "\n")
    #expect(lines.contains("  position 0: 43.8 % of attribution.mean_abs"))
    #expect(lines.last?.hasSuffix("-") == true && lines.contains { $0.hasSuffix(" 25.00 %") })
  }

  // MARK: - Ablations

  private func ablation(_ effect: Double, _ predicted: Double, _ error: Double?) -> Ablation {
    Ablation(
      effect: effect, effectError: 9, predicted: predicted, predictedError: 8, differenceError: error)
  }

  @Test func ablationsBesideTheAverages() throws {
    var places = try places
    let (third, ninth) = (Place(.mlpOut, 3), Place(.attnZ, 9))
    // Of one sample it cannot be told.
    let others = try places.add([
      (third, 2, ablation(4, 1, 1)), (ninth, 7, ablation(1, 1, 1)), (third, 0, ablation(-1.9, 0, 1)),
      (third, 1, ablation(0.5, 0.25, nil)),
    ])
    #expect(others == [ninth])
    let rows = try cells(FeatureTable([places[0]], .all, by: TableOrder("effect")))
    #expect(rows[0].suffix(5) == ["effect", "effect_se", "predicted", "predicted_se", "missed"])
    #expect(
      rows.dropFirst().map { Array($0[2...2] + $0.suffix(5)) } == [
        ["2", "4.0", "9.0", "1.0", "8.0", "1"], ["0", "-1.9", "9.0", "0.0", "8.0", "0"],
        ["1", "0.5", "9.0", "0.25", "8.0", "NaN"], ["3", "NaN", "NaN", "NaN", "NaN", "NaN"],
      ])
    // Of a place without any, they are empty.
    #expect(try cells(FeatureTable(places, .all, by: nil)).last?.suffix(5) == ["", "", "", "", ""])
    let lines = try text(FeatureTable([places[0]], .all, by: TableOrder("effect")), .text).split(separator: "\n")
    #expect(lines.filter { $0.hasSuffix("  yes") }.count == 1)
    #expect(try order(FeatureTable([places[0]], .top(1), by: TableOrder("missed"))) == ["3:2"])
  }

  /// Two standard errors of the difference, and half of the larger of the two.
  @Test func whatThePredictionMisses() {
    #expect(ablation(4, 1, 1).isMissed == true && ablation(4, 1, 1.5).isMissed == false)
    #expect(ablation(-4, -2, 0.1).isMissed == true && ablation(-4, -2.1, 0.1).isMissed == false)
    #expect(ablation(1, 2, 0.1).isMissed == true && ablation(1, 1.9, 0.1).isMissed == false)
    #expect(ablation(0, 0, 0).isMissed == false)
    #expect(ablation(.nan, 1, 1).isMissed == nil && ablation(1, 2, nil).isMissed == nil)
  }

  @Test func refusesAblationsOfOtherFeatures() throws {
    let (third, ninth) = (Place(.mlpOut, 3), Place(.attnZ, 9))
    for (wrong, words) in [
      ([(third, 4, ablation(1, 1, 1))], "mlp_out.3: expected features from 0 to 3, found 4"),
      (Array(repeating: (third, 1, ablation(1, 1, 1)), count: 2), "mlp_out.3: expected feature 1 once, found it twice"),
      ([(ninth, 1, ablation(1, 1, 1))], "expected features at mlp_out.3-4, found some at attn_z.9"),
      ([], "expected features at mlp_out.3-4, found none"),
    ] as [([(place: Place, feature: Int, ablation: Ablation)], String)] {
      var places = try places
      #expect(throws: Failure(.malformed, words)) { _ = try places.add(wrong) }
    }
  }

  @Test func refusesAveragesOfDifferentLengths() {
    let uneven = [averages(3, .gradient, .mean, [1, 2]), averages(3, nil, .mean, [1])]
    #expect(throws: Failure(.malformed, "mlp_out.3: expected 2 values of firing as of mean, found 1")) {
      try PlaceColumns.byPlace(uneven)
    }
  }

  // MARK: - Two runs

  @Test func compares() throws {
    let others = try PlaceColumns.byPlace([
      averages(3, .gradient, .mean, [0.25, -1, 0.25, 1], [0.5, 1.2, 3, 1]),
      averages(3, .attribution, .meanAbsolute, [4, 1, 3, 9]), averages(5, .attribution, .meanAbsolute, [1]),
    ])
    let comparison = try Comparison(places, with: others, .all, by: nil, top: 2)
    #expect(comparison.missing == [Place(.mlpOut, 4), Place(.mlpOut, 5)])
    try #require(comparison.agreements.count == 1)
    // Ranks 2 1 3 4 and 3 1 2 4: 1 − 6 · 2 / (4 · 15).
    #expect(abs(try #require(comparison.agreements[0].rankCorrelation) - 0.8) < 1e-12)
    #expect(comparison.agreements[0].overlap == 1)
    #expect(
      comparison.agreements[0].text
        == "mlp_out.3: attribution.mean_abs: rank correlation 0.800, 1 of the top 2 the same")
    let rows = try cells(comparison.table)
    let row = Dictionary(uniqueKeysWithValues: zip(rows[0], rows[4]))
    #expect(rows.count == 5 && row["index"] == "1")
    #expect(row["gradient_mean"] == "-2.0" && row["other_gradient_mean"] == "-1.0")
    #expect(row["difference_gradient_mean"] == "-1.0" && row["difference_gradient_mean_se"] == "1.3")
    #expect(row["difference_attribution_mean_abs"] == "-1.0" && row["attribution_mean_abs_se"] == nil)
    #expect(row["rank_correlation"] == "0.8" && row["top_same"] == "1")
    #expect(row["firing"] == nil && row["gradient_z"] == nil)
    let lines = try text(comparison.table, .text).split(separator: "\n")
    #expect(lines[0] == comparison.agreements[0].text && lines.count == 7)
  }

  @Test func refusesWhatCannotBeCompared() throws {
    let elsewhere = try PlaceColumns.byPlace([averages(5, .gradient, .mean, [1])])
    #expect(
      throws: Failure(.malformed, "--compare: expected places that are in both, found mlp_out.3-4 and mlp_out.5")
    ) { try Comparison(places, with: elsewhere, .all, by: nil, top: 2) }
    let smaller = try PlaceColumns.byPlace([averages(3, .gradient, .mean, [1])])
    #expect(
      throws: Failure(.malformed, "--compare: mlp_out.3: expected 4 of a feature as in the first, found 1 of a feature")
    ) { try Comparison(places, with: smaller, .all, by: nil, top: 2) }
    let others = try PlaceColumns.byPlace([averages(3, .activation, .mean, [1, 2, 3, 4])])
    #expect(
      throws: Failure(.malformed, "--compare: expected an average that all places of both have, found none")
    ) { try Comparison(places, with: others, .all, by: nil, top: 2) }
  }
}
