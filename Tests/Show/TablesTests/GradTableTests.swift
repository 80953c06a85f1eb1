import Foundation
import SystemIO
import TensorFiles
import TensorStream
import TestSupport
import Testing

/// The program, from outside.
@Suite struct GradTableTests {
  private let folder: TemporaryFolder
  private let program = Program("grad-table")

  init() throws { folder = try TemporaryFolder() }

  /// Two layers of three features, whose attributions grow by `factor`.
  private func stream(_ factor: Float = 1, _ provenance: [String: String] = [:]) throws -> Data {
    let bytes = try streamBytes { writer in
      try writer.begin(
        .aggregates, provenance: ["unit": "feature", "weighting": "position"].merging(provenance) { $1 })
      for layer in 0..<2 {
        var record = OutputRecord()
        record.add("mean_abs.mlp_out.\(layer)", [1e-5, 2e-5, 3e-6] as [Float])
        record.add("mean_abs_se.mlp_out.\(layer)", [1e-6, 1e-6, 1e-6] as [Float])
        record.add("attribution_mean.mlp_out.\(layer)", [-1 * factor, 2, 3e-6])
        record.add("attribution_mean_se.mlp_out.\(layer)", [0.5, 0.25, 1e-6] as [Float])
        record.add("attribution_mean_abs.mlp_out.\(layer)", [1 * factor, 2, 3e-6 + Float(layer)])
        record.add("firing.mlp_out.\(layer)", [0.125, 0.5, 0] as [Float])
        try writer.write(record, batch: layer)
      }
      try writer.end()
    }
    return Data(bytes)
  }

  private func rows(_ text: String) -> [[String: String]] {
    let lines = text.split(separator: "\n").map {
      $0.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
    }
    return lines.dropFirst().map { Dictionary(uniqueKeysWithValues: zip(lines[0], $0)) }
  }

  @Test func everyRowOfAStream() throws {
    let outcome = try program.run([], input: stream())
    #expect(outcome.status == 0 && outcome.errors.isEmpty, "\(outcome.errors)")
    let rows = rows(outcome.text)
    #expect(rows.map { "\($0["layer"]!):\($0["index"]!)" } == ["0:1", "0:0", "0:2", "1:1", "1:2", "1:0"])
    #expect(rows[1]["attribution_mean"] == "-1.0" && rows[1]["attribution_z"] == "2.0")
    #expect(rows[1]["gradient_mean_abs"] == "1e-05" && rows[1]["gradient_mean_abs_se"] == "1e-06")
    #expect(rows[1]["firing"] == "0.125" && rows[1]["site"] == "mlp_out" && rows[1]["gradient_mean"] == nil)
  }

