import Foundation
import SystemIO
import TensorStream
import TestSupport
import Testing

/// grad-contexts from outside, on the demo model, its text and its autoencoders.
@Suite struct GradContextsTests {
  private let folder: TemporaryFolder
  private let program = Program("grad-contexts")

  init() throws { folder = try TemporaryFolder() }

  private static let text = packageRoot + "/demo/sample.txt"
  private static let tokens = Result {
    try DemoRun.output(
      "wt-tokenize", ["--tokenizer", DemoRun.model, "--num-samples", "20", "--max-length", "60", text], Data())
  }
  private static let activations = Result {
    try DemoRun.output("qwen-capture", DemoRun.modelFlag + ["--layers", "1,2"], try tokens.get())
  }
  private static let gradients = Result {
    try DemoRun.output("sae-grad", SAEGradTests.flags + ["--stride", "1"], try activations.get())
  }
  private static let averages = Result {
    try DemoRun.output("grad-aggregate", ["--quantity", "attribution"], try gradients.get())
  }

  struct Line: Equatable, Decodable {
    let place: String
    let feature: Int
    var quantile: Int?
    let rank: Int
    let by: String
    let sample: Int64
    let position: Int
    let token: String
    let before: [String]
    let after: [String]
    let activation: Double?
    let gradient: Double
    let attribution: Double?
    let activations_before: [Double?]
    let activations_after: [Double?]
  }

  private func run(_ arguments: [String], _ input: Data? = nil) throws -> Program.Outcome {
    try program.run(arguments, input: try input ?? Self.gradients.get())
  }

  private func write(_ data: Data, _ name: String) throws -> String {
    try data.write(to: folder.url(name))
    return folder.file(name)
  }

  /// The lines, with text.
  private func lines(_ arguments: [String], _ input: Data? = nil) throws -> [Line] {
    let tokens = try write(try Self.tokens.get(), "tokens.ts")
    let outcome = try run(arguments + ["--tokens", tokens, "--tokenizer", DemoRun.model], input)
    #expect(outcome.status == 0, "\(outcome.errors)")
    return try outcome.output.split(separator: 0x0a).map { try JSONDecoder().decode(Line.self, from: $0) }
  }

  @Test func theRankingsFirstInContext() throws {
    let averages = try write(try Self.averages.get(), "averages.ts")
    let lines = try lines(["--aggregates", averages, "--top", "3", "--contexts", "4", "--window", "5"])
    let table = try Program("grad-table").run(
      ["--top", "3", "--sort", "attribution.mean_abs", averages]
    ).text.split(separator: "\n").dropFirst().map { $0.split(separator: "\t").prefix(3).map(String.init) }
    let features = lines.filter { $0.rank == 1 }.map {
      $0.place.split(separator: ".").map(String.init) + ["\($0.feature)"]
    }
    #expect(features == table && features.count == 6)
    for line in lines {
      #expect(line.by == "attribution" && line.quantile == nil)
      let (a, g) = (try #require(line.activation), line.gradient)
      #expect(abs(line.attribution! - a * g) <= 1e-6 * abs(a * g) && a != 0)
      #expect(line.before.count == min(5, line.position) && line.after.count <= 5)
      #expect(line.activations_before.count == line.before.count)
      #expect(line.activations_after.count == line.after.count)
      #expect(!line.activations_before.contains(nil))
    }
    for (one, next) in zip(lines, lines.dropFirst()) where one.feature == next.feature && one.place == next.place {
      #expect(next.rank == one.rank + 1 && next.sample != one.sample)
      #expect(abs(next.attribution!) <= abs(one.attribution!))
    }
  }

  /// The members and their order, and that a reader of JSON finds nothing else.
  @Test func aLine() throws {
    let feature = try feature()
    let outcome = try run(["--features", feature, "--contexts", "1", "--window", "2", "--quantiles", "1"])
    let lines = outcome.text.split(separator: "\n")
    #expect(lines.count == 3 && outcome.errors.contains(", 3 contexts of 1 feature"), "\(outcome.errors)")
    let members = [
      "place", "feature", "rank", "by", "sample", "position", "token", "before", "after", "activation", "gradient",
      "attribution", "activations_before", "activations_after",
    ]
    for line in lines {
      let object = try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
      let drawn = object["quantile"] != nil
      #expect(Set(object.keys) == Set(members + (drawn ? ["quantile"] : [])))
      let places = members.map { line.range(of: "\"\($0)\":")!.lowerBound }
      #expect(places == places.sorted())
      #expect(object["token"] is Int && (object["before"] as? [Int])?.count ?? 9 <= 2)
    }
  }

  /// What a line leaves out, and what would add it, is said in one line.
  @Test func whatBringsTheText() throws {
    let feature = try feature()
    let tokens = try write(try Self.tokens.get(), "tokens.ts")
    let sparse = try DemoRun.output(
      "sae-grad", SAEGradTests.flags + ["--stride", "4"], Self.activations.get())
    let run = { (flags: [String]) in
      try Program("grad-contexts").run(
        ["--features", feature, "--by", "gradient", "--window", "8"] + flags, input: sparse)
    }
    let ids = "tokens are ids: add --tokenizer for their text"
    let bare = try run([])
    let unknown = bare.text.split(separator: "null").count - 1
    #expect(unknown > 0 && bare.errors.contains("grad-contexts: "), "\(bare.errors)")
    #expect(
      bare.errors.contains(
        " are null, as gradients have the tokens of recorded positions alone: add --tokens with the run's tokens stream; "
          + ids), "\(bare.errors)")
    #expect(try run(["--tokens", tokens]).errors.contains("grad-contexts: \(ids)\n"))
    let whole = try run(["--tokens", tokens, "--tokenizer", DemoRun.model])
    #expect(whole.status == 0 && !whole.errors.contains("add --token"), "\(whole.errors)")
    #expect(try run(["--quiet"]).errors.isEmpty)
  }

