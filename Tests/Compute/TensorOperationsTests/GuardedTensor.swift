import TensorOperations
import Testing

/// A tensor between two margins of NaN.
///
/// An operation that writes past its output changes a margin; one that reads past an input meets NaN. Contents that
/// were not given are NaN too, so that an output that is not written, or that is read before, is seen.
struct GuardedTensor {
  /// Odd, so that the tensor is aligned to a Float and to nothing more; and such that it is aligned as a GPU's own
  /// memory is, which its fastest products ask for.
  static let margins = [61, 64]
  private static let untouched: UInt32 = 0x7fc0_beef

  let tensor: Tensor
  /// The tensor and its margins.
  private let whole: Tensor
  private let margin: Int
  private let operations: any TensorOperations

  init(
    _ operations: any TensorOperations, _ rows: Int, _ columns: Int, _ values: [Float]? = nil, margin: Int = margins[0]
  ) {
    let count = rows * columns
    precondition(values == nil || values!.count == count)
    (self.operations, self.margin) = (operations, margin)
    whole = operations.makeTensor(rows: 1, columns: count + 2 * margin)
    operations.upload(whole, from: Array(repeating: Float(bitPattern: Self.untouched), count: whole.count))
    tensor = Tensor(rows: rows, columns: columns, address: whole.address + margin, owner: whole.owner)
    if let values { operations.upload(tensor, from: values) }
  }

  /// The contents, once it is sure that nothing around them has changed.
  func values(_ location: SourceLocation = #_sourceLocation) -> [Float] {
    var values = [Float](repeating: 0, count: whole.count)
    operations.download(&values, from: whole)
    let end = margin + tensor.count
    let margins = [0..<margin, end..<end + margin]
    let isIntact = margins.joined().allSatisfy { values[$0].bitPattern == Self.untouched }
    #expect(isIntact, "an operation wrote outside of its output", sourceLocation: location)
    return Array(values[margin..<end])
  }
}

func doubles(_ values: [Float]) -> [Double] { values.map(Double.init) }

/// Expects the same bits: an input after the operation.
func expectUnchanged(_ tensor: GuardedTensor, _ values: [Float], _ location: SourceLocation = #_sourceLocation) {
  let isSame = tensor.values(location).map(\.bitPattern) == values.map(\.bitPattern)
  #expect(isSame, "an operation changed its input", sourceLocation: location)
}
