import Aggregation
import Glibc
import TensorStream
import TestSupport

extension PlaceAverages {
  /// The same as of another quantity, with standard errors of a tenth to three tenths of the values.
  func of(_ quantity: Quantity, withErrors: Bool = true) -> PlaceAverages {
    PlaceAverages(
      place: place, measure: .average(quantity, mode), unit: unit, values: values,
      standardErrors: withErrors ? values.enumerated().map { abs($1) * (0.1 + Double($0 % 3) / 10) } : nil,
      areFloat32: areFloat32)
  }
}

func pow10(_ exponent: Double) -> Double { pow(10, exponent) }

/// Gradients with a bell and a few outliers, as real ones have.
func sampleGradients(
  layer: Int = 3, _ mode: AveragingMode, _ unit: GradientUnit = .feature, count: Int, scale: Double = 1e-5
) -> PlaceAverages {
  var random = SeededNumbers(seed: UInt64(layer + count))
  let values = (0..<count).map { index -> Double in
    let bell = (0..<6).reduce(0) { sum, _ in sum + Double.random(in: -0.5...0.5, using: &random) }
    let value = bell * (Int.random(in: 0..<100, using: &random) == 0 ? 2.5 : 1)
    return scale * (mode == .mean ? value : 4 + value)
  }
  return PlaceAverages(
    place: Place(.mlpOut, layer), measure: .average(.gradient, mode), unit: unit, values: values, areFloat32: true)
}
