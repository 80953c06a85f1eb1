import SystemIO

/// What persistent ids and REDUCE make.
extension PickleReader {
  /// ("storage", type, key, location, number of elements), and before torch 1.6 None after it. The location, "cpu" or
  /// "cuda:0", changes nothing.
  mutating func persistentStorage() throws(Failure) -> Node {
    guard case .tuple(let index) = try pop(1)[0], (5...6).contains(tuples[index].count),
      case .string("storage") = tuples[index][0], case .global(let global) = tuples[index][1],
      case .string(let key) = tuples[index][2], case .string = tuples[index][3],
      case .integer(let count) = tuples[index][4], count >= 0, tuples[index].count == 5 || isNone(tuples[index][5])
    else { throw wrong("a storage's type, key, location and count", found: "another persistent id") }
    let type: StorageType?
    switch global {
    case .storage(let known): type = known
    case .untypedStorage: type = nil
    default: throw wrong("a type of storage", found: global.description)
    }
    let (byteCount, overflow) = count.multipliedReportingOverflow(by: type?.size ?? 1)
    guard !overflow else { throw wrong("fewer than 2^63 bytes", found: "\(count) elements of \(type!.description)") }
    storages.append((try storageLookup(key, type, byteCount), type, byteCount))
    return .storage(storages.count - 1)
  }

  mutating func reduce() throws(Failure) {
    let operands = try pop(2)
    guard case .global(let function) = operands[0] else {
      throw wrong("a name to call", found: kind(operands[0]))
    }
    guard case .tuple(let index) = operands[1] else {
      throw wrong("a tuple of arguments", found: kind(operands[1]))
    }
    guard case .call(let call) = function else { throw wrongCall(function, tuples[index]) }
    stack.append(try result(of: call, tuples[index]))
  }

  private func wrongCall(_ function: PickleGlobal, _ arguments: [Node]) -> Failure {
    wrong("a call that makes a tensor", found: "\(function.description) of \(arguments.count) arguments")
  }

  private mutating func result(of call: PickleCall, _ arguments: [Node]) throws(Failure) -> Node {
    switch (call, arguments.count) {
    case (.orderedDict, 0), (.counter, 0): return makeDictionary(isOrdered: call == .orderedDict)
    case (.counter, 1) where isDictionary(arguments[0]), (.size, 1) where integers(arguments[0]) != nil:
      return arguments[0]
    case (.rebuildTensor, 6...7): return try tensor(Array(arguments.prefix(6)), metadata: arguments.dropFirst(6).first)
    case (.rebuildTensorOfType, 7...8):
      guard case .global(.elementType(let type)) = arguments[6] else {
        throw wrong("a type of elements", found: kind(arguments[6]))
      }
      return try tensor(Array(arguments.prefix(6)), as: type, metadata: arguments.dropFirst(7).first)
    case (.rebuildParameter, 3), (.rebuildParameterWithState, 4):
      guard isTensor(arguments[0]), case .bool = arguments[1], isEmptyDictionary(arguments[2]) else {
        throw wrong("a tensor, a bool and an OrderedDict", found: arguments.map(kind).joined(separator: ", "))
      }
      return arguments[0]
    case (.rebuildFromType, 4):
      // Attributes that Python code gave a tensor change none of its numbers.
      guard case .global(.call(let inner)) = arguments[0], [.rebuildTensor, .rebuildTensorOfType].contains(inner),
        case .global(.tensorClass) = arguments[1], case .tuple(let index) = arguments[2]
      else { throw wrong("a tensor's own call", found: arguments.map(kind).joined(separator: ", ")) }
      return try result(of: inner, tuples[index])
    case (.device, 1...2): return .other("a device")
    case (.layout, 1): return .other("a layout")
    case (.set, 0...1): return .other(Self.set)
    case (.complex, 2): return .other("a complex number")
    case (.byteArray, 0...1), (.encode, 2): return .other(Self.byteString)
    default: throw wrongCall(.call(call), arguments)
    }
  }

  /// (storage, offset, size, strides, requires_grad, backward hooks), and perhaps the flags of a conjugated or negated
  /// view, none of which may be set.
  ///
  /// - Parameter type: nil where the storage tells it.
  private mutating func tensor(
    _ arguments: [Node], as type: StorageType? = nil, metadata: Node?
  ) throws(Failure) -> Node {
    guard case .storage(let index) = arguments[0], case .integer(let offset) = arguments[1],
      let shape = integers(arguments[2]), let strides = integers(arguments[3]), case .bool = arguments[4],
      isEmptyDictionary(arguments[5]), metadata.map(isNoneOrEmptyDictionary) ?? true
    else {
      throw wrong(
        "a storage, offset, size, strides, a bool and an OrderedDict",
        found: (arguments + (metadata.map { [$0] } ?? [])).map(kind).joined(separator: ", "))
    }
    let elements = storages[index]
    guard let type = type ?? elements.type else { throw wrong("a storage of a type", found: "one of bytes") }
    guard let elementType = type.elementType else { return .otherTensor(type.name) }
    guard elements.byteCount % type.size == 0 else {
      throw wrong("a storage of whole elements of \(type.description)", found: "\(elements.byteCount) bytes")
    }
    do {
      tensors.append(
        try StoredTensor(
          type: elementType, shape: shape, strides: strides, offset: offset, storage: elements.storage,
          storageCount: elements.byteCount / type.size))
    } catch { throw error.at("pickle: byte \(start)") }
    return .tensor(tensors.count - 1)
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

  private func isTensor(_ node: Node) -> Bool {
    switch node {
    case .tensor, .otherTensor: true
    default: false
    }
  }

  private func isNone(_ node: Node) -> Bool {
    if case .none = node { true } else { false }
  }

  private func isDictionary(_ node: Node) -> Bool {
    if case .dictionary = node { true } else { false }
  }

  private func isEmptyDictionary(_ node: Node) -> Bool {
    if case .dictionary(let index) = node { dictionaries[index].entries.isEmpty } else { false }
  }

  private func isNoneOrEmptyDictionary(_ node: Node) -> Bool { isNone(node) || isEmptyDictionary(node) }

  /// An OrderedDict may carry attributes; `state_dict()` gives it `_metadata`, which no reader needs.
  mutating func build() throws(Failure) {
    guard case .dictionary = try pop(1)[0] else { throw wrong("a dict of attributes", found: "something else") }
    guard case .dictionary(let index) = try top(), dictionaries[index].isOrdered else {
      throw wrong("an OrderedDict to give attributes to", found: kind(try top()))
    }
  }
}
