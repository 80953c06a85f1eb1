import HubCache
import JSON
import Safetensors
import SystemIO
import TensorOperations

/// A model's folder as transformers' `save_pretrained` writes it: config.json and one or several safetensors files.
///
/// The files are memory-mapped: opening costs nothing, and processes side by side share what they read.
public final class Checkpoint {
  /// The name it was opened by, for messages and provenance.
  public let name: String
  public let configuration: QwenConfiguration
  /// What tells this model from another: hashes of config.json and of the weight files' headers.
  public let identity: [String: String]
  private let folder: String
  /// Which file holds a tensor.
  private let files: [String: SafetensorsFile]

  /// - Parameter name: a folder, or a hub id that is looked up in the local cache.
  public init(_ name: String) throws {
    self.name = name
    folder = try HubCache.folder(name, what: "model")
    let path = "\(folder)/config.json"
    let text = try InputFile(path: path).readAll(limit: 16 << 20)
    do { configuration = try QwenConfiguration(JSON(parsing: text)) } catch { throw error.at(folder) }
    files = try Self.openFiles(folder)

    var headers = ContentHash()
    for file in Self.distinct(files) { headers.update(file.headerBytes) }
    identity = [
      "model": name, "model.config.xxh64": text.withUnsafeBytes { ContentHash.of($0) },
      "model.weights.xxh64": headers.hexadecimal,
    ]
  }

  private static func distinct(_ files: [String: SafetensorsFile]) -> [SafetensorsFile] {
    var byPath: [String: SafetensorsFile] = [:]
    for file in files.values { byPath[file.path] = file }
    return byPath.sorted { $0.key < $1.key }.map(\.value)
  }

  private static func openFiles(_ folder: String) throws -> [String: SafetensorsFile] {
    let indexPath = "\(folder)/model.safetensors.index.json"
    guard HubCache.isFile(indexPath) else {
      let file = try SafetensorsFile(path: "\(folder)/model.safetensors")
      return Dictionary(uniqueKeysWithValues: file.header.tensors.map { ($0.name, file) })
    }
    let index = try JSON(parsing: InputFile(path: indexPath).readAll(limit: 64 << 20))
    guard let map = index["weight_map"]?.members else {
      throw Failure(.malformed, "\(indexPath): expected an object weight_map, found none")
    }
    var opened: [String: SafetensorsFile] = [:]
    var files: [String: SafetensorsFile] = [:]
    for member in map {
      let tensor = String(decoding: member.key, as: UTF8.self)
      guard let file = member.value.text, !file.contains("/"), file != "..", !file.isEmpty else {
        throw Failure(.malformed, "\(indexPath): \(tensor): expected the name of a file beside the index")
      }
      if opened[file] == nil {
        let path = "\(folder)/\(file)"
        guard isInside(folder, path) else {
          throw Failure(.malformed, "\(indexPath): \(tensor): \(printable(file)) leads out of the model's folder")
        }
        opened[file] = try SafetensorsFile(path: path)
      }
      files[tensor] = opened[file]
    }
    return files
  }

  /// Whether a path stays within a folder once its links are followed, or within the hub's cache of the same
  /// repository, where a snapshot is nothing but links to `blobs`. What is not there is not elsewhere either.
  private static func isInside(_ folder: String, _ path: String) -> Bool {
    let (folder, target) = (absolutePath(folder), absolutePath(path))
    guard target != path else { return true }
    let parts = folder.split(separator: "/")
    let isSnapshot = parts.count > 2 && parts[parts.count - 2] == "snapshots"
    let blobs = "/" + parts.dropLast(2).joined(separator: "/") + "/blobs/"
    return target.hasPrefix(folder + "/") || (isSnapshot && target.hasPrefix(blobs))
  }

  /// The bytes and the element type of a floating-point tensor of exactly that shape.
  func tensor(_ name: String, shape: [Int]) throws -> (
    bytes: UnsafeRawBufferPointer, info: TensorInfo, file: SafetensorsFile
  ) {
    guard let file = files[name], let info = file.header[name] else {
      throw Failure(.malformed, "\(folder): tensor \(name) is missing")
    }
    guard info.shape == shape else {
      throw Failure(.malformed, "\(file.path): tensor \(name): expected shape \(shape), found \(info.shape)")
    }
    guard [.f32, .bf16, .f16].contains(info.type) else {
      throw Failure(
        .malformed, "\(file.path): tensor \(name): expected dtype F32, BF16 or F16, found \(info.type.rawValue)")
    }
    return (file.bytes(of: info), info, file)
  }

  /// `FILE: tensor NAME has nan at element 17`, of the first weight by name that is no number.
  func placeOfNonfinite() -> String? {
    let block = 4096
    let values = UnsafeMutableBufferPointer<Float>.allocate(capacity: block)
    defer { values.deallocate() }
    for (name, file) in files.sorted(by: { $0.key < $1.key }) {
      guard let info = file.header[name], [.f32, .bf16, .f16].contains(info.type) else { continue }
      let bytes = file.bytes(of: info)
      for start in stride(from: 0, to: info.elementCount, by: block) {
        let count = min(block, info.elementCount - start)
        widen(values.baseAddress!, bytes.baseAddress! + start * info.type.size, count, info.type)
        if let place = firstNonfinite(UnsafeBufferPointer(rebasing: values[..<count])) {
          return "\(file.path): tensor \(name) has \(values[place]) at element \(start + place)"
        }
      }
    }
    return nil
  }
}
