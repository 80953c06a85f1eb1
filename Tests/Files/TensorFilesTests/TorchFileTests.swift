import Foundation
import SystemIO
import TensorFiles
import TestSupport
import Testing

@Suite struct TorchFileTests {
  private let folder = try! TemporaryFolder()

  private func open(_ bytes: [UInt8]) throws -> TorchFile {
    try Data(bytes).write(to: folder.url("ae.pt"))
    return try TorchFile(path: folder.file("ae.pt"))
  }

  /// The message of a refusal of kind malformed, after the path; nil where the file is read.
  private func refusal(_ bytes: [UInt8]) -> String? {
    do {
      _ = try open(bytes)
      return nil
    } catch {
      let prefix = folder.file("ae.pt") + ": "
      guard let failure = error as? Failure, failure.kind == .malformed, failure.description.hasPrefix(prefix),
        !failure.description.dropFirst(prefix.count).contains(prefix), !failure.description.contains("\n")
      else { return nil }
      return String(failure.description.dropFirst(prefix.count))
    }
  }

  private func zip(_ pickle: Pickle = .file(.tensor()), _ change: (inout ZipBuilder) -> Void = { _ in }) -> [UInt8] {
    let floats = (1...6).flatMap { little(Float($0).bitPattern) }
    var zip = ZipBuilder([
      .init("ae/data.pkl", pickle.bytes), .init("ae/byteorder", Array("little".utf8)), .init("ae/data/0", floats),
    ])
    change(&zip)
    return zip.build()
  }

  @Test func aTensorIsAViewOfItsStorage() throws {
    let tensor = try #require(try open(zip()).value["w"]?.tensor)
    #expect(try tensor.doubles() == [1, 2, 3, 4, 5, 6])
    let transposed = Pickle.tensor(shape: [3, 2], strides: [1, 3])
    #expect(try open(zip(.file(transposed))).value["w"]?.tensor?.doubles() == [1, 4, 2, 5, 3, 6])
    let slice = Pickle.tensor(offset: .int(2), shape: [2], strides: [3])
    #expect(try open(zip(.file(slice))).value["w"]?.tensor?.doubles() == [3, 6])
    let repeated = Pickle.tensor(shape: [2, 2], strides: [0, 1])
    #expect(try open(zip(.file(repeated))).value["w"]?.tensor?.doubles() == [1, 2, 1, 2])
  }

  @Test func everyElementTypeIsRead() throws {
    let cases: [(String, [UInt8], [Double])] = [
      ("DoubleStorage", little(0.1.bitPattern), [0.1]),
      ("HalfStorage", [0x00, 0x3c, 0x01, 0x00, 0xff, 0xfb, 0x00, 0x7c], [1, 0x1p-24, -65504, .infinity]),
      ("BFloat16Storage", [0x80, 0x3f, 0x49, 0x40], [1, 3.140625]),
      ("LongStorage", little(Int64(-3)), [-3]),
      ("IntStorage", little(Int32(-4)), [-4]),
      ("ShortStorage", little(Int16(-5)), [-5]),
      ("CharStorage", [0xfa], [-6]),
      ("ByteStorage", [0xfa], [250]),
      ("BoolStorage", [0, 1], [0, 1]),
    ]
    for (name, bytes, expected) in cases {
      let count = Int32(expected.count)
      let storage = Pickle.storage(count: count, type: .global("torch", name))
      let pickle = Pickle.file(.tensor(storage: storage, shape: [count], strides: [1]))
      let file = try open(zip(pickle) { $0.entries[2].contents = bytes })
      #expect(try file.value["w"]?.tensor?.doubles() == expected, "\(name)")
    }
  }

  @Test func refusals() {
    let cases: [(String, [UInt8])] = [
      ("an empty file", []),
      ("a Git LFS pointer", Array("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n".utf8)),
      ("before torch 1.6", [0x80, 2, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, 0x2e]),
      ("a bare pickle", Pickle.file(.int(1)).bytes),
      ("a safetensors file", little(UInt64(2)) + Array("{}".utf8)),
      ("a web page", Array("<!DOCTYPE html>".utf8)),
      ("not a zip file", Array("something".utf8)),
      ("truncated", Array(zip().dropLast(30))),
      ("one entry */data.pkl, found 0", zip { $0.entries.removeFirst() }),
      ("one entry */data.pkl, found 0", zip { $0.entries[0].name = "data.pkl" }),
      ("one entry */data.pkl, found 2", zip { $0.entries[1].name = "other/data.pkl" }),
      ("byteorder: expected little, found big", zip { $0.entries[1].contents = Array("big".utf8) }),
      ("ae/data.pkl: damaged", zip { $0.entries[0].checksum = 1 }),
      ("an entry ae/data/7, found none", zip(.file(.tensor(storage: .storage("7"))))),
      ("expected digits", zip(.file(.tensor(storage: .storage("../../x"))))),
      ("expected digits", zip(.file(.tensor(storage: .storage(""))))),
      ("7 elements of F32, found 24 bytes", zip(.file(.tensor(storage: .storage(count: 7))))),
      ("6 elements of F64", zip(.file(.tensor(storage: .storage(type: .global("torch", "DoubleStorage")))))),
      (
        "expected F32, found I32 as well",
        zip([
          .proto2, .emptyDict, .mark, .text("a"), .tensor(), .text("b"),
          .tensor(storage: .storage(type: .global("torch", "IntStorage"))), .setItems, .stop,
        ])
      ),
      ("ae/data.pkl: pickle: byte 2: expected a name", zip([.proto2, .global("posix", "system"), .stop])),
    ]
    for (expected, bytes) in cases {
      let found = refusal(bytes)
      #expect(found?.contains(expected) == true, "expected \(expected), found \(found ?? "no refusal")")
    }
  }

