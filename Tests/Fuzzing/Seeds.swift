import Aggregation
import FilterSupport
import Foundation
import SystemIO
import TensorFiles
import TensorStream
import TestSupport

/// What the readers are tried on first: the tests' own files, and small ones made here.
enum Seeds {
  private static func files(_ folder: String, _ isWanted: (String) -> Bool) throws -> [[UInt8]] {
    let paths = FileManager.default.enumerator(atPath: "\(packageRoot)/\(folder)")?.compactMap { $0 as? String } ?? []
    let seeds = try paths.sorted().filter(isWanted).map { try bytes("\(folder)/\($0)") }
    precondition(!seeds.isEmpty, "no seeds in \(folder)")
    return seeds.filter { $0.count < 32_768 }
  }

  private static func bytes(_ path: String) throws -> [UInt8] {
    try InputFile(path: "\(packageRoot)/\(path)").readAll(limit: 1 << 26)
  }

  static func json() throws -> [[UInt8]] {
    try files("Tests", { $0.hasSuffix(".json") })
      + ["[1,-2.5e3,\"\\u00e9\\ud83d\\ude00\",null,{\"a\":[true]}]"].map { Array($0.utf8) }
  }

  static func safetensors() throws -> [[UInt8]] {
    try files("Tests/Model/SparseAutoencodersTests/Fixtures", { $0.hasSuffix(".safetensors") })
  }

  static func zips() throws -> [[UInt8]] {
    try files("Tests/Model/SparseAutoencodersTests/Fixtures", { $0.hasSuffix(".pt") || $0.hasSuffix(".npz") })
      + [ZipBuilder([.init("a/data.pkl", [0x80, 2, 0x7d, 0x2e]), .init("a/data/0", [1, 2, 3, 4])]).build()]
  }

  /// The pickle of each torch file and its storages.
  static func torchParts() throws -> [[UInt8]] {
    let folder = "\(packageRoot)/Tests/Model/SparseAutoencodersTests/Fixtures"
    return try FileManager.default.contentsOfDirectory(atPath: folder).sorted().compactMap { name in
      guard exists("\(folder)/\(name)/ae.pt") else { return nil }
      let archive = try ZipArchive(path: "\(folder)/\(name)/ae.pt")
      let pickle = archive.entries.filter { $0.name.hasSuffix("/data.pkl") }
      let storages = (0...).lazy.map { number in archive.entries.first { $0.name.hasSuffix("/data/\(number)") } }
        .prefix { $0 != nil }.compactMap { $0 }
      return joined((pickle + Array(storages)).map { Array(archive.uncheckedBytes(of: $0)) })
    }
  }

  static func pickles() throws -> [[UInt8]] {
    try torchParts().map { seed in seed.withUnsafeBytes { parts($0)[0] } }
  }

  /// Each file of tensors with the configuration beside it.
  static func autoencoders() throws -> [[UInt8]] {
    let root = "Tests/Model/SparseAutoencodersTests/Fixtures"
    let paths = FileManager.default.enumerator(atPath: "\(packageRoot)/\(root)")!.compactMap { $0 as? String }.sorted()
    return try paths.filter { path in
      [".pt", ".npz", ".safetensors"].contains { path.hasSuffix($0) } && !path.hasSuffix("expected.safetensors")
    }.map { path in
      let folder = path[..<(path.lastIndex(of: "/") ?? path.startIndex)]
      let configuration = ["config.json", "cfg.json"].map { "\(root)/\(folder)/\($0)" }
        .first { exists("\(packageRoot)/\($0)") }
      return joined([try configuration.map { try bytes($0) } ?? [], try bytes("\(root)/\(path)")])
    }
  }

  static func arrays() throws -> [[UInt8]] {
    try files("Tests/Study/AggregationTests/Fixtures", { $0.hasSuffix(".npy") })
  }

