/// What the split expression tells apart: `\p{L}`, `\p{N}`, `[\r\n]`, the rest of `\s`, and everything else.
enum ScalarClass {
  case letter, number, lineBreak, space, other
  /// Past the last scalar.
  case end

  /// The class of the scalar that starts at `position` of valid UTF-8, and its length in bytes.
  @inline(__always)
  static func at(_ position: Int, of text: UnsafeRawBufferPointer) -> (ScalarClass, length: Int) {
    guard position < text.count else { return (.end, 0) }
    let first = text[position]
    if first < 0x80 { return (ofASCII(first), 1) }
    return ofMultiByte(position, of: text)
  }

  @inline(__always)
  private static func ofASCII(_ byte: UInt8) -> ScalarClass {
    switch byte {
    case 0x41...0x5a, 0x61...0x7a: .letter
    case 0x30...0x39: .number
    case 0x0a, 0x0d: .lineBreak
    case 0x09, 0x0b, 0x0c, 0x20: .space
    default: .other
    }
  }

  private static func ofMultiByte(_ position: Int, of text: UnsafeRawBufferPointer) -> (ScalarClass, length: Int) {
    let (scalar, length) = decodeScalar(at: position, of: text)
    return (ScalarClass(scalar), length)
  }

  /// By Unicode 16.0, as the regular expressions of Hugging Face tokenizers 0.23 have it (Oniguruma 6.9.10): a letter
  /// that came later is `other` there, and its token ids follow.
  init(_ scalar: Unicode.Scalar) {
    let properties = scalar.properties
    self =
      switch properties.generalCategory {
      case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter:
        scalar.wasAssigned(by: 16) ? .letter : .other
      case .decimalNumber, .letterNumber, .otherNumber: scalar.wasAssigned(by: 16) ? .number : .other
      default: scalar == "\r" || scalar == "\n" ? .lineBreak : properties.isWhitespace ? .space : .other
      }
  }
}

extension Unicode.Scalar {
  /// Whether version `major`.0 of Unicode has this scalar.
  func wasAssigned(by major: Int) -> Bool {
    guard let age = properties.age else { return false }
    return age.major < major || age.major == major && age.minor == 0
  }
}
