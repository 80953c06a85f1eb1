import SystemIO
import TensorFiles

/// The named tensors of a file, whichever container it is.
struct Weights {
  enum Container {
    case torch
    case safetensors
    case numpy
  }

  let path: String
  let container: Container
  let tensors: [String: StoredTensor]
  /// Plain numbers that stand where a tensor might: a Python int as k.
  let numbers: [String: Double]
  /// The element types of tensors that nothing here computes with, by name.
  let otherTensors: [String: String]
  /// What is neither a tensor nor a number: a device, a dict of settings.
  let otherEntries: [String]
  /// The dict of a torch file that holds the tensors.
  let pickle: PickleValue?
  /// Arrays of an `.npz` that no reader asks for.
  let unreadArrays: [String]
  /// What a person should know of how the file was read, a line each.
  let warnings: [String]

  private init(
    path: String, container: Container, tensors: [String: StoredTensor], unreadArrays: [String] = []
  ) {
    self.path = path
    self.container = container
    self.tensors = tensors
    self.unreadArrays = unreadArrays
    (numbers, otherTensors, otherEntries, pickle, warnings) = ([:], [:], [], nil, [])
  }

  /// Opens a file by what it begins with, whatever its name.
  init(path: String) throws {
    let map = try MappedFile(path: path)
    let start = Array(map.bytes.prefix(16))
    if let other = knownForeignContent(map.bytes) {
      throw Failure(.malformed, "\(path): expected the tensors of an autoencoder, found \(other)")
    }
    if start.starts(with: [UInt8(ascii: "P"), UInt8(ascii: "K")]) {
      if let arrays = NumPyArchive(try ZipArchive(map)) {
        let names = Set(arrays.names)
        self.init(
          path: path, container: .numpy, tensors: try arrays.arrays(named: gemmaScopeNames),
          unreadArrays: names.subtracting(gemmaScopeNames).sorted())
        return
      }
    } else if start.count > 8, start[8...].contains(UInt8(ascii: "{")), start[0] != 0x80 {
      self.init(path: path, container: .safetensors, tensors: try SafetensorsFile(path: path).storedTensors())
      return
    }
    let value = try TorchFile(path: path).value
    guard value.entries != nil else {
      throw Failure(.malformed, "\(path): expected a dict of tensors, found \(value.kind)")
    }
    let (state, warnings) = try unwrapped(value, at: path)
    self.init(path: path, pickle: state, warnings: warnings)
  }

  /// The tensors of a dict in a torch file.
  init(path: String, pickle: PickleValue, warnings: [String] = []) {
    var tensors: [String: StoredTensor] = [:]
    var numbers: [String: Double] = [:]
    var otherTensors: [String: String] = [:]
    var otherEntries: [String] = []
    let entries = (pickle.entries ?? []).map { ("\($0.key)", $0.value) }
    let prefix = modulePrefix(entries.map(\.0))
    for (key, value) in entries {
      let name = String(key.dropFirst(prefix.count))
      if let tensor = value.tensor {
        tensors[name] = tensor
      } else if let number = value.number {
        numbers[name] = number
      } else if case .otherTensor(let type) = value {
        otherTensors[name] = type
      } else {
        otherEntries.append(name)
      }
    }
    self.path = path
    container = .torch
    self.tensors = tensors
    self.numbers = numbers
    self.otherTensors = otherTensors
    self.otherEntries = otherEntries.sorted()
    self.pickle = pickle
    self.warnings = warnings
    unreadArrays = []
  }

  func has(_ name: String) -> Bool { tensors[name] != nil }

  /// The names of its tensors, for messages.
  var names: String {
    let names = (Array(tensors.keys) + otherTensors.keys + unreadArrays).sorted()
    return names.isEmpty ? "none" : names.prefix(12).joined(separator: ", ") + (names.count > 12 ? ", …" : "")
  }

  func wrong(_ name: String, _ message: String) -> Failure {
    Failure(.malformed, "\(path): tensor \(name): \(message)")
  }

  private func tensor(_ name: String) throws(Failure) -> StoredTensor {
    if let tensor = tensors[name] { return tensor }
    if let type = otherTensors[name] { throw wrong(name, "expected F32, BF16, F16 or F64, found \(type)") }
    throw Failure(.malformed, "\(path): expected a tensor \(name), found \(names)")
  }

  /// - Parameter transposed: whether the tensor is the transpose of the matrix that is asked for.
  func matrix(_ name: String, transposed: Bool = false) throws(Failure) -> StoredTensor {
    let tensor = try tensor(name)
    do { try tensor.checkMatrix() } catch { throw wrong(name, error.description) }
    return transposed ? tensor.transposed : tensor
  }

  /// The elements of a tensor of one dimension, rounded to Float.
  func vector(_ name: String) throws -> [Float] {
    let tensor = try tensor(name)
    guard tensor.shape.count == 1 else {
      throw wrong(name, "expected a vector, found shape \(tensor.shape)")
    }
    guard [.f32, .bf16, .f16, .f64].contains(tensor.type) else {
      throw wrong(name, "expected F32, BF16, F16 or F64, found \(tensor.type.rawValue)")
    }
    return try tensor.doubles().map(Float.init)
  }

  func vectorIfPresent(_ name: String) throws -> [Float]? { has(name) ? try vector(name) : nil }

  /// A tensor of one element, or a plain number; nil where there is neither.
  func scalar(_ name: String) throws -> Double? {
    if let type = otherTensors[name] { throw wrong(name, "expected a number, found one of \(type)") }
    guard let tensor = tensors[name] else { return numbers[name] }
    guard tensor.count == 1 else { throw wrong(name, "expected one number, found shape \(tensor.shape)") }
    return try tensor.doubles()[0]
  }

  func integer(_ name: String) throws -> Int? {
    guard let value = try scalar(name) else { return nil }
    guard let integer = Int(exactly: value) else { throw wrong(name, "expected a whole number, found \(value)") }
    return integer
  }

  /// Refuses tensors other than these, as `load_state_dict` and safetensors' `load_model` do: what an architecture has
  /// no use for is a sign that the file is of another one.
  ///
  /// - Parameter numbers: the names under which a plain number is as good as a tensor.
  func refuseTensors(
    other expected: Set<String>, of className: String, numbers parameters: Set<String> = []
  ) throws(Failure) {
    let found = Set(tensors.keys).union(otherTensors.keys).union(parameters.intersection(numbers.keys))
    let unexpected = found.subtracting(expected).sorted()
    guard !unexpected.isEmpty else { return }
    throw Failure(
      .malformed,
      "\(path): \(className) does not use \(unexpected.count == 1 ? "a tensor" : "tensors") "
        + unexpected.prefix(8).joined(separator: ", ") + (unexpected.count > 8 ? ", …" : "")
        + ": expected \(expected.sorted().joined(separator: ", "))")
  }

  /// A warning that names the entries which are no tensors and are not read, where there are some.
  ///
  /// - Parameter read: names of plain numbers that are.
  func unreadEntries(but read: Set<String>) -> [String] {
    let unread = (otherEntries + numbers.keys.filter { !read.contains($0) }).sorted()
    return unread.isEmpty ? [] : ["not read: \(unread.prefix(8).joined(separator: ", "))"]
  }
}
