import JSON
import SystemIO
import TensorFiles
import TestSupport
import Testing

private let fixtures = packageRoot + "/Tests/Study/AggregationTests/Fixtures"

private func bytes(of path: String) throws -> [UInt8] { try InputFile(path: path).readAll(limit: 1_000_000) }

private func parse(_ bytes: [UInt8]) throws -> NumPyVector {
  try bytes.withUnsafeBytes { try NumPyVector(parsing: $0) }
}

/// A file of version 1.0 with that header, its length as it is, and zeros.
private func file(header: String, data: Int = 8) -> [UInt8] {
  let text = Array(header.utf8)
  return [0x93] + Array("NUMPY".utf8) + [1, 0, UInt8(text.count & 0xff), UInt8(text.count >> 8)] + text
    + [UInt8](repeating: 0, count: data)
}

@Suite struct NumPyReaderTests {
  @Test(arguments: ["mean_abs_f4", "signed_f8", "big_endian_f4", "big_endian_f8", "one_f4"])
  func readsWhatNumPyWrote(name: String) throws {
    let json = try bytes(of: "\(fixtures)/expected.json").withUnsafeBytes { try JSON(parsing: $0) }
    let expected = json[name]!["values"]!.elements!.map { $0.number! }
    switch try NumPyVector(path: "\(fixtures)/\(name).npy") {
    case .float32(let values): #expect(name.hasSuffix("f4") && values.map(Double.init) == expected)
    case .float64(let values): #expect(name.hasSuffix("f8") && values == expected)
    }
  }

  @Test(arguments: [2, 3]) func readsLaterVersions(version: Int) throws {
    #expect(try NumPyVector(path: "\(fixtures)/version_\(version)_f4.npy") == .float32([0, 1, 2, 3, 4]))
  }

  @Test func readsAnEmptyArray() throws {
    #expect(try NumPyVector(path: "\(fixtures)/empty_f8.npy") == .float64([]))
  }

  @Test(arguments: [
    ("matrix_f4", "expected one dimension, found 2: 2 × 3"),
    ("fortran_f4", "the array is in Fortran order: expected C order"),
    ("objects", "the array holds Python objects, which only Python can load"),
    ("records", "the array holds records: expected '<f4', '>f4', '<f8' or '>f8'"),
    ("integers", "element type: expected '<f4', '>f4', '<f8' or '>f8', found '<i8'"),
    ("scalar_f8", "expected one dimension, found 0"),
  ]) func refusesByName(name: String, message: String) {
    let path = "\(fixtures)/\(name).npy"
    #expect(throws: Failure(.malformed, "\(path): \(message)")) { try NumPyVector(path: path) }
  }

  @Test func refusesAFileCutAnywhere() throws {
    let whole = try bytes(of: "\(fixtures)/one_f4.npy")
    _ = try parse(whole)
    for length in 0..<whole.count {
      #expect(throws: Failure.self, "cut to \(length) bytes") { try parse(Array(whole.prefix(length))) }
    }
  }

