import NumPyFiles
import StoredTensors
import SystemIO
import ZipArchive

/// The arrays of an `.npz` file as `numpy.savez` writes it, by name without `.npy`: views of the file in the page
/// cache. (Those of `savez_compressed` would need decompressing and are refused.)
func numpyArchive(path: String) throws -> [String: StoredTensor] {
  let archive = try ZipArchive(path: path)
  var arrays: [String: StoredTensor] = [:]
  for entry in archive.entries {
    do {
      arrays[String(entry.name.dropLast(".npy".count))] = try array(archive, entry)
    } catch let failure as Failure { throw failure.at("\(path): \(entry.name)") }
  }
  return arrays
}

private func array(_ archive: ZipArchive, _ entry: ZipArchive.Entry) throws -> StoredTensor {
  let (header, start) = try NumPyHeader.parse(archive.uncheckedBytes(of: entry))
  guard header.isLittleEndian else { throw Failure(.malformed, "expected little-endian numbers, found big-endian") }
  let size = entry.byteRange.count - start
  let tensor = try StoredTensor(
    type: header.element == .float32 ? .f32 : .f64, shape: header.shape,
    storage: NumPyStorage(ZipStorage(archive, entry), start: start), storageCount: size / header.element.byteCount)
  // The tensor lies within the file, so that its size cannot overflow.
  guard tensor.count * header.element.byteCount == size else {
    throw Failure(.malformed, "shape \(header.shape): expected \(tensor.count) numbers, found \(size) bytes")
  }
  return tensor
}

private final class NumPyStorage: TensorStorage {
  private let entry: ZipStorage
  private let start: Int

  init(_ entry: ZipStorage, start: Int) {
    self.entry = entry
    self.start = start
  }

  func bytes() throws -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: try entry.bytes()[start...]) }
}
