import Glibc

/// cos and sin of every position's angles.
package struct RotationTable {
  package let positions: Int
  /// [positions, frequencies]
  package let cosines: [Float]
  package let sines: [Float]

  /// The angle of position p and pair i is p · inverseFrequencies[i], rounded to Float as HF does in a model of any
  /// type, `position_ids * inv_freq`: at position 300 an angle that is not would be 1e-5 of a turn away from the model's.
  package init(inverseFrequencies: [Double], positions: Int) {
    self.positions = positions
    let angles = (0..<positions).flatMap { p in inverseFrequencies.map { Double(Float(Double(p) * $0)) } }
    cosines = angles.map { Float(cos($0)) }
    sines = angles.map { Float(sin($0)) }
  }
}