  @Test func choosesRows() throws {
    let top = try program.run(["--top", "1", "--layers", "1", "--sort", "gradient.mean_abs"], input: stream())
    #expect(rows(top.text).map { $0["index"]! } == ["1"])
    let overall = try program.run(["--top-overall", "3", "--site", "mlp_out"], input: stream())
    #expect(rows(overall.text).map { "\($0["layer"]!):\($0["index"]!)" } == ["0:1", "1:1", "1:2"])
    let lines = try program.run(["--format", "jsonl", "--top", "1"], input: stream()).text.split(separator: "\n")
    #expect(
      lines.count == 2
        && lines[1].hasPrefix("{\"site\":\"mlp_out\",\"layer\":1,\"index\":1,\"gradient_mean_abs\":2e-05,"))
    // For people, 20 of a place and their statistics.
    let text = try program.run(["--format", "text"], input: stream()).text
    #expect(text.hasPrefix("mlp_out.0: 3 features\n  gradient.mean_abs     max 2.000e-05 "))
  }

  @Test func chosenFeatures() throws {
    func chosen(_ list: String, _ more: String...) throws -> [String] {
      let outcome = try program.run(["--features", list] + more, input: stream())
      #expect(outcome.status == 0, "\(outcome.errors)")
      return rows(outcome.text).map { "\($0["layer"]!):\($0["index"]!)" }
    }
    #expect(try chosen("1:0,0:2,1:1") == ["0:2", "1:1", "1:0"])
    #expect(try chosen("mlp_out.1:0, 1:2,1:0", "--sort", "index") == ["1:0", "1:2"])
    try "0:1\n0:0\n".write(to: folder.url("list"), atomically: true, encoding: .utf8)
    #expect(try chosen(folder.file("list")) == ["0:1", "0:0"])
    // Of two runs, too, whose agreement is over all features.
    try stream(3).write(to: folder.url("other.ts"))
    let compared = try program.run(["--features", "0:2", "--compare", folder.file("other.ts")], input: stream())
    #expect(compared.status == 0 && rows(compared.text).map { $0["top_same"]! } == ["3"])
    #expect(rows(compared.text)[0]["other_attribution_mean_abs"] == "3e-06")
    for (flags, status, message) in [
      (["--features", "0:3"], Int32(64), "--features: mlp_out.0: expected features from 0 to 2, found 0:3"),
      (["--features", "7:0"], 64, "--features: expected features at mlp_out.0-1, found 7:0 at mlp_out.7"),
      (
        ["--features", "1:0", "--layers", "0"], 64, "--features: expected features at mlp_out.0, found 1:0 at mlp_out.1"
      ),
      (["--features", "1:x"], 64, "--features: expected features such as 3:17 or resid_post.3:17, found '1:x'"),
      (["--features", "1:0", "--top", "1"], 64, "--features: cannot be combined with --top"),
      (
        ["--features", folder.file("none")], 66,
        "--features: expected layer:index such as 3:17, or a file; there is no file \(folder.file("none"))"
      ),
    ] {
      let outcome = try program.run(flags, input: stream())
      #expect(outcome.failed(status, saying: message) && outcome.output.isEmpty, "\(outcome.errors)")
    }
  }

  @Test func arraysAndTheirStandardErrors() throws {
    let (values, errors) = (folder.file("layer_7_mean_gradients.npy"), folder.file("layer_7_mean_gradients_se.npy"))
    try NumPyWriter.write([1, -6] as [Float], to: values)
    try NumPyWriter.write([0.5, 4] as [Float], to: errors)
    let rows = rows(try program.run([errors, values, "--sort", "gradient.z"]).text)
    #expect(rows.map { $0["gradient_z"] } == ["2.0", "1.5"] && rows[0]["layer"] == "7")
  }

  @Test func joinsWhatAblationsDid() throws {
    let effects = folder.file("effects.jsonl")
    let line = { (place: String, feature: Int, effect: Double) in
      "{\"place\":\"\(place)\",\"feature\":\(feature),\"effect\":\(effect),\"effect_se\":0.001,\"predicted\":0.25,"
        + "\"predicted_se\":0.001,\"difference_se\":0.001,\"firing\":0.5,\"random\":false}\n"
    }
    let last = "{\"place\":\"mlp_out.1\",\"features\":2,\"correlation\":0.5,\"rank_correlation\":null}\n"
    try (line("mlp_out.1", 0, 0.5) + line("mlp_out.1", 2, 0.25) + line("attn_z.1", 9, 1) + last).write(
      to: folder.url("effects.jsonl"), atomically: true, encoding: .utf8)
    let outcome = try program.run(["--effects", effects], input: stream())
    #expect(outcome.status == 0)
    #expect(
      outcome.errors == "grad-table: warning: \(effects): left out, as the averages have no such places: attn_z.1\n")
    let rows = rows(outcome.text)
    #expect(rows.map { $0["missed"]! } == ["", "", "", "NaN", "0", "1"])
    #expect(rows[5]["effect"] == "0.5" && rows[5]["predicted_se"] == "0.001" && rows[4]["index"] == "2")

    try line("mlp_out.1", 3, 1).write(to: folder.url("effects.jsonl"), atomically: true, encoding: .utf8)
    let wrong = try program.run(["--effects", effects], input: stream())
    #expect(wrong.status == 65 && wrong.text.isEmpty)
    #expect(wrong.errors == "grad-table: \(effects): mlp_out.1: expected features from 0 to 2, found 3\n")
    #expect(try program.run(["--effects", effects, "--compare", effects], input: stream()).status == 64)
    #expect(try program.run(["--effects", folder.file("none")], input: stream()).status == 66)
  }

  @Test func setsTwoRunsSideBySide() throws {
    let other = folder.file("other.ts")
    try stream(3, ["weighting": "sample", "from_position": "1"]).write(to: folder.url("other.ts"))
    let outcome = try program.run(["--compare", other, "--top", "2"], input: stream())
    #expect(outcome.status == 0)
    let rows = rows(outcome.text)
    #expect(rows.count == 4 && rows[1]["index"] == "0")
    #expect(rows[1]["difference_attribution_mean"] == "2.0" && rows[1]["other_attribution_mean_abs"] == "3.0")
    // The root of twice 0.25.
    #expect(abs(Double(rows[1]["difference_attribution_mean_se"]!)! - 0.5.squareRoot()) < 1e-6)
    #expect(rows[1]["rank_correlation"] == "0.5" && rows[1]["top_same"] == "2")
    #expect(
      outcome.errors == """
        grad-table: warning: \(other): weighting: sample, and position of what it is compared with
        grad-table: warning: \(other): from_position: 1, and 0 of what it is compared with
        grad-table: mlp_out.0: attribution.mean_abs: rank correlation 0.500, 2 of the top 2 the same
        grad-table: mlp_out.1: attribution.mean_abs: rank correlation -0.500, 1 of the top 2 the same

        """)
    let text = try program.run(["--compare", other, "--format", "text", "-q"], input: stream()).text
    #expect(text.contains("mlp_out.1: attribution.mean_abs: rank correlation -0.500, 3 of the top 3 the same\n"))
  }

  /// The number of a feature means nothing in another autoencoder.
  @Test func otherAutoencodersAreNotCompared() throws {
    func basis(_ hash: String) -> [String: String] {
      [
        "basis.mlp_out.1":
          "{\"embedded\":false,\"features\":3,\"format\":\"f\",\"keeps_decoder_norms\":false,\"path\":\"p\",\"width\":2,"
          + "\"xxh64\":\"\(hash)\"}"
      ]
    }
    try stream(1, basis("00")).write(to: folder.url("other.ts"))
    let run = { hash in try program.run(["--compare", folder.file("other.ts"), "-q"], input: stream(1, basis(hash))) }
    let outcome = try run("11")
    #expect(
      outcome.failed(
        65,
        saying: "other.ts: mlp_out.1: averages of another autoencoder: expected XXH64 11 (p), found 00 (p)"),
      "\(outcome.errors)")
    #expect(outcome.output.isEmpty)
    #expect(try run("00").status == 0)
  }

  @Test(arguments: [
    (["--layers", "0,2"], Int32(64), "--layers: layer 2 is not in the input, whose last layer is 1"),
    (["--site", "attn_z"], 64, "--site: attn_z is not in the input, which has mlp_out.0-1"),
    (["--sort", "activation.mean"], 65, "--sort: expected activation.mean at mlp_out.0, found gradient.mean_abs, "),
    (["--compare", "/nonexistent.ts"], 66, "/nonexistent.ts: cannot open: No such file or directory"),
    (["/nonexistent.npy"], 66, "/nonexistent.npy: cannot open: No such file or directory"),
  ]) func failsInWords(arguments: [String], status: Int32, message: String) throws {
    let outcome = try program.run(arguments, input: stream())
    #expect(outcome.failed(status, saying: message) && outcome.output.isEmpty, "\(outcome.errors)")
  }

  @Test func writesNothingOfATruncatedStream() throws {
    let stream = try stream()
    for length in [0, 1, stream.count / 2, stream.count - 1] {
      let outcome = try program.run([], input: stream.prefix(length))
      #expect(outcome.status == 65 && outcome.output.isEmpty, "cut to \(length) bytes")
    }
  }

  @Test func reportsAFullDevice() throws {
    let outcome = try Program.shell("grad-table > /dev/full", input: stream())
    #expect(outcome.failed(74, saying: "grad-table: standard output: write failed: No space left on device"))
  }
}
