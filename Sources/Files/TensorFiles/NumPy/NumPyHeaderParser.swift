import SystemIO

/// Reads the one form of Python dictionary that `.npy` headers have: string keys, and strings, booleans and tuples of
/// integers as values. Nothing is evaluated, and nothing else is understood.
struct NumPyHeaderParser {
  private let text: [UInt8]
  private var position = 0

  init(_ text: [UInt8]) { self.text = text }

  mutating func header() throws -> NumPyHeader {
    var descriptor: (NumPyHeader.Element, isLittleEndian: Bool)?
    var isFortranOrder: Bool?
    var shape: [Int]?
    try expect("{")
    while !accept("}") {
      let key = try string()
      try expect(":")
      switch key {
      case "descr" where descriptor == nil: descriptor = try elementType()
      case "fortran_order" where isFortranOrder == nil: isFortranOrder = try boolean()
      case "shape" where shape == nil: shape = try tuple()
      case "descr", "fortran_order", "shape": throw malformed("'\(key)' stands there twice")
      default: throw malformed("expected the keys 'descr', 'fortran_order' and 'shape', found '\(key)'")
      }
      if accept(",") { continue }
      try expect("}")
      break
    }
    skipSpaces()
    guard position == text.count else { throw malformed("bytes after the dictionary") }
    guard let descriptor else { throw malformed("no 'descr'") }
    guard let isFortranOrder else { throw malformed("no 'fortran_order'") }
    guard let shape else { throw malformed("no 'shape'") }
    return NumPyHeader(
      element: descriptor.0, isLittleEndian: descriptor.isLittleEndian, isFortranOrder: isFortranOrder, shape: shape)
  }

  static let types = "'<f4', '>f4', '<f8' or '>f8'"

  private mutating func elementType() throws -> (NumPyHeader.Element, isLittleEndian: Bool) {
    skipSpaces()
    guard peek() != UInt8(ascii: "[") else {
      throw Failure(.malformed, "the array holds records: expected \(Self.types)")
    }
    let name = try string()
    switch name {
    case "<f2": return (.float16, true)
    case ">f2": return (.float16, false)
    case "<f4": return (.float32, true)
    case ">f4": return (.float32, false)
    case "<f8": return (.float64, true)
    case ">f8": return (.float64, false)
    case "|O", "O": throw Failure(.malformed, "the array holds Python objects, which only Python can load")
    default:
      throw Failure(.malformed, "element type: expected \(Self.types), found '\(name)'")
    }
  }

  private mutating func string() throws -> String {
    skipSpaces()
    guard let quote = peek(), quote == UInt8(ascii: "'") || quote == UInt8(ascii: "\"") else {
      throw malformed("expected a string")
    }
    position += 1
    let start = position
    while let byte = peek(), byte != quote {
      guard (0x20..<0x7f).contains(byte), byte != UInt8(ascii: "\\") else {
        throw malformed("an escape or a byte that is not ASCII in a string")
      }
      position += 1
    }
    guard peek() != nil else { throw malformed("a string without its end") }
    defer { position += 1 }
    return String(decoding: text[start..<position], as: UTF8.self)
  }

  private mutating func boolean() throws -> Bool {
    skipSpaces()
    for (word, value) in [("True", true), ("False", false)] where text[position...].starts(with: word.utf8) {
      position += word.utf8.count
      return value
    }
    throw malformed("expected True or False")
  }

  private mutating func tuple() throws -> [Int] {
    var elements: [Int] = []
    try expect("(")
    while !accept(")") {
      elements.append(try integer())
      if accept(",") { continue }
      try expect(")")
      guard elements.count != 1 else { throw malformed("a tuple of one without its comma") }
      break
    }
    return elements
  }

  private mutating func integer() throws -> Int {
    skipSpaces()
    let start = position
    while let byte = peek(), (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) { position += 1 }
    guard let value = Int(String(decoding: text[start..<position], as: UTF8.self)) else {
      throw malformed("expected a dimension from 0 to \(Int.max)")
    }
    return value
  }

  private func peek() -> UInt8? { position < text.count ? text[position] : nil }

  private mutating func skipSpaces() {
    while let byte = peek(), byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\n") { position += 1 }
  }

  private mutating func accept(_ character: Unicode.Scalar) -> Bool {
    skipSpaces()
    guard peek() == UInt8(ascii: character) else { return false }
    position += 1
    return true
  }

  private mutating func expect(_ character: Unicode.Scalar) throws {
    guard accept(character) else { throw malformed("expected '\(character)'") }
  }

  private func malformed(_ message: String) -> Failure {
    Failure(.malformed, "header, byte \(position): \(message)")
  }
}
