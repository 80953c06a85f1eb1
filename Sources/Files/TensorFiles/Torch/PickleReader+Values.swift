import SystemIO

/// The values that are left when the pickle has been read.
extension PickleReader {
  /// The containers that have been converted, so that one that is shared is converted once.
  struct ConvertedContainers {
    var lists: [Int: Converted] = [:]
    var tuples: [Int: Converted] = [:]
    var dictionaries: [Int: Converted] = [:]
  }

  /// A value, and how many containers within containers it is.
  typealias Converted = (value: PickleValue, depth: Int)

  /// - Parameter level: the containers around this value. One that holds itself has no end and so is too deep.
  func value(
    of node: Node, _ converted: inout ConvertedContainers, level: Int = 0
  ) throws(Failure) -> Converted {
    let result: Converted
    switch node {
    case .none: return (.none, 0)
    case .bool(let value): return (.bool(value), 0)
    case .integer(let value): return (.integer(value), 0)
    case .double(let value): return (.double(value), 0)
    case .string(let value): return (.string(value), 0)
    case .global(let global): return (.token(global.description), 0)
    case .other(let name): return (.token(name), 0)
    case .otherTensor(let type): return (.otherTensor(type), 0)
    case .storage: return (.token("a storage"), 0)
    case .tensor(let index): return (.tensor(tensors[index]), 0)
    case .list(let index):
      if let known = converted.lists[index] { return try checked(known, level) }
      let (elements, depth) = try values(of: lists[index], &converted, level: level)
      result = (.list(elements), depth)
      converted.lists[index] = result
    case .tuple(let index):
      if let known = converted.tuples[index] { return try checked(known, level) }
      let (elements, depth) = try values(of: tuples[index], &converted, level: level)
      result = (.tuple(elements), depth)
      converted.tuples[index] = result
    case .dictionary(let index):
      if let known = converted.dictionaries[index] { return try checked(known, level) }
      let entries = dictionaries[index].entries
      let (elements, depth) = try values(of: entries.map(\.value), &converted, level: level)
      let pairs = zip(entries, elements).map { PickleValue.Entry(key: $0.key, value: $1) }
      result = (.dictionary(pairs), depth)
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

  func kind(_ node: Node) -> String {
    switch node {
    case .none: "None"
    case .bool: "a bool"
    case .integer: "an int"
    case .double: "a float"
    case .string: "a string"
    case .global(let global): global.description
    case .other(let name): name
    case .otherTensor(let type): "a tensor of \(type)"
    case .list: "a list"
    case .tuple: "a tuple"
    case .dictionary(let index): dictionaries[index].isOrdered ? "an OrderedDict" : "a dict"
    case .storage: "a storage"
    case .tensor: "a tensor"
    }
  }
}
