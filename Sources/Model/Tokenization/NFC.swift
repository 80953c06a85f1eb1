@_spi(_Unicode) import Swift

/// `text` in Unicode's normalization form C, or nil where it is in that form already, which is cheap to see.
///
/// The standard library normalizes, but offers it only as `_nfc`, behind this import: the one use of it is here.
/// Scalars that came after Unicode 9.0 are left where they are, and nothing is moved across them: so do Hugging Face
/// tokenizers, whose tables stop there. Text that Unicode 9.0 knows is not affected; its normal form never changes.
func normalizedToNFC(_ text: borrowing UTF8Span) -> [UInt8]? {
  var text = copy text
  if text.checkForNFC(quickCheck: true) { return nil }
  var normalized: [UInt8] = []
  var known = String.UnicodeScalarView()
  func append(_ scalar: Unicode.Scalar) { normalized.append(contentsOf: UTF8.encode(scalar)!) }
  for scalar in String(copying: text).unicodeScalars {
    if let marks = tibetanMarks(scalar) {
      known.append(contentsOf: marks)
    } else if scalar.properties.age == nil || scalar.wasAssigned(by: 9) {
      known.append(scalar)
    } else {
      String(known)._nfc.forEach(append)
      known.removeAll()
      append(scalar)
    }
  }
  String(known)._nfc.forEach(append)
  return normalized
}

/// The three starters that stand for two combining marks, decomposed: `_nfc` of Swift 6.3 takes them for a boundary
/// that no mark moves across. They never come back, for Unicode excludes them from composition.
private func tibetanMarks(_ scalar: Unicode.Scalar) -> [Unicode.Scalar]? {
  switch scalar {
  case "\u{f73}": ["\u{f71}", "\u{f72}"]
  case "\u{f75}": ["\u{f71}", "\u{f74}"]
  case "\u{f81}": ["\u{f71}", "\u{f80}"]
  default: nil
  }
}