  static func tokenizers() throws -> [[UInt8]] {
    let llama = """
      {"normalizer":{"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"▁"},{"type":"Replace",\
      "pattern":{"Regex":" |\\\\t"},"content":"▁"}]},"pre_tokenizer":{"type":"Metaspace","replacement":"▁",\
      "prepend_scheme":"first","split":true},"decoder":{"type":"Sequence","decoders":[{"type":"Replace",\
      "pattern":{"String":"▁"},"content":" "},{"type":"ByteFallback"},{"type":"Fuse"},{"type":"Strip","content":" ",\
      "start":1,"stop":0}]},"model":{"type":"BPE","unk_token":"u","fuse_unk":true,"byte_fallback":true,"vocab":{"u":0,\
      "▁":1,"l":2,"o":3,"▁l":4,"lo":5,"<0xC3>":6,"<0xA9>":7},"merges":["▁ l",["l","o"]]}}
      """
    let splits = """
      {"pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"[\\\\w&&[^a-f]]+|(?i:'s)|\\\\s{1,3}"},\
      "behavior":"MergedWithNext","invert":true},{"type":"Digits","individual_digits":true},{"type":"ByteLevel",\
      "add_prefix_space":true}]},"decoder":{"type":"ByteLevel"},"model":{"type":"BPE","ignore_merges":true,\
      "vocab":{"l":0,"o":1,"lo":2,"Ġ":3},"merges":["l o"]},"added_tokens":[{"id":4,"content":"<word>","lstrip":true}]}
      """
    return try files("Tests/Model/TokenizationTests/Fixtures", { $0.hasSuffix("tokenizer.json") })
      + [llama, splits].map { Array($0.utf8) }
  }

  /// A few bytes' spellings and what they merge to.
  static let vocabulary = Array(
    """
    {"h":0,"e":1,"l":2,"o":3,"w":4,"\u{120}":5,"\u{10a}":6,"\u{c3}":7,"\u{a9}":8,"he":9,"ll":10,"hell":11,\
    "o\u{120}":12,"\u{120}w":13}
    """.utf8)

  static func merges() throws -> [[UInt8]] {
    let configuration = """
      {"added_tokens_decoder":{"14":{"content":"<|endoftext|>","special":true}},"pad_token":"<|endoftext|>",\
      "tokenizer_class":"Qwen2Tokenizer"}
      """
    return [configuration, ""].map {
      joined(["#version: 0.2\nh e\nl l\nhe ll\n\u{120} w\n", $0, "hello  world<|endoftext|>\n"].map { Array($0.utf8) })
    }
  }

