import Foundation
import SystemIO
import TensorStream
import TestSupport
import Testing

/// No damage to its input lets a program succeed.
@Suite struct BrokenInputTests {
  @Test(arguments: DemoRun.cases)
  func emptyInput(_ filter: DemoRun.Case) throws {
    let outcome = try Program(filter.program).run(filter.arguments)
    #expect(outcome.failed(65, saying: "\(filter.program): -: empty input: expected a tensor stream"))
  }

  @Test(arguments: DemoRun.cases)
  func wholeInput(_ filter: DemoRun.Case) throws {
    let outcome = try Program(filter.program).run(filter.arguments, input: filter.input.get())
    #expect(outcome.status == 0, "\(outcome.errors)")
  }

  @Test(arguments: DemoRun.cases)
  func wrongKind(_ filter: DemoRun.Case) throws {
    let outcome = try Program(filter.program).run(filter.arguments, input: filter.wrongInput.get())
    #expect(outcome.failed(65, saying: "expected a "), "\(outcome.errors)")
  }

  /// At the frames' edges, within their headers, and at random bytes.
  @Test(arguments: DemoRun.cases)
  func truncatedInput(_ filter: DemoRun.Case) throws {
    let input = try filter.input.get()
    var numbers = SeededNumbers(seed: 2)
    let starts = DemoRun.frameStarts(input)
    #expect(starts.count >= 3)
    let cuts =
      starts.dropFirst().flatMap { [$0 - 1, $0, $0 + 1, $0 + 4] } + [1, input.count - 1]
      + (0..<6).map { _ in Int.random(in: 1..<input.count, using: &numbers) }
    for cut in cuts {
      let outcome = try Program(filter.program).run(filter.arguments, input: input.prefix(cut))
      #expect(outcome.failed(65, saying: "truncated: "), "\(cut) of \(input.count) bytes: \(outcome.errors)")
    }
  }

  @Test(arguments: DemoRun.cases)
  func damagedInput(_ filter: DemoRun.Case) throws {
    let input = try filter.input.get()
    var numbers = SeededNumbers(seed: 3)
    for _ in 0..<15 {
      let byte = Int.random(in: 0..<input.count, using: &numbers)
      var damaged = input
      damaged[byte] ^= 1 << UInt8.random(in: 0..<8, using: &numbers)
      let outcome = try Program(filter.program).run(filter.arguments, input: damaged)
      #expect(outcome.failed(65, saying: "\(filter.program): -: record "), "byte \(byte): \(outcome.errors)")
    }
  }

  /// What a failing program has written is never taken for a stream by the next one.
  @Test func truncationPassesThroughThePipeline() throws {
    let input = try DemoRun.tokens.get()
    let starts = DemoRun.frameStarts(input)
    let folder = try TemporaryFolder()
    let pipeline =
      "qwen-capture --model '\(DemoRun.model)' --layers 0 | act-grad --model '\(DemoRun.model)' | "
      + "grad-aggregate --save '\(folder.path)/out' | stream-info --check; echo \"${PIPESTATUS[@]}\""
    for cut in [0, 10] + starts.dropFirst() {
      let outcome = try Program.shell(pipeline, input: input.prefix(cut))
      #expect(outcome.text == "65 65 65 65\n")
      #expect(!exists(folder.file("out")))
    }
    #expect(try Program.shell(pipeline, input: input).text.hasSuffix("\n0 0 0 0\n"))
    #expect(exists(folder.file("out/layer_3_mean_abs_gradients.npy")))
  }

  @Test(arguments: DemoRun.cases)
  func deadUpstream(_ filter: DemoRun.Case) throws {
    let folder = try TemporaryFolder()
    let input = try filter.input.get()
    let lastFrame = DemoRun.frameStarts(input).last!
    try input.prefix(lastFrame).write(to: folder.url("part"))
    let status = "; echo status ${PIPESTATUS[1]} >&2"
    for upstream in [
      "false", "true", "sh -c 'cat \(folder.file("part")); kill -9 $$'", "sh -c 'cat \(folder.file("part")); exit 1'",
    ] {
      let outcome = try Program.shell("\(upstream) | \(filter.commandLine) > /dev/null\(status)")
      #expect(outcome.errors.hasSuffix("status 65\n"), "\(upstream): \(outcome.errors)")
      // With pipefail the whole line fails, too.
      #expect(try Program.shell("set -o pipefail; \(upstream) | \(filter.commandLine)").status == 65)
    }
  }

