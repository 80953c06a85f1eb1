import Safetensors
import SystemIO

/// The bytes that one or several tensors of a file are views of.
public protocol TensorStorage: AnyObject, Sendable {
  /// The bytes as they lie in the file, valid as long as the storage. The first call may verify a checksum.
  func bytes() throws -> UnsafeRawBufferPointer
}

/// A tensor as it lies in a file: little-endian elements, found by offset, shape and strides.
///
/// Nothing is read before `bytes()` or `doubles()` is called. That every element lies within the storage is checked
/// when the tensor is made, whatever a file claims.
public struct StoredTensor: Sendable {
  public let type: ElementType
  public let shape: [Int]
  /// Elements from one index to the next, for each dimension; 0 repeats one element.
  public let strides: [Int]
  /// The first element's place in the storage, in elements.
  public let offset: Int
  /// The elements that the storage holds.
  public let storageCount: Int
  public let storage: any TensorStorage

  public static let maximumRank = 8
  /// What `doubles()` makes of a small storage at most: strides of 0 can claim any number of elements.
  static let maximumRepeatedCount = 1 << 20

  /// - Parameters:
  ///   - strides: nil for C order, the last index the fastest.
  ///   - storageCount: the elements of the storage, whose bytes the caller has checked to be as many.
  public init(
    type: ElementType, shape: [Int], strides: [Int]? = nil, offset: Int = 0, storage: any TensorStorage,
    storageCount: Int
  ) throws(Failure) {
    guard shape.count <= Self.maximumRank, shape.allSatisfy({ $0 >= 0 }) else {
      throw Failure(.malformed, "shape: expected at most \(Self.maximumRank) sizes of 0 or more, found \(shape)")
    }
    let count = try Self.product(shape)
    let strides = strides ?? Self.contiguousStrides(shape)
    guard strides.count == shape.count, strides.allSatisfy({ $0 >= 0 }) else {
      throw Failure(.malformed, "strides: expected \(shape.count) of 0 or more, found \(strides)")
    }
    guard (0...storageCount).contains(offset) else {
      throw Failure(.malformed, "offset: expected 0 to \(storageCount), found \(offset)")
    }
    if count > 0 {
      let last = Self.lastIndex(shape, strides, offset)
      guard let last, last < storageCount else {
        throw Failure(
          .malformed,
          "shape \(shape), strides \(strides), offset \(offset): expected to stay within \(storageCount) elements, "
            + "found the last at \(last.map(String.init) ?? "more than 2^63")")
      }
    }
    self.type = type
    self.shape = shape
    self.strides = strides
    self.offset = offset
    self.storage = storage
    self.storageCount = storageCount
  }

  public var count: Int { shape.reduce(1, *) }

  /// From the first element to the end of the storage, valid as long as `storage`.
  public func bytes() throws -> UnsafeRawBufferPointer {
    let bytes = try storage.bytes()
    precondition(bytes.count == storageCount * type.size, "a storage is as long as its tensors were told")
    return UnsafeRawBufferPointer(rebasing: bytes[(offset * type.size)...])
  }

  /// All elements in C order, as Double, which holds every type but the largest 64-bit integers exactly.
  public func doubles() throws -> [Double] {
    let count = count
    guard count <= max(storageCount, Self.maximumRepeatedCount) else {
      throw Failure(.malformed, "shape \(shape): expected at most \(storageCount) elements, found \(count)")
    }
    let bytes = try bytes()
    var values: [Double] = []
    values.reserveCapacity(count)
    var index = [Int](repeating: 0, count: shape.count)
    var position = 0
    for _ in 0..<count {
      values.append(type.element(at: bytes.baseAddress! + position * type.size))
      var dimension = shape.count - 1
      while dimension >= 0 {
        index[dimension] += 1
        position += strides[dimension]
        if index[dimension] < shape[dimension] { break }
        position -= index[dimension] * strides[dimension]
        index[dimension] = 0
        dimension -= 1
      }
    }
    return values
  }

  private static func product(_ shape: [Int]) throws(Failure) -> Int {
    if shape.contains(0) { return 0 }
    var count = 1
    for size in shape {
      let (product, overflow) = count.multipliedReportingOverflow(by: size)
      guard !overflow else { throw Failure(.malformed, "shape \(shape): expected fewer than 2^63 elements") }
      count = product
    }
    return count
  }

  private static func contiguousStrides(_ shape: [Int]) -> [Int] {
    var strides = [Int](repeating: 1, count: shape.count)
    for dimension in shape.indices.dropLast().reversed() {
      strides[dimension] = strides[dimension + 1] * max(1, shape[dimension + 1])
    }
    return strides
  }

  /// nil where it is beyond `Int`.
  private static func lastIndex(_ shape: [Int], _ strides: [Int], _ offset: Int) -> Int? {
    var last = offset
    for (size, stride) in zip(shape, strides) {
      let (distance, tooFar) = (size - 1).multipliedReportingOverflow(by: stride)
      let (sum, overflow) = last.addingReportingOverflow(distance)
      if tooFar || overflow { return nil }
      last = sum
    }
    return last
  }
}