  @Test func aDamagedStorageIsNoticedWhenItIsRead() throws {
    let tensor = try #require(try open(zip { $0.entries[2].checksum = 1 }).value["w"]?.tensor)
    #expect(throws: Failure.self) { try tensor.bytes() }
  }

  /// A stride of 0 lets six floats claim any number of elements.
  @Test func nothingIsAllocatedThatOnlyAShapeClaims() throws {
    let claim = Pickle.tensor(shape: [.max, 2, .max], strides: [0, 0, 0])
    let tensor = try #require(try open(zip(.file(claim))).value["w"]?.tensor)
    #expect(throws: Failure.self) { try tensor.doubles() }
  }
}

private let sharedContainers = sharedData + "/sae/container"

/// Files that torch 2.13 wrote, and such as it never would, with what each of them holds.
@Suite(.enabled(if: exists(sharedContainers), "\(sharedContainers) is not there"))
struct TorchContainerTests {
  private static let folder = sharedContainers

  private static func names(_ kind: String, _ suffix: String) -> [String] {
    ((try? FileManager.default.contentsOfDirectory(atPath: "\(folder)/\(kind)")) ?? [])
      .filter { $0.hasSuffix(suffix) }.sorted()
  }

  private static func tensors(_ value: PickleValue) -> [String: [Double]] {
    var found: [String: [Double]] = [:]
    for entry in value.entries ?? [] {
      if let tensor = entry.value.tensor { found["\(entry.key)"] = try? tensor.doubles() }
    }
    return found
  }

  @Test(arguments: names("accept", ".pt"))
  func accepted(_ name: String) throws {
    let file = try TorchFile(path: "\(Self.folder)/accept/\(name)")
    let found = Self.tensors(file.value["ae"] ?? file.value)
    let expectedNames = Self.names("accept/\(name.dropLast(3)).tensors", ".npy")
    #expect(!expectedNames.isEmpty && Set(found.keys) == Set(expectedNames.map { String($0.dropLast(4)) }))
    for expected in expectedNames {
      let array = try NumPyArray(path: "\(Self.folder)/accept/\(name.dropLast(3)).tensors/\(expected)")
      #expect(found[String(expected.dropLast(4))] == array.values, "\(expected)")
    }
  }

  /// What an earlier reader refused and torch reads.
  private static let acceptedByNow = ["float8.pt", "legacy_not_zip.pt", "protocol_4.pt"]

  @Test(arguments: acceptedByNow) func readByNow(_ name: String) throws {
    let value = try TorchFile(path: "\(Self.folder)/refuse/\(name)").value
    #expect(!Self.tensors(value).isEmpty)
  }

  @Test(arguments: names("refuse", ".pt").filter { !acceptedByNow.contains($0) })
  func refused(_ name: String) throws {
    let words = [
      "big_endian": "found big", "call_builtins_print": "__builtin__ print", "call_os_system": "posix system",
      "call_os_system_proto4": "posix system", "crc_mismatch": "damaged", "deep_nesting": "nested too deeply",
      "defaultdict": "collections defaultdict", "deflated": "deflated", "dict_with_storage_outside": "found none",
      "empty_file": "empty", "ext1": "EXT1",
      "getattr_rebuild": "_import_dotted_name", "git_lfs_pointer": "Git LFS", "huge_string": "4294967295 bytes",
      "inst_opcode": "expected PROTO", "memo_unset": "memo 5",
      "negative_stride": "-64", "no_data_pkl": "data.pkl", "numel_disagrees_with_record": "1025 elements",
      "numpy_scalar": "multiarray scalar", "obj_opcode": "os system", "offset_past_storage": "offset 1",
      "overflowing_shape": "2^63", "path_in_storage_key": "../../x",
      "shape_past_storage": "[16, 65]", "sparse_tensor": "_rebuild_sparse_tensor",
      "stack_underflow": "on the stack", "truncated_file": "truncated", "truncated_pickle": "truncated",
      "whole_module": "whole module",
    ]
    let path = "\(Self.folder)/refuse/\(name)"
    let failure = #expect(throws: Failure.self) {
      // Damage within a storage shows when its bytes are asked for.
      for entry in try TorchFile(path: path).value.entries ?? [] { _ = try entry.value.tensor?.bytes() }
    }
    let message = try #require(failure).description
    let word = try #require(words[String(name.dropLast(3))])
    #expect(message.hasPrefix(path) && message.contains(word) && message.count < path.count + 250, "\(message)")
    #expect(failure?.kind == .malformed && !message.contains("\n"))
  }
}
