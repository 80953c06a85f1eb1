import Synchronization
import SystemIO
import TensorFiles

/// The arrays of an `.npz` file as `numpy.savez` and `numpy.savez_compressed` write it.
struct NumPyArchive {
  private let archive: ZipArchive

  /// nil where the file is a zip file of something else.
  init?(_ archive: ZipArchive) {
    guard !archive.entries.isEmpty, archive.entries.allSatisfy({ $0.name.hasSuffix(Self.suffix) }) else { return nil }
    self.archive = archive
  }

  private static let suffix = ".npy"

  /// Without `.npy`.
  var names: [String] { archive.entries.map { String($0.name.dropLast(Self.suffix.count)) } }

  /// The arrays of these names that are there. The others are not looked at, whatever they hold. Little-endian arrays
  /// are views of the file in the page cache, or of what was decompressed.
  func arrays(named names: Set<String>) throws -> [String: StoredTensor] {
    var arrays: [String: StoredTensor] = [:]
    for name in names {
      guard let entry = archive[name + Self.suffix] else { continue }
      do { arrays[name] = try array(entry) } catch let failure as Failure {
        throw failure.description.hasPrefix(archive.path) ? failure : failure.at("\(archive.path): \(entry.name)")
      }
    }
    return arrays
  }

  private func array(_ entry: ZipArchive.Entry) throws -> StoredTensor {
    // A checksum would read all of a large array to learn its shape.
    let contents =
      try entry.compression == .stored ? archive.uncheckedBytes(of: entry) : archive.bytes(of: entry)
    let (header, start) = try NumPyHeader.parse(contents)
    let size = contents.count - start
    let elementSize = header.element.byteCount
    guard size % elementSize == 0 else {
      throw Failure(.malformed, "expected whole numbers of \(elementSize) bytes, found \(size) bytes")
    }
    var strides: [Int]?
    if header.isFortranOrder {
      var next = 1
      strides = []
      for length in header.shape {
        strides?.append(next)
        let (product, overflow) = next.multipliedReportingOverflow(by: max(1, length))
        guard !overflow else { throw Failure(.malformed, "shape \(header.shape): expected fewer than 2^63 elements") }
        next = product
      }
    }
    let tensor = try StoredTensor(
      type: header.element == .float16 ? .f16 : header.element == .float32 ? .f32 : .f64, shape: header.shape,
      strides: strides,
      storage: NumPyStorage(
        ZipStorage(archive, entry), start: start, swapping: header.isLittleEndian ? nil : elementSize),
      storageCount: size / elementSize)
    // The tensor lies within the file, so that its size cannot overflow.
    guard tensor.count * elementSize == size else {
      throw Failure(.malformed, "shape \(header.shape): expected \(tensor.count) numbers, found \(size) bytes")
    }
    return tensor
  }
}

/// The numbers of an array, behind its header.
private final class NumPyStorage: TensorStorage {
  private let entry: ZipStorage
  private let start: Int
  /// Bytes of an element of a big-endian array; nil where nothing needs turning round.
  private let elementSize: Int?
  private let swappedCopy = Mutex<CopiedStorage?>(nil)

  init(_ entry: ZipStorage, start: Int, swapping elementSize: Int?) {
    self.entry = entry
    self.start = start
    self.elementSize = elementSize
  }

  func bytes() throws -> UnsafeRawBufferPointer {
    let stored = UnsafeRawBufferPointer(rebasing: try entry.bytes()[start...])
    guard let elementSize else { return stored }
    return swappedCopy.withLock { known in
      let copy = known ?? swapped(stored, elementSize: elementSize)
      known = copy
      return copy.bytes()
    }
  }
}

/// A copy of elements, the bytes of each in the opposite order.
private func swapped(_ source: UnsafeRawBufferPointer, elementSize: Int) -> CopiedStorage {
  let copy = CopiedStorage(byteCount: source.count)
  let destination = copy.address.assumingMemoryBound(to: UInt8.self)
  for element in stride(from: 0, to: source.count, by: elementSize) {
    for byte in 0..<elementSize { destination[element + byte] = source[element + elementSize - 1 - byte] }
  }
  return copy
}
