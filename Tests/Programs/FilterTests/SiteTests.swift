import Foundation
import SystemIO
import TensorStream
import TestSupport
import Testing

/// The programs at other sites than the MLP's output, and at several at once. The numbers are compared with autograd in
/// PlaceTests and in Tests/Parity/compare_places.py.
@Suite struct SiteTests {
  private let folder = try! TemporaryFolder()

  private func run(_ program: String, _ arguments: [String], _ input: Data) throws -> Data {
    let outcome = try Program(program).run(DemoRun.modelFlag + ["--quiet"] + arguments, input: input)
    try #require(outcome.status == 0, "\(program): \(outcome.errors)")
    return outcome.output
  }

  private func means(_ gradients: Data) throws -> [String: [Double]] {
    try averages(DemoRun.output("grad-aggregate", ["--mode", "mean"], gradients)).filter { $0.key.hasPrefix("mean.") }
  }

  /// Whatever place a stream was captured at, what comes behind it has the same gradients.
  @Test func whereCaptureStartsDoesNotMatter() throws {
    let tokens = try DemoRun.tokens.get()
    let sites = Site.allCases.map(\.rawValue).joined(separator: ",")
    let all = try run("act-grad", ["--site", sites], run("qwen-capture", ["--site", "resid_pre"], tokens))
    let expected = try means(all)
    #expect(Set(expected.keys) == Set(PlaceList(sites: Site.allCases, layers: 0..<4).places.map { "mean.\($0)" }))
    for site in Site.allCases {
      let captured = try run("qwen-capture", ["--site", site.rawValue, "--layers", "1"], tokens)
      let found = try means(run("act-grad", ["--site", sites], captured))
      let places = PlaceList(sites: Site.allCases, layers: 1..<4).places.filter { $0 >= Place(site, 1) }
      #expect(Set(found.keys) == Set(places.map { "mean.\($0)" }), "from \(site)")
      for (name, values) in found { #expect(relativeL2(values.map { Float($0) }, expected[name]!) < 1e-6, "\(name)") }
    }
  }

  /// What act-grad writes beside the gradients is what is captured there, wherever it goes on from.
  @Test func activationsAreThoseOfThePlaces() throws {
    let sites = Site.allCases.map(\.rawValue).joined(separator: ",")
    let tokens = try DemoRun.tokens.get()
    let expected = try activations(run("qwen-capture", ["--site", sites], tokens), .activations)
    for site in Site.allCases {
      let captured = try run("qwen-capture", ["--site", site.rawValue, "--layers", "1"], tokens)
      let found = try activations(run("act-grad", ["--site", sites, "--with-activations"], captured), .gradients)
      let places = PlaceList(sites: Site.allCases, layers: 1..<4).places.filter { $0 >= Place(site, 1) }
      #expect(found.keys.sorted() == places.sorted(), "from \(site)")
      for (place, values) in found {
        #expect(relativeL2(values, expected[place]!) < 1e-6, "\(place) from \(site)")
      }
    }
    let without = try run("act-grad", ["--site", sites], run("qwen-capture", ["--layers", "1"], tokens))
    #expect(try activations(without, .gradients).isEmpty)
  }

  /// All rows of `act.PLACE`; the samples have no padding, so that all of them are recorded.
  private func activations(_ stream: Data, _ kind: StreamKind) throws -> [Place: [Float]] {
    let reader = StreamReader(try ReusedFile().opened(with: Array(stream)))
    var values: [Place: [Float]] = [:]
    while try reader.nextSegment(kind) != nil {
      while let record = try reader.nextRecord() {
        for place in try record.places(of: .activation) {
          values[place, default: []] += try record.tensor(
            PlaceValue.activation.name(place), shape: [nil, nil], of: Float.self)
        }
      }
    }
    return values
  }

  @Test func filesHaveTheSiteInTheirNames() throws {
    let tokens = try DemoRun.tokens.get()
    _ = try run(
      "qwen-capture", ["--site", "attn_out,mlp_out", "--layers", "1-2", "--split", folder.file("{site}-{layer}.ts")],
      tokens)
    let names = { try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted() }
    #expect(try names() == ["attn_out-1.ts", "attn_out-2.ts", "mlp_out-1.ts", "mlp_out-2.ts"])
    let gradients = try run(
      "act-grad", ["--site", "attn_out,mlp_out", "--layers", "2"], Data(contentsOf: folder.url("attn_out-1.ts")))
    #expect(
      try Program("grad-aggregate").run(["-q", "--save", folder.file("out")], input: gradients).status == 0)
    #expect(
      try FileManager.default.contentsOfDirectory(atPath: folder.file("out")).sorted()
        == ["layer_2_attn_out_mean_abs_gradients.npy", "layer_2_mean_abs_gradients.npy"])
  }

  @Test(arguments: [
    ("qwen-capture", ["--site", "mlp"], 64, "expected resid_pre, attn_z, attn_out, resid_mid, mlp_out, resid_post"),
    ("qwen-capture", ["--site", ""], 64, "--site"),
    ("qwen-capture", ["--site", "mlp_out,attn_z", "--split", "x-{layer}.ts"], 64, "expected {site} in it"),
    ("act-grad", ["--site", "resid_pre", "--layers", "0"], 65, "expected resid_pre.0 or a place before it captured"),
    ("act-grad", ["--site", "mlp_out", "--layers", "9"], 64, "layer 9: the model's last layer is 3"),
    (
      "sae-grad", ["--site", "attn_z", "--sae", "/saes/{layer}"], 65,
      "expected attn_z captured in some layer, found mlp_out.0,mlp_out.2"
    ),
  ])
  func mistakes(_ program: String, _ arguments: [String], _ status: Int32, _ message: String) throws {
    let input = try (program == "qwen-capture" ? DemoRun.tokens : DemoRun.activations).get()
    let outcome = try Program(program).run(DemoRun.modelFlag + arguments, input: input)
    #expect(outcome.failed(status, saying: message), "\(outcome.errors)")
    #expect(outcome.output.isEmpty)
  }

  /// In a model whose attention and MLP read the same, nothing is between them.
  @Test(arguments: ["qwen-capture", "act-grad"]) func aSiteThatAModelDoesNotHave(program: String) throws {
    let flags = ["--model", "\(packageRoot)/Tests/Golden/families/gpt_neox", "--site"]
    let tokens = TokenBatch(inputIDs: [1, 2, 3], cuSeqlens: [0, 3], sampleIndex: [0])
    var record = OutputRecord()
    tokens.add(to: &record)
    let stream = StreamWriter(try OutputFile(path: folder.file("tokens.ts")))
    try stream.begin(.tokens, provenance: [:])
    try stream.write(record, batch: 0)
    try stream.end()
    try stream.finish()
    let input = try Data(contentsOf: folder.url("tokens.ts"))
    let captured = try Program("qwen-capture").run(flags + ["attn_z,attn_out", "--quiet"], input: input)
    try #require(captured.status == 0, "\(captured.errors)")
    let gradients = try Program("act-grad").run(flags + ["attn_out,mlp_out,resid_post"], input: captured.output)
    #expect(gradients.status == 0, "\(gradients.errors)")
    let outcome = try Program(program).run(
      flags + ["mlp_out,resid_mid"], input: program == "act-grad" ? captured.output : input)
    #expect(outcome.failed(64, saying: "--site: site resid_mid: a GPTNeoX model does not have it"))
  }

  /// One made for an MLP's output is not put elsewhere unless that is asked for.
  @Test func anAutoencoderAtAnotherSite() throws {
    let captured = try run("qwen-capture", ["--site", "resid_post", "--layers", "1"], DemoRun.tokens.get())
    let sae = ["--site", "resid_post", "--sae", packageRoot + "/demo/saes/mlp_out_layer_{layer}/trainer_0"]
    let refused = try Program("sae-grad").run(DemoRun.modelFlag + sae, input: captured)
    #expect(refused.failed(65, saying: "used at resid_post.1; --ignore-sae-place uses it anyway"), "\(refused.errors)")
    let gradients = try run("sae-grad", sae + ["--ignore-sae-place"], captured)
    #expect(try means(gradients)["mean.resid_post.1"]?.count == 1024)
  }
}
