import Foundation
import SystemIO
import TensorStream
import TestSupport
import Testing

/// sae-grad and the aggregation of what it writes, from outside, on the demo model and its autoencoders.
@Suite struct SAEGradTests {
  static let pattern = packageRoot + "/demo/saes/mlp_out_layer_{layer}/trainer_0"
  static let flags = DemoRun.modelFlag + ["--sae", pattern]
  static let activations = Result {
    try DemoRun.output("qwen-capture", DemoRun.modelFlag, try DemoRun.tokens.get())
  }

  private func gradients(_ more: [String] = []) throws -> Data {
    try DemoRun.output("sae-grad", Self.flags + more, try Self.activations.get())
  }

  /// The saved averages, by file name.
  private func arrays(_ streams: [Data], _ more: [String] = []) throws -> [String: Data] {
    let folder = try TemporaryFolder()
    var files: [String] = []
    for (number, stream) in streams.enumerated() {
      files.append(folder.file("\(number).ts"))
      try stream.write(to: folder.url("\(number).ts"))
    }
    _ = try DemoRun.output("grad-aggregate", ["--mode", "both", "--save", folder.file("out")] + more + files, Data())
    let names = try FileManager.default.contentsOfDirectory(atPath: folder.file("out"))
    return Dictionary(
      uniqueKeysWithValues: try names.map { ($0, try Data(contentsOf: folder.url("out").appendingPathComponent($0))) })
  }

  private func values(_ array: Data) -> [Float] {
    array.dropFirst(128).withUnsafeBytes { bytes in
      (0..<bytes.count / 4).map { bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
    }
  }

  private func expectClose(_ found: [String: Data], _ expected: [String: Data], _ tolerance: Double) {
    #expect(Set(found.keys) == Set(expected.keys) && found.count == 8)
    for (name, array) in expected {
      let error = relativeL2(values(found[name] ?? Data(count: array.count)), values(array))
      #expect(error <= tolerance, "\(name): \(error)")
    }
  }

  /// A star in the path stands for the one name that is there, which is said; of several it is asked which.
  @Test func aStarInThePath() throws {
    let pattern = Self.pattern.replacing("trainer_0", with: "trainer_*")
    let flags = DemoRun.modelFlag + ["--layers", "1,3", "--sae"]
    let outcome = try Program("sae-grad").run(flags + [pattern], input: try Self.activations.get())
    #expect(outcome.status == 0)
    for layer in [1, 3] {
      let path = "\(packageRoot)/demo/saes/mlp_out_layer_\(layer)/trainer_0/ae.pt"
      #expect(outcome.errors.contains("sae-grad: mlp_out.\(layer): \(path)\n"))
    }
    let named = try Program("sae-grad").run(flags + [Self.pattern], input: try Self.activations.get())
    #expect(try arrays([outcome.output]) == arrays([named.output]))
    let several = try Program("sae-grad").run(
      flags + ["\(packageRoot)/demo/saes/mlp_out_layer_*/*_0"], input: try Self.activations.get())
    #expect(several.status == 64 && several.errors.contains("--sae: one path for"))
    let asked = try Program("sae-grad").run(
      DemoRun.modelFlag + ["--layers", "1", "--sae", "\(packageRoot)/demo/saes/mlp_out_layer_*/trainer_0"],
      input: try Self.activations.get())
    #expect(asked.status == 64 && asked.output.isEmpty)
    #expect(asked.errors.contains("expected one match, found 4: mlp_out_layer_0/trainer_0, mlp_out_layer_1/trainer_0"))
  }

  @Test func listingAutoencoders() throws {
    let table = try Program("sae-grad").run(["--list-saes", "\(packageRoot)/demo/saes"])
    #expect(table.status == 0 && table.errors.isEmpty)
    let rows = table.text.split(separator: "\n").map { $0.split(separator: " ").map(String.init) }
    #expect(rows[0] == ["name", "place", "format", "width", "features", "L0", "model"])
    #expect(
      rows.dropFirst().map { Array($0.prefix(4)) }
        == (0..<4).map { ["mlp_out_layer_\($0)/trainer_0", "mlp_out.\($0)", "dictionary_learning", "BatchTopKSAE"] })
    // Columns stand below their headings.
    let lines = table.text.split(separator: "\n")
    for word in ["place", "format", "width", "features", "L0", "model"] {
      let column = lines[0].distance(from: lines[0].startIndex, to: lines[0].firstRange(of: word)!.lowerBound)
      #expect(lines.allSatisfy { $0.dropFirst(column - 1).first == " " && $0.dropFirst(column).first != " " })
    }
    // By their numbers, whatever the order of the letters, and what cannot be used with its reason.
    let folder = try TemporaryFolder()
    for layer in [10, 2] {
      try FileManager.default.createDirectory(at: folder.url("layer_\(layer)"), withIntermediateDirectories: true)
      for name in ["ae.pt", "config.json"] {
        try FileManager.default.copyItem(
          atPath: "\(packageRoot)/demo/saes/mlp_out_layer_1/trainer_0/\(name)",
          toPath: folder.file("layer_\(layer)/\(name)"))
      }
    }
    try Data("not tensors at all".utf8).write(to: folder.url("other.safetensors"))
    let json = try Program("sae-grad").run(["--json", "--list-saes", folder.path])
    let objects = try json.text.split(separator: "\n").map {
      try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
    }
    #expect(objects.map { $0["name"] as? String } == ["layer_2", "layer_10", "other.safetensors"])
    #expect(objects[0]["place"] as? String == "mlp_out.1" && objects[0]["features"] as? Int == 1024)
    #expect((objects[2]["refused"] as? String)?.contains(folder.path) == false)
    let none = try Program("sae-grad").run(["--list-saes", packageRoot + "/docs"])
    #expect(none.status == 66 && none.errors.contains("expected autoencoders, found no file of tensors"))
  }