  @Test func refusesTrailingBytes() throws {
    let whole = try bytes(of: "\(fixtures)/one_f4.npy")
    #expect(throws: Failure(.malformed, "trailing bytes: expected 4 bytes of numbers, found 5")) {
      try parse(whole + [0])
    }
  }

  @Test(arguments: [
    "{'descr': '<f8', 'fortran_order': False, 'shape': (1,), }",
    "{\"shape\": (1,), \"descr\": '<f8', 'fortran_order':False}  \n",
    "{'descr': '<f8', 'fortran_order': True, 'shape': (1,)}",
  ]) func acceptsTheSameDictionarySpelledOtherwise(header: String) throws {
    #expect(try parse(file(header: header)) == .float64([0]))
  }

  @Test(arguments: [
    ("", "header, byte 0: expected '{'"),
    ("{'descr': '<f8', 'fortran_order': False, 'shape': (1,)", "header, byte 54: expected '}'"),
    ("{'descr': '<f8', 'fortran_order': False, 'shape': (1,)} x", "header, byte 56: bytes after the dictionary"),
    ("{'descr': '<f8', 'fortran_order': False}", "header, byte 40: no 'shape'"),
    ("{'descr': '<f8', 'shape': (1,)}", "header, byte 31: no 'fortran_order'"),
    ("{'fortran_order': False, 'shape': (1,)}", "header, byte 39: no 'descr'"),
    ("{'descr': '<f8', 'descr': '<f8'}", "header, byte 25: 'descr' stands there twice"),
    (
      "{'descr': '<f8', 'x': False}",
      "header, byte 21: expected the keys 'descr', 'fortran_order' and 'shape', found 'x'"
    ),
    ("{'descr': '<f8', 'fortran_order': 0}", "header, byte 34: expected True or False"),
    ("{'descr': '<f8', 'fortran_order': False, 'shape': (1)}", "header, byte 53: a tuple of one without its comma"),
    ("{'shape': (-1,)}", "header, byte 11: expected a dimension from 0 to 9223372036854775807"),
    ("{'shape': (9223372036854775808,)}", "header, byte 30: expected a dimension from 0 to 9223372036854775807"),
    ("{'descr': __import__('os')}", "header, byte 10: expected a string"),
    ("{'descr': 'a\\'b'}", "header, byte 12: an escape or a byte that is not ASCII in a string"),
    (
      "{'descr': '<f8', 'fortran_order': False, 'shape': (4611686018427387904,)}",
      "truncated: expected 4611686018427387904 × 8 bytes of numbers, found 8"
    ),
    (
      "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,)}",
      "truncated: expected 1000000000000 × 8 bytes of numbers, found 8"
    ),
  ]) func refusesEveryOtherHeader(header: String, message: String) {
    #expect(throws: Failure(.malformed, message)) { try parse(file(header: header)) }
  }

  @Test func refusesWhatIsNoArrayFile() {
    let refusals: [([UInt8], String)] = [
      (Array("PK".utf8), "expected a .npy file, found another format: it does not begin with \\x93NUMPY"),
      ([0x93] + Array("NUMPY".utf8) + [4, 0, 0, 0], ".npy version: expected 1.0, 2.0 or 3.0, found 4.0"),
      ([0x93] + Array("NUMPY".utf8) + [1, 1, 0, 0], ".npy version: expected 1.0, 2.0 or 3.0, found 1.1"),
      (
        [0x93] + Array("NUMPY".utf8) + [2, 0, 0xff, 0xff, 0xff, 0xff],
        "header too long: expected at most 10000 bytes, found 4294967295"
      ),
    ]
    for (bytes, message) in refusals { #expect(throws: Failure(.malformed, message)) { try parse(bytes) } }
  }
}

@Suite struct NumPyWriterTests {
  @Test(arguments: ["mean_abs_f4", "signed_f8", "one_f4", "empty_f8"]) func writesTheBytesOfNumPy(name: String) throws {
    let folder = try TemporaryFolder()
    let path = folder.file("\(name).npy")
    switch try NumPyVector(path: "\(fixtures)/\(name).npy") {
    case .float32(let values): try NumPyWriter.write(values, to: path)
    case .float64(let values): try NumPyWriter.write(values, to: path)
    }
    #expect(try bytes(of: path) == bytes(of: "\(fixtures)/\(name).npy"))
  }

  @Test func writesMatricesAndScalars() throws {
    let folder = try TemporaryFolder()
    let path = folder.file("shapes.npy")
    try NumPyWriter.write([0, 1, 2, 3, 4, 5] as [Float], shape: [2, 3], to: path)
    #expect(try bytes(of: path) == bytes(of: "\(fixtures)/matrix_f4.npy"))
    try NumPyWriter.write([2.5], shape: [], to: path)
    #expect(try bytes(of: path) == bytes(of: "\(fixtures)/scalar_f8.npy"))
  }

  @Test func namesTheFileItCannotWrite() {
    #expect(throws: Failure.self) { try NumPyWriter.write([1.0], to: "/nonexistent/a.npy") }
  }
}
