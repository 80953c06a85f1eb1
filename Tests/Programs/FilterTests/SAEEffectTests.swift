import Foundation
import SystemIO
import TensorStream
import TestSupport
import Testing

/// sae-effect from outside, on the demo model and its autoencoders.
@Suite struct SAEEffectTests {
  private static let flags = SAEGradTests.flags
  /// Features of layer 2, some of which fire in the demo's samples.
  private static let list = (0..<40).map { "2:\($0)" }.joined(separator: ",")

  struct Line: Equatable, Decodable {
    let place: String
    var feature: Int?
    var effect: Double?
    var effect_se: Double?
    var predicted: Double?
    var predicted_se: Double?
    var difference_se: Double?
    var firing: Double?
    var random: Bool?
    var features: Int?
    var correlation: Double?
    var rank_correlation: Double?
  }

  static func lines(_ text: Data) throws -> [Line] {
    try text.split(separator: 0x0a).map { try JSONDecoder().decode(Line.self, from: $0) }
  }

  private func lines(_ text: String) throws -> [Line] { try Self.lines(Data(text.utf8)) }

  private func run(_ arguments: [String], _ input: Data? = nil) throws -> Program.Outcome {
    try Program("sae-effect").run(arguments, input: try input ?? SAEGradTests.activations.get())
  }

  private func effects(_ arguments: [String]) throws -> [Line] {
    let outcome = try run(Self.flags + arguments)
    #expect(outcome.status == 0, "\(outcome.errors)")
    return try lines(outcome.text)
  }