  static func texts() throws -> [[UInt8]] {
    [
      Array(" = Title = \n\n A line of text , with @-@ marks \u{e9} e\u{301} .\r\n\u{3000}\u{4e2d}\u{6587} 123\n".utf8),
      try Array(bytes("demo/sample.txt").prefix(600)), Array("a sample\0another \u{e9}\0".utf8),
      Array(#"{"id":1,"text":"a \ud83d\ude00 row\n"}"#.utf8),
    ]
  }

  static func configurations() throws -> [[UInt8]] {
    try ["demo/model/config.json"].map(bytes) + files("Tests/Golden", { $0.hasSuffix("config.json") })
  }

  static func checkpoints() throws -> [[UInt8]] {
    let configuration = """
      {"model_type":"qwen2","hidden_size":2,"intermediate_size":2,"num_hidden_layers":1,"vocab_size":3,\
      "num_attention_heads":1,"num_key_value_heads":1,"tie_word_embeddings":true}
      """
    let vectors = [
      "input_layernorm.weight", "self_attn.q_proj.bias", "self_attn.k_proj.bias", "self_attn.v_proj.bias",
      "post_attention_layernorm.weight",
    ]
    let matrices = [
      "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj",
      "mlp.up_proj", "mlp.down_proj",
    ]
    let layer: [(name: String, type: ElementType, shape: [Int])] =
      vectors.map { ("model.layers.0.\($0)", .bf16, [2]) }
      + matrices.map { ("model.layers.0.\($0).weight", .f16, [2, 2]) }
    let outer: [(name: String, type: ElementType, shape: [Int])] =
      [("model.norm.weight", .f32, [2]), ("model.embed_tokens.weight", .f32, [3, 2])]
    let map = (layer.map { "\"\($0.name)\":\"b.safetensors\"" } + outer.map { "\"\($0.name)\":\"a.safetensors\"" })
      .joined(separator: ",")
    return [
      joined([
        Array(configuration.utf8), Array("{\"weight_map\":{\(map)}}".utf8), TestSupport.safetensors([:], layer),
        TestSupport.safetensors([:], outer),
      ]),
      joined([Array(configuration.utf8), [], TestSupport.safetensors([:], layer + outer), []]),
    ]
  }

  static func facts() throws -> [[UInt8]] {
    let facts: [Fact] = [
      .device("cpu"), .progress(done: 3, total: 12, unit: "samples", tokens: 70, seconds: 0.5),
      .loss(natsPerToken: 3.25, predictions: 67),
      .reconstruction(
        Place(.mlpOut, 2), meanL0: 31.5, varianceExplained: 0.9, loss: 3.25, replacedLoss: nil, predictions: 67),
      .statistics(
        Place(.residPost, 0), .average(.gradient, .mean), Statistics([0.5, -.infinity, .nan]),
        Certainty(units: 3, largestIndex: 0, largest: 0.5, standardError: 1, reliability: nil)), .warning("a \"b\""),
      .file("out/é.npy"), .error("x: cannot open", exit: 66), .end,
    ]
    return facts.map { Array($0.line(program: "sae-grad").utf8) }
  }

  static func layers() throws -> [[UInt8]] { ["0-23", "0,5,10", "0,5-8,9999"].map { Array($0.utf8) } }

  // MARK: - Streams

  static func streams() throws -> [[UInt8]] {
    let gradients = try streamBytes { writer in
      try writer.begin(.gradients, provenance: ["places": "mlp_out.0-1", "stride": "4"])
      var record = OutputRecord()
      GradientBatch(
        cuPositions: [0, 1, 2], position: [0, 1], token: [5, 6], sampleIndex: [0, 1], predictions: [1, 2],
        loss: [1, 2]
      )
      .add(to: &record)
      record.add("grad.mlp_out.0", [Float](repeating: 0.5, count: 6), shape: [2, 3])
      record.add("cu_active.mlp_out.0", [Int64](arrayLiteral: 0, 2, 3))
      record.add("feature.mlp_out.0", [Int32](arrayLiteral: 0, 2, 1))
      record.add("value.mlp_out.0", [1.5, 2, 0.5] as [Float])
      try writer.write(record, batch: 0)
      try writer.end()
    }
    let aggregates = try streamBytes { writer in
      try writer.begin(
        .aggregates, provenance: ["mode": "both", "text.xxh64": "1\n", "text.start.xxh64": "2\n3"])
      var record = OutputRecord()
      record.add("sum.mlp_out.0", [Double](repeating: 1, count: 3))
      record.add("sum_abs.mlp_out.0", [Double](repeating: 1, count: 3))
      for name in ["mean", "mean_abs"] {
        for sums in ["even", "squares", "products"] { record.add("\(name)_\(sums).mlp_out.0", [1.0, 1, 1]) }
        record.add("\(name)_open.mlp_out.0", [0.5, 0.5, 0.5], shape: [1, 3])
      }
      record.add("even_weight.mlp_out.0", [1.0])
      record.add("squared_weight.mlp_out.0", [2.0])
      record.add("units.mlp_out.0", [Int64](arrayLiteral: 2, 1))
      record.add("open_documents.mlp_out.0", [Int64](arrayLiteral: 1, 3, 5, 5), shape: [1, 4])
      record.add("open_weights.mlp_out.0", [1.0])
      record.add("samples.mlp_out.0", [Int64](arrayLiteral: 0, 2, 5, 6), shape: [2, 2])
      record.add("texts.mlp_out.0", [Int64](arrayLiteral: 0, 1))
      record.add("weight.mlp_out.0", [3.0])
      record.add("loss.mlp_out.0", [3.0])
      record.add("positions.mlp_out.0", [Int64(3)])
      record.add("predictions.mlp_out.0", [Int64(3)])
      try writer.write(record, batch: 0)
      try writer.end()
    }
    // Of two samples of one document, with the activations themselves.
    let activations = try streamBytes { writer in
      try writer.begin(.gradients, provenance: ["places": "resid_post.1"])
      var record = OutputRecord()
      GradientBatch(
        cuPositions: [0, 2, 3], position: [0, 1, 0], token: [5, 6, 7], sampleIndex: [0, 1], document: [4, 4],
        predictions: [1, 0]
      )
      .add(to: &record)
      record.add("grad.resid_post.1", [Float](repeating: 0.5, count: 6), shape: [3, 2])
      record.add("act.resid_post.1", [Float](repeating: -2, count: 6), shape: [3, 2])
      try writer.write(record, batch: 0)
      try writer.end()
    }
    let reference = "{\"path\":\"/a\",\"features\":3,\"width\":3,\"xxh64\":\"0\",\"embedded\":true}"
    let tokens = try tokenStream(
      [[[1, 2], [3]], [[4]]], provenance: ["places": "mlp_out.0", "basis.mlp_out.0": reference])
    return [tokens, gradients, activations, aggregates, tokens + tokens]
  }

  /// The records of the streams, with nothing in place of the end record.
  static func records() throws -> [[UInt8]] {
    try streams().dropLast().map { stream in
      let reader = StreamReader(try ReusedFile().opened(with: stream))
      let segment = try reader.nextSegment()!
      let fixed = ["record": "begin", "format": "tensor-stream/2", "kind": segment.kind.rawValue]
      var records = [TestSupport.safetensors(fixed.merging(segment.provenance) { fixed, _ in fixed })]
      while let record = try reader.nextRecord() { records.append(Array(record.bytes)) }
      return joined(records + [[]])
    }
  }
}