  /// A feature that is active somewhere, by its name.
  private func feature() throws -> String {
    let averages = try write(try Self.averages.get(), "averages.ts")
    let row = try Program("grad-table").run(["--top", "1", "--layers", "2", averages]).text.split(separator: "\n")[1]
    return "2:\(row.split(separator: "\t")[2])"
  }

  /// Windows as long as the sample have all of its text, in which the tokenizer's decoding is the original.
  @Test func textsAreTheSamples() throws {
    let samples = try Self.text(of: Self.text)
    for line in try lines(["--features", feature(), "--window", "200", "--repeat", "--contexts", "50"]) {
      let text = (line.before + [line.token] + line.after).joined()
      let sample = samples[Int(line.sample)]
      #expect(sample.hasPrefix(text) && (text == sample || line.before.count + line.after.count == 59))
    }
  }

  private static func text(of path: String) throws -> [String] {
    String(decoding: try Data(contentsOf: URL(fileURLWithPath: path)), as: UTF8.self)
      .split(separator: "\n").map { "\($0)\n" }.filter { $0.trimmingCharacters(in: .whitespacesAndNewlines).count > 50 }
  }

  /// Shards in any order, layers apart, and batches of any size: the same lines.
  @Test func shardsAreOneStream() throws {
    let whole = try run(["--features", "1:3,\(feature())", "--by", "gradient", "--quantiles", "2"])
    #expect(whole.status == 0 && whole.text.split(separator: "\n").count > 20)
    var files: [String] = []
    for (first, count) in [(13, 7), (0, 4), (4, 9)] {
      let tokens = try DemoRun.output(
        "wt-tokenize",
        [
          "--tokenizer", DemoRun.model, "--skip", "\(first)", "--num-samples", "\(count)", "--max-length", "60",
          "--batch-size", "3", Self.text,
        ], Data())
      let captured = try DemoRun.output("qwen-capture", DemoRun.modelFlag + ["--layers", "1,2"], tokens)
      for layer in ["2", "1"] {
        let gradients = try DemoRun.output(
          "sae-grad", SAEGradTests.flags + ["--stride", "1", "--layers", layer], captured)
        files.append(try write(gradients, "\(first)-\(layer).ts"))
      }
    }
    let shards = try run(["--features", "1:3,\(feature())", "--by", "gradient", "--quantiles", "2"] + files)
    #expect(shards.status == 0, "\(shards.errors)")
    // Other batches round otherwise.
    func positions(_ outcome: Program.Outcome) throws -> [[Int]] {
      try outcome.output.split(separator: 0x0a).map { line in
        let object = try #require(try JSONSerialization.jsonObject(with: line) as? [String: Any])
        return ["feature", "quantile", "rank", "sample", "position"].map { object[$0] as? Int ?? 0 }
      }
    }
    #expect(try positions(shards) == positions(whole))
  }

  @Test func whatIsNotRecordedIsNull() throws {
    let sparse = try DemoRun.output("sae-grad", SAEGradTests.flags, try Self.activations.get())
    let some = try lines(["--features", feature(), "--window", "4"], sparse)
    #expect(!some.isEmpty)
    for line in some {
      #expect(line.position % 4 == 0)
      for (offset, activation) in line.activations_before.reversed().enumerated() {
        #expect((activation == nil) == ((offset + 1) % 4 != 0))
      }
    }
    let alone = try run(["--features", feature(), "--window", "4", "--tokenizer", DemoRun.model], sparse)
    #expect(alone.text.contains("\"after\":[null,null,null,\""))
  }

