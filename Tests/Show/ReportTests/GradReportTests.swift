import FilterSupport
import Foundation
import SystemIO
import TensorFiles
import TensorStream
import TestSupport
import Testing

/// The program, from outside.
@Suite struct GradReportTests {
  private let folder: TemporaryFolder
  private let program = Program("grad-report")

  init() throws { folder = try TemporaryFolder() }

  private func stream() throws -> Data {
    Data(
      try streamBytes { writer in
        try writer.begin(.aggregates, provenance: ["unit": "feature", "weighting": "position", "model": "m"])
        for layer in [0, 3] {
          var record = OutputRecord()
          record.add("mean_abs.mlp_out.\(layer)", [1e-5, 2e-5, 3e-6] as [Float])
          record.add("attribution_mean.mlp_out.\(layer)", [-1, 2, 3e-6] as [Float])
          record.add("attribution_mean_abs.mlp_out.\(layer)", [1, 2, 3e-6] as [Float])
          record.add("firing.mlp_out.\(layer)", [0.125, 0.5, 0] as [Float])
          try writer.write(record, batch: layer)
        }
        try writer.end()
      })
  }

  private func write(_ text: String, to name: String) throws -> String {
    try text.write(to: folder.url(name), atomically: false, encoding: .utf8)
    return folder.file(name)
  }

  private func context(_ place: String, _ feature: Int) -> String {
    "{\"place\":\"\(place)\",\"feature\":\(feature),\"rank\":1,\"by\":\"attribution\",\"sample\":1,\"position\":2,"
      + "\"token\":\"t\",\"before\":[],\"after\":[]}\n"
  }