  /// A process a layer, as xargs runs them, gives the same bits as one for all layers.
  @Test func layersApartAreLayersTogether() throws {
    let folder = try TemporaryFolder()
    try Self.activations.get().write(to: folder.url("activations.ts"))
    let outcome = try Program.shell(
      """
      cd '\(folder.path)' && seq 0 3 | xargs -P 2 -I L sh -c 'sae-grad --quiet --model "\(DemoRun.model)" \
        --sae "\(Self.pattern)" --layers L --threads 1 < activations.ts > gradients-L.ts'
      """)
    #expect(outcome.status == 0, "\(outcome.errors)")
    let apart = try (0..<4).map { try Data(contentsOf: folder.url("gradients-\($0).ts")) }
    #expect(try arrays(apart) == arrays([try gradients(["--threads", "1"])]))
  }

  @Test(.enabled(if: roundsAllRowsAlike, "OpenBLAS rounds a row by its place on this processor"), arguments: [2, 3, 5])
  func anyNumberOfThreadsGivesTheSameBits(_ threads: Int) throws {
    let more = ["--threads", "\(threads)"]
    let activations = try DemoRun.output("qwen-capture", DemoRun.modelFlag + more, try DemoRun.tokens.get())
    for (program, flags) in [("act-grad", DemoRun.modelFlag), ("sae-grad", Self.flags)] {
      let found = try arrays([try DemoRun.output(program, flags + more, activations)], more)
      let expected = try arrays(
        [try DemoRun.output(program, flags + ["--threads", "1"], try Self.activations.get())], ["--threads", "1"])
      #expect(found == expected, "\(program)")
    }
  }

  @Test func denseAndEmbeddedStreamsAverageAsFactoredOnes() throws {
    let factored = try gradients()
    let dense = try gradients(["--dense"])
    #expect(dense.count > 5 * factored.count)
    let expected = try arrays([factored])
    // The sums run in another order; signed averages cancel, which leaves fewer digits.
    expectClose(try arrays([dense]), expected, 2e-6)
    let embedded = try gradients(["--embed-basis"])
    // The product reads the decoder by rows here and by columns there.
    expectClose(try arrays([embedded]), expected, 2e-6)
  }

  @Test func partialsOfShardsMergeToOneRun() throws {
    let shards = try [0..<4, 4..<10].map { range in
      let activations = try DemoRun.output("qwen-capture", DemoRun.modelFlag, try DemoRun.tokens(range))
      let gradients = try DemoRun.output("sae-grad", Self.flags, activations)
      return try DemoRun.output("grad-aggregate", ["--mode", "both", "--partial"], gradients)
    }
    expectClose(try arrays(shards), try arrays([try gradients()]), 1e-6)
  }

  /// With the stride of every position and the error term, g is act-grad's.
  @Test func theErrorTermLeavesTheModelAlone() throws {
    let outcome = try Program("sae-grad").run(
      Self.flags + ["--use-error-term"], input: try Self.activations.get())
    #expect(outcome.status == 0)
    #expect(outcome.errors.contains("layer 3: L0 ") && outcome.errors.contains("(k 16), variance explained"))
    #expect(!outcome.errors.contains("with the SAE"))
  }

