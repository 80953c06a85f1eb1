import Foundation
import TensorFiles
import TestSupport
import Testing

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

  /// What torch.load(weights_only=True) reads and no reader here has a use for.
  @Test func harmlessExtras() throws {
    func call(_ module: String, _ name: String, _ arguments: Pickle...) -> Pickle {
      [.global(module, name), .mark] + arguments.reduce([], +) + [.tuple, .reduce]
    }
    let set: Pickle = [.emptyList, .mark, .int(1), .int(2), .op("e")]
    let cases: [(String, Pickle)] = [
      ("torch float32", .type("float32")), ("torch float8_e4m3fnuz", .type("float8_e4m3fnuz")),
      ("torch FloatStorage", .global("torch", "FloatStorage")), ("a class of tensors", .global("torch", "Tensor")),
      ("a device", call("torch", "device", .text("cuda"))),
      ("a device", call("torch", "device", .text("cuda"), .int(0))),
      ("a set", call("__builtin__", "set", set)), ("a set", call("builtins", "set")),
      ("a set", [Pickle([0x8f, 0x94]), .mark, .int(1), Pickle([0x90])]),
      ("a complex number", call("__builtin__", "complex", .int(0), .int(1))),
      ("bytes", call("_codecs", "encode", .text("abc"), .text("latin1"))), ("bytes", Pickle([0x43, 2, 1, 2])),
      ("bytes", Pickle([0x42] + little(UInt32(2)) + [1, 2])), ("bytes", Pickle([0x8e] + little(UInt64(1)) + [1])),
      ("bytes", Pickle([0x96] + little(UInt64(1)) + [1])),
      ("a layout", call("torch.serialization", "_get_layout", .text("torch.strided"))),
      ("a storage", .storage()), ("a tuple", call("torch", "Size", .ints([3, 4]))),
      ("a dict", call("collections", "Counter", [.emptyDict, .text("a"), .int(1), .setItem])),
      ("a dict", call("collections", "Counter")),
      ("a tensor of complex64", .tensor(storage: .storage(count: 3, type: .global("torch", "ComplexFloatStorage")))),
      (
        "a tensor of float8_e8m0fnu",
        .tensor(rebuild: "_rebuild_tensor_v3", storage: .bytes(6), seventh: .type("float8_e8m0fnu"))
      ),
    ]
    for (expected, pickle) in cases { #expect(try Pickle.file(pickle).read()["w"]?.kind == expected, "\(expected)") }
  }

  @Test func aTensorThatSaysItsOwnType() throws {
    for (name, type) in [("uint16", "U16"), ("float8_e4m3fn", "F8_E4M3"), ("uint64", "U64"), ("float32", "F32")] {
      let size = Int32(type.hasSuffix("64") ? 8 : type.hasSuffix("32") ? 4 : type.hasSuffix("16") ? 2 : 1)
      let count = 24 / size
      for extra in [[], .op("N")] as [Pickle] {
        let pickle = Pickle.tensor(
          rebuild: "_rebuild_tensor_v3", storage: .bytes(24), shape: [count], strides: [1],
          seventh: .type(name) + extra)
        let tensor = try #require(try Pickle.file(pickle).read()["w"]?.tensor)
        #expect(tensor.type.rawValue == type && tensor.shape == [Int(count)] && tensor.storageCount == Int(count))
      }
    }
  }

  @Test func parametersAndTensorsWithAttributes() throws {
    let withState: Pickle = [
      .global("torch._utils", "_rebuild_parameter_with_state"), .mark, .tensor(), Pickle([0x88]), .orderedDict,
      .emptyDict, .tuple, .reduce,
    ]
    let ofType: Pickle = [
      .global("torch._tensor", "_rebuild_from_type_v2"), .mark, .global("torch._utils", "_rebuild_tensor_v2"),
      .global("torch.nn.parameter", "Buffer"), .mark, .storage(), .int(0), .ints([2, 3]), .ints([3, 1]), .no,
      .orderedDict, .tuple, .emptyDict, .tuple, .reduce,
    ]
    for pickle in [withState, ofType] { #expect(try Pickle.file(pickle).read()["w"]?.tensor?.shape == [2, 3]) }
  }

  @Test func protocol4() throws {
    let frame = Pickle([0x95] + little(UInt64(8)))
    let value = try Pickle([0x80, 4]).following(
      [
        frame, .emptyDict, Pickle([0x94]), .mark, .shortText("name"), Pickle([0x94]), .shortText("value"),
        Pickle([0x94]), Pickle([0x8d] + little(UInt64(4)) + Array("long".utf8)), .get(1), .shortText("o"),
        .stackGlobal("collections", "OrderedDict"), Pickle([0x94]), .emptyTuple, .reduce, .setItems, .stop,
      ]
    ).read()
    #expect(value["name"]?.text == "value" && value["long"]?.text == "name" && value["o"]?.entries?.isEmpty == true)
    // Python 2's str.
    #expect(try Pickle.file(Pickle([0x55, 2] + Array("ab".utf8))).read()["w"]?.text == "ab")
  }

  /// One byte a value to remember.
  @Test func memoryIsBounded() {
    let flood = [UInt8](repeating: 0x94, count: 2 << 20)
    #expect(Pickle([0x80, 4, 0x7d] + flood + [0x2e]).refusal()?.contains("values to remember, found more") == true)
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
      ("found protocol 6", [Pickle([0x80, 6]), .emptyDict, .stop]),
      ("found protocol 1", [Pickle([0x80, 1]), .emptyDict, .stop]),
      ("expected PROTO, found MARK", [.mark, .emptyDict, .stop]),
      ("expected PROTO, found nothing", []),
      ("found INST", [.proto2, .mark, .op("i"), .stop]),
      ("found OBJ", [.proto2, .mark, .op("o"), .stop]),
      ("found NEWOBJ", [.proto2, .orderedDict, .emptyTuple, Pickle([0x81]), .stop]),
      ("found EXT1", [.proto2, Pickle([0x82, 1]), .stop]),
      ("found os system", [.proto2, .text("os"), .text("system"), Pickle([0x93]), .stop]),
      ("a name of at most 256 bytes, found an int, a string", [.proto2, .int(1), .text("x"), Pickle([0x93]), .stop]),
      ("found builtins eval", [.proto2, .stackGlobal("builtins", "eval"), .text("x"), .tuple1, .reduce, .stop]),
      ("found numpy._core.multiarray scalar", call("numpy._core.multiarray", "scalar")),
      ("found FROZENSET", [.proto2, .mark, Pickle([0x91]), .stop]),
      ("a set to add to, found a list", [.proto2, .emptyList, .mark, .int(1), Pickle([0x90]), .stop]),
      ("expected a frame", [.proto2, Pickle([0x95] + little(UInt64.max)), .emptyDict, .stop]),
      ("truncated", [.proto2, Pickle([0x8d] + little(UInt64.max) + [0x78])]),
      ("truncated", [.proto2, Pickle([0x8e] + little(UInt64(9)) + [0x78])]),
      (
        "a type of elements, found torch FloatStorage",
        .file(.tensor(rebuild: "_rebuild_tensor_v3", seventh: .global("torch", "FloatStorage")))
      ),
      (
        "a storage of whole elements of U32, found 6 bytes",
        .file(
          .tensor(rebuild: "_rebuild_tensor_v3", storage: .bytes(6), shape: [1], strides: [1], seventh: .type("uint32"))
        )
      ),
      (
        "a storage of a type, found one of bytes",
        .file(.tensor(storage: .bytes(24)))
      ),
      (
        "a tensor's own call",
        .file([
          .global("torch._tensor", "_rebuild_from_type_v2"), .mark, .global("torch._tensor", "_rebuild_from_type_v2"),
          .global("torch", "Tensor"), .emptyTuple, .emptyDict, .tuple, .reduce,
        ])
      ),
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
    let ofType = Pickle.tensor(
      rebuild: "_rebuild_tensor_v3", storage: .bytes(24), shape: [3], strides: [1], seventh: .type("uint64"))
    let protocol4: Pickle = [
      Pickle([0x80, 4, 0x95] + little(UInt64(40))), .emptyDict, Pickle([0x94]), .shortText("w"), Pickle([0x94]),
      .tensor(), .setItem, .shortText("s"), Pickle([0x8f, 0x94]), .mark, .int(1), Pickle([0x90]), .setItem,
      .shortText("o"), .stackGlobal("collections", "OrderedDict"), .emptyTuple, .reduce, .setItem, .stop,
    ]
    for bytes in [Pickle.file(.tensor()), .file(ofType), protocol4].map(\.bytes) {
      #expect(Pickle(bytes).refusal() == nil)
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
}
