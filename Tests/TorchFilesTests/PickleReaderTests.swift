import Foundation
import TestSupport
import Testing
import TorchFiles

@Suite struct PickleReaderTests {
  @Test func plainValues() throws {
    let pickle: Pickle = [
      .proto2, .emptyDict, .put(0), .mark,
      .text("none"), .op("N"), .text("yes"), Pickle([0x88]), .text("byte"), Pickle([0x4b, 200]),
      .text("short"), Pickle([0x4d, 0x39, 0x30]), .text("int"), .int(-5),
      .text("long"), .long([0, 0, 0, 0, 1]), .text("negative"), .long([0xfe]), .text("empty long"), .long([]),
      .text("float"), Pickle([0x47, 0x3f, 0xd0, 0, 0, 0, 0, 0, 0]),
      .text("list"), .emptyList, .put(9), .int(1), .append, .mark, .int(2), .int(3), .op("e"),
      .text("pair"), .int(1), .int(2), .tuple2, .text("again"), .get(9),
      .setItems, .stop,
    ]
    let value = try pickle.read()
    #expect(value["byte"]?.integer == 200)
    #expect(value["short"]?.integer == 12345)
    #expect(value["int"]?.integer == -5)
    #expect(value["long"]?.integer == 1 << 32)
    #expect(value["negative"]?.integer == -2)
    #expect(value["empty long"]?.integer == 0)
    #expect(value["float"]?.number == 0.25)
    for key in ["list", "again"] {
      guard case .list(let elements)? = value[key] else { throw Unexpected() }
      #expect(elements.map(\.integer) == [1, 2, 3])
    }
    guard case .none? = value["none"], case .bool(true)? = value["yes"], case .tuple(let pair)? = value["pair"] else {
      throw Unexpected()
    }
    #expect(pair.map(\.integer) == [1, 2])
    #expect(value["absent"] == nil)
  }

  private struct Unexpected: Error {}

