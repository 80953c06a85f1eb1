import Foundation
import SystemIO
import TensorFiles
import TensorStream
import TestSupport
import Testing

/// The program, from outside.
@Suite struct GradPlotTests {
  private let folder: TemporaryFolder
  private let program = Program("grad-plot")

  init() throws { folder = try TemporaryFolder() }

  private func files(_ name: String) throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: folder.file(name)).sorted()
  }

  private func stream() throws -> Data {
    let path = folder.file("aggregates.ts")
    let writer = StreamWriter(try OutputFile(path: path))
    try writer.begin(.aggregates, provenance: ["model": "demo", "history.0": "wt-tokenize x"])
    for layer in 0..<2 {
      var record = OutputRecord()
      record.add("mean.mlp_out.\(layer)", [-1e-5, 2e-5, 3e-6] as [Float])
      record.add("mean_abs.mlp_out.\(layer)", [1e-5, 2e-5, 3e-6] as [Float])
      try writer.write(record, batch: layer)
    }
    try writer.end()
    try writer.finish()
    return try Data(contentsOf: URL(fileURLWithPath: path))
  }

  /// As an installation has it: whatever lies there under the font's name is what pictures are lettered in.
  @Test func lettersInTheFontBesideTheProgram() throws {
    let fonts = "/usr/share/fonts/truetype/dejavu"
    guard exists("\(fonts)/DejaVuSans.ttf"), exists("\(fonts)/DejaVuSerif.ttf") else {
      try Test.cancel("no DejaVu fonts in \(fonts)")
    }
    _ = try stream()
    let script = """
      cd '\(folder.path)'
      for family in none Sans Serif; do
        place=$family/share/gradient-filters/fonts
        mkdir -p $family/bin $place && cp '\(program.path)' $family/bin
        [ $family = none ] || for style in '' -Bold; do cp \(fonts)/DejaVu$family$style.ttf $place/DejaVuSans$style.ttf; done
        (cd $family && bin/grad-plot --quiet --output plots ../aggregates.ts)
      done
      """
    let outcome = try Program.shell("set -e; \(script)")
    try #require(outcome.status == 0, "\(outcome.errors)")
    for name in try files("none/plots") {
      let pictures = try ["none", "Sans", "Serif"].map {
        try Data(contentsOf: URL(fileURLWithPath: folder.file("\($0)/plots/\(name)")))
      }
      #expect(pictures[0] == pictures[1], "\(name)")
      #expect(pictures[1] != pictures[2], "\(name)")
    }
  }

  @Test func drawsAStreamFromStandardInput() throws {
    let outcome = try program.run(["--output", folder.file("plots"), "--dpi", "30"], input: stream())
    #expect(outcome.status == 0 && outcome.output.isEmpty)
    #expect(outcome.errors.hasPrefix("grad-plot: 16 pictures in "))
    var expected: [String] = []
    for mode in ["mean", "mean_abs"] {
      expected += ["all_layers_\(mode)_gradient_histograms.png", "all_layers_\(mode)_activation_scatter.png"]
      for layer in 0..<2 {
        expected += ["layer_\(layer)_\(mode)_gradient_hist.png", "layer_\(layer)_\(mode)_activation_scatter.png"]
      }
    }
    for layer in 0..<2 {
      expected += ["layer_\(layer)_gradient_hist_combined.png", "layer_\(layer)_gradient_scatter_combined.png"]
    }
    #expect(try files("plots") == expected.sorted())
    let png = try Data(contentsOf: URL(fileURLWithPath: folder.file("plots/layer_0_mean_gradient_hist.png")))
    for text in ["history.0\0wt-tokenize x", "history.1\0grad-plot --output ", "model\0demo"] {
      #expect(png.range(of: Data(text.utf8)) != nil, "\(text)")
    }
  }

  /// Every quantity that is there, or those that are asked for; firing has no pictures.
  @Test func drawsWhatIsAveraged() throws {
    let bytes = try streamBytes { writer in
      try writer.begin(.aggregates, provenance: ["unit": "feature"])
      var record = OutputRecord()
      for name in ["mean_abs", "attribution_mean", "attribution_mean_abs", "firing"] {
        record.add("\(name).mlp_out.1", [1, -2, 0.5] as [Float])
        record.add("\(name)_se.mlp_out.1", [0.1, 0.2, 0.1] as [Float])
      }
      try writer.write(record, batch: 0)
      try writer.end()
    }
    func names(_ flags: [String]) throws -> [String] {
      let folder = try TemporaryFolder()
      let outcome = try program.run(["--dpi", "20", "-q", "--output", folder.path] + flags, input: Data(bytes))
      #expect(outcome.status == 0, "\(outcome.errors)")
      return try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
    }
    #expect(try names(["--quantity", "gradient"]).count == 2)
    let attributions = try names(["--quantity", "attribution", "--layer-profile", "--common-scale"])
    #expect(
      attributions == [
        "all_layers_attribution_mean_against_mean_abs.png", "all_layers_mean_abs_attribution_profile.png",
        "all_layers_mean_attribution_profile.png", "layer_1_attribution_hist_combined.png",
        "layer_1_attribution_scatter_combined.png", "layer_1_mean_abs_attribution_feature_scatter.png",
        "layer_1_mean_abs_attribution_hist.png", "layer_1_mean_attribution_feature_scatter.png",
        "layer_1_mean_attribution_hist.png",
      ])
    #expect(try names([]).count == 8)
    let outcome = try program.run(
      ["--output", folder.file("none"), "--quantity", "activation"], input: Data(bytes))
    #expect(outcome.failed(65, saying: "expected averages of activations to draw, found attribution, firing, gradient"))
    #expect(!FileManager.default.fileExists(atPath: folder.file("none")))
  }

  @Test func takesArraysAndStreamsTogether() throws {
    try NumPyWriter.write([1e-5, 2e-5], to: folder.file("layer_7_mean_abs_gradients.npy"))
    let outcome = try program.run(
      [
        "--layers", "1,7", "--format", "svg", "--output", folder.file("plots"), "-",
        folder.file("layer_7_mean_abs_gradients.npy"),
      ]
        + ["--unit", "feature", "--quiet"], input: stream())
    #expect(outcome.status == 0 && outcome.errors.isEmpty)
    #expect(try files("plots").contains("layer_7_mean_abs_feature_scatter.svg"))
    #expect(try !files("plots").contains { $0.hasPrefix("layer_0") })
  }

  /// Their histograms would have one name.
  @Test func refusesTwoUnitsInOneCall() throws {
    let array = folder.file("layer_1_mean_gradients.npy")
    try NumPyWriter.write([1e-5, 2e-5], to: array)
    let outcome = try program.run(["--output", folder.file("plots"), "-", array], input: stream())
    #expect(
      outcome.failed(
        65,
        saying: "grad-plot: expected features or activations, found activations of - and features of "
          + "\(array): show one at a time; --unit says what arrays hold"))
    #expect(!FileManager.default.fileExists(atPath: folder.file("plots")))
    // One of the two is no trouble.
    let one = try program.run(["--output", folder.file("plots"), "--layers", "0", "-", array], input: stream())
    #expect(one.errors.hasPrefix("grad-plot: 6 pictures in "))
    #expect(try files("plots").count == 6)
  }

  @Test func anOutputThatCannotBeWrittenIsRefusedBeforeInputIsRead() throws {
    let outcome = try program.run(["--output", "/proc", "/nonexistent.npy"])
    #expect(outcome.failed(74, saying: "grad-plot: /proc: "), "\(outcome.errors)")
  }

  @Test func noStarsAreAsked() throws {
    #expect(try program.run(["--top", "0", "--output", folder.file("plots"), "--quiet"], input: stream()).status == 0)
  }

  @Test func namesValuesThatAreNotFinite() throws {
    try NumPyWriter.write([1, Double.nan, 2], to: folder.file("layer_0_mean_gradients.npy"))
    let outcome = try program.run([
      "--output", folder.file("plots"), "--quiet", folder.file("layer_0_mean_gradients.npy"),
    ])
    #expect(outcome.status == 0)
    #expect(outcome.errors == "grad-plot: warning: mlp_out.0, mean: left out: 1 NaN (at 1)\n")
  }

  @Test(arguments: [
    (["--layers", "0,2"], Int32(64), "--layers: layer 2 is not in the input, whose last layer is 1"),
    (["--dpi", "0"], 64, "--dpi: expected 10.0 to 2400.0, found 0.0"),
    (["--columns", "0"], 64, "--columns: expected 1 to 1000, found 0"),
    (["--format", "gif"], 64, "gif"),
    (["/nonexistent.npy"], 66, "/nonexistent.npy: cannot open: No such file or directory"),
    (["--output", "/dev/null/plots"], 74, "/dev/null/plots: cannot create: Not a directory"),
  ]) func failsInWords(arguments: [String], status: Int32, message: String) throws {
    let outcome = try program.run(["--output", folder.file("plots")] + arguments, input: stream())
    #expect(outcome.status == status)
    #expect(outcome.errors.contains(message))
    #expect(!FileManager.default.fileExists(atPath: folder.file("plots")))
  }

  @Test func drawsNothingOfATruncatedStream() throws {
    let stream = try stream()
    for length in [0, 1, stream.count / 2, stream.count - 1] {
      let outcome = try program.run(["--output", folder.file("plots")], input: stream.prefix(length))
      #expect(outcome.status == 65, "cut to \(length) bytes")
      #expect(!FileManager.default.fileExists(atPath: folder.file("plots")))
    }
  }
}
