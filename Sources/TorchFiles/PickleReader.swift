import Safetensors
import StoredTensors
import SystemIO

/// Reads a pickle of protocol 2 as data. Nothing is imported, called or looked up: a global is a token from a short
/// list, REDUCE knows three of them, and everything else is refused by name.
///
/// Containers lie side by side in an arena and refer to each other by index, so that no nesting, however deep or
/// circular, costs a stack frame before `value(of:)` has measured it.
package struct PickleReader {
  /// Finds the storage that a persistent id names: key, element type and number of elements.
  package typealias StorageLookup =
    (_ key: String, _ type: ElementType, _ count: Int) throws(Failure) -> any TensorStorage

  private let bytes: UnsafeRawBufferPointer
  private let storageLookup: StorageLookup
  private var position = 0
  /// Where the present opcode begins, for messages.
  private var start = 0
  private var stack: [Node] = []
  /// The heights of the stack at the open MARKs.
  private var marks: [Int] = []
  private var memo: [Int: Node] = [:]
  private var lists: [[Node]] = []
  private var tuples: [[Node]] = []
  private var dictionaries: [PickleDictionary] = []
  private var storages: [StoredElements] = []
  private var tensors: [StoredTensor] = []

  /// More values than the largest dict that Python writes at once (1000) by far, and fewer than a stack overflow.
  private static let maximumStackHeight = 65_536
  private static let maximumDepth = 64

  private enum Node {
    case none
    case bool(Bool)
    case integer(Int)
    case double(Double)
    case string(String)
    case global(PickleGlobal)
    // The rest are indices into the arena.
    case list(Int)
    case tuple(Int)
    case dictionary(Int)
    case storage(Int)
    case tensor(Int)
  }

  private struct PickleDictionary {
    let isOrdered: Bool
    var entries: [(key: PickleValue.Key, value: Node)] = []
    var keys: Set<PickleValue.Key> = []
  }

  private struct StoredElements {
    let storage: any TensorStorage
    let type: ElementType
    let count: Int
  }

  private init(_ bytes: UnsafeRawBufferPointer, _ storageLookup: @escaping StorageLookup) {
    self.bytes = bytes
    self.storageLookup = storageLookup
  }

  /// - Throws: `Failure` of kind malformed that names the byte.
  package static func read(
    _ bytes: UnsafeRawBufferPointer, storageLookup: @escaping StorageLookup
  ) throws(Failure) -> PickleValue {
    var reader = PickleReader(bytes, storageLookup)
    return try reader.document()
  }

  private mutating func document() throws(Failure) -> PickleValue {
    guard bytes.first == PickleOpcode.proto.rawValue else {
      throw wrong("PROTO", found: bytes.first.map(PickleOpcode.name) ?? "nothing")
    }
    position = 1
    let version = try byte()
    guard version == 2 else { throw wrong("protocol 2, torch.save's own", found: "protocol \(version)") }
    while try step() {}
    guard stack.count == 1, marks.isEmpty else {
      throw wrong("one value at STOP", found: "\(stack.count) and \(marks.count) open marks")
    }
    guard position == bytes.count else {
      throw wrong("the end after STOP", found: "\(bytes.count - position) bytes")
    }
    var converted = ConvertedContainers()
    return try value(of: stack[0], &converted).value
  }

  /// One opcode; false at STOP.
  private mutating func step() throws(Failure) -> Bool {
    start = position
    let code = try byte()
    guard let opcode = PickleOpcode(rawValue: code), opcode != .proto else {
      throw wrong("an opcode that a dict of tensors needs", found: PickleOpcode.name(of: code))
    }
    switch opcode {
    case .stop: return false
    case .mark: marks.append(stack.count)
    case .none: stack.append(.none)
    case .newTrue: stack.append(.bool(true))
    case .newFalse: stack.append(.bool(false))
    case .binInt1: stack.append(.integer(Int(try byte())))
    case .binInt2: stack.append(.integer(Int(UInt16(littleEndian: try load()))))
    case .binInt: stack.append(.integer(Int(Int32(littleEndian: try load()))))
    case .long1: stack.append(.integer(try longInteger()))
    case .binFloat: stack.append(.double(Double(bitPattern: UInt64(bigEndian: try load()))))
    case .binUnicode: stack.append(.string(try string()))
    case .global: stack.append(.global(try global()))
    case .binPersID: stack.append(try persistentStorage())
    case .reduce: try reduce()
    case .build: try build()
    case .emptyTuple: pushTuple([])
    case .tuple1: pushTuple(try pop(1))
    case .tuple2: pushTuple(try pop(2))
    case .tuple3: pushTuple(try pop(3))
    case .tuple: pushTuple(try popToMark())
    case .emptyList:
      lists.append([])
      stack.append(.list(lists.count - 1))
    case .append: try append(pop(1))
    case .appends: try append(popToMark())
    case .emptyDict: pushDictionary(isOrdered: false)
    case .setItem: try setItems(pop(2))
    case .setItems: try setItems(popToMark())
    case .binPut: memo[Int(try byte())] = try top()
    case .longBinPut: memo[Int(UInt32(littleEndian: try load()))] = try top()
    case .binGet: try get(Int(try byte()))
    case .longBinGet: try get(Int(UInt32(littleEndian: try load())))
    case .proto: preconditionFailure("refused above")
    }
    guard stack.count <= Self.maximumStackHeight, marks.count <= Self.maximumStackHeight else {
      throw wrong("at most \(Self.maximumStackHeight) values at once", found: "more: nested too deeply")
    }
    return true
  }

  private func wrong(_ expected: String, found: String) -> Failure {
    Failure(.malformed, "pickle: byte \(start): expected \(expected), found \(found)")
  }

  // MARK: Arguments

  private mutating func take(_ count: Int) throws(Failure) -> UnsafeRawBufferPointer {
    guard count <= bytes.count - position else {
      throw wrong("\(count) bytes more", found: "\(bytes.count - position): the pickle is truncated")
    }
    defer { position += count }
    return UnsafeRawBufferPointer(rebasing: bytes[position..<position + count])
  }

  private mutating func byte() throws(Failure) -> UInt8 { try take(1)[0] }

  private mutating func load<Integer: FixedWidthInteger>() throws(Failure) -> Integer {
    try take(MemoryLayout<Integer>.size).loadUnaligned(as: Integer.self)
  }

  /// Two's complement in as few bytes as it needs.
  private mutating func longInteger() throws(Failure) -> Int {
    let size = Int(try byte())
    guard size <= 8 else { throw wrong("an integer of at most 64 bits", found: "\(8 * size)") }
    let digits = try take(size)
    var value = digits.last.map { $0 >= 0x80 } == true ? -1 : 0
    for digit in digits.reversed() { value = value << 8 | Int(digit) }
    return value
  }

  private mutating func string() throws(Failure) -> String {
    let length = UInt32(littleEndian: try load())
    guard let text = String(validating: try take(Int(length)), as: UTF8.self) else {
      throw wrong("a string in UTF-8", found: "other bytes")
    }
    return text
  }

  private mutating func line() throws(Failure) -> String {
    let rest = bytes[position...]
    guard let end = rest.firstIndex(of: UInt8(ascii: "\n")), end - position <= 256 else {
      throw wrong("a name of at most 256 bytes and a line feed", found: "none")
    }
    defer { position = end + 1 }
    return String(decoding: bytes[position..<end], as: UTF8.self)
  }

  private mutating func global() throws(Failure) -> PickleGlobal {
    let name = "\(try line()) \(try line())"
    if let global = PickleGlobal(rawValue: name) { return global }
    throw wrong(
      "a name that a dict of tensors needs",
      found: name + (makesObject() ? ": a whole module, from torch.save(model); state_dict() is what can be read" : ""))
  }

  /// Whether the name just read is a class of which an object is made at once: EMPTY_TUPLE, NEWOBJ.
  private func makesObject() -> Bool {
    let next = Array(bytes[position...].prefix(4))
    return next.prefix(2) == [PickleOpcode.emptyTuple.rawValue, 0x81]
      || (next.first == PickleOpcode.binPut.rawValue && next.dropFirst(2) == [PickleOpcode.emptyTuple.rawValue, 0x81])
  }

  // MARK: The stack

  /// The `count` topmost values above the last MARK.
  private mutating func pop(_ count: Int) throws(Failure) -> [Node] {
    guard stack.count - (marks.last ?? 0) >= count else {
      throw wrong("\(count) values on the stack", found: "\(stack.count - (marks.last ?? 0))")
    }
    defer { stack.removeLast(count) }
    return Array(stack.suffix(count))
  }

  private mutating func popToMark() throws(Failure) -> [Node] {
    guard let mark = marks.popLast() else { throw wrong("a MARK on the stack", found: "none") }
    defer { stack.removeLast(stack.count - mark) }
    return Array(stack[mark...])
  }

  private func top() throws(Failure) -> Node {
    guard stack.count > marks.last ?? 0, let top = stack.last else {
      throw wrong("a value on the stack", found: "none")
    }
    return top
  }

  private mutating func get(_ index: Int) throws(Failure) {
    guard let node = memo[index] else { throw wrong("a value in memo \(index)", found: "none") }
    stack.append(node)
  }

  private mutating func pushTuple(_ elements: [Node]) {
    tuples.append(elements)
    stack.append(.tuple(tuples.count - 1))
  }

  private mutating func pushDictionary(isOrdered: Bool) {
    dictionaries.append(PickleDictionary(isOrdered: isOrdered))
    stack.append(.dictionary(dictionaries.count - 1))
  }

  private mutating func append(_ elements: [Node]) throws(Failure) {
    guard case .list(let list) = try top() else { throw wrong("a list to append to", found: kind(try top())) }
    lists[list] += elements
  }

  private mutating func setItems(_ items: [Node]) throws(Failure) {
    guard case .dictionary(let dictionary) = try top() else {
      throw wrong("a dict to set items of", found: kind(try top()))
    }
    guard items.count % 2 == 0 else { throw wrong("pairs of key and value", found: "\(items.count) values") }
    for index in stride(from: 0, to: items.count, by: 2) {
      let key: PickleValue.Key
      switch items[index] {
      case .string(let text): key = .string(text)
      case .integer(let value): key = .integer(value)
      default: throw wrong("a string or an int as key", found: kind(items[index]))
      }
      guard dictionaries[dictionary].keys.insert(key).inserted else {
        throw wrong("each key once", found: "\(key) twice")
      }
      dictionaries[dictionary].entries.append((key, items[index + 1]))
    }
  }

  // MARK: Tensors

  /// ("storage", type, key, location, number of elements). The location, "cpu" or "cuda:0", changes nothing.
  private mutating func persistentStorage() throws(Failure) -> Node {
    guard case .tuple(let index) = try pop(1)[0], tuples[index].count == 5, case .string("storage") = tuples[index][0],
      case .global(let global) = tuples[index][1], case .string(let key) = tuples[index][2],
      case .string = tuples[index][3], case .integer(let count) = tuples[index][4], count >= 0
    else { throw wrong("a storage's type, key, location and count", found: "another persistent id") }
    guard let type = global.elementType else { throw wrong("a type of storage", found: global.rawValue) }
    storages.append(StoredElements(storage: try storageLookup(key, type, count), type: type, count: count))
    return .storage(storages.count - 1)
  }

  private mutating func reduce() throws(Failure) {
    let operands = try pop(2)
    guard case .global(let function) = operands[0] else {
      throw wrong("a name to call", found: kind(operands[0]))
    }
    guard case .tuple(let index) = operands[1] else {
      throw wrong("a tuple of arguments", found: kind(operands[1]))
    }
    let arguments = tuples[index]
    switch function {
    case .orderedDict where arguments.isEmpty: pushDictionary(isOrdered: true)
    case .rebuildTensor where (6...7).contains(arguments.count):
      tensors.append(try tensor(arguments))
      stack.append(.tensor(tensors.count - 1))
    case .rebuildParameter where arguments.count == 3:
      guard case .tensor = arguments[0], case .bool = arguments[1], isEmptyDictionary(arguments[2]) else {
        throw wrong("a tensor, a bool and an OrderedDict", found: arguments.map(kind).joined(separator: ", "))
      }
      stack.append(arguments[0])
    default: throw wrong("a call that makes a tensor", found: "\(function.rawValue) of \(arguments.count) arguments")
    }
  }

  /// (storage, offset, size, strides, requires_grad, backward hooks, and perhaps the flags of a conjugated view),
  /// as torch/_utils.py `_rebuild_tensor_v2` takes them.
  private func tensor(_ arguments: [Node]) throws(Failure) -> StoredTensor {
    guard case .storage(let index) = arguments[0], case .integer(let offset) = arguments[1],
      let shape = integers(arguments[2]), let strides = integers(arguments[3]), case .bool = arguments[4],
      isEmptyDictionary(arguments[5]), arguments.count == 6 || isNoneOrEmptyDictionary(arguments[6])
    else {
      throw wrong(
        "a storage, offset, size, strides, a bool and an OrderedDict",
        found: arguments.map(kind).joined(separator: ", "))
    }
    let elements = storages[index]
    do {
      return try StoredTensor(
        type: elements.type, shape: shape, strides: strides, offset: offset, storage: elements.storage,
        storageCount: elements.count)
    } catch { throw error.at("pickle: byte \(start)") }
  }

  private func integers(_ node: Node) -> [Int]? {
    guard case .tuple(let index) = node else { return nil }
    var values: [Int] = []
    for element in tuples[index] {
      guard case .integer(let value) = element else { return nil }
      values.append(value)
    }
    return values
  }

  private func isEmptyDictionary(_ node: Node) -> Bool {
    if case .dictionary(let index) = node { dictionaries[index].entries.isEmpty } else { false }
  }

  private func isNoneOrEmptyDictionary(_ node: Node) -> Bool {
    if case .none = node { true } else { isEmptyDictionary(node) }
  }

  /// An OrderedDict may carry attributes; `state_dict()` gives it `_metadata`, which no reader needs.
  private mutating func build() throws(Failure) {
    guard case .dictionary = try pop(1)[0] else { throw wrong("a dict of attributes", found: "something else") }
    guard case .dictionary(let index) = try top(), dictionaries[index].isOrdered else {
      throw wrong("an OrderedDict to give attributes to", found: kind(try top()))
    }
  }

  // MARK: The result

  /// The containers that have been converted, so that one that is shared is converted once.
  private struct ConvertedContainers {
    var lists: [Int: Converted] = [:]
    var tuples: [Int: Converted] = [:]
    var dictionaries: [Int: Converted] = [:]
  }

  private struct Converted {
    let value: PickleValue
    /// Containers within containers, this one counted.
    let depth: Int
  }

  /// - Parameter level: the containers around this value. One that holds itself has no end and so is too deep.
  private func value(
    of node: Node, _ converted: inout ConvertedContainers, level: Int = 0
  ) throws(Failure) -> Converted {
    let result: Converted
    switch node {
    case .none: return Converted(value: .none, depth: 0)
    case .bool(let value): return Converted(value: .bool(value), depth: 0)
    case .integer(let value): return Converted(value: .integer(value), depth: 0)
    case .double(let value): return Converted(value: .double(value), depth: 0)
    case .string(let value): return Converted(value: .string(value), depth: 0)
    case .global(let global): return Converted(value: .token(global.rawValue), depth: 0)
    case .storage: return Converted(value: .token("a storage"), depth: 0)
    case .tensor(let index): return Converted(value: .tensor(tensors[index]), depth: 0)
    case .list(let index):
      if let known = converted.lists[index] { return try checked(known, level) }
      let (elements, depth) = try values(of: lists[index], &converted, level: level)
      result = Converted(value: .list(elements), depth: depth)
      converted.lists[index] = result
    case .tuple(let index):
      if let known = converted.tuples[index] { return try checked(known, level) }
      let (elements, depth) = try values(of: tuples[index], &converted, level: level)
      result = Converted(value: .tuple(elements), depth: depth)
      converted.tuples[index] = result
    case .dictionary(let index):
      if let known = converted.dictionaries[index] { return try checked(known, level) }
      let entries = dictionaries[index].entries
      let (elements, depth) = try values(of: entries.map(\.value), &converted, level: level)
      let pairs = zip(entries, elements).map { PickleValue.Entry(key: $0.key, value: $1) }
      result = Converted(value: .dictionary(pairs), depth: depth)
      converted.dictionaries[index] = result
    }
    return result
  }

  private func values(
    of nodes: [Node], _ converted: inout ConvertedContainers, level: Int
  ) throws(Failure) -> (values: [PickleValue], depth: Int) {
    guard level < Self.maximumDepth else { throw tooDeep() }
    var values: [PickleValue] = []
    values.reserveCapacity(nodes.count)
    var depth = 0
    for node in nodes {
      let element = try value(of: node, &converted, level: level + 1)
      values.append(element.value)
      depth = max(depth, element.depth)
    }
    return (values, depth + 1)
  }

  private func checked(_ known: Converted, _ level: Int) throws(Failure) -> Converted {
    guard level + known.depth <= Self.maximumDepth else { throw tooDeep() }
    return known
  }

  private func tooDeep() -> Failure {
    Failure(.malformed, "pickle: expected at most \(Self.maximumDepth) containers within each other, found more")
  }

  private func kind(_ node: Node) -> String {
    switch node {
    case .none: "None"
    case .bool: "a bool"
    case .integer: "an int"
    case .double: "a float"
    case .string: "a string"
    case .global(let global): global.rawValue
    case .list: "a list"
    case .tuple: "a tuple"
    case .dictionary(let index): dictionaries[index].isOrdered ? "an OrderedDict" : "a dict"
    case .storage: "a storage"
    case .tensor: "a tensor"
    }
  }
}

extension PickleGlobal {
  /// What a storage of that name holds; nil where it names no storage.
  var elementType: ElementType? {
    switch self {
    case .doubleStorage: .f64
    case .floatStorage: .f32
    case .halfStorage: .f16
    case .bfloat16Storage: .bf16
    case .longStorage: .i64
    case .intStorage: .i32
    case .shortStorage: .i16
    case .charStorage: .i8
    case .byteStorage: .u8
    case .boolStorage: .bool
    case .orderedDict, .rebuildTensor, .rebuildParameter: nil
    }
  }
}
