import Glibc

/// "0.002345": `value` with that many digits after the point, never in scientific notation; "nan", "inf", "-inf".
public func decimal(_ value: Double, _ digits: Int) -> String {
  // NaN has a sign, which says nothing.
  value.isNaN ? "nan" : formatted(value, "%.*f", CInt(digits))
}

/// "7.90e-04", with so many significant digits, as C and Python write it.
public func scientific(_ value: Double, digits: Int) -> String {
  value.isNaN ? "nan" : formatted(value, "%.*e", CInt(digits - 1))
}

/// "65,536"
public func grouped(_ value: Int) -> String {
  var text = ""
  let digits = Array(String(value.magnitude))
  for (position, digit) in digits.enumerated() {
    if position > 0, (digits.count - position) % 3 == 0 { text.append(",") }
    text.append(digit)
  }
  return value < 0 ? "-" + text : text
}

/// "1 sample", "3 samples"
public func counted(_ count: Int, _ thing: String) -> String { "\(count) \(thing)\(count == 1 ? "" : "s")" }

private func formatted(_ value: Double, _ format: String, _ precision: CInt) -> String {
  // 309 digits before the point of the largest Double, and a few for the rest.
  withUnsafeTemporaryAllocation(of: CChar.self, capacity: 360) { buffer in
    let length = withVaList([precision, value]) { vsnprintf(buffer.baseAddress!, buffer.count, format, $0) }
    return String(decoding: buffer[..<min(Int(length), 359)].map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}
