import TensorFiles
import TensorStream

/// What Hugging Face and autograd say in float64 of a small model, as Tests/Golden/make_golden.py wrote it.
public struct GoldenFile: Sendable {
  public static let names = ["f32", "bf16-sharded", "f16", "demo"]
  /// A model of every family, with the plain run at every place.
  public static let families = [
    "llama", "llama-linear", "mistral", "qwen3", "gemma", "gemma2", "gemma3", "gpt2", "gpt_neox", "gpt_neox-sequential",
  ].map { "families/\($0)" }
  /// Samples as they are, and padded to a common length with the padding scored.
  public static let runs = ["plain", "padded"]
  public static let folder = "\(packageRoot)/Tests/Golden"

  public struct Unreadable: Error {
    let description: String
  }

  /// The model's folder.
  public let model: String
  public let layerCount: Int
  private let file: SafetensorsFile

  public init(_ name: String) throws {
    file = try SafetensorsFile(path: "\(Self.folder)/\(name).safetensors")
    let metadata = file.header.metadata
    guard metadata["magic"] == "gradient-filters golden", metadata["version"] == "1", let model = metadata["model"],
      let layerCount = metadata["layers"].flatMap({ Int($0) })
    else { throw Unreadable(description: "\(file.path): not of this version: run Tests/Golden/make_golden.py again") }
    self.model = "\(packageRoot)/\(model)"
    self.layerCount = layerCount
  }

  public func has(_ name: String) -> Bool { file.header[name] != nil }

  public func floats(_ name: String) throws -> [Float] { try array(name) }
  public func doubles(_ name: String) throws -> [Double] { try array(name) }
  public func integers(_ name: String) throws -> [Int32] { try array(name) }

  private func array<Element: StreamElement>(_ name: String) throws -> [Element] {
    guard let info = file.header[name], info.type == Element.elementType else {
      throw Unreadable(description: "\(file.path): no tensor \(name) of type \(Element.elementType)")
    }
    let bytes = file.bytes(of: info)
    return (0..<info.elementCount).map {
      bytes.loadUnaligned(fromByteOffset: $0 * MemoryLayout<Element>.stride, as: Element.self)
    }
  }

  /// The batches of a run, as a tokens stream would bring them.
  public func batches(_ run: String) throws -> [TokenBatch] {
    let ids = try integers("\(run).input_ids")
    let starts = try integers("\(run).cu_seqlens")
    let valid = has("\(run).valid_lengths") ? try integers("\(run).valid_lengths") : nil
    let edges = try integers("\(run).batches").map { Int($0) }
    return zip(edges, edges.dropFirst()).map { first, end in
      TokenBatch(
        inputIDs: Array(ids[Int(starts[first])..<Int(starts[end])]),
        cuSeqlens: starts[first...end].map { $0 - starts[first] }, sampleIndex: (first..<end).map { Int64($0) },
        validLengths: valid.map { Array($0[first..<end]) })
    }
  }

  /// Those rows of (rows, width) `values`, which hold all batches one after another, that the file has numbers of.
  public func pick(_ run: String, of values: [Float], width: Int) throws -> [Float] {
    try integers("\(run).rows").flatMap { values[Int($0) * width..<(Int($0) + 1) * width] }
  }
}
