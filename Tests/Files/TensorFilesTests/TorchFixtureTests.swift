import Foundation
import SystemIO
import TensorFiles
import TestSupport
import Testing

private let fixtures = packageRoot + "/Tests/Files/TensorFilesTests/Fixtures"

/// The files of make_fixtures.py: what torch.save writes by its other arguments.
@Suite struct TorchFixtureTests {
  @Test(arguments: [
    "legacy", "legacy_protocol_4", "protocol_2", "protocol_3", "protocol_4", "protocol_5", "extras",
  ])
  func everyFormHoldsTheSame(_ name: String) throws {
    let value = try TorchFile(path: "\(fixtures)/\(name).pt").value
    #expect(try value["matrix"]?.tensor?.doubles() == [0, 1, 2, 3, 4, 5])
    #expect(value["matrix"]?.tensor?.shape == [2, 3])
    #expect(try value["transposed"]?.tensor?.doubles() == [0, 3, 1, 4, 2, 5])
    #expect(value["count"]?.integer == 7)
    if name.hasPrefix("protocol") { #expect(value["set"]?.kind == "a set" && value["bytes"]?.kind == "bytes") }
  }

  /// As torch.load(weights_only=True) gives them.
  @Test func extras() throws {
    let value = try TorchFile(path: "\(fixtures)/extras.pt").value
    let tensors: [(String, String, [Double])] = [
      ("uint16", "U16", [1, 65535]), ("uint32", "U32", [4_294_967_295]), ("uint64", "U64", [0x1p53]),
      ("e4m3", "F8_E4M3", [0, 0x1p-9, -1.125, 448]), ("e5m2", "F8_E5M2", [-1.25, 57344, 0x1p-16]),
      ("parameter", "F32", [1, 1]), ("buffer", "F32", [1, 1]),
    ]
    for (name, type, expected) in tensors {
      let tensor = try #require(value[name]?.tensor, "\(name)")
      #expect(try tensor.type.rawValue == type && tensor.doubles() == expected, "\(name)")
    }
    let others = [
      "complex64": "a tensor of complex64", "complex32": "a tensor of complex32", "fnuz": "a tensor of float8_e4m3fnuz",
      "device": "a device", "dtype": "torch float32", "size": "a tuple", "set": "a set", "bytes": "bytes",
      "bytearray": "bytes", "complex": "a complex number", "counter": "a dict", "none": "None", "nested": "a list",
    ]
    for (name, kind) in others { #expect(value[name]?.kind == kind, "\(name)") }
    #expect(value.entries?.count == 3 + tensors.count + others.count)
  }

  /// Every beginning of a file is refused in one line, whatever its form.
  @Test(arguments: ["legacy", "legacy_protocol_4", "protocol_4"])
  func everyTruncationIsRefused(_ name: String) throws {
    let folder = try TemporaryFolder()
    let whole = try Data(contentsOf: URL(fileURLWithPath: "\(fixtures)/\(name).pt"))
    for count in 0..<whole.count {
      try whole.prefix(count).write(to: folder.url("cut.pt"))
      let failure = #expect(throws: Failure.self, "\(count) bytes") { try TorchFile(path: folder.file("cut.pt")) }
      #expect(failure?.kind == .malformed && failure?.description.contains("\n") == false, "\(count) bytes")
    }
    try (whole + [0]).write(to: folder.url("cut.pt"))
    #expect(throws: Failure.self) { try TorchFile(path: folder.file("cut.pt")) }
  }

  /// Whatever a byte is changed to, the file is read or refused; a tensor never leaves the file.
  @Test func noChangedByteLeadsAstray() throws {
    let folder = try TemporaryFolder()
    let whole = try Data(contentsOf: URL(fileURLWithPath: "\(fixtures)/legacy.pt"))
    for position in whole.indices {
      for value in [0, 1, 0x2e, 0x7f, 0x80, 0xff] as [UInt8] where value != whole[position] {
        var changed = whole
        changed[position] = value
        try changed.write(to: folder.url("changed.pt"))
        guard let value = try? TorchFile(path: folder.file("changed.pt")).value else { continue }
        for entry in value.entries ?? [] { _ = try? entry.value.tensor?.doubles() }
      }
    }
  }

  @Test func whatIsWrongWithAFileOfBefore1_6() throws {
    let folder = try TemporaryFolder()
    let whole = Array(try Data(contentsOf: URL(fileURLWithPath: "\(fixtures)/legacy.pt")))
    func refusal(_ bytes: [UInt8]) throws -> String {
      try Data(bytes).write(to: folder.url("a.pt"))
      let failure = #expect(throws: Failure.self) { try TorchFile(path: folder.file("a.pt")) }
      return try #require(failure).description
    }
    let start = "\(folder.file("a.pt")): the format of before torch 1.6: "
    #expect(
      try refusal(whole.dropLast(4)) == start
        + "expected 24 bytes of storage \(key(whole)), found 20: the file is cut off")
    #expect(try refusal(whole + [0]) == start + "expected the end after the storages, found 1 bytes")
    var otherCount = whole
    otherCount[whole.count - 32] = 7
    #expect(try refusal(otherCount).hasSuffix("found 7"))
  }

  /// Of the only storage, which torch gives a number of its own each time.
  private func key(_ bytes: [UInt8]) -> String {
    let text = String(decoding: bytes.suffix(60), as: UTF8.self)
    return String(text.drop { !$0.isNumber }.prefix { $0.isNumber })
  }
}
