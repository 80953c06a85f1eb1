import Glibc

/// Numbers as decimal text.
public enum DecimalText {
  /// "0.002345"
  public static func fixed(_ value: Double, decimals: Int) -> String {
    format("%.*f", CInt(decimals), value)
  }

  /// "7.90e-04", as C and Python write it.
  public static func scientific(_ value: Double, digits: Int) -> String {
    format("%.*e", CInt(digits - 1), value)
  }

  /// "65,536"
  public static func grouped(_ value: Int) -> String {
    var text = ""
    let digits = Array(String(value.magnitude))
    for (position, digit) in digits.enumerated() {
      if position > 0, (digits.count - position) % 3 == 0 { text.append(",") }
      text.append(digit)
    }
    return value < 0 ? "-" + text : text
  }

  private static func format(_ format: String, _ precision: CInt, _ value: Double) -> String {
    // 309 digits before the point of the largest Double, and a few for the rest.
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: 360) { buffer in
      let length = withVaList([precision, value]) { vsnprintf(buffer.baseAddress!, buffer.count, format, $0) }
      return String(decoding: buffer[..<Int(length)].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
  }
}