  @Test func tensors() throws {
    let tensor = try #require(try Pickle.file(.tensor()).read()["w"]?.tensor)
    #expect(tensor.type == .f32 && tensor.shape == [2, 3] && tensor.strides == [3, 1] && tensor.offset == 0)
    let none = Pickle.op("N")
    for seventh in [none, .emptyDict] { #expect(Pickle.file(.tensor(seventh: seventh)).refusal() == nil) }
    let parameter: Pickle = [
      .global("torch._utils", "_rebuild_parameter"), .mark, .tensor(), Pickle([0x88]), .orderedDict, .tuple, .reduce,
    ]
    #expect(try Pickle.file(parameter).read()["w"]?.tensor?.shape == [2, 3])
    let scalar = try Pickle.file(.tensor(shape: [], strides: [])).read()["w"]?.tensor
    #expect(scalar?.count == 1)
  }

  @Test func theMetadataOfAStateDictIsIgnored() throws {
    let state: Pickle = [.emptyDict, .text("_metadata"), .orderedDict, .setItem]
    let pickle: Pickle = [.proto2, .orderedDict, .text("w"), .tensor(), .setItem, state, .build, .stop]
    let value = try pickle.read()
    #expect(value.entries?.map(\.key) == [.string("w")])
  }

  @Test func refusals() {
    func call(_ module: String, _ name: String) -> Pickle {
      [.proto2, .global(module, name), .text("echo ran"), .tuple1, .reduce, .stop]
    }
    let half = little(Int64.max / 2)
    let conjugated: Pickle = [.emptyDict, .text("conj"), Pickle([0x88]), .setItem]
    let cases: [(String, Pickle)] = [
      ("found posix system", call("posix", "system")),
      ("found builtins eval", call("builtins", "eval")),
      ("found torch._utils _import_dotted_name", call("torch._utils", "_import_dotted_name")),
      ("found torch load", call("torch", "load")),
      ("found collections OrderedDict of 1 arguments", call("collections", "OrderedDict")),
      ("found torch FloatStorage of 1 arguments", call("torch", "FloatStorage")),
      ("whole module", [.proto2, .global("__main__", "M"), .put(0), .emptyTuple, Pickle([0x81]), .stop]),
      ("whole module", [.proto2, .global("__main__", "M"), .emptyTuple, Pickle([0x81]), .stop]),
      ("a name of at most 256 bytes", [.proto2, .global(String(repeating: "m", count: 300), "n"), .stop]),
      ("found protocol 4", [Pickle([0x80, 4]), .emptyDict, .stop]),
      ("expected PROTO, found MARK", [.mark, .emptyDict, .stop]),
      ("expected PROTO, found nothing", []),
      ("found INST", [.proto2, .mark, .op("i"), .stop]),
      ("found OBJ", [.proto2, .mark, .op("o"), .stop]),
      ("found NEWOBJ", [.proto2, .orderedDict, .emptyTuple, Pickle([0x81]), .stop]),
      ("found EXT1", [.proto2, Pickle([0x82, 1]), .stop]),
      ("found STACK_GLOBAL", [.proto2, .text("os"), .text("system"), Pickle([0x93]), .stop]),
      ("found PERSID", [.proto2, .op("P"), .stop]),
      ("found DUP", [.proto2, .emptyDict, .op("2"), .stop]),
      ("found 0xff", [.proto2, Pickle([0xff]), .stop]),
      ("64 bits, found 72", [.proto2, .long([UInt8](repeating: 1, count: 9)), .stop]),
      ("a value in memo 5, found none", [.proto2, .get(5), .stop]),
      ("2 values on the stack, found 0", [.proto2, .reduce, .stop]),
      ("1 values on the stack, found 0", [.proto2, .emptyDict, .mark, .tuple1, .stop]),
      ("a value on the stack, found none", [.proto2, .put(0), .stop]),
      ("a MARK on the stack, found none", [.proto2, .tuple, .stop]),
      ("one value at STOP, found 0", [.proto2, .stop]),
      ("one value at STOP, found 2", [.proto2, .emptyDict, .emptyDict, .stop]),
      ("1 open marks", [.proto2, .emptyDict, .mark, .stop]),
      ("the end after STOP, found 1 bytes", [.proto2, .emptyDict, .stop, .stop]),
      ("truncated", [.proto2, .emptyDict]),
      ("truncated", [.proto2, Pickle([0x58, 0xff, 0xff, 0xff, 0xff]), .text("x")]),
      ("a string in UTF-8", [.proto2, Pickle([0x58, 1, 0, 0, 0, 0xff]), .stop]),
      ("pairs of key and value", [.proto2, .emptyDict, .mark, .text("a"), .setItems, .stop]),
      ("a string or an int as key, found None", [.proto2, .emptyDict, .op("N"), .int(1), .setItem, .stop]),
      (
        "each key once, found a twice",
        [.proto2, .emptyDict, .mark, .text("a"), .int(1), .text("a"), .int(2), .setItems, .stop]
      ),
      ("a dict to set items of, found a list", [.proto2, .emptyList, .text("a"), .int(1), .setItem, .stop]),
      ("a list to append to, found a dict", [.proto2, .emptyDict, .int(1), .append, .stop]),
      ("an OrderedDict to give attributes to, found a dict", [.proto2, .emptyDict, .emptyDict, .build, .stop]),
      ("a dict of attributes", [.proto2, .orderedDict, .int(1), .build, .stop]),
      (
        "found torch._utils _rebuild_parameter of 1 arguments",
        [.proto2, .global("torch._utils", "_rebuild_parameter"), .tensor(), .tuple1, .reduce, .stop]
      ),
      ("another persistent id", [.proto2, .text("storage"), .persistent, .stop]),
      (
        "a type of storage, found collections OrderedDict",
        .file(.tensor(storage: .storage(type: .global("collections", "OrderedDict"))))
      ),
      ("another persistent id", .file(.tensor(storage: .storage(count: -1)))),
      ("expected a storage, offset", .file(.tensor(offset: .text("0")))),
      ("expected a storage, offset", .file(.tensor(seventh: conjugated))),
      ("2 of 0 or more, found [3]", .file(.tensor(strides: [3]))),
      ("2 of 0 or more, found [-3, 1]", .file(.tensor(strides: [-3, 1]))),
      ("sizes of 0 or more, found [-2, 3]", .file(.tensor(shape: [-2, 3]))),
      ("at most 8 sizes", .file(.tensor(shape: .init(repeating: 1, count: 9), strides: .init(repeating: 1, count: 9)))),
      ("found the last at 6", .file(.tensor(shape: [2, 3], strides: [4, 1]))),
      ("found the last at 6", .file(.tensor(offset: .int(1)))),
      ("offset: expected 0 to 6, found 7", .file(.tensor(offset: .int(7), shape: [0], strides: [1]))),
      (
        "fewer than 2^63 elements",
        .file(.tensor(shape: .init(repeating: .max, count: 3), strides: [0, 0, 0]))
      ),
      (
        "more than 2^63",
        .file(.tensor(shape: [3, 3], strideTuple: [.long(half), .long(half), .tuple2]))
      ),
    ]
    for (expected, pickle) in cases {
      let found = pickle.refusal()
      #expect(found?.contains(expected) == true, "expected \(expected), found \(found ?? "no refusal")")
    }
  }

  @Test func nothingIsNestedTooDeeply() {
    let many = 200_000
    let atOnce = [UInt8](repeating: UInt8(ascii: "]"), count: many) + [UInt8](repeating: UInt8(ascii: "a"), count: many)
    #expect(Pickle([0x80, 2] + atOnce + [0x2e]).refusal()?.contains("nested too deeply") == true)
    // One tuple around another never stands high on the stack.
    let tuples = [UInt8](repeating: 0x85, count: many)
    #expect(Pickle([0x80, 2, 0x29] + tuples + [0x2e]).refusal()?.contains("containers within each other") == true)
    #expect(Pickle([0x80, 2, 0x29] + tuples.prefix(63) + [0x2e]).refusal() == nil)
    #expect(Pickle([0x80, 2, 0x29] + tuples.prefix(64) + [0x2e]).refusal()?.contains("within each other") == true)
    // Built from the outside in: each list is appended to the one before while it is still empty.
    var inward: [UInt8] = [0x80, 2, 0x28, 0x5d]
    for _ in 0..<1000 { inward += [0x5d, 0x71, 0, 0x61, 0x68, 0] }
    #expect(Pickle(inward + [0x74, 0x2e]).refusal()?.contains("within each other") == true)
    // A list that holds itself.
    #expect(Pickle([0x80, 2, 0x5d, 0x71, 0, 0x68, 0, 0x61, 0x2e]).refusal()?.contains("within each other") == true)
  }

  /// 30 lists, each holding the one before twice, are 2^30 lists when written out.
  @Test(.timeLimit(.minutes(1))) func sharedContainersAreReadOnce() throws {
    var lists: [UInt8] = [0x80, 2, 0x28, 0x5d, 0x71, 0]
    for index in 1...UInt8(30) { lists += [0x5d, 0x71, index, 0x28, 0x68, index - 1, 0x68, index - 1, 0x65] }
    _ = try Pickle(lists + [0x74, 0x2e]).read()
    var tuples: [UInt8] = [0x80, 2, 0x29, 0x71, 0]
    for _ in 0..<30 { tuples += [0x68, 0, 0x86, 0x71, 0] }
    _ = try Pickle(tuples + [0x2e]).read()
  }

  @Test func everyTruncationIsRefused() {
    let bytes = Pickle.file(.tensor()).bytes
    for count in 0..<bytes.count { #expect(Pickle(Array(bytes.prefix(count))).refusal() != nil, "\(count) bytes") }
  }

  /// Whatever a byte is changed to, the pickle is read or refused; a tensor never leaves its storage.
  @Test func noChangedByteLeadsAstray() {
    let values = (UInt8.min ... .max).filter { PickleOpcode(rawValue: $0) != nil } + [0, 1, 0x7f, 0xff]
    let bytes = Pickle.file(.tensor()).bytes
    for position in bytes.indices {
      for value in values {
        var changed = bytes
        changed[position] = value
        guard let tensor = try? Pickle(changed).read()["w"]?.tensor else { continue }
        _ = try? tensor.doubles()
      }
    }
  }
}
