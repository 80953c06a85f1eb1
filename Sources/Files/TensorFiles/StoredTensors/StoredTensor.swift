import SystemIO

/// The bytes that one or several tensors of a file are views of.
public protocol TensorStorage: AnyObject, Sendable {
  /// The bytes as they lie in the file, valid as long as the storage. The first call may verify a checksum.
  func bytes() throws -> UnsafeRawBufferPointer
  /// The same without a checksum, for what looks at a few of them.
  func uncheckedBytes() throws -> UnsafeRawBufferPointer
}

extension TensorStorage {
  public func uncheckedBytes() throws -> UnsafeRawBufferPointer { try bytes() }
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

  /// The same elements in another arrangement, which must not reach further.
  init(_ other: StoredTensor, shape: [Int], strides: [Int]) {
    (type, storage, storageCount, offset) = (other.type, other.storage, other.storageCount, other.offset)
    (self.shape, self.strides) = (shape, strides)
  }

  public var count: Int { shape.reduce(1, *) }

  /// Some of a matrix's rows.
  public func selecting(rows: Range<Int>) throws(Failure) -> StoredTensor {
    precondition(shape.count == 2 && rows.lowerBound >= 0 && rows.upperBound <= shape[0])
    return try StoredTensor(
      type: type, shape: [rows.count, shape[1]], strides: strides, offset: offset + rows.lowerBound * strides[0],
      storage: storage, storageCount: storageCount)
  }

  /// Of each group of `group` rows of a matrix, those that `rows` counts from its first: one after another, as a copy.
  ///
  /// - Throws: `Failure` of kind malformed where the storage's checksum is wrong.
  public func selecting(rows: Range<Int>, ofEach group: Int) throws -> StoredTensor {
    precondition(shape.count == 2 && rows.lowerBound >= 0 && rows.upperBound <= group && shape[0] % group == 0)
    let (groups, columns) = (shape[0] / group, shape[1])
    let parts = try StoredTensor(
      type: type, shape: [groups, rows.count, columns], strides: [group * strides[0], strides[0], strides[1]],
      offset: offset + rows.lowerBound * strides[0], storage: storage, storageCount: storageCount
    ).contiguous()
    return StoredTensor(parts, shape: [groups * rows.count, columns], strides: [columns, 1])
  }

  /// From the first element to the end of the storage, valid as long as `storage`.
  public func bytes() throws -> UnsafeRawBufferPointer { view(of: try storage.bytes()) }

  private func view(of bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
    precondition(bytes.count == storageCount * type.size, "a storage is as long as its tensors were told")
    return UnsafeRawBufferPointer(rebasing: bytes[(offset * type.size)...])
  }

  /// Whether the elements lie one after another in C order.
  public var isContiguous: Bool {
    count <= 1 || zip(zip(shape, strides), Self.contiguousStrides(shape)).allSatisfy { $0.0 == 1 || $0.1 == $1 }
  }

  /// The elements of a contiguous tensor, valid as long as `storage`. The first call may verify a checksum.
  public func elements() throws -> UnsafeRawBufferPointer { elements(of: try bytes()) }

  /// As `elements()`, without a checksum being verified.
  public func uncheckedElements() throws -> UnsafeRawBufferPointer {
    elements(of: view(of: try storage.uncheckedBytes()))
  }

  private func elements(of bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
    precondition(isContiguous, "only elements that lie one after another are one piece of memory")
    return UnsafeRawBufferPointer(rebasing: bytes[..<(count * type.size)])
  }

  /// The tensor itself where its elements lie one after another in C order, else a copy whose elements do.
  ///
  /// - Throws: `Failure` of kind malformed where it claims more elements than its storage has.
  public func contiguous() throws -> StoredTensor {
    if isContiguous { return self }
    let copy = CopiedStorage(byteCount: count * type.size)
    let source = try bytes().baseAddress!
    let size = type.size
    var written = copy.address
    try forEachPosition { position in
      written.copyMemory(from: source + position * size, byteCount: size)
      written += size
    }
    return try StoredTensor(type: type, shape: shape, storage: copy, storageCount: count)
  }

  /// All elements in C order, as Double, which holds every type but the largest 64-bit integers exactly.
  public func doubles() throws -> [Double] {
    let bytes = try bytes()
    var values: [Double] = []
    try forEachPosition { values.append(type.element(at: bytes.baseAddress! + $0 * type.size)) }
    return values
  }

  /// Calls `body` with each element's place behind the first one, in C order.
  private func forEachPosition(_ body: (Int) -> Void) throws(Failure) {
    let count = count
    guard count <= max(storageCount, Self.maximumRepeatedCount) else {
      throw Failure(.malformed, "shape \(shape): expected at most \(storageCount) elements, found \(count)")
    }
    var index = [Int](repeating: 0, count: shape.count)
    var position = 0
    for _ in 0..<count {
      body(position)
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
