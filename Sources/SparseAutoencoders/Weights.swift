import NumPyFiles
import Safetensors
import StoredTensors
import SystemIO
import TorchFiles
import ZipArchive

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
  /// Everything a torch file holds.
  let pickle: PickleValue?

  private init(
    path: String, container: Container, tensors: [String: StoredTensor], numbers: [String: Double] = [:],
    pickle: PickleValue? = nil
  ) {
    self.path = path
    self.container = container
    self.tensors = tensors
    self.numbers = numbers
    self.pickle = pickle
  }

  /// Opens a file by what it begins with, whatever its name.
  init(path: String) throws {
    let map = try MappedFile(path: path)
    let start = withExtendedLifetime(map) { Array($0.bytes.prefix(16)) }
    if start.starts(with: [UInt8(ascii: "P"), UInt8(ascii: "K")]) {
      let entries = try ZipArchive(path: path).entries
      if !entries.isEmpty, entries.allSatisfy({ $0.name.hasSuffix(".npy") }) {
        self.init(path: path, container: .numpy, tensors: try numpyArchive(path: path))
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
    self.init(path: path, pickle: value)
  }

  /// The tensors of a dict in a torch file.
  init(path: String, pickle: PickleValue) {
    var tensors: [String: StoredTensor] = [:]
    var numbers: [String: Double] = [:]
    for case (.string(let name), let value) in (pickle.entries ?? []).map({ ($0.key, $0.value) }) {
      if let tensor = value.tensor { tensors[name] = tensor }
      if let number = value.number { numbers[name] = number }
    }
    self.init(path: path, container: .torch, tensors: tensors, numbers: numbers, pickle: pickle)
  }

  func has(_ name: String) -> Bool { tensors[name] != nil }

  func wrong(_ name: String, _ message: String) -> Failure {
    Failure(.malformed, "\(path): tensor \(name): \(message)")
  }

  private func tensor(_ name: String) throws(Failure) -> StoredTensor {
    guard let tensor = tensors[name] else {
      let names = tensors.keys.sorted().prefix(12).joined(separator: ", ")
      throw Failure(.malformed, "\(path): expected a tensor \(name), found \(names.isEmpty ? "none" : names)")
    }
    return tensor
  }

  /// - Parameter transposed: whether the tensor is the transpose of the matrix that is asked for.
  func matrix(_ name: String, transposed: Bool = false) throws(Failure) -> MatrixView {
    let tensor = try tensor(name)
    do { return try MatrixView(tensor, transposed: transposed) } catch { throw wrong(name, error.description) }
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
    guard let tensor = tensors[name] else { return numbers[name] }
    guard tensor.count == 1 else { throw wrong(name, "expected one number, found shape \(tensor.shape)") }
    return try tensor.doubles()[0]
  }

  func integer(_ name: String) throws -> Int? {
    guard let value = try scalar(name) else { return nil }
    guard let integer = Int(exactly: value) else { throw wrong(name, "expected a whole number, found \(value)") }
    return integer
  }
}
