import SystemIO

/// Reads a pickle of protocols 2 to 5 as data. Nothing is imported, called or looked up: a global is a token from a
/// short list, REDUCE knows some of them, and everything else is refused by name.
///
/// Containers lie side by side in an arena and refer to each other by index, so that no nesting, however deep or
/// circular, costs a stack frame before `value(of:)` has measured it.
package struct PickleReader {
  /// Finds the storage that a persistent id names.
  ///
  /// - Parameters:
  ///   - type: of its elements; nil where the storage counts bytes and each tensor says its own type.
  ///   - byteCount: how long the storage is by the persistent id.
  package typealias StorageLookup =
    (_ key: String, _ type: StorageType?, _ byteCount: Int) throws(Failure) -> any TensorStorage

  private let bytes: UnsafeRawBufferPointer
  let storageLookup: StorageLookup
  private var position = 0
  /// Where the present opcode begins, for messages.
  private(set) var start = 0
  var stack: [Node] = []
  /// The heights of the stack at the open MARKs.
  private var marks: [Int] = []
  private var memo: [Int: Node] = [:]
  var lists: [[Node]] = []
  var tuples: [[Node]] = []
  var dictionaries: [PickleDictionary] = []
  var storages: [(storage: any TensorStorage, type: StorageType?, byteCount: Int)] = []
  var tensors: [StoredTensor] = []

  /// Python remembers some ten values for each tensor.
  private static let maximumMemoSize = 1 << 20
  /// More values than the largest dict that Python writes at once (1000) by far, and fewer than a stack overflow.
  private static let maximumStackHeight = 65_536
  static let maximumDepth = 64

  enum Node {
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
    // A value of no use to any reader, in words, and a tensor of a type that is of none.
    case other(String)
    case otherTensor(String)
  }

  struct PickleDictionary {
    let isOrdered: Bool
    var entries: [(key: PickleValue.Key, value: Node)] = []
    var keys: Set<PickleValue.Key> = []
  }

  /// What `other` nodes are called.
  static let set = "a set"
  static let byteString = "bytes"

  private init(_ bytes: UnsafeRawBufferPointer, _ storageLookup: @escaping StorageLookup) {
    self.bytes = bytes
    self.storageLookup = storageLookup
  }

  /// Reads a pickle that fills `bytes`.
  ///
  /// - Throws: `Failure` of kind malformed that names the byte.
  package static func read(
    _ bytes: UnsafeRawBufferPointer, storageLookup: @escaping StorageLookup
  ) throws(Failure) -> PickleValue {
    let (value, end) = try readFirst(of: bytes, storageLookup: storageLookup)
    guard end == bytes.count else {
      throw Failure(
        .malformed, "pickle: byte \(end - 1): expected the end after STOP, found \(bytes.count - end) bytes")
    }
    return value
  }

  /// Reads the first of several pickles, and says where it ends.
  package static func readFirst(
    of bytes: UnsafeRawBufferPointer, storageLookup: @escaping StorageLookup
  ) throws(Failure) -> (value: PickleValue, end: Int) {
    var reader = PickleReader(bytes, storageLookup)
    return (try reader.document(), reader.position)
  }

  private mutating func document() throws(Failure) -> PickleValue {
    guard bytes.first == PickleOpcode.proto.rawValue else {
      throw wrong("PROTO", found: bytes.first.map(PickleOpcode.name) ?? "nothing")
    }
    position = 1
    let version = try byte()
    guard (2...5).contains(version) else { throw wrong("protocol 2 to 5", found: "protocol \(version)") }
    while try step() {}
    guard stack.count == 1, marks.isEmpty else {
      throw wrong("one value at STOP", found: "\(stack.count) and \(marks.count) open marks")
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
    case .shortBinString, .shortBinUnicode: stack.append(.string(try string(length: Int(byte()))))
    case .binUnicode: stack.append(.string(try string(length: length32())))
    case .binUnicode8: stack.append(.string(try string(length: length64())))
    case .shortBinBytes: try skipBytes(Int(byte()))
    case .binBytes: try skipBytes(length32())
    case .binBytes8, .byteArray8: try skipBytes(length64())
    case .emptySet: stack.append(.other(Self.set))
    case .addItems: try addItems(popToMark())
    // A frame only tells how much to read at a time.
    case .frame: guard try length64() <= bytes.count - position else { throw wrong("a frame", found: "its end") }
    case .global: stack.append(.global(try global(module: line(), name: line())))
    case .stackGlobal: try stackGlobal()
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
    case .emptyDict: stack.append(makeDictionary(isOrdered: false))
    case .setItem: try setItems(pop(2))
    case .setItems: try setItems(popToMark())
    case .binPut: try put(Int(byte()))
    case .longBinPut: try put(length32())
    case .memoize: try put(memo.count)
    case .binGet: try get(Int(byte()))
    case .longBinGet: try get(length32())
    case .proto: preconditionFailure("refused above")
    }
    guard stack.count <= Self.maximumStackHeight, marks.count <= Self.maximumStackHeight else {
      throw wrong("at most \(Self.maximumStackHeight) values at once", found: "more: nested too deeply")
    }
    return true
  }

  func wrong(_ expected: String, found: String) -> Failure {
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

  private mutating func length32() throws(Failure) -> Int { Int(UInt32(littleEndian: try load())) }

  private mutating func length64() throws(Failure) -> Int {
    Int(clamping: UInt64(littleEndian: try load()))
  }

  private mutating func string(length: Int) throws(Failure) -> String {
    guard let text = String(validating: try take(length), as: UTF8.self) else {
      throw wrong("a string in UTF-8", found: "other bytes")
    }
    return text
  }

  private mutating func skipBytes(_ length: Int) throws(Failure) {
    _ = try take(length)
    stack.append(.other(Self.byteString))
  }

  private mutating func line() throws(Failure) -> String {
    let rest = bytes[position...]
    guard let end = rest.firstIndex(of: UInt8(ascii: "\n")), end - position <= 256 else {
      throw wrong("a name of at most 256 bytes and a line feed", found: "none")
    }
    defer { position = end + 1 }
    return String(decoding: bytes[position..<end], as: UTF8.self)
  }

  private mutating func global(module: String, name: String) throws(Failure) -> PickleGlobal {
    if let global = PickleGlobal(module: module, name: name) { return global }
    throw wrong(
      "a name that a dict of tensors needs",
      found: "\(module) \(name)"
        + (makesObject() ? ": a whole module or another Python object; state_dict() is what can be read" : ""))
  }

  private mutating func stackGlobal() throws(Failure) {
    let names = try pop(2)
    guard case .string(let module) = names[0], case .string(let name) = names[1], module.utf8.count <= 256,
      name.utf8.count <= 256
    else { throw wrong("a name of at most 256 bytes", found: names.map(kind).joined(separator: ", ")) }
    stack.append(.global(try global(module: module, name: name)))
  }

  /// Whether the name just read is a class of which an object is made at once: EMPTY_TUPLE, NEWOBJ.
  private func makesObject() -> Bool {
    var next = bytes[position...].prefix(4)
    if next.first == PickleOpcode.binPut.rawValue {
      next = next.dropFirst(2)
    } else if next.first == PickleOpcode.memoize.rawValue {
      next = next.dropFirst()
    }
    return next.starts(with: [PickleOpcode.emptyTuple.rawValue, 0x81])
  }

  // MARK: The stack

  /// The `count` topmost values above the last MARK.
  mutating func pop(_ count: Int) throws(Failure) -> [Node] {
    guard stack.count - (marks.last ?? 0) >= count else {
      throw wrong("\(count) values on the stack", found: "\(stack.count - (marks.last ?? 0))")
    }
    defer { stack.removeLast(count) }
    return Array(stack.suffix(count))
  }

  mutating func popToMark() throws(Failure) -> [Node] {
    guard let mark = marks.popLast() else { throw wrong("a MARK on the stack", found: "none") }
    defer { stack.removeLast(stack.count - mark) }
    return Array(stack[mark...])
  }

  func top() throws(Failure) -> Node {
    guard stack.count > marks.last ?? 0, let top = stack.last else {
      throw wrong("a value on the stack", found: "none")
    }
    return top
  }

  private mutating func put(_ index: Int) throws(Failure) {
    memo[index] = try top()
    guard memo.count <= Self.maximumMemoSize else {
      throw wrong("at most \(Self.maximumMemoSize) values to remember", found: "more")
    }
  }

  private mutating func get(_ index: Int) throws(Failure) {
    guard let node = memo[index] else { throw wrong("a value in memo \(index)", found: "none") }
    stack.append(node)
  }

  mutating func pushTuple(_ elements: [Node]) {
    tuples.append(elements)
    stack.append(.tuple(tuples.count - 1))
  }

  mutating func makeDictionary(isOrdered: Bool) -> Node {
    dictionaries.append(PickleDictionary(isOrdered: isOrdered))
    return .dictionary(dictionaries.count - 1)
  }

  private mutating func append(_ elements: [Node]) throws(Failure) {
    guard case .list(let list) = try top() else { throw wrong("a list to append to", found: kind(try top())) }
    lists[list] += elements
  }

  /// A set is left alone: what it holds is of no use to any reader.
  private mutating func addItems(_ items: [Node]) throws(Failure) {
    guard case .other(Self.set) = try top() else { throw wrong("a set to add to", found: kind(try top())) }
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
}
