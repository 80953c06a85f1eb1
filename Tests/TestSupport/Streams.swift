import Glibc
import SystemIO
import TensorFiles
import TensorStream

/// The bytes that `body` makes a writer write.
public func streamBytes(
  compressionLevel: Int32 = StreamWriter.defaultCompressionLevel, _ body: (StreamWriter) throws -> Void
) throws -> [UInt8] {
  let folder = try TemporaryFolder()
  let writer = StreamWriter(try OutputFile(path: folder.file("stream")), compressionLevel: compressionLevel)
  try body(writer)
  try writer.finish()
  return try InputFile(path: folder.file("stream")).readAll(limit: 1 << 30)
}

/// A tokens stream of one segment; samples are numbered from `firstSample`, and three of them are a document.
public func tokenStream(_ batches: [[[Int32]]], firstSample: Int64 = 0, provenance: [String: String] = [:]) throws
  -> [UInt8]
{
  try streamBytes { writer in
    try writer.begin(.tokens, provenance: provenance)
    var sample = firstSample
    for (number, batch) in batches.enumerated() {
      var record = OutputRecord()
      let ends = batch.reduce(into: [Int32(0)]) { $0.append($0.last! + Int32($1.count)) }
      TokenBatch(
        inputIDs: batch.flatMap { $0 }, cuSeqlens: ends, sampleIndex: batch.indices.map { sample + Int64($0) },
        document: batch.indices.map { (sample + Int64($0)) / 3 }
      ).add(to: &record)
      sample += Int64(batch.count)
      try writer.write(record, batch: number)
    }
    try writer.end()
  }
}

/// A file whose contents are replaced again and again: thousands of damaged streams.
public final class ReusedFile {
  private let folder: TemporaryFolder
  private let descriptor: Int32

  public init() throws {
    folder = try TemporaryFolder()
    descriptor = open(folder.file("stream"), O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    precondition(descriptor >= 0)
  }

  deinit { close(descriptor) }

  /// Opens the file, which now holds `bytes`.
  public func opened(with bytes: [UInt8]) throws -> InputFile {
    precondition(ftruncate(descriptor, 0) == 0 && pwrite(descriptor, bytes, bytes.count, 0) == bytes.count)
    return try InputFile(path: folder.file("stream"))
  }

  /// Opens the file with one byte replaced.
  public func opened(replacing offset: Int, with byte: UInt8) throws -> InputFile {
    precondition(pwrite(descriptor, [byte], 1, off_t(offset)) == 1)
    return try InputFile(path: folder.file("stream"))
  }
}

/// A zstd frame put together by hand from RFC 8878, right or wrong in any part.
public struct HandmadeFrame {
  /// Each becomes one block.
  public enum Block {
    case stored([UInt8])
    /// One byte and how often it stands there.
    case repeated(UInt8, Int)
  }

  public var blocks: [Block]
  public var hasChecksum = true
  /// What the header says; nil leaves it out, which a frame can only do with a window.
  public var contentSize: UInt64?
  /// Without one, the content is the window.
  public var windowDescriptor: UInt8?
  public var dictionary: UInt8?
  public var reservedBits: UInt8 = 0
  public var magic: [UInt8] = [0x28, 0xb5, 0x2f, 0xfd]

  public init(_ blocks: [Block]) {
    self.blocks = blocks
    contentSize = UInt64(content.count)
  }

  public init(_ content: [UInt8]) {
    self.init(stride(from: 0, to: content.count, by: 65_536).map { .stored(Array(content[$0...].prefix(65_536))) })
  }

  private var content: [UInt8] {
    blocks.flatMap { block in
      switch block {
      case .stored(let bytes): bytes
      case .repeated(let byte, let count): [UInt8](repeating: byte, count: count)
      }
    }
  }

  public var bytes: [UInt8] {
    var descriptor: UInt8 = reservedBits
    if contentSize != nil { descriptor |= 0xc0 }
    if windowDescriptor == nil { descriptor |= 0x20 }
    if hasChecksum { descriptor |= 0x04 }
    if dictionary != nil { descriptor |= 0x01 }
    var frame = magic + [descriptor]
    if let windowDescriptor { frame.append(windowDescriptor) }
    if let dictionary { frame.append(dictionary) }
    if let contentSize { frame += withUnsafeBytes(of: contentSize.littleEndian, Array.init) }
    for (index, block) in blocks.enumerated() {
      let isLast: UInt32 = index == blocks.count - 1 ? 1 : 0
      let (type, size, data): (UInt32, Int, [UInt8]) =
        switch block {
        case .stored(let bytes): (0, bytes.count, bytes)
        case .repeated(let byte, let count): (1, count, [byte])
        }
      let header = isLast | type << 1 | UInt32(size) << 3
      frame += withUnsafeBytes(of: header.littleEndian, Array.init).prefix(3) + data
    }
    if hasChecksum {
      let hash = UInt64(content.withUnsafeBytes(ContentHash.of), radix: 16)!
      frame += withUnsafeBytes(of: UInt32(truncatingIfNeeded: hash).littleEndian, Array.init)
    }
    return frame
  }
}

/// A safetensors buffer with tensors of zeros.
public func safetensors(
  _ metadata: [String: String], _ tensors: [(name: String, type: ElementType, shape: [Int])] = []
) -> [UInt8] {
  let header = SafetensorsHeader(metadata: metadata, layingOut: tensors)
  return header.encoded() + [UInt8](repeating: 0, count: header.dataLength)
}

/// A safetensors buffer with a header of exactly that text.
public func safetensors(header: String, data: [UInt8] = []) -> [UInt8] {
  withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian, Array.init) + header.utf8 + data
}