  @Test func dimensionsOfActivations() throws {
    let gradients = try DemoRun.output(
      "act-grad", DemoRun.modelFlag + ["--with-activations"], try Self.activations.get())
    let lines = try lines(["--features", "1:90,2:3", "--contexts", "6"], gradients)
    #expect(lines.count == 12 && lines.prefix(6).allSatisfy { $0.place == "mlp_out.1" && $0.feature == 90 })
    #expect(lines.contains { $0.activation! < 0 } && lines.contains { $0.activation! > 0 })
    let without = try DemoRun.output("act-grad", DemoRun.modelFlag, try Self.activations.get())
    let outcome = try run(["--features", "1:90"], without)
    #expect(
      outcome.failed(65, saying: "--by attribution: expected the activations at mlp_out.1, which sae-grad writes"),
      "\(outcome.errors)")
    #expect(outcome.output.isEmpty)
    #expect(try run(["--features", "1:90", "--by", "gradient"], without).text.contains("\"activation\":null"))
  }

  /// Features that never fire are named; where all are such, there is nothing to write.
  @Test func featuresWithoutContexts() throws {
    let averages = try write(
      try DemoRun.output("grad-aggregate", ["--quantity", "attribution"], try Self.gradients.get()), "a.ts")
    let rows = try Program("grad-table").run(["--layers", "2", "--sort", "firing", averages]).text.split(
      separator: "\n")
    let last = try #require(rows.last).split(separator: "\t")
    try #require(Double(last.last!)! == 0 || Double(last[last.count - 2])! == 0, "\(last)")
    let dead = "2:\(last[2])"
    let outcome = try run(["--features", "\(dead),\(feature())"])
    #expect(
      outcome.status == 0
        && outcome.errors.contains("no contexts, as the attribution is 0 at every recorded position: \(dead)\n"),
      "\(outcome.errors)")
    let none = try run(["--features", dead])
    #expect(
      none.failed(65, saying: "\(dead): expected positions whose attribution is not 0, found none"), "\(none.errors)")
    #expect(none.output.isEmpty)
    #expect(try run(["--features", dead, "--by", "gradient"]).status == 0)
  }

  @Test(arguments: [
    (["--features", "2:1024"], 64, "2:1024: expected a feature of the autoencoder, from 0 to 1023"),
    (["--features", "3:1"], 65, "expected gradients at mlp_out.3, found mlp_out.1-2"),
    (["--features", "resid_post.2:1"], 65, "expected gradients at resid_post.2, found mlp_out.1-2"),
    (
      ["--features", "2:1", "--layers", "1"], 64, "--features: expected some at --site and in --layers, found mlp_out.2"
    ),
    (["--features", "2:1", "--tokens", "/no/such.ts"], 66, "/no/such.ts: cannot open"),
    (["--features", "2:1", "--tokenizer", "/no/such"], 66, "/no/such: no such tokenizer"),
    (["--features", "2:1", "--sae", "/no/such_{layer}"], 66, "/no/such_2"),
    (["--aggregates", "/no/such.ts"], 66, "/no/such.ts: cannot open"),
  ])
  func refusals(_ arguments: [String], _ status: Int32, _ words: String) throws {
    let outcome = try run(arguments)
    #expect(outcome.failed(status, saying: words), "\(outcome.errors)")
    #expect(outcome.output.isEmpty)
  }

  /// What was made of another run is refused before the gradients are read.
  @Test func otherRuns() throws {
    let named = ["--features", try feature()]
    let few = try DemoRun.output(
      "wt-tokenize", ["--tokenizer", DemoRun.model, "--num-samples", "3", "--max-length", "60", Self.text], Data())
    let short = try DemoRun.output(
      "wt-tokenize", ["--tokenizer", DemoRun.model, "--num-samples", "20", "--max-length", "9", Self.text], Data())
    let otherText = try write(Data("Another text, with a line that is long enough to be a sample.\n".utf8), "text")
    let other = try DemoRun.output(
      "wt-tokenize", ["--tokenizer", DemoRun.model, "--num-samples", "1", otherText], Data())
    for (stream, words) in [
      (few, "found no such sample"),
      (short, "not the tokens of the gradients: expected this number of predictions: 59"),
      (other, "not the tokens of the gradients: text.xxh64: expected "),
      (try Self.gradients.get(), "expected a stream of tokens, found gradients"),
      (Data(try Self.tokens.get().dropLast(1)), "tokens.ts: "),
    ] {
      let outcome = try run(named + ["--tokens", try write(stream, "tokens.ts")])
      #expect(outcome.failed(65, saying: words), "\(outcome.errors)")
      #expect(outcome.output.isEmpty)
    }
    try FileManager.default.createDirectory(at: folder.url("tokenizer"), withIntermediateDirectories: true)
    var tokenizer = try String(contentsOfFile: "\(DemoRun.model)/tokenizer.json", encoding: .utf8)
    tokenizer = tokenizer.replacing("\"dropout\": null", with: "\"dropout\":  null")
    tokenizer += " "
    try Data(tokenizer.utf8).write(to: folder.url("tokenizer/tokenizer.json"))
    let decoded = try run(named + ["--tokenizer", folder.file("tokenizer")])
    #expect(decoded.failed(65, saying: "--tokenizer: not the tokenizer of the gradients: expected XXH64 "))
    let norms = try DemoRun.output(
      "grad-aggregate", ["--quantity", "attribution"],
      try DemoRun.output("sae-grad", SAEGradTests.flags + ["--keep-decoder-norms"], try Self.activations.get()))
    let outcome = try run(["--aggregates", try write(norms, "norms.ts")])
    #expect(outcome.failed(65, saying: "averages of another autoencoder"), "\(outcome.errors)")
    let wrong = try run(named, try Self.averages.get())
    #expect(wrong.failed(65, saying: "expected a stream of gradients, found aggregates"), "\(wrong.errors)")
  }
}
