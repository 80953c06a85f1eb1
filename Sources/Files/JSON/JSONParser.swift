import SystemIO

extension JSON {
  /// Parses one document of RFC 8259, strictly: UTF-8 throughout, no duplicate keys, no lone surrogates, nothing
  /// after it but white space, nesting of at most 64.
  ///
  /// - Parameter allowsNonfinite: also takes the words NaN, Infinity and -Infinity, which Python's json writes for
  ///   numbers that JSON has no spelling for, and numbers too large for Double, which it reads as infinite.
  /// - Throws: `Failure` of kind malformed that names the byte.
  public init(parsing bytes: UnsafeRawBufferPointer, allowsNonfinite: Bool = false) throws(Failure) {
    var parser = Parser(bytes: bytes, allowsNonfinite: allowsNonfinite)
    self = try parser.document()
  }

  public init(parsing bytes: [UInt8], allowsNonfinite: Bool = false) throws(Failure) {
    var result: Result<JSON, Failure>!
    bytes.withUnsafeBytes { raw in
      result = Result { () throws(Failure) in try JSON(parsing: raw, allowsNonfinite: allowsNonfinite) }
    }
    self = try result.get()
  }
}

private struct Parser {
  let bytes: UnsafeRawBufferPointer
  let allowsNonfinite: Bool
  var position = 0

  static let maximumDepth = 64

  init(bytes: UnsafeRawBufferPointer, allowsNonfinite: Bool) {
    self.bytes = bytes
    self.allowsNonfinite = allowsNonfinite
  }

  mutating func document() throws(Failure) -> JSON {
    let value = try value(depth: 0)
    skipWhiteSpace()
    if position < bytes.count { throw wrong("end of the document") }
    return value
  }

  private func wrong(_ expected: String) -> Failure {
    let found =
      position >= bytes.count
      ? "the end"
      : (0x21...0x7e).contains(bytes[position])
        ? "'\(Unicode.Scalar(bytes[position]))'" : "byte 0x\(String(bytes[position], radix: 16))"
    return Failure(.malformed, "not JSON: byte \(position): expected \(expected), found \(found)")
  }

  private mutating func skipWhiteSpace() {
    while position < bytes.count, [0x20, 0x0a, 0x0d, 0x09].contains(bytes[position]) { position += 1 }
  }

  private mutating func take(_ byte: UInt8) -> Bool {
    guard position < bytes.count, bytes[position] == byte else { return false }
    position += 1
    return true
  }

