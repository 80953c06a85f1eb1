import CZstd
import Foundation
import SystemIO
import TensorFiles
import TensorStream
import TestSupport
import Testing

/// Files of a kilobyte that would like to be large.
@Suite struct HostileInputTests {
  private static let begin = safetensors(["record": "begin", "format": "tensor-stream/2", "kind": "gradients"])
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
    let known = try StreamReader(ReusedFile().opened(with: Array(DemoRun.activations.get()))).nextSegment()
    let begin = safetensors(
      try #require(known).provenance.merging([
        "record": "begin", "format": "tensor-stream/2", "kind": "activations",
        "places": String(repeating: "mlp_out.0-9999,", count: 65_000) + "mlp_out.0",
      ]) { _, own in own })
    let outcome = try Program("act-grad").run(DemoRun.modelFlag, input: Data(Self.compressed(begin)))
    #expect(
      outcome.failed(65, saying: "begin record: places: expected a list such as mlp_out.0-23, found mlp_out.0-9999,"))
    #expect(outcome.errors.utf8.count < 300, "\(outcome.errors)")
  }
}

/// What a small file makes of the programs that open it: the largest memory they had, beside what they have without it.
@Suite struct PeakMemoryTests {
  /// Prints the peak of resident memory in kB as the last line of standard error.
  nonisolated(unsafe) private static let meter = Result { () -> (TemporaryFolder, String) in
    let folder = try TemporaryFolder()
    return (
      folder,
      try folder.library(
        """
        #include <fcntl.h>
        #include <stdio.h>
        #include <stdlib.h>
        #include <string.h>
        #include <unistd.h>
        __attribute__((destructor)) static void report(void) {
          char text[8192], *line;
          int file = open("/proc/self/status", O_RDONLY);
          int count = read(file, text, sizeof text - 1);
          if (count < 0) return;
          text[count] = 0;
          line = strstr(text, "VmHWM:");
          dprintf(2, "peak %d kB\\n", line ? atoi(line + 6) : -1);
        }
        """)
    )
  }

  private func peak(_ command: String, _ input: Data) throws -> (kilobytes: Int, outcome: Program.Outcome) {
    let (_, shim) = try Self.meter.get()
    let folder = try TemporaryFolder()
    try input.write(to: folder.url("in"))
    let outcome = try Program.shell("LD_PRELOAD='\(shim)' \(command) < '\(folder.file("in"))'")
    let last = outcome.errors.split(separator: "\n").last { $0.hasPrefix("peak ") }
    return (last.flatMap { Int($0.split(separator: " ")[1]) } ?? .max, outcome)
  }

