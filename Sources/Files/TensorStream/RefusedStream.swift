import SystemIO

/// Refuses a tensor stream where a text is expected.
///
/// - Parameters:
///   - bytes: the file's, or its first ones.
///   - expected: what it should be, in words.
/// - Throws: `Failure` of kind malformed, without the file's name.
public func refuseStream(_ bytes: some Sequence<UInt8>, insteadOf expected: String) throws(Failure) {
  // The magic number of a zstd frame (RFC 8878, 3.1.1).
  guard bytes.starts(with: [0x28, 0xb5, 0x2f, 0xfd]) else { return }
  throw Failure(.malformed, "expected \(expected), found a tensor stream")
}
