import SystemIO
import TensorOperations

/// Rows of a decoder: where they lie, or brought together where it lies by columns.
struct GatheredDecoderRows {
  static let atATime = 256

  private let decoder: Matrix
  private let buffer: AlignedBuffer
  private var rows: [UnsafePointer<Float>] = []

  init(_ decoder: Matrix) {
    self.decoder = decoder
    buffer = AlignedBuffer(
      capacity: decoder.isColumnMajor ? Self.atATime * decoder.columns * MemoryLayout<Float>.stride : 0)
  }

  /// From here on these features' rows are read, which ascend.
  mutating func read(_ features: [Int32]) {
    precondition(features.count <= Self.atATime)
    guard decoder.isColumnMajor else {
      rows = features.map { decoder.floats + Int($0) * decoder.leadingDimension }
      return
    }
    let copies = buffer.address.assumingMemoryBound(to: Float.self)
    decoder.copyRows(features, to: copies)
    rows = features.indices.map { UnsafePointer(copies + $0 * decoder.columns) }
  }

  subscript(_ place: Int) -> UnsafePointer<Float> { rows[place] }
}
