import Foundation
import SystemIO
import TensorFiles
import TestSupport

/// Pickles put together opcode by opcode, by the names of Python's `pickle.py`.
struct Pickle: ExpressibleByArrayLiteral {
  var bytes: [UInt8] = []

  init(arrayLiteral pieces: Pickle...) { bytes = pieces.flatMap(\.bytes) }

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  static func + (left: Pickle, right: Pickle) -> Pickle { Pickle(left.bytes + right.bytes) }

  static func op(_ character: Unicode.Scalar) -> Pickle { Pickle([UInt8(ascii: character)]) }

  static let proto2 = Pickle([0x80, 2])
  static let mark = op("(")
  static let stop = op(".")
  static let reduce = op("R")
  static let tuple = op("t")
  static let emptyTuple = op(")")
  static let emptyDict = op("}")
  static let emptyList = op("]")
  static let setItem = op("s")
  static let setItems = op("u")
  static let append = op("a")
  static let build = op("b")
  static let persistent = op("Q")
  static let no = Pickle([0x89])
  static let tuple1 = Pickle([0x85])
  static let tuple2 = Pickle([0x86])
  static let orderedDict: Pickle = [global("collections", "OrderedDict"), emptyTuple, reduce]

  static func global(_ module: String, _ name: String) -> Pickle {
    op("c") + Pickle(Array("\(module)\n\(name)\n".utf8))
  }
  /// As protocol 4 writes it.
  static func stackGlobal(_ module: String, _ name: String) -> Pickle {
    [shortText(module), shortText(name), Pickle([0x93])]
  }
  static func shortText(_ text: String) -> Pickle { Pickle([0x8c, UInt8(text.utf8.count)] + Array(text.utf8)) }
  static func text(_ text: String) -> Pickle { op("X") + Pickle(little(UInt32(text.utf8.count)) + Array(text.utf8)) }
  static func int(_ value: Int32) -> Pickle { op("J") + Pickle(little(value)) }
  static func long(_ bytes: [UInt8]) -> Pickle { Pickle([0x8a, UInt8(bytes.count)] + bytes) }
  static func put(_ index: UInt8) -> Pickle { Pickle([0x71, index]) }
  static func get(_ index: UInt8) -> Pickle { Pickle([0x68, index]) }
  static func ints(_ values: [Int32]) -> Pickle { values.reduce(mark) { $0 + int($1) } + tuple }

  /// The persistent id of a storage and the opcode that makes it one.
  static func storage(
    _ key: String = "0", count: Int32 = 6, type: Pickle = global("torch", "FloatStorage")
  ) -> Pickle {
    [mark, text("storage"), type, text(key), text("cpu"), int(count), tuple, persistent]
  }

  /// A storage that counts bytes.
  static func bytes(_ count: Int32) -> Pickle { storage(count: count, type: global("torch.storage", "UntypedStorage")) }

  /// A value of torch.dtype.
  static func type(_ name: String) -> Pickle { global("torch", name) }

  func following(_ rest: Pickle) -> Pickle { self + rest }

  /// A tensor as `torch.save` writes it; of 6 floats, 2 × 3, unless told otherwise.
  static func tensor(
    rebuild: String = "_rebuild_tensor_v2", storage: Pickle = storage(), offset: Pickle = int(0),
    shape: [Int32] = [2, 3], strides: [Int32] = [3, 1],
    strideTuple: Pickle? = nil, seventh: Pickle = []
  ) -> Pickle {
    [
      global("torch._utils", rebuild), mark, storage, offset, ints(shape), strideTuple ?? ints(strides),
      no,
      orderedDict, seventh, tuple, reduce,
    ]
  }

  /// A whole pickle of a dict with one key.
  static func file(_ value: Pickle, key: String = "w") -> Pickle {
    [proto2, emptyDict, text(key), value, setItem, stop]
  }

  /// Reads the pickle with storages of as many zero bytes as are asked for, up to 24.
  func read() throws -> PickleValue {
    try bytes.withUnsafeBytes { raw in
      try PickleReader.read(raw) { _, _, byteCount throws(Failure) in
        guard byteCount <= 24 else { throw Failure(.malformed, "storage too large") }
        return Zeros(byteCount)
      }
    }
  }

  /// The message of the refusal; nil where it is read.
  func refusal() -> String? {
    do {
      _ = try read()
      return nil
    } catch { return (error as? Failure)?.description }
  }
}

private final class Zeros: TensorStorage, @unchecked Sendable {
  private let memory: UnsafeMutableRawBufferPointer

  init(_ count: Int) {
    memory = .allocate(byteCount: count, alignment: 8)
    memory.initializeMemory(as: UInt8.self, repeating: 0)
  }

  deinit { memory.deallocate() }

  func bytes() -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(memory) }
}
