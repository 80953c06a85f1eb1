import SystemIO

/// A frame's contents.
final class Frame: @unchecked Sendable {
  /// Counted from 0.
  let number: Int
  /// The first bytes of the frame.
  let header: [UInt8]
  /// The content size that the header states.
  let declared: Int
  /// The most that one of its blocks may hold.
  let blockSize: Int
  var contents: AlignedBuffer
  /// How much of `contents` has come.
  var produced = 0
  /// How much of the memory for frames that wait it has asked for.
  var claimed = 0

  // These belong to `StreamHash`.
  var hashBefore: ContentHash?
  var endsSegment: Bool?

  init(number: Int, header: [UInt8], declared: Int, blockSize: Int, _ contents: AlignedBuffer) {
    self.number = number
    (self.header, self.declared, self.blockSize, self.contents) = (header, declared, blockSize, contents)
  }

  /// An end record is a header and nothing else.
  var canEndSegment: Bool { declared <= StreamFormat.maximumHeader + 8 }

  var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: contents.address, count: produced) }
}
