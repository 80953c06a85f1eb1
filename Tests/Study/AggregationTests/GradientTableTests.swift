import Aggregation
import TensorStream
import Testing

@Suite struct GradientTableTests {
  private let gradients = [
    PlaceGradients(place: Place(.mlpOut, 3), mode: .mean, unit: .activation, values: [0.5, -2, 0.25, .nan]),
    PlaceGradients(place: Place(.attnOut, 4), mode: .meanAbsolute, unit: .feature, values: []),
  ]

  @Test func forTheEye() {
    #expect(
      gradientTable(gradients, top: 2, isTabSeparated: false) == """
        layer 3  mean  4 activations
          max |gradient| 2.00000e+00  mean -4.16667e-01  std 1.12423e+00  min -2.00000e+00  max 5.00000e-01
          left out: 1 NaN (at 3)
          rank  activation       gradient
             1           1   -2.00000e+00
             2           0    5.00000e-01

        layer 4 (attn_out)  mean_abs  0 features
          max |gradient| nan  mean nan  std nan  min nan  max nan

        """)
  }

  @Test func forPrograms() {
    let lines = gradientTable(gradients, top: 2, isTabSeparated: true).split(separator: "\n")
    let rows = lines.map { $0.split(separator: "\t", omittingEmptySubsequences: false).map(String.init) }
    #expect(rows.count == 4)
    #expect(rows.allSatisfy { $0.count == rows[0].count })
    let columns = Dictionary(uniqueKeysWithValues: zip(rows[0], rows[1]))
    #expect(columns["layer"] == "3" && columns["mode"] == "mean" && columns["unit"] == "activation")
    #expect(columns["count"] == "3" && columns["nan"] == "1" && columns["infinite"] == "0")
    #expect(columns["rank"] == "1" && columns["index"] == "1" && columns["gradient"] == "-2.0")
    // Digits enough to get the same number back.
    #expect(Double(columns["mean"]!) == gradients[0].statistics.mean)
    #expect(columns["site"] == "mlp_out")
    #expect(Array(rows[3].suffix(4)) == ["", "", "", "attn_out"])
  }
}
