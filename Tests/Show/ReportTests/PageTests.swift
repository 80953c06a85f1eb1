import Aggregation
import CDeflate
import Foundation
import JSON
import Report
import SystemIO
import Tables
import TensorStream
import TestSupport
import Testing

@Suite struct PageTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// Two layers of `count` features, the first of which counts most.
  private func places(_ count: Int = 300, reliability: Reliability? = nil) throws -> [PlaceColumns] {
    try PlaceColumns.byPlace(
      [0, 5].flatMap { layer in
        [AveragingMode.mean, .meanAbsolute].map { mode in
          PlaceAverages(
            place: Place(.mlpOut, layer), measure: .average(.attribution, mode), unit: .feature,
            values: (0..<count).map { index in
              let size = Double(Float(1) / Float(index + 1 + layer))
              return mode == .mean && index % 2 == 1 ? -size : size
            }, standardErrors: [Double](repeating: 0.125, count: count), reliability: reliability, areFloat32: true)
        }
      })
  }

  private func page(
    _ places: [PlaceColumns], _ contexts: ContextLines = ContextLines(), _ provenance: [String: String] = [:],
    _ change: (inout ReportOptions) -> Void = { _ in }
  ) throws -> String {
    var options = ReportOptions()
    change(&options)
    let file = try OutputFile(path: folder.file("page.html"))
    try ReportPage(places, contexts, provenance: provenance, options).write(to: file, threads: 2)
    try file.finish()
    return try String(contentsOfFile: folder.file("page.html"), encoding: .utf8)
  }

  private func contexts(_ lines: String...) throws -> ContextLines {
    try lines.joined(separator: "\n").write(to: folder.url("contexts"), atomically: false, encoding: .utf8)
    var contexts = ContextLines()
    try contexts.read(InputFile(path: folder.file("contexts")))
    return contexts
  }

  private func line(_ feature: Int, _ token: String, layer: Int = 0) -> String {
    "{\"place\":\"mlp_out.\(layer)\",\"feature\":\(feature),\"rank\":1,\"by\":\"attribution\",\"sample\":1,\"position\":2,"
      + "\"token\":\(JSON.quote(token)),\"before\":[],\"after\":[]}"
  }

  private func element(_ page: String, id: String) throws -> String {
    let start = try #require(page.firstRange(of: "id=\"\(id)\">"))
    return String(page[start.upperBound...].prefix { $0 != "<" })
  }

  private func data(_ page: String) throws -> JSON { try JSON(parsing: Array(element(page, id: "data").utf8)) }

  private func unpacked(_ page: String, id: String) throws -> [UInt8] {
    let packed = try #require(Data(base64Encoded: element(page, id: id)))
    var bytes = [UInt8](repeating: 0, count: 1 << 20)
    var count = 0
    let decompressor = libdeflate_alloc_decompressor()
    defer { libdeflate_free_decompressor(decompressor) }
    let result = packed.withUnsafeBytes {
      libdeflate_gzip_decompress(decompressor, $0.baseAddress, $0.count, &bytes, bytes.count, &count)
    }
    #expect(result == LIBDEFLATE_SUCCESS)
    return Array(bytes.prefix(count))
  }

  @Test func rowsAreTheFirstAndThoseWithContexts() throws {
    let page = try page(places(), contexts(line(250, "a"), line(3, "b"), line(3, "c"))) { $0.top = 10 }
    let place = try #require(data(page)["places"]?.elements?[0])
    let rows = try #require(place["rows"]?.elements).map { $0.elements! }
    #expect(rows.map { $0[1].int } == Array(0..<10) + [250] && rows.map { $0[0].int } == Array(1...10) + [251])
    let columns = try #require(data(page)["columns"]?.elements).map { $0["name"]!.text! }
    #expect(
      columns == ["attribution_mean", "attribution_mean_se", "attribution_mean_abs", "attribution_mean_abs_se"])
    #expect(rows[3].dropFirst(2).map(\.number) == [-0.25, 0.125, 0.25, 0.125])
    #expect(place["tokens"]?["3"]?.elements?.map(\.text) == ["b", "c"] && place["contexts"]?["250"]?.int == 1)
    let found = try JSON(parsing: unpacked(page, id: "contexts-mlp_out.0"))
    #expect(found.members?.map { String(decoding: $0.key, as: UTF8.self) } == ["3", "250"])
    #expect(found["3"]?.elements?.map { $0["token"]?.text } == ["b", "c"])
    #expect(!page.contains("contexts-mlp_out.5"))
  }

  /// All values, or all in steps that are told: what a scatter plot shows can be had from the page.
  @Test func theValuesBehindAFigure() throws {
    let few = try page(places())
    let bytes = try unpacked(few, id: "values-mlp_out.5-attribution_mean_abs")
    #expect(bytes.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) } == (0..<300).map { 1 / Float($0 + 6) })
    #expect(try data(few)["places"]?.elements?[1]["figures"]?.elements?[0]["step"] == nil)

    let many = try page(places(200_000))
    let steps = try unpacked(many, id: "values-mlp_out.0-attribution_mean_abs")
    let figure = try #require(data(many)["places"]?.elements?[0]["figures"]?.elements?[0])
    let (low, size) = (figure["step"]!.elements![0].number!, figure["step"]!.elements![1].number!)
    #expect(steps.count == 200_000)
    for (index, step) in steps.enumerated() {
      guard abs(low + size * Double(step) - 1 / Double(index + 1)) > size / 2 * 1.0001 else { continue }
      Issue.record("\(index): \(step)")
      break
    }
    #expect(figure["counts"]!.elements!.map { $0.int! }.reduce(0, +) == 200_000)
  }

  @Test func figuresOfOtherAverages() throws {
    let page = try page(places()) {
      $0.ranking = RankingKey(.attribution, .mean)
      $0.figures = [RankingKey(.attribution, .meanAbsolute), RankingKey(.attribution, .mean)]
    }
    let figures = try data(page)["places"]?.elements?[0]["figures"]?.elements?.map { $0["measure"]!.text! }
    #expect(figures == ["attribution_mean", "attribution_mean_abs"])
    #expect(page.matches(of: /<figure data-kind="scatter"/).count == 4)
    #expect { try self.page(places()) { $0.figures = [RankingKey(.gradient, .mean)] } } throws: {
      "\($0)".contains(
        "--figures: expected gradient.mean at mlp_out.0, found attribution.mean, attribution.mean_abs")
    }
  }

  @Test func nothingOfOthersIsMarkup() throws {
    let hostile = "</script><script>a</script><img src=x onerror=b>\"'&\u{202e}"
    let page = try page(
      places(), contexts(line(0, hostile)), ["model": hostile, "text": hostile, "history.0": hostile, hostile: hostile]
    ) {
      $0.title = hostile
      $0.labels = [Place(.mlpOut, 0): [0: hostile]]
    }
    #expect(!page.contains("<img") && !page.contains("\u{202e}a"))
    // The data, the packed values and texts, and the page's own script.
    #expect(page.matches(of: /<script/).count == 5 && page.matches(of: /<\/script>/).count == 5)
    #expect(try data(page)["places"]?.elements?[0]["labels"]?["0"]?.text == hostile)
    #expect(page.contains("<title>&lt;/script&gt;"))
  }

  /// What the page may do is its own script and its own style, by their hashes, and nothing else.
  @Test func thePolicyForbidsAllButItself() throws {
    let page = try page(places())
    let policy = try #require(page.firstMatch(of: /Content-Security-Policy" content="([^"]*)"/)).output.1
    #expect(policy.hasPrefix("default-src 'none'; img-src data:; style-src 'sha256-"))
    #expect(!policy.contains("unsafe") && !policy.contains("http"))
    for (tag, source) in [("style", "style-src"), ("script", "script-src")] {
      let start = try #require(page.firstRange(of: "<\(tag)>"))
      let end = try #require(page[start.upperBound...].firstRange(of: "</\(tag)>"))
      let content = Array(page[start.upperBound..<end.lowerBound].utf8)
      var hash = SHA256()
      content.withUnsafeBytes { hash.update($0) }
      let digits = Array(hash.hexadecimal)
      let bytes = stride(from: 0, to: digits.count, by: 2).map { UInt8(String(digits[$0..<$0 + 2]), radix: 16)! }
      #expect(policy.contains("\(source) 'sha256-\(Data(bytes).base64EncodedString())'"))
      let text = String(decoding: content, as: UTF8.self)
      // Nodes are made one by one, of text; and nothing is asked for.
      for word in [
        "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "fetch(", "XMLHttp", "url(",
      ] {
        #expect(!text.contains(word), "\(word)")
      }
      #expect(text.matches(of: /https?:\/\/(?!www\.w3\.org\/2000\/svg)/).isEmpty)
    }
    #expect(page.matches(of: /(src|href|srcset|action|data)="(?!#|data:)[^"]*"/).isEmpty)
    #expect(!page.contains(" style=") && page.matches(of: #/ on[a-z]+=/#).isEmpty)
  }

  @Test func saysHowReliableTheRankingIs() throws {
    let reliable = Reliability(correlation: 0.9, overlap: 14, units: 60)
    let page = try page(places(reliability: reliable))
    #expect(
      page.contains("Reliability of the ranking: 0.95; of the top 20 of two halves of the text, 14 are the same."))
    #expect(page.contains("<td>0.95</td><td>14 of 20</td><td>60</td>") && !page.contains("<strong>"))
    let unreliable = try self.page(places(reliability: Reliability(correlation: 0.1, overlap: 3, units: 60)))
    #expect(unreliable.contains("<strong>Little is known of the ranking of mlp_out.0,mlp_out.5.</strong>"))
    #expect(try self.page(places()).contains("The reliability of the ranking is not known."))
  }

  @Test func saysWhatTheRunWas() throws {
    let page = try page(
      places(), ContextLines(),
      [
        "model": "hub/some-model", "samples": "52", "text": "wiki.raw", "samples.order": "text", "max_length": "128",
        "stride": "4", "from_position": "1", "loss_reduction": "sum", "weighting": "position", "error_term": "false",
        "standard_errors": "document", "history.0": "wt-tokenize a", "history.1": "qwen-capture b",
        "basis.mlp_out.3": "{\"path\":\"saes/not-shown.pt\"}",
        "basis.mlp_out.0": "{\"path\":\"saes/ae.pt\",\"format\":\"dictionary_learning\",\"features\":300}",
      ])
    for words in [
      "<title>What matters to the loss of some-model</title>", "<dt>Model</dt><dd><code>hub/some-model</code></dd>",
      "52 samples of <code>wiki.raw</code>, in the text's order, at most 128 tokens of each; recorded at 1 position in 4; "
        + "positions before 1 left out.", "<li>mlp_out.0: <code>saes/ae.pt</code>, dictionary_learning</li>",
      "Of the loss summed over predictions, in nats, every position counts equally",
      "Over documents, which are treated as independent.",
      "<pre>wt-tokenize a\nqwen-capture b</pre>",
    ] { #expect(page.contains(words), "\(words)") }
    // The table of the whole provenance has it.
    #expect(!page.contains("<code>saes/not-shown.pt</code>"))
    for (model, name) in [("hub/model", "hub/model"), ("/a/demo/model/", "demo/model"), ("model", "model")] {
      let page = try self.page(places(), ContextLines(), ["model": model])
      #expect(page.contains("<title>What matters to the loss of \(name)</title>"), "\(model)")
    }
  }

  /// Values that are not finite are no rows and no points, and are told of.
  @Test func whatIsNotFinite() throws {
    let averages = PlaceAverages(
      place: Place(.mlpOut, 2), measure: .average(.gradient, .mean), unit: .activation,
      values: [.nan, 1, -.infinity, 2], areFloat32: true)
    let page = try page(PlaceColumns.byPlace([averages]))
    let place = try #require(data(page)["places"]?.elements?[0])
    #expect(place["rows"]?.elements?.map { $0.elements![1].int } == [3, 1] && place["unit"]?.text == "dimension")
    #expect(page.contains("Left out: 1 NaN (at 0), 1 infinite (at 2)."))
    let none = PlaceAverages(
      place: Place(.mlpOut, 2), measure: .average(.gradient, .mean), unit: .activation, values: [.nan], areFloat32: true
    )
    #expect(try data(self.page(PlaceColumns.byPlace([none])))["places"]?.elements?[0]["rows"] == .array([]))
  }

  /// 24 layers as large as the largest autoencoders in use.
  @Test func aLargeRunIsAPageThatCanBeMailed() throws {
    var random = SeededNumbers(seed: 5)
    let averages = (0..<24).map { layer in
      PlaceAverages(
        place: Place(.mlpOut, layer), measure: .average(.attribution, .meanAbsolute), unit: .feature,
        values: (0..<65_536).map { _ in
          // As wide as what is averaged of active features alone, most of it small.
          let number = Double.random(in: 0.001...1, using: &random)
          return Double(Float(1e-6 / number))
        }, standardErrors: [Double](repeating: 1e-7, count: 65_536), areFloat32: true)
    }
    let page = try page(PlaceColumns.byPlace(averages))
    #expect(page.utf8.count < 5_000_000, "\(page.utf8.count)")
  }
}