  @Test func theCapturedLossIsTheOneThatIsComputed() throws {
    let withLoss = try DemoRun.output("qwen-capture", DemoRun.modelFlag + ["--loss"], try DemoRun.tokens.get())
    #expect(try arrays([DemoRun.output("sae-grad", Self.flags, withLoss)]) == arrays([try gradients()]))
  }

  @Test func anotherAutoencoderIsRefused() throws {
    let folder = try TemporaryFolder()
    for layer in 0..<4 {
      let path = folder.file("\(layer)")
      try FileManager.default.copyItem(
        atPath: packageRoot + "/demo/saes/mlp_out_layer_\((layer + 1) % 4)/trainer_0", toPath: path)
    }
    let outcome = try Program("grad-aggregate").run(["--sae", folder.file("{layer}")], input: try gradients())
    #expect(outcome.status == 65 && outcome.errors.contains("not the autoencoder of the stream: expected XXH64"))
  }

  @Test func aStreamWithoutTheDecoderItPromisesIsRefused() throws {
    let reference = #"{"embedded":true,"features":8,"path":"ae.pt","width":2,"xxh64":"0"}"#
    var record = OutputRecord()
    GradientBatch(cuPositions: [0, 1], position: [0], token: [0], sampleIndex: [0], predictions: [1]).add(to: &record)
    record.add("grad.mlp_out.0", [1, 2] as [Float], shape: [1, 2])
    let stream = try streamBytes { writer in
      try writer.begin(.gradients, provenance: ["basis.mlp_out.0": reference])
      try writer.write(record, batch: 0)
      try writer.end()
    }
    let outcome = try Program("grad-aggregate").run([], input: Data(stream))
    #expect(
      outcome.status == 65 && outcome.errors.contains("mlp_out.0: expected a record with its decoder, basis.mlp_out.0"),
      "\(outcome.errors)")
  }

  /// The demo's autoencoder of layer 1, at another path and under the names of layers that it was not made for.
  private func misplaced(_ layers: [Int] = [1, 2]) throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    for layer in layers {
      try FileManager.default.copyItem(
        atPath: packageRoot + "/demo/saes/mlp_out_layer_1/trainer_0", toPath: folder.file("\(layer)"))
    }
    return folder
  }

  @Test func anAutoencoderOfAnotherPlaceIsRefused() throws {
    let folder = try misplaced()
    let flags = DemoRun.modelFlag + ["--sae", folder.file("{layer}"), "--layers", "1-2"]
    let outcome = try Program("sae-grad").run(flags, input: try Self.activations.get())
    let message = "made for layer 1 (mlp_out_layer_1), used at the MLP output of layer 2"
    #expect(outcome.status == 65 && outcome.output.isEmpty)
    #expect(
      outcome.errors.hasSuffix("sae-grad: \(folder.file("2"))/ae.pt: \(message); --ignore-sae-place uses it anyway\n"),
      "\(outcome.errors)")
    let ignored = try Program("sae-grad").run(flags + ["--ignore_sae_place"], input: try Self.activations.get())
    #expect(ignored.status == 0 && ignored.errors.contains("warning: \(folder.file("2"))/ae.pt: \(message)\n"))
  }

  /// Copies of one autoencoder are one: the hash decides, not the path.
  @Test func copiesAtDifferentPathsMerge() throws {
    let folder = try misplaced([1])
    let shards = try [0..<4, 4..<10].map {
      try DemoRun.output("qwen-capture", DemoRun.modelFlag, try DemoRun.tokens($0))
    }
    func gradients(_ shard: Int, _ sae: String, _ more: [String]) throws -> Data {
      try DemoRun.output("sae-grad", DemoRun.modelFlag + ["--layers", "1", "--sae", sae] + more, shards[shard])
    }
    for more in [[], ["--dense"]] {
      let first = try gradients(0, Self.pattern, more)
      let copy = try gradients(1, folder.file("{layer}"), more)
      let same = try gradients(1, Self.pattern, more)
      #expect(try arrays([first, copy]) == arrays([first, same]))
      let partials = try [first, copy].map { try DemoRun.output("grad-aggregate", ["--partial"], $0) }
      _ = try DemoRun.output("grad-aggregate", [], partials[0] + partials[1])
      let other = try gradients(1, Self.pattern, ["--keep-decoder-norms"] + more)
      let mixed = try Program("grad-aggregate").run([], input: first + other)
      #expect(mixed.status == 65 && mixed.errors.contains("the inputs do not belong together"), "\(mixed.errors)")
    }
  }

  /// A stream that went elsewhere, without the autoencoders or with them at another path.
  @Test func anAutoencoderThatIsNotThereAnyMore() throws {
    let folder = try misplaced([1])
    let flags = DemoRun.modelFlag + ["--layers", "1", "--sae", folder.file("{layer}")]
    let stream = try DemoRun.output("sae-grad", flags, try Self.activations.get())
    try FileManager.default.removeItem(atPath: folder.file("1"))
    let outcome = try Program("grad-aggregate").run([], input: stream)
    #expect(
      outcome.failed(
        66, saying: "/1/ae.pt: the autoencoder is not where the stream says; --sae says where it lies now"),
      "\(outcome.errors)")
    _ = try DemoRun.output("grad-aggregate", ["--sae", Self.pattern], stream)
  }

  /// As the hub's cache keeps files: links to others that are called after their contents, in a folder of their own.
  @Test func linkedFilesAreFoundAgain() throws {
    let folder = try TemporaryFolder()
    for name in ["blobs", "snapshot"] {
      try FileManager.default.createDirectory(at: folder.url(name), withIntermediateDirectories: true)
    }
    for name in ["ae.pt", "config.json"] {
      let blob = "blobs/\(name.utf8.count)"
      try FileManager.default.copyItem(
        atPath: packageRoot + "/demo/saes/mlp_out_layer_1/trainer_0/\(name)", toPath: folder.file(blob))
      try FileManager.default.createSymbolicLink(
        atPath: folder.file("snapshot/\(name)"), withDestinationPath: "../\(blob)")
    }
    let flags = DemoRun.modelFlag + ["--layers", "1", "--sae"]
    let linked = try DemoRun.output("sae-grad", flags + [folder.file("snapshot")], try Self.activations.get())
    let plain = try DemoRun.output("sae-grad", flags + [Self.pattern], try Self.activations.get())
    #expect(try arrays([linked]) == arrays([plain]))
  }

  @Test func denseLayersApartMerge() throws {
    let streams = try ["0", "1"].map { try gradients(["--dense", "--layers", $0]) }
    _ = try DemoRun.output("grad-aggregate", [], streams[0] + streams[1])
  }

  @Test(arguments: [
    (["--sae", pattern, "--layers", "1", "--sae-k", "16"], 64, "--sae-k: 16 is not used by the BatchTopKSAE in "),
    (
      ["--sae", packageRoot + "/demo/saes/mlp_out_layer_1/trainer_0"], 64,
      "--sae: one path for mlp_out.0-3: expected {layer} in it, or a single layer by --layers"
    ),
    (
      ["--sae", packageRoot + "/demo/saes/mlp_out_layer_{layer}", "--layers", "1"], 66,
      "found folders that have one: trainer_0; this names one: --sae "
    ),
    (["--sae", packageRoot + "/demo/saes", "--layers", "1"], 66, "mlp_out_layer_1/trainer_0"),
  ]) func whatTheFilesSay(_ arguments: [String], _ status: Int, _ message: String) throws {
    let outcome = try Program("sae-grad").run(DemoRun.modelFlag + arguments, input: try Self.activations.get())
    #expect(Int(outcome.status) == status && outcome.errors.contains(message), "\(outcome.errors)")
    #expect(outcome.output.isEmpty && outcome.errors.split(separator: "\n").last?.hasPrefix("sae-grad: ") == true)
  }

  @Test(arguments: [
    (["--sae", "nowhere/{layer}"], 66, "nowhere/0"), (["--sae", "x", "--layers", "0,1"], 64, "{layer}"),
    (["--sae", pattern, "--layers", "4"], 64, "the model's last layer is 3"),
    (["--sae", pattern, "--stride", "0"], 64, "--stride"),
    (["--sae", pattern, "--sae-k", "0"], 64, "--sae-k: expected a number of at least 1, found 0"),
  ])
  func mistakesAreNamed(_ arguments: [String], _ status: Int, _ message: String) throws {
    let outcome = try Program("sae-grad").run(DemoRun.modelFlag + arguments, input: try Self.activations.get())
    #expect(Int(outcome.status) == status && outcome.errors.contains(message), "\(outcome.errors)")
  }
}
