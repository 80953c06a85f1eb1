import TensorFiles
import TensorOperations

/// The first element of a matrix that is NaN or infinite as a Float, in the order in which they lie.
func firstNonfinite(of matrix: StoredTensor) throws -> (row: Int, column: Int, value: Float)? {
  guard let base = try matrix.bytes().baseAddress, matrix.count > 0 else { return nil }
  let lines = matrix.lines
  let values = UnsafeMutableBufferPointer<Float>.allocate(capacity: lines.length)
  defer { values.deallocate() }
  for line in 0..<lines.count {
    let source = base + line * lines.distance * matrix.type.size
    widen(values.baseAddress!, source, lines.length, matrix.type, stride: lines.stride)
    guard let place = TensorFiles.firstNonfinite(UnsafeBufferPointer(values)) else { continue }
    return lines.areColumns ? (place, line, values[place]) : (line, place, values[place])
  }
  return nil
}
