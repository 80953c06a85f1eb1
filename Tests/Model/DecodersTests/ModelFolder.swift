import Decoders
import Foundation
import SystemIO
import TensorFiles
import TestSupport
import Testing

/// A copy of a golden model, whose tensors and configuration can be changed before it is written.
final class ModelFolder {
  /// A tensor on its way into a file.
  struct Stored {
    var type: ElementType
    var shape: [Int]
    var bytes: [UInt8]
  }

  let golden: String
  let temporary: TemporaryFolder
  var tensors: [String: Stored] = [:]
  var path: String { temporary.path }

  init(_ golden: String) throws {
    self.golden = golden
    temporary = try TemporaryFolder()
    let source = "\(GoldenFile.folder)/\(golden)"
    try FileManager.default.copyItem(atPath: "\(source)/config.json", toPath: temporary.file("config.json"))
    for name in try FileManager.default.contentsOfDirectory(atPath: source) where name.hasSuffix(".safetensors") {
      let file = try SafetensorsFile(path: "\(source)/\(name)")
      for tensor in file.header.tensors {
        tensors[tensor.name] = Stored(type: tensor.type, shape: tensor.shape, bytes: Array(file.bytes(of: tensor)))
      }
    }
  }

  func write(_ names: (String) -> Bool = { _ in true }, to file: String = "model.safetensors") throws {
    let chosen = tensors.filter { names($0.key) }.sorted { $0.key < $1.key }
    let header = SafetensorsHeader(
      metadata: ["format": "pt"], layingOut: chosen.map { ($0.key, $0.value.type, $0.value.shape) })
    try Data(header.encoded() + chosen.flatMap(\.value.bytes)).write(to: temporary.url(file))
  }

  /// As `torch.save(state_dict, file)`: each tensor of two dimensions is a transposed view where `transposed` says so.
  func writeTorch(to file: String = "pytorch_model.bin", transposed: Bool = false) throws {
    var pickle: [UInt8] = [0x80, 2, UInt8(ascii: "}"), UInt8(ascii: "(")]
    var entries: [ZipBuilder.Entry] = []
    func text(_ text: String) -> [UInt8] { [UInt8(ascii: "X")] + little(UInt32(text.utf8.count)) + text.utf8 }
    func integers(_ values: [Int]) -> [UInt8] {
      [UInt8(ascii: "(")] + values.flatMap { [UInt8(ascii: "J")] + little(Int32($0)) } + [UInt8(ascii: "t")]
    }
    for (number, (name, tensor)) in tensors.sorted(by: { $0.key < $1.key }).enumerated() {
      let turned = transposed && tensor.shape.count == 2
      let type = [ElementType.f32: "Float", .f16: "Half", .bf16: "BFloat16"][tensor.type]!
      let strides = tensor.shape.count == 1 ? [1] : turned ? [1, tensor.shape[0]] : [tensor.shape[1], 1]
      pickle += text(name) + Array("ctorch._utils\n_rebuild_tensor_v2\n((".utf8) + text("storage")
      pickle += Array("ctorch\n\(type)Storage\n".utf8) + text("\(number)") + text("cpu")
      pickle += [UInt8(ascii: "J")] + little(Int32(tensor.shape.reduce(1, *))) + Array("tQ".utf8)
      pickle += [UInt8(ascii: "J")] + little(Int32(0)) + integers(tensor.shape) + integers(strides) + [0x89]
      pickle += Array("ccollections\nOrderedDict\n)RtR".utf8)
      let bytes = turned ? Self.transposed(tensor) : tensor.bytes
      entries.append(ZipBuilder.Entry("archive/data/\(number)", bytes))
    }
    pickle += Array("u.".utf8)
    let zip = ZipBuilder(
      [.init("archive/data.pkl", pickle), .init("archive/byteorder", Array("little".utf8))] + entries)
    try Data(zip.build()).write(to: temporary.url(file))
  }

  private static func transposed(_ tensor: Stored) -> [UInt8] {
    let (rows, columns, size) = (tensor.shape[0], tensor.shape[1], tensor.type.size)
    return (0..<columns).flatMap { column in
      (0..<rows).flatMap { row in tensor.bytes[((row * columns + column) * size)...].prefix(size) }
    }
  }

  func write(_ text: String, to file: String) throws { try Data(text.utf8).write(to: temporary.url(file)) }

  func writeIndex(_ text: String) throws { try write(text, to: "model.safetensors.index.json") }

  /// Writes `entry` of config.json anew, as JSON text.
  func setEntry(_ entry: String, _ value: String) throws {
    let path = temporary.file("config.json")
    var object = try JSONSerialization.jsonObject(with: Data(contentsOf: URL(fileURLWithPath: path))) as! [String: Any]
    object[entry] = try JSONSerialization.jsonObject(with: Data(value.utf8), options: .fragmentsAllowed)
    try JSONSerialization.data(withJSONObject: object).write(to: URL(fileURLWithPath: path))
  }

  func load() throws -> DecoderModel { try loadModel(path) }

  /// What tells the weights apart.
  func weights() throws -> String { try #require(try Checkpoint(path).identity["model.weights.xxh64"]) }
}

func expectRefusal(
  _ kind: Failure.Kind = .malformed, _ words: String..., location: SourceLocation = #_sourceLocation,
  _ body: () throws -> Void
) {
  let failure = #expect(throws: Failure.self, sourceLocation: location) { try body() }
  #expect(failure?.kind == kind, sourceLocation: location)
  for word in words {
    #expect(failure?.description.contains(word) == true, "\(failure?.description ?? "")", sourceLocation: location)
  }
}
