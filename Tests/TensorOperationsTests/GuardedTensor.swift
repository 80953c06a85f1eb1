import TensorOperations
import Testing

/// A tensor between two margins of NaN.
///
/// An operation that writes past its output changes a margin; one that reads past an input meets NaN. Contents that
/// were not given are NaN too, so that an output that is not written, or that is read before, is seen.
final class GuardedTensor {
  /// Odd, so that the tensor is aligned to a Float and to nothing more.
  private static let margin = 61
  private static let untouched: UInt32 = 0x7fc0_beef

  private final class Memory {
    let start: UnsafeMutablePointer<Float>
    init(count: Int) { start = .allocate(capacity: count) }
    deinit { start.deallocate() }
  }

  let tensor: Tensor
  private let memory: Memory

  init(_ rows: Int, _ columns: Int, _ values: [Float]? = nil) {
    let count = rows * columns
    precondition(values == nil || values!.count == count)
    memory = Memory(count: count + 2 * Self.margin)
    memory.start.initialize(repeating: Float(bitPattern: Self.untouched), count: count + 2 * Self.margin)
    tensor = Tensor(rows: rows, columns: columns, address: memory.start + Self.margin, owner: memory)
    if let values { tensor.address.update(from: values, count: count) }
  }

  /// The contents, once it is sure that nothing around them has changed.
  func values(_ location: SourceLocation = #_sourceLocation) -> [Float] {
    let end = Self.margin + tensor.count
    let margins = [0..<Self.margin, end..<end + Self.margin]
    let isIntact = margins.joined().allSatisfy { memory.start[$0].bitPattern == Self.untouched }
    #expect(isIntact, "an operation wrote outside of its output", sourceLocation: location)
    return Array(UnsafeBufferPointer(start: tensor.address, count: tensor.count))
  }
}

func doubles(_ values: [Float]) -> [Double] { values.map(Double.init) }

/// Expects the same bits: an input after the operation.
func expectUnchanged(_ tensor: GuardedTensor, _ values: [Float], _ location: SourceLocation = #_sourceLocation) {
  let isSame = tensor.values(location).map(\.bitPattern) == values.map(\.bitPattern)
  #expect(isSame, "an operation changed its input", sourceLocation: location)
}

/// How many threads the operations are tested with: none but one, two, and more than the work may divide into.
let threadCounts = [1, 2, 3]
