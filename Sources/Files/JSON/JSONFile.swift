import SystemIO

extension JSON {
  /// Parses a file of one JSON object, such as config.json.
  ///
  /// - Parameters:
  ///   - file: its bytes.
  ///   - allowsNonfinite: as in `init(parsing:allowsNonfinite:)`.
  /// - Throws: `Failure` of kind malformed that names the byte or, where the file is none of JSON or was cut short, says
  ///   what it is instead.
  public init(file: UnsafeRawBufferPointer, allowsNonfinite: Bool = false) throws(Failure) {
    if let content = knownForeignContent(file) { throw Failure(.malformed, "expected JSON, found \(content)") }
    // Python's json and Hugging Face's libraries do not read such a file either.
    if file.starts(with: [0xef, 0xbb, 0xbf]) {
      throw Failure(.malformed, "expected JSON, found a byte-order mark before it: tail -c +4 takes it away")
    }
    do { self = try JSON(parsing: file, allowsNonfinite: allowsNonfinite) } catch {
      let last = file.last { ![0x20, 0x09, 0x0a, 0x0d].contains($0) }
      guard file.first == UInt8(ascii: "{"), last != UInt8(ascii: "}") else { throw error }
      throw Failure(.malformed, "cut short: it does not end in \"}\" (\(error.description))")
    }
  }
}
