import Glibc

/// cos and sin of every position's angles.
package struct RotationTable {
  package let headWidth: Int
  package let theta: Double
  package let positions: Int
  /// [positions, headWidth / 2]
  package let cosines: [Float]
  package let sines: [Float]

  /// The angle of position p and pair i is p · theta^(−2i/headWidth), rounded to Float at each step as HF does
  /// (Qwen2RotaryEmbedding, in a model of any type: exponent, power, `inv_freq` and `position_ids * inv_freq` are
  /// float32). One unit in the last place of a frequency is 1e-5 of a turn some hundred positions on.
  package init(headWidth: Int, theta: Double, positions: Int) {
    self.headWidth = headWidth
    self.theta = theta
    self.positions = positions
    let half = headWidth / 2
    let frequencies = (0..<half).map { 1 / Float(pow(theta, Double(Float(2 * $0) / Float(headWidth)))) }
    let angles = (0..<positions).flatMap { p in frequencies.map { Double(Float(p) * $0) } }
    cosines = angles.map { Float(cos($0)) }
    sines = angles.map { Float(sin($0)) }
  }

  /// Whether these angles are among those of the table.
  package func serves(headWidth: Int, theta: Double, positions: Int) -> Bool {
    self.headWidth == headWidth && self.theta == theta && self.positions >= positions
  }
}