  private func folder(_ files: [String: [UInt8]]) throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    for (name, bytes) in files { try Data(bytes).write(to: folder.url(name)) }
    return folder
  }

  /// The least that each program takes: of its usage message.
  private func expectSmall(_ command: String, _ input: Data = Data(), says words: String) throws {
    let baseline = try peak("\(command.split(separator: " ")[0]) --help > /dev/null", Data()).kilobytes
    let (kilobytes, outcome) = try peak(command, input)
    #expect([65, 64, 66].contains(outcome.status) && outcome.errors.contains(words), "\(command): \(outcome.errors)")
    #expect(kilobytes - baseline < 65_536, "\(command): \(kilobytes) kB, \(baseline) kB without")
  }

  @Test func modelsAndTokenizers() throws {
    let large = """
      {"model_type":"qwen2","hidden_size":16777216,"intermediate_size":16777216,"num_hidden_layers":10000,\
      "vocab_size":16777216,"num_attention_heads":16777216,"num_key_value_heads":16777216,"head_dim":1048576}
      """
    for bytes in [
      safetensors(["format": "pt"]),
      safetensors(header: "{\"a\":{\"dtype\":\"F32\",\"shape\":[1000000000000],\"data_offsets\":[0,4000000000000]}}"),
      [0, 0xe1, 0xf5, 5, 0, 0, 0, 0, 0x7b],
      safetensors(header: "{\"a\":" + String(repeating: "[", count: 900)),
    ] {
      let model = try folder(["config.json": Array(large.utf8), "model.safetensors": bytes])
      try expectSmall(
        "qwen-capture --model '\(model.path)'", try DemoRun.tokens.get(), says: "qwen-capture: \(model.path)")
    }
    let index = try folder([
      "config.json": Array(large.utf8), "model.safetensors.index.json": Array("{\"weight_map\":{\"a\":\"../b\"}}".utf8),
    ])
    try expectSmall("act-grad --model '\(index.path)'", says: "expected the name of a file beside the index")
    for (tokenizer, words) in [
      // A tokenizer of one token, with the largest id.
      ("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":2147483647},\"merges\":[]}}", "no sample: "),
      (String(repeating: "[", count: 1000), "tokenizer.json: "),
      ("{\"model\":{\"type\":\"BPE\",\"vocab\":{\(String(repeating: " ", count: 900))", "tokenizer.json: "),
    ] {
      let file = try folder(["tokenizer.json": Array(tokenizer.utf8)])
      try expectSmall("wt-tokenize --tokenizer '\(file.path)'", Data("text\n".utf8), says: words)
    }
  }

  /// Strides of 0 make any number of elements of one.
  @Test func autoencodersOfOneNumber() throws {
    func text(_ text: String) -> [UInt8] { [0x58] + little(UInt32(text.utf8.count)) + Array(text.utf8) }
    func int(_ value: Int32) -> [UInt8] { [0x4a] + little(value) }
    func tensor(_ shape: [Int32]) -> [UInt8] {
      Array("ctorch._utils\n_rebuild_tensor_v2\n((".utf8) + text("storage") + Array("ctorch\nFloatStorage\n".utf8)
        + text("0") + text("cpu") + int(1) + Array("tQ".utf8) + int(0) + [0x28] + shape.flatMap(int) + [0x74, 0x28]
        + shape.flatMap { _ in int(0) } + [0x74, 0x89] + Array("ccollections\nOrderedDict\n)RtR".utf8)
    }
    for (shape, vector) in [([1, 1], 1 << 24), ([1, 1], .max), ([1 << 20, 1 << 20], 1)] as [([Int32], Int32)] {
      var pickle: [UInt8] = [0x80, 2, 0x7d]
      for (name, size) in [
        ("encoder.weight", shape), ("encoder.bias", [vector]), ("decoder.weight", shape), ("b_dec", [vector]),
      ] { pickle += text(name) + tensor(size) + [0x73] }
      let file = ZipBuilder([.init("ae/data.pkl", pickle + [0x2e]), .init("ae/data/0", [0, 0, 0x80, 0x3f])]).build()
      let ae = try folder(["ae.pt": file, "config.json": Array("{\"trainer\":{\"dict_class\":\"AutoEncoder\"}}".utf8)])
      try expectSmall(
        "sae-grad \(DemoRun.modelFlag[0]) '\(DemoRun.model)' --sae '\(ae.path)' --layers 0",
        try DemoRun.activations.get(),
        says: "ae.pt: ")
    }
  }

  /// Records whose tensors have no bytes, and any shape.
  @Test func tensorsOfNothing() throws {
    let shapes: [(tensors: [(name: String, type: ElementType, shape: [Int])], says: String)] = [
      ([("grad.mlp_out.0", .f32, [0, 1 << 60])], "columns without rows"),
      ([("basis.mlp_out.0", .f32, [1 << 60, 0])], "expected a decoder"),
      ([("basis.mlp_out.0", .f32, [0, 1 << 60])], "expected a decoder"),
    ]
    for (tensors, words) in shapes {
      let batch: [(name: String, type: ElementType, shape: [Int])] = [
        ("sample_index", .i64, [0]), ("document", .i64, [0]), ("cu_positions", .i32, [1]), ("position", .i32, [0]),
        ("token", .i32, [0]),
        ("predictions", .i32, [0]),
      ]
      let stream =
        HandmadeFrame(safetensors(["record": "begin", "format": "tensor-stream/2", "kind": "gradients"])).bytes
        + HandmadeFrame(safetensors(["record": "data", "batch": "0"], batch + tensors)).bytes
      try expectSmall("grad-aggregate", Data(stream), says: words)
    }
  }

  @Test func arrays() throws {
    let header = "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }"
    let array = [0x93] + Array("NUMPY".utf8) + [1, 0, UInt8(header.utf8.count), 0] + Array(header.utf8)
    let file = try folder(["layer_0_mean_gradients.npy": array])
    let (kilobytes, outcome) = try peak(
      "grad-plot --output '\(file.path)' '\(file.file("layer_0_mean_gradients.npy"))'", Data())
    #expect(outcome.status == 65 && kilobytes < 131_072, "\(kilobytes) kB: \(outcome.errors)")
  }

  /// The three of safetensors' own attacks/ that abuse its format: a length that lies, and very many tensors that
  /// share their bytes, the second time with a header over the limit.
  @Test func safetensorsAttacks() throws {
    func shared(_ count: Int, shape: Int) -> [UInt8] {
      let tensors = (0..<count).map {
        "\"weight_\($0)\": {\"dtype\": \"F32\", \"shape\": [\(shape), \(shape)], \"data_offsets\": [0, \(4 * shape * shape)]}"
      }
      return safetensors(header: "{\(tensors.joined(separator: ", "))}", data: Array(repeating: 0, count: 160_000))
    }
    var lie = safetensors([:], [("weight", .f32, [2, 2])])
    lie.replaceSubrange(0..<8, with: little(UInt64(1000)))
    let configuration = try [UInt8](Data(contentsOf: URL(fileURLWithPath: DemoRun.model + "/config.json")))
    for (bytes, words) in [
      (lie, "safetensors header length: expected 1000 bytes of header"),
      (shared(100_000, shape: 200), "data_offsets not contiguous: expected start 160000, found 0"),
      (little(UInt64(700_000_000)) + Array("{".utf8), "safetensors header too large"),
    ] {
      let model = try folder(["config.json": configuration, "model.safetensors": bytes])
      let outcome = try Program.shell("timeout 60 qwen-capture --model '\(model.path)' < /dev/null")
      #expect(outcome.failed(65, saying: words), "\(outcome.errors)")
    }
  }

  /// Reading ahead never holds a second record that is large: two of these are 120 MB.
  @Test(arguments: [true, false])
  func largeRecordsAreHeldOnce(_ compresses: Bool) throws {
    var numbers = SeededNumbers(seed: 3)
    let noise = numbers.floats(1 << 18)
    let values = compresses ? [Float](repeating: 1, count: 15_000_000) : (0..<58).flatMap { _ in noise }
    let folder = try TemporaryFolder()
    let writer = StreamWriter(try OutputFile(path: folder.file("stream")))
    try writer.begin(.activations, provenance: [:])
    for batch in 0..<4 {
      var record = OutputRecord()
      record.add("x", values)
      try writer.write(record, batch: batch)
    }
    try writer.end()
    try writer.finish()
    // Of the limit an eighth is read ahead; a buffer that grows is copied from one half as large.
    let outcome = try Program.shell("ulimit -d 125000; exec stream-info --check '\(folder.file("stream"))'")
    #expect(outcome.status == 0, "\(outcome.errors)")
  }

  /// The hub's own cache is made of links, and whoever owns a folder may put links to anywhere into it.
  @Test func linksOfTheOwner() throws {
    let golden = packageRoot + "/Tests/Golden/bf16-sharded"
    let cache = try TemporaryFolder()
    let (blobs, snapshot) = (cache.file("models--a--b/blobs"), cache.file("models--a--b/snapshots/0123"))
    for path in [blobs, snapshot] { try makeFolder(path) }
    let files = try FileManager.default.contentsOfDirectory(atPath: golden)
    for name in files {
      try FileManager.default.copyItem(atPath: "\(golden)/\(name)", toPath: "\(blobs)/blob-\(name)")
      try FileManager.default.createSymbolicLink(
        atPath: "\(snapshot)/\(name)", withDestinationPath: "../../blobs/blob-\(name)")
    }
    let tokens = Data(try tokenStream([[[1, 2, 3]]]))
    let expected = try Program("qwen-capture").run(["--model", golden, "--loss"], input: tokens)
    #expect(expected.status == 0)
    let shard = "\(snapshot)/\(files.first { $0.hasPrefix("model-00002") }!)"
    for target in ["../../blobs/blob-model-00002-of-00002.safetensors", "\(golden)/model-00002-of-00002.safetensors"] {
      try FileManager.default.removeItem(atPath: shard)
      try FileManager.default.createSymbolicLink(atPath: shard, withDestinationPath: target)
      let outcome = try Program("qwen-capture").run(["--model", snapshot, "--loss"], input: tokens)
      #expect(outcome.status == 0, "\(outcome.errors)")
      #expect(try losses(outcome.output) == losses(expected.output))
    }
  }

  private func losses(_ stream: Data) throws -> [Double] {
    let reader = StreamReader(try ReusedFile().opened(with: Array(stream)))
    _ = try reader.nextSegment(.activations)
    let record = try #require(try reader.nextRecord())
    return Array(try record.tensor("loss", shape: [nil], of: Double.self))
  }
}