  /// A real program killed while it waits for more, its first record passed on.
  @Test func killedUpstream() throws {
    let folder = try TemporaryFolder()
    // Two such records do not go through the model together: the second one sends the first on.
    let record = [(0..<600).map { Int32($0) }]
    let input = Data(try tokenStream([record, record, record]))
    try input.prefix(DemoRun.frameStarts(input)[3] + 20).write(to: folder.url("part"))
    let outcome = try Program.shell(
      """
      mkfifo '\(folder.file("tokens"))'
      { cat '\(folder.file("part"))'; sleep 1.5; } > '\(folder.file("tokens"))' &
      { qwen-capture --model '\(DemoRun.model)' --layers 0 < '\(folder.file("tokens"))' & echo $! > '\(folder.file("pid"))'; \
        sleep 1; kill -9 $!; } | tee '\(folder.file("passed"))' | act-grad --model '\(DemoRun.model)' > /dev/null
      echo status ${PIPESTATUS[2]}
      """)
    #expect(outcome.text == "status 65\n", "\(outcome.errors)")
    #expect(outcome.errors.contains("record 2: truncated"), "\(outcome.errors)")
    #expect(try Data(contentsOf: folder.url("passed")).count > 10_000)
  }

  @Test func anotherModel() throws {
    let folder = try TemporaryFolder()
    for file in try FileManager.default.contentsOfDirectory(atPath: DemoRun.model) {
      try FileManager.default.createSymbolicLink(
        atPath: folder.file(file), withDestinationPath: DemoRun.model + "/" + file)
    }
    let arguments = ["--model", folder.path]
    #expect(try Program("act-grad").run(arguments, input: DemoRun.activations.get()).status == 0)
    try FileManager.default.removeItem(atPath: folder.file("config.json"))
    let configuration = try String(contentsOfFile: DemoRun.model + "/config.json", encoding: .utf8)
    try (configuration + "\n").write(toFile: folder.file("config.json"), atomically: true, encoding: .utf8)
    let outcome = try Program("act-grad").run(arguments, input: DemoRun.activations.get())
    #expect(
      outcome.failed(65, saying: "the stream comes from another model: model.config.xxh64: expected "),
      "\(outcome.errors)")
  }

  @Test func tokensBeyondTheVocabulary() throws {
    for (id, isKnown) in [(4095, true), (4096, false), (-1, false)] as [(Int32, Bool)] {
      let outcome = try Program("qwen-capture").run(DemoRun.modelFlag, input: Data(tokenStream([[[1, id]]])))
      if isKnown {
        #expect(outcome.status == 0)
      } else {
        #expect(outcome.failed(65, saying: "record 1: token id \(id): the model's vocabulary has 4096 entries"))
      }
    }
  }

  @Test func shardsThatDoNotBelongTogether() throws {
    let gradients = { (stride: String, sample: Int64) in
      Data(
        try streamBytes { writer in
          try writer.begin(.gradients, provenance: ["stride": stride])
          var record = OutputRecord()
          GradientBatch(cuPositions: [0, 1], position: [0], token: [0], sampleIndex: [sample], predictions: [1]).add(
            to: &record)
          record.add("grad.mlp_out.0", [Float(1)], shape: [1, 1])
          try writer.write(record, batch: 0)
          try writer.end()
        })
    }
    let run = { (input: Data) in try Program("grad-aggregate").run(["--quiet"], input: input) }
    #expect(try run(gradients("4", 0) + gradients("4", 1)).status == 0)
    #expect(
      try run(gradients("4", 0) + gradients("1", 1)).failed(
        65, saying: "-: the inputs do not belong together: stride: expected 4 as before, found 1"))
    #expect(
      try run(gradients("4", 0) + gradients("4", 0)).failed(
        65, saying: "-: record 4: sample 0 was aggregated already: is an input given twice?"))
    let tokens = try Program("grad-aggregate").run([], input: Data(tokenStream([[[1]]])))
    #expect(tokens.failed(65, saying: "-: expected a stream of gradients or aggregates, found tokens"))
  }

  @Test func noGradientsAtAll() throws {
    let stream = Data(
      try streamBytes { writer in
        try writer.begin(.gradients, provenance: [:])
        try writer.end()
      })
    let outcome = try Program("grad-aggregate").run([], input: stream)
    #expect(outcome.failed(65, saying: "no gradients: expected at least one record, found none"))
  }
}
