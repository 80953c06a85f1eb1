import Foundation
import SystemIO
import TensorFiles
import TestSupport
import Testing

private func parse(_ bytes: [UInt8]) throws -> SafetensorsHeader {
  try bytes.withUnsafeBytes { try SafetensorsHeader(parsing: $0) }
}

/// The refusal of `bytes`; nil where they are read.
private func refusal(_ bytes: [UInt8]) -> SafetensorsError? {
  do {
    _ = try parse(bytes)
    return nil
  } catch { return error as? SafetensorsError }
}

private func zeros(_ count: Int) -> [UInt8] { [UInt8](repeating: 0, count: count) }

private let test2x2 = #"{"test":{"dtype":"I32","shape":[2,2],"data_offsets":[0,16]}}"#

/// The tests of the Rust crate (safetensors/src/tensor.rs), under its names and with its bytes.
@Suite struct RustCrateTests {
  @Test func testEmptyShapesAllowed() throws {
    let header = try parse(
      safetensors(header: #"{"test":{"dtype":"I32","shape":[],"data_offsets":[0,4]}}"#, data: zeros(4)))
    #expect(header.tensors == [TensorInfo(name: "test", type: .i32, shape: [], byteRange: 0..<4)])
    #expect(header.tensors[0].elementCount == 1)
  }

  @Test func testDeserialization() throws {
    let header = try parse([0x3c] + zeros(7) + Array(test2x2.utf8) + zeros(16))
    #expect(header.tensors == [TensorInfo(name: "test", type: .i32, shape: [2, 2], byteRange: 0..<16)])
    #expect(header.dataOffset == 68)
    #expect(header.metadata.isEmpty)
  }

  /// Ten tensors that share their bytes: a small file that would make large tensors.
  @Test func testJSONAttack() {
    let tensors = (0..<10).map { #""weight_\#($0)":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}"# }
    let bytes = safetensors(header: "{\(tensors.joined(separator: ","))}", data: zeros(16))
    guard case .invalidOffset(_, expected: 16, found: 0)? = refusal(bytes) else {
      Issue.record("expected invalidOffset, found \(String(describing: refusal(bytes)))")
      return
    }
  }

  @Test func testMetadataIncompleteBuffer() {
    let polyglot = safetensors(header: test2x2, data: zeros(16) + Array("extra_bogus_data_for_polyglot_file".utf8))
    #expect(refusal(polyglot) == .incompleteBuffer(expected: 16, found: 50))
    #expect(refusal(safetensors(header: test2x2, data: zeros(14))) == .incompleteBuffer(expected: 16, found: 14))
  }

  @Test func testHeaderTooLarge() {
    let bytes: [UInt8] = [0x3c, 0, 0, 0, 0, 0xff, 0xff, 0xff] + Array(test2x2.utf8) + zeros(16)
    #expect(refusal(bytes) == .headerTooLarge(length: 0xffff_ff00_0000_003c, limit: 100_000_000))
    #expect(refusal([0x01, 0xe1, 0xf5, 0x05, 0, 0, 0, 0]) == .headerTooLarge(length: 100_000_001, limit: 100_000_000))
    #expect(refusal([0x00, 0xe1, 0xf5, 0x05, 0, 0, 0, 0]) == .invalidHeaderLength(length: 100_000_000, available: 0))
    safetensors(header: test2x2, data: zeros(16)).withUnsafeBytes { bytes in
      #expect(throws: SafetensorsError.headerTooLarge(length: 60, limit: 59)) {
        try SafetensorsHeader(parsing: bytes, limit: 59)
      }
      #expect(throws: Never.self) { try SafetensorsHeader(parsing: bytes, limit: 60) }
    }
  }

  @Test func testHeaderTooSmall() {
    #expect(refusal([]) == .headerTooSmall(bytes: 0))
    #expect(refusal([0x02, 0, 0, 0, 0, 0, 0]) == .headerTooSmall(bytes: 7))
  }

  @Test func testInvalidHeaderLength() {
    #expect(refusal([0x3c] + zeros(7)) == .invalidHeaderLength(length: 60, available: 0))
    #expect(refusal([0x03] + zeros(7) + Array("{}".utf8)) == .invalidHeaderLength(length: 3, available: 2))
  }

  @Test func testInvalidHeaderNonUTF8() {
    #expect(refusal([0x01] + zeros(7) + [0xff]) == .invalidHeaderStart)
    guard case .invalidHeader? = refusal([0x08] + zeros(7) + Array(#"{"a"#.utf8) + [0xff] + Array(#"":1}"#.utf8)) else {
      Issue.record("expected invalidHeader")
      return
    }
  }

  @Test func testInvalidHeaderNotJSON() {
    #expect(
      refusal([0x01] + zeros(7) + [0x7b])
        == .invalidHeader(reason: "not JSON: byte 1: expected a key, found the end"))
  }

  @Test func testWhitespacePaddedHeader() throws {
    #expect(try parse([0x06] + zeros(7) + Array("{}\r \t\n".utf8)).tensors.isEmpty)
  }

  @Test func testWhitespaceStartPaddedHeaderIsNotAllowed() {
    #expect(refusal([0x06] + zeros(7) + Array("\t\n{}\r ".utf8)) == .invalidHeaderStart)
  }

  @Test func testZeroSizedTensor() throws {
    let header = try parse(safetensors(header: #"{"test":{"dtype":"I32","shape":[2,0],"data_offsets":[0, 0]}}"#))
    #expect(header.tensors == [TensorInfo(name: "test", type: .i32, shape: [2, 0], byteRange: 0..<0)])
  }

  @Test func testInvalidInfo() {
    let bytes = safetensors(header: #"{"test":{"dtype":"I32","shape":[2,2],"data_offsets":[0, 4]}}"#)
    #expect(refusal(bytes) == .sizeMismatch(tensor: "test", expected: 16, found: 4))
  }

  @Test(arguments: ["18446744073709551614", "9223372036854775807", "4611686018427387904"])
  func testValidationOverflow(_ dimension: String) {
    let text = #"{"test":{"dtype":"I32","shape":[2,\#(dimension)],"data_offsets":[0,16]}}"#
    #expect(refusal(safetensors(header: text, data: zeros(16))) == .validationOverflow(tensor: "test"))
  }
}

/// What the Rust crate leaves to its JSON library's types.
@Suite struct SafetensorsRefusalTests {
  @Test(arguments: [
    #"{"__metadata__":[]}"#, #"{"__metadata__":{"a":1}}"#, #"{"__metadata__":{"a":null}}"#, #"{"__metadata__":null}"#,
    "{\"__metadata__\":{\"\u{e9}\":\"1\",\"e\u{301}\":\"2\"}}",
  ])
  func invalidMetadata(_ header: String) {
    #expect(refusal(safetensors(header: header)) == .invalidMetadata)
  }

  @Test(arguments: ["F31", "f32", "", "I32 ", "BOOLEAN"])
  func unknownElementType(_ type: String) {
    let bytes = safetensors(header: #"{"t":{"dtype":"\#(type)","shape":[1],"data_offsets":[0,4]}}"#, data: zeros(4))
    #expect(refusal(bytes) == .unknownElementType(tensor: "t", found: type))
  }

  @Test(arguments: [
    "1", "null", "[]", "{}",
    #"{"dtype":"I32","shape":[1]}"#,
    #"{"dtype":"I32","data_offsets":[0,4]}"#,
    #"{"shape":[1],"data_offsets":[0,4]}"#,
    #"{"dtype":"I32","shape":[1],"data_offsets":[0,4],"more":1}"#,
    #"{"dtype":1,"shape":[1],"data_offsets":[0,4]}"#,
    #"{"dtype":"I32","shape":1,"data_offsets":[0,4]}"#,
    #"{"dtype":"I32","shape":["1"],"data_offsets":[0,4]}"#,
    #"{"dtype":"I32","shape":[-1],"data_offsets":[0,4]}"#,
    #"{"dtype":"I32","shape":[1.5],"data_offsets":[0,4]}"#,
    #"{"dtype":"I32","shape":[1],"data_offsets":[4]}"#,
    #"{"dtype":"I32","shape":[1],"data_offsets":[0,4,8]}"#,
    #"{"dtype":"I32","shape":[1],"data_offsets":[0.0,4]}"#,
    #"{"dtype":"I32","shape":[1],"data_offsets":[-4,0]}"#,
    #"{"dtype":"I32","shape":[1],"data_offsets":[4,0]}"#,
  ])
  func invalidTensorInfo(_ info: String) {
    let bytes = safetensors(header: #"{"t":\#(info)}"#, data: zeros(4))
    #expect(refusal(bytes) == .invalidTensorInfo(tensor: "t"))
  }

  @Test func invalidOffset() {
    let pair = { (first: String, second: String) in
      safetensors(
        header: #"{"a":{"dtype":"U8","shape":[2],"data_offsets":[\#(first)]},"#
          + #""b":{"dtype":"U8","shape":[2],"data_offsets":[\#(second)]}}"#, data: zeros(4))
    }
    #expect(refusal(pair("0,2", "2,4")) == nil)
    #expect(refusal(pair("2,4", "0,2")) == nil)
    #expect(refusal(pair("1,3", "3,5")) == .invalidOffset(tensor: "a", expected: 0, found: 1))
    #expect(refusal(pair("0,2", "3,5")) == .invalidOffset(tensor: "b", expected: 2, found: 3))
    #expect(refusal(pair("0,2", "1,3")) == .invalidOffset(tensor: "b", expected: 2, found: 1))
  }

  @Test(arguments: [
    #"{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#,
    "{\"\u{e9}\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]},"
      + "\"e\u{301}\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}",
    "{} x", "{}{}", #"{"__metadata__":{},"__metadata__":{}}"#,
  ])
  func invalidHeader(_ header: String) {
    guard case .invalidHeader? = refusal(safetensors(header: header)) else {
      Issue.record("expected invalidHeader, found \(String(describing: refusal(safetensors(header: header))))")
      return
    }
  }

  /// No prefix of a buffer is a buffer.
  @Test func truncationAtEveryByte() {
    let whole = safetensors(["a": "b"], [("x", .f32, [3]), ("y", .u8, [5])])
    #expect(refusal(whole) == nil)
    for count in 0..<whole.count { #expect(refusal(Array(whole[..<count])) != nil, "\(count) bytes") }
  }

  @Test func everyRefusalNamesWhatItFound() {
    #expect(
      SafetensorsError.sizeMismatch(tensor: "t", expected: 16, found: 4).description
        == "tensor t: shape and dtype make 16 bytes, data_offsets 4")
    #expect(
      SafetensorsError.headerTooLarge(length: 2_000_000, limit: 1_048_576).description
        == "safetensors header too large: expected at most 1048576 bytes, found 2000000")
  }
}

@Suite struct SafetensorsEncodingTests {
  @Test func roundTripOfEveryElementType() throws {
    let tensors = ElementType.allCases.enumerated().map { ("t\($0)", $1, [$0, 3]) }
    let metadata = ["plain": "value", "quo\"te": "new\nline \u{e9} \u{1f600} \u{1}", "": ""]
    let written = SafetensorsHeader(metadata: metadata, layingOut: tensors)
    let header = try parse(written.encoded() + zeros(written.dataLength))
    #expect(header.metadata == metadata)
    #expect(Set(header.tensors.map(\.name)) == Set(tensors.map(\.0)))
    for tensor in written.tensors { #expect(header[tensor.name] == tensor) }
    #expect(header["missing"] == nil)
    #expect(header.dataLength == ElementType.allCases.enumerated().reduce(0) { $0 + $1.offset * 3 * $1.element.size })
  }

  @Test(arguments: [0, 1, 7, 8, 50, 63, 64, 65, 500])
  func dataBeginsOnACacheLine(_ length: Int) throws {
    let bytes = safetensors(["a": String(repeating: "x", count: length)], [("t", .f64, [1])])
    #expect(try parse(bytes).dataOffset % 64 == 0)
    #expect(try parse(bytes).dataOffset >= 8 + length)
  }

  /// Swift orders dictionaries anew in every run; the bytes must not.
  @Test func theSameHeaderMakesTheSameBytes() {
    let header = SafetensorsHeader(
      metadata: ["b": "2", "a": "1", "é": "4", "c": "3"], layingOut: [("z", .f32, [2]), ("y", .u8, [])])
    let text =
      #"{"__metadata__":{"a":"1","b":"2","c":"3","é":"4"},"#
      + #""z":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"#
      + #""y":{"dtype":"U8","shape":[],"data_offsets":[8,9]}}"#
    let padding = 64 - (8 + text.utf8.count) % 64
    #expect(header.encoded() == safetensors(header: text + String(repeating: " ", count: padding)))
  }

  @Test func elementSizes() {
    #expect(ElementType.allCases.map(\.size) == [1, 1, 1, 1, 1, 2, 2, 2, 2, 4, 4, 4, 8, 8, 8])
  }
}

@Suite struct SafetensorsFileTests {
  @Test func mapsAFile() throws {
    let folder = try TemporaryFolder()
    let path = folder.file("x.safetensors")
    let header = SafetensorsHeader(metadata: [:], layingOut: [("a", .u8, [2]), ("b", .u8, [3])])
    try Data(header.encoded() + [1, 2, 3, 4, 5]).write(to: URL(fileURLWithPath: path))
    let file = try SafetensorsFile(path: path)
    #expect(Array(file.bytes(of: file.header["b"]!)) == [3, 4, 5])
    #expect(Array(file.bytes(of: file.header["a"]!)) == [1, 2])
  }

  @Test func namesTheFileItRefuses() throws {
    let folder = try TemporaryFolder()
    let path = folder.file("x.safetensors")
    try Data([1, 2]).write(to: URL(fileURLWithPath: path))
    #expect(
      throws: Failure(.malformed, "\(path): safetensors header too small: expected at least 8 bytes, found 2")
    ) { try SafetensorsFile(path: path) }
    try Data().write(to: URL(fileURLWithPath: path))
    #expect(
      throws: Failure(.malformed, "\(path): expected a safetensors file, found an empty file")
    ) { try SafetensorsFile(path: path) }
    #expect(throws: Failure(.cannotOpen, "\(folder.path): cannot open: expected a file, found a folder")) {
      try SafetensorsFile(path: folder.path)
    }
    #expect(throws: Failure(.cannotOpen, "\(path)x: cannot open: No such file or directory")) {
      try SafetensorsFile(path: path + "x")
    }
  }
}