  private mutating func value(depth: Int) throws(Failure) -> JSON {
    guard depth <= Self.maximumDepth else { throw wrong("nesting of at most \(Self.maximumDepth)") }
    skipWhiteSpace()
    guard position < bytes.count else { throw wrong("a value") }
    switch bytes[position] {
    case UInt8(ascii: "{"): return try object(depth: depth)
    case UInt8(ascii: "["): return try array(depth: depth)
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "t"): return try literal("true", .bool(true))
    case UInt8(ascii: "f"): return try literal("false", .bool(false))
    case UInt8(ascii: "n"): return try literal("null", .null)
    case UInt8(ascii: "N") where allowsNonfinite: return try literal("NaN", .double(.nan))
    case UInt8(ascii: "I") where allowsNonfinite: return try literal("Infinity", .double(.infinity))
    case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try number()
    default: throw wrong("a value")
    }
  }

  private mutating func literal(_ word: StaticString, _ value: JSON) throws(Failure) -> JSON {
    for offset in 0..<word.utf8CodeUnitCount {
      guard take(word.utf8Start[offset]) else { throw wrong("'\(word)'") }
    }
    return value
  }

  private mutating func object(depth: Int) throws(Failure) -> JSON {
    position += 1
    var members: [JSON.Member] = []
    skipWhiteSpace()
    if take(UInt8(ascii: "}")) { return .object(members) }
    while true {
      skipWhiteSpace()
      guard position < bytes.count, bytes[position] == UInt8(ascii: "\"") else { throw wrong("a key") }
      let key = try string()
      skipWhiteSpace()
      guard take(UInt8(ascii: ":")) else { throw wrong("':'") }
      members.append(.init(key: key, value: try value(depth: depth + 1)))
      skipWhiteSpace()
      if take(UInt8(ascii: "}")) { break }
      guard take(UInt8(ascii: ",")) else { throw wrong("',' or '}'") }
    }
    var seen = Set<[UInt8]>(minimumCapacity: members.count)
    for member in members where !seen.insert(member.key).inserted {
      throw Failure(.malformed, "not JSON: duplicate key \"\(String(decoding: member.key, as: UTF8.self))\"")
    }
    return .object(members)
  }

  private mutating func array(depth: Int) throws(Failure) -> JSON {
    position += 1
    var elements: [JSON] = []
    skipWhiteSpace()
    if take(UInt8(ascii: "]")) { return .array(elements) }
    while true {
      elements.append(try value(depth: depth + 1))
      skipWhiteSpace()
      if take(UInt8(ascii: "]")) { return .array(elements) }
      guard take(UInt8(ascii: ",")) else { throw wrong("',' or ']'") }
    }
  }

  private mutating func number() throws(Failure) -> JSON {
    let start = position
    if take(UInt8(ascii: "-")), allowsNonfinite, position < bytes.count, bytes[position] == UInt8(ascii: "I") {
      return try literal("Infinity", .double(-.infinity))
    }
    if !take(UInt8(ascii: "0")) { try digits() }
    var integral = true
    if take(UInt8(ascii: ".")) {
      integral = false
      try digits()
    }
    if take(UInt8(ascii: "e")) || take(UInt8(ascii: "E")) {
      integral = false
      if !take(UInt8(ascii: "+")) { _ = take(UInt8(ascii: "-")) }
      try digits()
    }
    let text = String(decoding: bytes[start..<position], as: UTF8.self)
    if integral, let value = Int(text) { return .integer(value) }
    guard let value = Double(text), value.isFinite || allowsNonfinite else {
      throw Failure(.malformed, "not JSON: byte \(start): number out of range")
    }
    return .double(value)
  }

  private mutating func digits() throws(Failure) {
    let start = position
    while position < bytes.count, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(bytes[position]) { position += 1 }
    if position == start { throw wrong("a digit") }
  }

  private mutating func string() throws(Failure) -> [UInt8] {
    position += 1
    let start = position
    while position < bytes.count, bytes[position] != UInt8(ascii: "\""), bytes[position] != UInt8(ascii: "\\"),
      bytes[position] >= 0x20
    {
      position += 1
    }
    var text = Array(bytes[start..<position])
    while true {
      guard position < bytes.count else { throw wrong("the end of a string") }
      let byte = bytes[position]
      if byte == UInt8(ascii: "\"") { break }
      guard byte >= 0x20 else { throw wrong("an escape instead of a control character") }
      if byte == UInt8(ascii: "\\") {
        try escape(into: &text)
      } else {
        text.append(byte)
        position += 1
      }
    }
    position += 1
    guard text.allSatisfy({ $0 < 0x80 }) || String(validating: text, as: UTF8.self) != nil else {
      throw Failure(.malformed, "not JSON: byte \(start): a string that is not UTF-8")
    }
    return text
  }

  private mutating func escape(into text: inout [UInt8]) throws(Failure) {
    position += 1
    guard position < bytes.count else { throw wrong("an escape") }
    let plain: UInt8
    switch bytes[position] {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): plain = bytes[position]
    case UInt8(ascii: "b"): plain = 0x08
    case UInt8(ascii: "f"): plain = 0x0c
    case UInt8(ascii: "n"): plain = 0x0a
    case UInt8(ascii: "r"): plain = 0x0d
    case UInt8(ascii: "t"): plain = 0x09
    case UInt8(ascii: "u"):
      position += 1
      var unit = try hexadecimal4()
      if (0xd800..<0xdc00).contains(unit) {
        guard take(UInt8(ascii: "\\")), take(UInt8(ascii: "u")) else { throw wrong("a low surrogate") }
        let low = try hexadecimal4()
        guard (0xdc00..<0xe000).contains(low) else { throw wrong("a low surrogate") }
        unit = 0x10000 + (unit - 0xd800) << 10 + (low - 0xdc00)
      }
      guard let scalar = Unicode.Scalar(unit) else { throw wrong("a high surrogate first") }
      text.append(contentsOf: UTF8.encode(scalar)!)
      return
    default: throw wrong("an escape")
    }
    text.append(plain)
    position += 1
  }

  private mutating func hexadecimal4() throws(Failure) -> UInt32 {
    var value: UInt32 = 0
    for _ in 0..<4 {
      guard position < bytes.count, let digit = Character(Unicode.Scalar(bytes[position])).hexDigitValue else {
        throw wrong("a hexadecimal digit")
      }
      value = value << 4 | UInt32(digit)
      position += 1
    }
    return value
  }
}
