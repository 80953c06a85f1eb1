import JSON
import SystemIO

// What the start of a file tells about it where it is not the text that it was taken for.

/// Refuses what is no text at all, in words that name it.
func checkIsText(_ start: UnsafeRawBufferPointer) throws {
  guard let found = kindOfData(start) else { return }
  throw Failure(.malformed, "expected text in UTF-8, found \(found)")
}

private func kindOfData(_ start: UnsafeRawBufferPointer) -> String? {
  if start.starts(with: "version https://git-lfs".utf8) { return knownForeignContent(start) }
  let signatures: [(bytes: [UInt8], name: String)] = [
    ([0x1f, 0x8b], "gzip data: gunzip -c unpacks it"),
    ([0x28, 0xb5, 0x2f, 0xfd], "zstd data: zstd -dc unpacks it (or it is a tensor stream)"),
    ([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00], "xz data: xz -dc unpacks it"),
    (Array("BZh".utf8) + [0x31], "bzip2 data: bzip2 -dc unpacks it"),
    (Array("BZh9".utf8), "bzip2 data: bzip2 -dc unpacks it"),
    (Array("PK".utf8) + [3, 4], "a zip archive: unzip -p unpacks it"),
    (Array("PAR1".utf8), "a Parquet file: a column of it is to be written out as text first"),
    (Array("ARROW1".utf8), "an Arrow file: a column of it is to be written out as text first"),
    ([0xff, 0xff, 0xff, 0xff], "an Arrow stream: a column of it is to be written out as text first"),
    (Array("%PDF-".utf8), "a PDF file"),
    ([0xff, 0xfe], "UTF-16: iconv -f UTF-16 -t UTF-8 converts it"),
    ([0xfe, 0xff], "UTF-16: iconv -f UTF-16 -t UTF-8 converts it"),
  ]
  if let signature = signatures.first(where: { start.starts(with: $0.bytes) }) { return signature.name }
  return utf16WithoutMark(start)
}

/// Letters of Latin script are a byte and a NUL in UTF-16.
private func utf16WithoutMark(_ start: UnsafeRawBufferPointer) -> String? {
  let pairs = min(start.count, 512) / 2
  guard pairs >= 4 else { return nil }
  let (even, odd) = (0..<pairs).reduce((0, 0)) { counts, pair in
    (counts.0 + (start[2 * pair] == 0 ? 1 : 0), counts.1 + (start[2 * pair + 1] == 0 ? 1 : 0))
  }
  guard max(even, odd) * 4 > pairs * 3, min(even, odd) == 0 else { return nil }
  return "UTF-16: iconv -f UTF-16\(odd > even ? "LE" : "BE") -t UTF-8 converts it"
}

/// What a person may not have meant where lines are samples.
func warningOfText(_ start: UnsafeRawBufferPointer) -> String? {
  if start.starts(with: [0xef, 0xbb, 0xbf]) {
    return "begins with a byte-order mark, which is part of the first sample: tail -c +4 takes it away"
  }
  let lines = start.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
  // Behind the last line feed may be the start of a line that goes on.
  let whole = lines.dropLast()
  let first = UnsafeRawBufferPointer(rebasing: lines[0])
  if first.first == UInt8(ascii: "{"), case .object(let members)? = try? JSON(parsing: first) {
    let field = members.contains { $0.key.elementsEqual("text".utf8) } ? "text" : "FIELD"
    return "looks like JSON lines, each of which is a sample as it stands: --json-field \(field) takes a field's text"
  }
  if !whole.isEmpty, whole.allSatisfy({ $0.last == UInt8(ascii: "\r") }) {
    return "its lines end in CR LF, and the CR is part of each sample: tr -d '\\r' takes it away"
  }
  if whole.isEmpty, first.dropLast().contains(UInt8(ascii: "\r")) {
    return "has CR alone between its lines, which ends no sample here: tr '\\r' '\\n' makes lines of them"
  }
  return nil
}
