import Aggregation
import CVectorMath
import SystemIO

/// The decoder's rows of some features, which make these features' gradients of a place's factored ones.
struct DecoderRows {
  /// How many numbers each has.
  let width: Int
  private let rows: AlignedBuffer
  private let factors: [Double]

  init(_ basis: HostBasis, of features: [Int]) {
    width = basis.decoder.columns
    rows = AlignedBuffer(capacity: features.count * width * MemoryLayout<Float>.stride)
    let memory = rows.address.assumingMemoryBound(to: Float.self)
    for (slot, feature) in features.enumerated() { basis.copyRow(feature, to: memory + slot * width) }
    factors = features.map { Double(basis.factors?[$0] ?? 1) }
    MappedFile.letGo(of: basis.decoder.bytes)
  }

  /// ∂L/∂f of the feature in that slot, at a position whose factored gradient is g.
  func gradient(_ slot: Int, _ g: UnsafePointer<Float>) -> Double {
    vector_dot(rows.address.assumingMemoryBound(to: Float.self) + slot * width, g, width) * factors[slot]
  }
}
