import SystemIO
import TensorFiles

/// A hash that tells the weights of two models apart, cheaply: of the name, type and shape of each tensor and of samples
/// of its bytes.
///
/// It is the same for the same weights in any layout of files. A tensor of up to `wholeUpTo` bytes is hashed whole, of a
/// larger one its two ends and pieces between them at equal distances. What lies between the samples of a large tensor
/// and nowhere else is not noticed: a change of some rows of the embedding, for instance.
struct WeightIdentity {
  static let wholeUpTo = 64 << 10
  static let pieces = 64
  static let pieceSize = 256

  private var hash = ContentHash()

  /// Adds a contiguous tensor; the order of the calls counts.
  mutating func add(_ name: String, _ tensor: StoredTensor) throws {
    let title = "\(name) \(tensor.type.rawValue) \(tensor.shape)\n"
    Array(title.utf8).withUnsafeBytes { hash.update($0) }
    try Self.forEachSample(of: tensor) { hash.update($0) }
  }

  var hexadecimal: String { hash.hexadecimal }

  /// The hash of one tensor's samples.
  static func samples(of tensor: StoredTensor) throws -> String {
    var hash = ContentHash()
    try forEachSample(of: tensor) { hash.update($0) }
    return hash.hexadecimal
  }

  private static func forEachSample(of tensor: StoredTensor, _ body: (UnsafeRawBufferPointer) -> Void) throws {
    let bytes = try tensor.uncheckedElements()
    let samples = samples(of: bytes)
    // All at a time, and nothing else: page by page, with what the system reads ahead, it would be most of a checkpoint
    // that is not in memory yet.
    samples.forEach(MappedFile.willRead)
    samples.forEach(body)
    // A layer that is not computed with stays out of memory.
    if samples.count > 1 { MappedFile.letGo(of: bytes) }
  }

  private static func samples(of bytes: UnsafeRawBufferPointer) -> [UnsafeRawBufferPointer] {
    guard bytes.count > wholeUpTo else { return [bytes] }
    let last = bytes.count - pieceSize
    return (0..<pieces).map { piece in
      // In this order there is no overflow, and the last piece is the end.
      let start = last / (pieces - 1) * piece + last % (pieces - 1) * piece / (pieces - 1)
      return UnsafeRawBufferPointer(rebasing: bytes[start..<start + pieceSize])
    }
  }
}