  @Test func aLineForEachFeatureAndOneForThePlace() throws {
    let outcome = try run(Self.flags + ["--features", "2:0,1:5,2:3", "--stride", "1"])
    #expect(outcome.status == 0)
    let objects = try outcome.text.split(separator: "\n").map {
      try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
    }
    #expect(objects.count == 5)
    for object in objects[..<3] {
      #expect(
        Set(object.keys)
          == [
            "place", "feature", "effect", "effect_se", "predicted", "predicted_se", "difference_se", "firing", "random",
          ])
    }
    for object in objects[3...] {
      #expect(Set(object.keys) == ["place", "features", "correlation", "rank_correlation"])
    }
    let lines = try lines(outcome.text)
    #expect(lines.map(\.place) == ["mlp_out.1", "mlp_out.2", "mlp_out.2", "mlp_out.1", "mlp_out.2"])
    #expect(lines.map(\.feature) == [5, 0, 3, nil, nil])
    #expect(lines[3].features == 1 && lines[3].correlation == nil && lines[4].features == 2)
    #expect(outcome.errors.contains("ablations, ") && outcome.errors.contains(" nats per prediction"))
  }

  /// What fires has effects, which the attributions foresee; what does not has none.
  @Test func predictionsFollowEffects() throws {
    let lines = try effects(["--features", Self.list, "--stride", "1"])
    let features = lines.dropLast()
    #expect(features.count == 40 && features.contains { $0.firing! > 0 } && features.contains { $0.firing! == 0 })
    for line in features where line.firing! == 0 {
      #expect(line.effect == 0 && line.effect_se == 0 && line.predicted == 0)
    }
    #expect(lines.last!.features == 40 && lines.last!.correlation! > 0.9)
  }

  /// Of dimensions: −Σ a·g / predictions of each sample, with act-grad's gradients of the same activations.
  @Test func predictionsAreAttributions() throws {
    let captured = try DemoRun.activations.get()
    let lines = try lines(try run(DemoRun.modelFlag + ["--features", "2:3,2:90"], captured).text)
    let gradients = try DemoRun.output("act-grad", DemoRun.modelFlag, captured)
    func tensors(_ stream: Data, _ kind: StreamKind, _ name: String) throws -> [(values: [Float], sizes: [Int])] {
      let reader = StreamReader(try ReusedFile().opened(with: Array(stream)))
      var records: [(values: [Float], sizes: [Int])] = []
      while try reader.nextSegment(kind) != nil {
        while let record = try reader.nextRecord() {
          let starts = try record.tensor(
            kind == .gradients ? "cu_positions" : "cu_seqlens", shape: [nil], of: Int32.self)
          let sizes = zip(starts, starts.dropFirst()).map { Int($1 - $0) }
          records.append((Array(try record.tensor(name, shape: [nil, 128], of: Float.self)), sizes))
        }
      }
      return records
    }
    let a = try tensors(captured, .activations, "act.mlp_out.2")
    let g = try tensors(gradients, .gradients, "grad.mlp_out.2")
    for (line, dimension) in zip(lines, [3, 90]) {
      var predicted: [Double] = []
      for (a, g) in zip(a, g) {
        #expect(a.sizes == g.sizes)
        var row = 0
        for size in a.sizes {
          let products = (row..<row + size).map {
            Double(a.values[$0 * 128 + dimension]) * Double(g.values[$0 * 128 + dimension])
          }
          predicted.append(-products.reduce(0, +) / Double(size - 1))
          row += size
        }
      }
      let mean = predicted.reduce(0, +) / Double(predicted.count)
      #expect(line.feature == dimension && predicted.count == 10)
      // The gradient goes on from another place here.
      #expect(abs(line.predicted! - mean) < 1e-5 * abs(mean) + 1e-9, "\(line.predicted!), \(mean)")
    }
  }

  @Test func someAtATimeAreAllAtOnce() throws {
    let once = try effects(["--features", Self.list, "--at-a-time", "40"])
    let apart = try effects(["--features", Self.list, "--at-a-time", "7"])
    #expect(apart.count == once.count)
    for (one, other) in zip(apart, once) {
      #expect(one.feature == other.feature && one.firing == other.firing)
      if let effect = other.effect { #expect(abs(one.effect! - effect) < 3e-7) }
    }
    // From a pipe, which is read once.
    let piped = try Program.shell(
      "cat | sae-effect -q --model '\(DemoRun.model)' --sae '\(SAEGradTests.pattern)' --features \(Self.list)",
      input: try SAEGradTests.activations.get())
    #expect(piped.status == 0)
    #expect(try lines(piped.text) == once)
  }

  /// What an interrupted run has written is not done again, and counts.
  @Test func anEarlierRunGoesOn() throws {
    let folder = try TemporaryFolder()
    let whole = try effects(["--features", Self.list, "--at-a-time", "10"])
    let text = try run(Self.flags + ["--features", Self.list, "--at-a-time", "10"]).text
    let interrupted = text.split(separator: "\n").prefix(20).joined(separator: "\n") + "\n{\"place\":\"mlp_ou"
    try Data(interrupted.utf8).write(to: folder.url("earlier.jsonl"))
    let outcome = try run(
      Self.flags + ["--features", Self.list, "--at-a-time", "10", "--skip-features", folder.file("earlier.jsonl")])
    #expect(outcome.status == 0 && outcome.errors.contains("line 21, the last one, is incomplete and was skipped"))
    let rest = try lines(outcome.text)
    #expect(rest == Array(whole.dropFirst(20)))
    // Where nothing is left, only the places' lines are.
    try Data(text.utf8).write(to: folder.url("earlier.jsonl"))
    let none = try effects(["--features", Self.list, "--skip-features", folder.file("earlier.jsonl")])
    #expect(none == [whole.last!])
    try Data("{}\n{}\n".utf8).write(to: folder.url("earlier.jsonl"))
    let other = try run(Self.flags + ["--features", "2:1", "--skip-features", folder.file("earlier.jsonl")])
    #expect(other.failed(65, saying: "earlier.jsonl: line 1: expected place, feature, effect"), "\(other.errors)")
  }

  @Test func randomOnesFireAlike() throws {
    let chosen = "2:\(try firing().feature!)"
    let lines = try effects(["--features", chosen, "--random", "6", "--stride", "1"])
    #expect(lines.compactMap(\.random) == [false] + Array(repeating: true, count: 6))
    #expect(Set(lines.compactMap(\.feature)).count == 7)
    for line in lines.dropLast().dropFirst() { #expect(line.firing! > 0) }
    #expect(lines.last!.features == 7)
    let others = try effects(["--features", chosen, "--random", "6", "--stride", "1", "--seed", "9"])
    #expect(others[0] == lines[0] && others != lines)
  }

  /// One that fires.
  private func firing() throws -> Line {
    try #require(try effects(["--features", Self.list, "--stride", "1"]).max { $0.firing ?? 0 < $1.firing ?? 0 })
  }

  @Test func dimensionsAndMeans() throws {
    let flags = DemoRun.modelFlag + ["--features", "resid_post.1:3,resid_post.1:90"]
    let captured = try DemoRun.output(
      "qwen-capture", DemoRun.modelFlag + ["--site", "resid_post", "--layers", "1"], try DemoRun.tokens.get())
    let zero = try lines(try run(flags, captured).text)
    let mean = try lines(try run(flags + ["--ablate", "mean"], captured).text)
    #expect(zero.map(\.feature) == [3, 90, nil] && zero[0].firing == 1 && zero[0].effect != 0)
    #expect(mean[0].effect != zero[0].effect && mean[0].firing == 1)
    let piped = try Program.shell(
      "cat | sae-effect -q \(flags.map { "'\($0)'" }.joined(separator: " ")) --ablate mean", input: captured)
    #expect(
      piped.failed(64, saying: "--ablate mean: reads the activations more than once: expected files, found a pipe"))
    #expect(piped.output.isEmpty)
  }

  @Test func aFileOfFeatures() throws {
    let folder = try TemporaryFolder()
    try Data("2:0 2:3\n\n2:5,2:0\n".utf8).write(to: folder.url("features"))
    let lines = try effects(["--features", folder.file("features")])
    #expect(lines.map(\.feature) == [0, 3, 5, nil])
    try Data("2:0\nlayer 3\n".utf8).write(to: folder.url("features"))
    let wrong = try run(Self.flags + ["--features", folder.file("features")])
    #expect(wrong.failed(65, saying: "features: expected features such as 3:17 or resid_post.3:17, found 'layer'"))
    #expect(
      try run(Self.flags + ["--features", folder.file("none")]).failed(
        66, saying: "there is no file \(folder.file("none"))"))
  }

  /// The features that rank highest by what the stream averages, of the autoencoder that it averages.
  @Test func theTopOfAnAggregatesStream() throws {
    let folder = try TemporaryFolder()
    let gradients = try DemoRun.output("sae-grad", Self.flags, try SAEGradTests.activations.get())
    let aggregates = try DemoRun.output("grad-aggregate", ["--mode", "both"], gradients)
    try aggregates.write(to: folder.url("means.ts"))
    let flags = Self.flags + ["--aggregates", folder.file("means.ts"), "--top", "3"]
    for mode in ["mean", "mean_abs"] {
      let values = try #require(try averages(aggregates)["\(mode).mlp_out.2"])
      let expected = values.indices.sorted { abs(values[$0]) > abs(values[$1]) }.prefix(3)
      let found = try run(flags + ["--sort", "gradient.\(mode)", "--layers", "2"])
      #expect(found.status == 0, "\(found.errors)")
      #expect(try lines(found.text).compactMap(\.feature) == Array(expected))
    }
    let everyLayer = try lines(try run(flags + ["--sort", "gradient.mean"]).text)
    #expect(everyLayer.count == 4 * 3 + 4)
    #expect(
      try run(DemoRun.modelFlag + ["--aggregates", folder.file("means.ts"), "--sort", "gradient.mean"])
        .failed(64, saying: "--sae: required, because the averages at mlp_out.0 are those of an autoencoder's features")
    )
    let other = try DemoRun.output(
      "grad-aggregate", [],
      try DemoRun.output("sae-grad", Self.flags + ["--keep-decoder-norms"], try SAEGradTests.activations.get()))
    try other.write(to: folder.url("means.ts"))
    #expect(
      try run(flags + ["--sort", "gradient.mean_abs"]).failed(65, saying: "averages of another autoencoder"))
  }

  @Test func aTableForPeople() throws {
    let outcome = try run(Self.flags + ["--features", "2:0,2:1", "--format", "text"])
    let rows = outcome.text.split(separator: "\n")
    #expect(outcome.status == 0 && rows.count == 4)
    #expect(rows[0].contains("effect") && rows[0].contains("± SE"))
    #expect(rows[1].contains(" 2:0 ") && rows[1].count == rows[0].count)
    #expect(rows[3].hasPrefix("mlp_out.2: 2 features, correlation of effect and prediction "))
  }

  @Test(arguments: [
    (["--features", "2:1024"], 64, "2:1024: expected a feature of the autoencoder, from 0 to 1023"),
    (["--features", "9:1"], 64, "--features: 9:1: the model's last layer is 3"),
    (
      ["--features", "2:1", "--layers", "1"], 64, "--features: expected some at --site and in --layers, found mlp_out.2"
    ),
    (["--features", "resid_post.2:1"], 65, "sae-effect: -: expected resid_post.2 captured, found mlp_out.0-3"),
    (["--features", "2:x"], 64, "--features: expected features such as 3:17 or resid_post.3:17, found '2:x'"),
    (["--features", "2:1,"], 0, ""),
    (["--features", "/dev/null"], 65, "/dev/null: expected features such as 3:17, found none"),
    ([], 64, "--features: expected a list of features, or --aggregates instead, found neither"),
    (["--features", "2:1", "--aggregates", "a"], 64, "--aggregates: cannot be combined with --features"),
    (["--features", "2:1", "--stride", "0"], 64, "--stride: expected a number of at least 1, found 0"),
    (["--features", "2:1", "--ablate", "half"], 64, "--ablate: expected zero or mean, found 'half'"),
    (["--aggregates", "a.ts", "--sort", "size"], 64, "--sort: expected gradient, attribution or activation"),
    (["--aggregates", "/no/such.ts"], 66, "/no/such.ts: cannot open"),
  ])
  func refusals(_ arguments: [String], _ status: Int32, _ words: String) throws {
    let outcome = try run(Self.flags + arguments)
    if status == 0 {
      #expect(outcome.status == 0, "\(outcome.errors)")
    } else {
      #expect(outcome.failed(status, saying: words), "\(outcome.errors)")
      #expect(outcome.output.isEmpty)
    }
  }

  @Test func refusalsWithoutAutoencoders() throws {
    let input = try SAEGradTests.activations.get()
    #expect(
      try run(DemoRun.modelFlag + ["--features", "2:128"], input)
        .failed(
          64, saying: "2:128: expected a dimension of the activation, which is meant without --sae, from 0 to 127"))
    #expect(
      try run(DemoRun.modelFlag + ["--features", "2:1", "--keep-decoder-norms"], input)
        .failed(64, saying: "--keep-decoder-norms: requires --sae"))
    #expect(try run(DemoRun.modelFlag + ["--features", "2:1"], try DemoRun.tokens.get()).status == 65)
  }
}