  @Test func toAFileOrToStandardOutput() throws {
    let toOutput = try program.run([], input: stream())
    #expect(
      toOutput.status == 0 && toOutput.text.hasPrefix("<!doctype html>\n") && toOutput.text.hasSuffix("</html>\n"))
    #expect(toOutput.errors == "grad-report: 2 places\n", "\(toOutput.errors)")
    let path = folder.file("page.html")
    let toFile = try program.run(["--output", path, "--quiet"], input: stream())
    #expect(toFile.status == 0 && toFile.output.isEmpty && toFile.errors.isEmpty)
    let page = try String(contentsOfFile: path, encoding: .utf8)
    // But for the command line they are the same.
    #expect(page.replacing(" --output \(path) --quiet", with: "") == toOutput.text)
    // Made anew.
    #expect(try program.run(["--output", path, "--layers", "3", "-q"], input: stream()).status == 0)
    #expect(try !String(contentsOfFile: path, encoding: .utf8).contains("id=\"mlp_out.0\""))
  }

  @Test func contextsAndLabels() throws {
    let contexts = try write(context("mlp_out.0", 2) + context("mlp_out.3", 1), to: "contexts.jsonl")
    let labels = try write("feature\tlabel\r\n0:1\tthe <b>first</b>\r\n\r\n3:0\t\r\n9:9\telsewhere\n", to: "labels.tsv")
    let outcome = try program.run(
      ["--contexts", contexts, "--labels", labels, "--neuronpedia", "a/b", "--layers", "0", "-q"], input: stream())
    #expect(outcome.status == 0 && outcome.errors.isEmpty, "\(outcome.errors)")
    #expect(outcome.text.contains("\"labels\":{\"1\":\"the \\u003cb>first\\u003c/b>\"}"))
    #expect(outcome.text.contains("<bdi>the &lt;b&gt;first&lt;/b&gt;</bdi>"))
    #expect(outcome.text.contains("id=\"contexts-mlp_out.0\"") && !outcome.text.contains("elsewhere"))
    #expect(outcome.text.contains("\"neuronpedia\":\"https://www.neuronpedia.org/a/0-b/\""))
  }

  private func effect(_ place: String, _ feature: Int, _ effect: Double) -> String {
    "{\"place\":\"\(place)\",\"feature\":\(feature),\"effect\":\(effect),\"effect_se\":0.001,\"predicted\":0.25,"
      + "\"predicted_se\":0.001,\"difference_se\":0.001,\"firing\":0.5,\"random\":false}\n"
  }

  @Test func effectsAndWhatAttributionMisses() throws {
    let effects = try write(
      effect("mlp_out.0", 1, 0.5) + effect("mlp_out.0", 2, 0.252) + effect("attn_z.1", 9, 1), to: "effects.jsonl")
    let outcome = try program.run(["--effects", effects, "--top", "1"], input: stream())
    #expect(outcome.status == 0)
    #expect(
      outcome.errors.contains("warning: \(effects): left out, as the averages have no such places: attn_z.1\n"))
    #expect(outcome.text.contains("Of 2 features the effect was measured; attribution misses 1 of these effects."))
    #expect(outcome.text.contains("<td>0.500 ± 0.0010</td><td>0.250 ± 0.0010</td><td>yes</td>"), "\(outcome.text)")
    // The third of the ranking is listed for its effect alone.
    #expect(outcome.text.contains("<td>0.252 ± 0.0010</td><td>0.250 ± 0.0010</td><td>no</td>"))
    #expect(outcome.text.contains("{\"name\":\"missed\",\"title\":\"missed\",\"kind\":\"mark\"}"))
    #expect(outcome.text.components(separatedBy: "the effect was measured").count == 2)
  }

  @Test func refusals() throws {
    let other = try write(context("mlp_out.9", 0), to: "other.jsonl")
    let large = try write(context("mlp_out.0", 3), to: "large.jsonl")
    let broken = try write(context("mlp_out.0", 1) + "{\n", to: "broken.jsonl")
    let labels = try write("0:1\tfine\n17 x\n", to: "labels.tsv")
    let effects = try write(effect("mlp_out.0", 3, 1), to: "effects.jsonl")
    let cases: [([String], Int32, String)] = [
      (
        ["--contexts", other], 65,
        "--contexts: contexts of mlp_out.9: expected contexts of places that have averages, mlp_out.0,"
      ),
      (
        ["--contexts", large], 65,
        "--contexts: contexts of mlp_out.0: expected features from 0 to 2 as of the averages, found 3"
      ),
      (["--contexts", broken], 65, "broken.jsonl: line 2: not JSON"),
      (["--contexts", folder.file("none")], 66, "none: cannot open"),
      (["--effects", effects], 65, "effects.jsonl: mlp_out.0: expected features from 0 to 2, found 3"),
      (["--effects", labels], 65, "labels.tsv: line 1: not JSON"),
      (["--effects", folder.file("none")], 66, "none: cannot open"),
      (["--labels", labels], 65, "labels.tsv: line 2: expected a feature such as 3:17 or resid_post.3:17, a tab"),
      (["--labels", folder.file("none")], 66, "none: cannot open"),
      (["--sort", "activation.mean"], 65, "--sort: expected activation.mean at mlp_out.0, found gradient.mean_abs, "),
      (["--layers", "1"], 64, "--layers: layer 1 is not in the input"),
    ]
    for (arguments, status, words) in cases {
      let outcome = try program.run(arguments + ["--output", folder.file("page.html")], input: stream())
      #expect(outcome.failed(status, saying: words), "\(outcome.status) \(outcome.errors)")
    }
    let inNone = try program.run(["--output", folder.file("none/page.html")], input: stream())
    #expect(inNone.status == 74 && inNone.errors.contains("none/page.html"), "\(inNone.status) \(inNone.errors)")
    // Nothing of them is left.
    let left = try FileManager.default.contentsOfDirectory(atPath: folder.path)
    #expect(Set(left) == ["other.jsonl", "large.jsonl", "broken.jsonl", "labels.tsv", "effects.jsonl"], "\(left)")
  }

  @Test func arraysHaveAPageToo() throws {
    try NumPyWriter.write([1, -6, 0.5] as [Float], to: folder.file("layer_7_mean_gradients.npy"))
    let outcome = try program.run([folder.file("layer_7_mean_gradients.npy"), "-q"])
    #expect(outcome.status == 0 && outcome.text.contains("3 features, ranked by gradient.mean."), "\(outcome.errors)")
    let firing = folder.file("layer_7_firing.npy")
    try NumPyWriter.write([0.5, 0.25] as [Float], to: firing)
    #expect(
      try program.run([firing]).failed(
        65, saying: "expected an average of gradients, attributions or activations that all places have, found firing"))
  }
}
