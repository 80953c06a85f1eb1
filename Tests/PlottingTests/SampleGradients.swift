import Glibc
import GradientStatistics

/// Random numbers that are the same in every run (SplitMix64).
struct Generator: RandomNumberGenerator {
  private var state: UInt64

  init(seed: UInt64) { state = seed &* 0x9e37_79b9_7f4a_7c15 }

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }
}

func pow10(_ exponent: Double) -> Double { pow(10, exponent) }

/// Gradients with a bell and a few outliers, as real ones have.
func sampleGradients(
  layer: Int = 3, _ mode: AveragingMode, _ unit: GradientUnit = .feature, count: Int, scale: Double = 1e-5
) -> LayerGradients {
  var random = Generator(seed: UInt64(layer + count))
  let values = (0..<count).map { index -> Double in
    let bell = (0..<6).reduce(0) { sum, _ in sum + Double.random(in: -0.5...0.5, using: &random) }
    let value = bell * (Int.random(in: 0..<100, using: &random) == 0 ? 2.5 : 1)
    return scale * (mode == .mean ? value : 4 + value)
  }
  return LayerGradients(layer: layer, mode: mode, unit: unit, values: values, precision: .single)
}
