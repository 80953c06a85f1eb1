import SystemIO
import Testing

struct SHA256Tests {
  /// FIPS 180-4's examples, and lengths about the padding's edges with what sha256sum says of them.
  @Test(arguments: [
    ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    (
      "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
    ), (String(repeating: "a", count: 1_000_000), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"),
    (String(repeating: "x", count: 55), "d5e285683cd4efc02d021a5c62014694958901005d6f71e89e0989fac77e4072"),
    (String(repeating: "x", count: 64), "7ce100971f64e7001e8fe5a51973ecdfe1ced42befe7ee8d5fd6219506b5393c"),
  ])
  func knownHashes(text: String, hash: String) {
    #expect(SHA256.of(text) == hash)
  }

  /// However the bytes arrive.
  @Test func piecesMakeNoDifference() {
    let bytes = (0..<1000).map { UInt8(truncatingIfNeeded: $0 * 7) }
    let expected = hash(of: bytes, pieces: [bytes.count])
    for size in [1, 3, 63, 64, 65, 200] {
      #expect(hash(of: bytes, pieces: Array(repeating: size, count: bytes.count / size + 1)) == expected, "\(size)")
    }
  }

  private func hash(of bytes: [UInt8], pieces: [Int]) -> String {
    var (hash, rest) = (SHA256(), bytes[...])
    for piece in pieces {
      rest.prefix(piece).withUnsafeBytes { hash.update($0) }
      rest = rest.dropFirst(piece)
    }
    return hash.hexadecimal
  }
}
