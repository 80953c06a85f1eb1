import CZstd
import Foundation
import TestSupport
import Testing

/// Files of a kilobyte that would like to be large.
@Suite struct HostileInputTests {
  private static let begin = safetensors(["record": "begin", "format": "tensor-stream/1", "kind": "gradients"])
  private static let window: UInt8 = 13 << 3

  /// A frame that zstd makes as small as it can.
  private static func compressed(_ content: [UInt8]) -> [UInt8] {
    let context = ZSTD_createCCtx()!
    defer { ZSTD_freeCCtx(context) }
    ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, 19)
    ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, 20)
    ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1)
    var frame = [UInt8](repeating: 0, count: ZSTD_compressBound(content.count))
    let count = ZSTD_compress2(context, &frame, frame.count, content, content.count)
    precondition(ZSTD_isError(count) == 0)
    return Array(frame[..<count])
  }

  private static func header(_ start: String, repeating piece: String, _ end: String, bytes: Int) -> [UInt8] {
    let count = (bytes - start.utf8.count - end.utf8.count) / piece.utf8.count
    let text = start + String(repeating: piece, count: count) + end
    return safetensors(header: text + String(repeating: " ", count: bytes - text.utf8.count))
  }

  private static let files: [(name: String, bytes: [UInt8])] = {
    var promise = HandmadeFrame(begin)
    promise.contentSize = 16 << 30
    promise.windowDescriptor = window
    var zeros = HandmadeFrame([.stored(Array(begin))] + Array(repeating: .repeated(0, 131_072), count: 200))
    zeros.windowDescriptor = window
    // A header of 26 MB of spaces.
    var spaces = HandmadeFrame(
      [.stored([0, 0, 0x90, 0x01, 0, 0, 0, 0, 0x7b])] + Array(repeating: .repeated(0x20, 131_072), count: 200))
    spaces.windowDescriptor = window
    let megabyte = 1 << 20
    return [
      ("a frame that promises 16 GB", promise.bytes),
      ("a begin record followed by 26 MB of zeros", zeros.bytes),
      ("a header of 26 MB", spaces.bytes),
      ("an array of numbers", compressed(header("{\"a\":[", repeating: "0,", "0]}", bytes: megabyte))),
      ("an array of arrays", compressed(header("{\"a\":[", repeating: "[0],", "0]}", bytes: megabyte))),
      ("an object of strings", compressed(header("{", repeating: "\"\":\"\",", "\"a\":0}", bytes: megabyte))),
      ("an array of 8 MB", compressed(header("{\"a\":[", repeating: "0,", "0]}", bytes: 8 * megabyte))),
    ]
  }()

  /// `ulimit -d` bounds all memory that a program may write to, used or not: 64 MB.
  @Test func kilobytesStaySmall() throws {
    for (name, bytes) in Self.files {
      #expect(bytes.count < 1100, "\(name): \(bytes.count) bytes")
      let outcome = try Program.shell("ulimit -d 65536; exec stream-info --check", input: Data(bytes))
      #expect(outcome.failed(65, saying: "stream-info: -: record "), "\(name): \(outcome.errors)")
    }
  }

  @Test func aLongListOfLayers() throws {
    let begin = safetensors([
      "record": "begin", "format": "tensor-stream/1", "kind": "activations",
      "layers": String(repeating: "0-9999,", count: 140_000) + "0",
    ])
    let outcome = try Program("act-grad").run(DemoRun.modelFlag, input: Data(Self.compressed(begin)))
    #expect(outcome.failed(64, saying: "layer 9999: the model's last layer is 3"), "\(outcome.errors)")
  }
}
