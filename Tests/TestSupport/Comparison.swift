import Foundation

/// ‖found − expected‖ / ‖expected‖ in Double; NaN where either has one, which no tolerance lets pass.
public func relativeL2<A: BinaryFloatingPoint, B: BinaryFloatingPoint>(_ found: [A], _ expected: [B]) -> Double {
  precondition(found.count == expected.count, "\(found.count) values, expected \(expected.count)")
  var difference = 0.0
  var norm = 0.0
  for (a, b) in zip(found, expected) {
    difference += (Double(a) - Double(b)) * (Double(a) - Double(b))
    norm += Double(b) * Double(b)
  }
  return norm == 0 ? difference.squareRoot() : (difference / norm).squareRoot()
}

/// Numbers that are the same in every run: SplitMix64.
public struct SeededNumbers: RandomNumberGenerator {
  private var state: UInt64

  public init(seed: UInt64) { state = seed }

  public mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }

  /// `count` numbers between −scale and scale.
  public mutating func floats(_ count: Int, scale: Float = 1) -> [Float] {
    (0..<count).map { _ in Float.random(in: -scale...scale, using: &self) }
  }
}

/// Whether a row of a product has the same bits wherever it stands among others. OpenBLAS's kernels for AVX2 round a row by
/// its place in a tile of twelve, those for AVX-512 all rows alike.
public let roundsAllRowsAlike =
  (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8))?.contains("avx512f") ?? false
