import Glibc
import SystemIO

/// Compiled kernels of earlier runs, in `$XDG_CACHE_HOME/gradient-filters` or `~/.cache/gradient-filters`.
///
/// Only a convenience: what cannot be read is compiled again, what cannot be written is not kept.
struct KernelCache {
  private let path: String?

  /// - Parameter key: all that the code depends on.
  init(key: String) {
    let base = Self.variable("XDG_CACHE_HOME") ?? Self.variable("HOME").map { $0 + "/.cache" }
    let name = Array(key.utf8).withUnsafeBytes { ContentHash.of($0) }
    path = base.map { "\($0)/gradient-filters/kernels-\(name)" }
  }

  private static func variable(_ name: String) -> String? {
    getenv(name).map { String(cString: $0) }.flatMap { $0.hasPrefix("/") ? $0 : nil }
  }

  /// The code, whose hash was written after it.
  func read() -> [UInt8]? {
    guard let path, let bytes = try? InputFile(path: path).readAll(limit: 64 << 20), bytes.count > 16 else {
      return nil
    }
    let code = Array(bytes.dropLast(16))
    let hash = String(decoding: bytes.suffix(16), as: UTF8.self)
    return code.withUnsafeBytes { ContentHash.of($0) } == hash ? code : nil
  }

  func write(_ code: [UInt8]) {
    guard let path else { return }
    let hash = code.withUnsafeBytes { ContentHash.of($0) }
    do {
      try makeFolder(String(path[..<path.lastIndex(of: "/")!]))
      let file = try OutputFile(path: path)
      try file.write(code + Array(hash.utf8))
      try file.finish()
    } catch {}
  }
}
