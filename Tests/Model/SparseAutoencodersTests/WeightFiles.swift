import Foundation
import SparseAutoencoders
import TensorFiles
import TestSupport

/// A tensor to be written, its elements as they lie in the storage.
struct WrittenTensor: Sendable {
  var shape: [Int]
  var strides: [Int]?
  var storage = "FloatStorage"
  var bytes: [UInt8]

  static func floats(_ shape: [Int], strides: [Int]? = nil, _ value: (Int) -> Float = { Float($0 % 7) - 3 }) -> Self {
    let count = shape.reduce(1, *)
    return Self(shape: shape, strides: strides, bytes: (0..<count).flatMap { little(value($0).bitPattern) })
  }

  static func doubles(_ shape: [Int], strides: [Int]? = nil, _ value: (Int) -> Double) -> Self {
    let count = shape.reduce(1, *)
    let bytes = (0..<count).flatMap { little(value($0).bitPattern) }
    return Self(shape: shape, strides: strides, storage: "DoubleStorage", bytes: bytes)
  }

  static func integer(_ value: Int32) -> Self { Self(shape: [], storage: "IntStorage", bytes: little(value)) }
  static func float(_ value: Float) -> Self { Self(shape: [], bytes: little(value.bitPattern)) }

  var contiguousStrides: [Int] {
    shape.indices.map { shape[($0 + 1)...].reduce(1, *) }
  }
}

/// A dict of tensors and ints as `torch.save` writes it, dicts within it too.
indirect enum WrittenValue: Sendable {
  case tensor(WrittenTensor)
  case integer(Int32)
  case float(Double)
  case dictionary([String: WrittenValue])

  func torchFile() -> [UInt8] {
    var storages: [[UInt8]] = []
    let pickle = [0x80, 2] + pickled(&storages) + [UInt8(ascii: ".")]
    return ZipBuilder(
      [.init("ae/data.pkl", pickle)] + storages.enumerated().map { .init("ae/data/\($0)", $1) }
    ).build()
  }

  private func pickled(_ storages: inout [[UInt8]]) -> [UInt8] {
    func text(_ text: String) -> [UInt8] { [0x58] + little(UInt32(text.utf8.count)) + Array(text.utf8) }
    func int(_ value: Int) -> [UInt8] { [0x4a] + little(Int32(value)) }
    func ints(_ values: [Int]) -> [UInt8] { [0x28] + values.flatMap(int) + [0x74] }
    switch self {
    case .integer(let value): return int(Int(value))
    case .float(let value): return [0x47] + little(value.bitPattern).reversed()
    case .dictionary(let values):
      return values.sorted { $0.key < $1.key }.reduce([0x7d]) {
        $0 + text($1.key) + $1.value.pickled(&storages) + [0x73]
      }
    case .tensor(let tensor):
      let sizes = ["DoubleStorage": 8, "HalfStorage": 2, "BFloat16Storage": 2]
      let count = tensor.bytes.count / (sizes[tensor.storage] ?? 4)
      storages.append(tensor.bytes)
      var bytes = Array("ctorch._utils\n_rebuild_tensor_v2\n((".utf8) + text("storage")
      bytes += Array("ctorch\n\(tensor.storage)\n".utf8) + text("\(storages.count - 1)") + text("cpu") + int(count)
      bytes += Array("tQ".utf8) + int(0) + ints(tensor.shape) + ints(tensor.strides ?? tensor.contiguousStrides)
      return bytes + [0x89] + Array("ccollections\nOrderedDict\n)RtR".utf8)
    }
  }
}

/// A folder with the files of one autoencoder.
final class AutoencoderFolder {
  let folder = try! TemporaryFolder()
  var path: String { folder.path }

  /// Opens it while the folder is there.
  func open(options: SparseAutoencoder.Options = .init()) throws -> SparseAutoencoder {
    try SparseAutoencoder(path, options: options)
  }

  /// An `ae.pt` with these values and a `config.json` with this text.
  init(torch values: [String: WrittenValue], trainer: String? = nil) throws {
    try Data(WrittenValue.dictionary(values).torchFile()).write(to: folder.url("ae.pt"))
    if let trainer { try Data("{\"trainer\": \(trainer)}".utf8).write(to: folder.url("config.json")) }
  }

  convenience init(torch tensors: [String: WrittenTensor], trainer: String? = nil) throws {
    try self.init(torch: tensors.mapValues { .tensor($0) }, trainer: trainer)
  }

  /// A safetensors file of floats with a `cfg.json` of this text.
  init(safetensors tensors: [String: WrittenTensor], named name: String, configuration: String? = nil) throws {
    let ordered = tensors.sorted { $0.key < $1.key }
    let header = SafetensorsHeader(metadata: [:], layingOut: ordered.map { ($0.key, .f32, $0.value.shape) })
    try Data(header.encoded() + ordered.flatMap(\.value.bytes)).write(to: folder.url(name))
    if let configuration { try Data(configuration.utf8).write(to: folder.url("cfg.json")) }
  }
}
