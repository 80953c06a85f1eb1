import Aggregation
import Dispatch
import JSON
import Plotting
import Synchronization
import SystemIO
import Tables
import TensorStream

/// One file of HTML that shows a run's averages and contexts and needs nothing else.
public struct ReportPage: Sendable {
  private let columns: [FeatureColumn]
  private let measures: [Measure]
  private let places: [PlaceColumns]
  private let contexts: ContextLines
  private let provenance: [String: String]
  private let options: ReportOptions

  /// - Parameters:
  ///   - provenance: what the stream says of its origin, this program included.
  ///   - places: at least one.
  /// - Throws: `Failure` of kind malformed where a place lacks what is ranked by or shown, or where contexts are of others.
  public init(
    _ places: [PlaceColumns], _ contexts: ContextLines, provenance: [String: String], _ options: ReportOptions
  ) throws {
    self.places = places
    self.contexts = contexts
    self.provenance = provenance
    self.options = options
    columns = FeatureColumn.all.filter { column in
      // The page's script has it of the mean and its standard error.
      if case .z = column { return false }
      return places.contains { $0.values(column) != nil }
    }
    measures = try Self.measures(places, options)
  }

  private static func measures(_ places: [PlaceColumns], _ options: ReportOptions) throws(Failure) -> [Measure] {
    func found(_ place: PlaceColumns) -> String {
      place.averages.map { FeatureColumn.average($0.measure).title }.joined(separator: ", ")
    }
    let asked = (options.ranking.map { [("--sort", $0)] } ?? []) + options.figures.map { ("--figures", $0) }
    for (flag, key) in asked {
      let measure = Measure.average(key.quantity, key.mode)
      guard let place = places.first(where: { $0.of(measure) == nil }) else { continue }
      throw Failure(.malformed, "\(flag): expected \(key) at \(place.place), found \(found(place))")
    }
    var measures = asked.map { Measure.average($1.quantity, $1.mode) }
    if options.ranking == nil {
      guard case .average(let measure)? = places.defaultColumn, measure != .firing else {
        throw Failure(
          .malformed,
          "expected an average of gradients, attributions or activations that all places have, found "
            + found(places[0]))
      }
      measures.insert(measure, at: 0)
    }
    var seen: Set<Measure> = []
    return measures.filter { seen.insert($0).inserted }
  }

  /// Averages in all whose values the page has as they are; of more it has them rounded.
  static let exactValues = 250_000

  /// - Parameter threads: that draw side by side.
  public func write(to output: OutputFile, threads: Int) throws {
    let reports = try reports(threads: threads)
    try output.write(head(reports))
    for report in reports { try output.write(report.section(columns)) }
    try output.write("</main>\n<script type=\"application/json\" id=\"data\">\(inScript(data(reports)))</script>\n")
    for report in reports { try output.write(report.packedElements) }
    try output.write("<script>\(Self.script)</script>\n</body>\n</html>\n")
  }

  private func reports(threads: Int) throws -> [PlaceReport] {
    let count = places.reduce(0) { $0 + $1.count } * measures.count
    let made = Mutex([PlaceReport?](repeating: nil, count: places.count))
    let next = Atomic(0)
    let failure = Mutex<Failure?>(nil)
    DispatchQueue.concurrentPerform(iterations: max(1, min(threads, places.count))) { _ in
      while failure.withLock({ $0 == nil }) {
        let index = next.wrappingAdd(1, ordering: .relaxed).oldValue
        guard index < places.count else { return }
        do {
          let report = try PlaceReport(
            places[index], columns, measures, contexts.contexts[places[index].place] ?? [:], options,
            exactValues: count <= Self.exactValues)
          made.withLock { $0[index] = report }
        } catch {
          failure.withLock { $0 = $0 ?? error as? Failure ?? Failure(.bug, "\(error)") }
        }
      }
    }
    if let failure = failure.withLock({ $0 }) { throw failure }
    return made.withLock { $0.map { $0! } }
  }

  // MARK: - Parts

  private func head(_ reports: [PlaceReport]) -> String {
    let title = html(title)
    let words = RunInWords(provenance, reports)
    return """
      <!doctype html>
      <html lang="en">
      <head>
      <meta charset="utf-8">
      <meta http-equiv="Content-Security-Policy" content="\(Self.policy)">
      <meta name="viewport" content="width=device-width, initial-scale=1">
      <meta name="color-scheme" content="light dark">
      <meta name="referrer" content="no-referrer">
      <meta name="generator" content="grad-report">
      <link rel="icon" href="data:,">
      <title>\(title)</title>
      <style>\(Self.style)</style>
      </head>
      <body>
      <a class="skip" href="#places">To the places</a>
      <header>
      <h1>\(title)</h1>
      </header>
      \(navigation(reports))
      <main>
      <section id="run" aria-labelledby="title-run">
      <h2 id="title-run">The run</h2>
      \(words.markup)</section>
      \(overview(reports))<noscript><p>Without scripts this page shows its figures and the first rows of its tables. \
      Sorting, filtering, all rows and the texts need its script, which asks nothing of any network.</p></noscript>

      """
  }

  private var title: String {
    if let title = options.title { return title }
    let model = provenance["model"].map { name in
      let parts = name.split(separator: "/")
      // A folder that is called so says nothing by itself.
      return parts.isEmpty ? name : parts.suffix(parts.last == "model" ? 2 : 1).joined(separator: "/")
    }
    return "What matters to the loss\(model.map { " of \($0)" } ?? "")"
  }

  private func navigation(_ reports: [PlaceReport]) -> String {
    let sites = Site.allCases.compactMap { site -> String? in
      let places = reports.map(\.place).filter { $0.site == site }
      let links = places.map { "<a href=\"#\($0)\" aria-label=\"\($0)\">\($0.layer)</a>" }
      return places.isEmpty ? nil : "<span>\(site.rawValue)</span>\(links.joined())"
    }
    return "<nav aria-label=\"Places\"><div><a href=\"#run\">Run</a><a href=\"#places\">Layers</a>"
      + "\(sites.joined())</div><button type=\"button\" id=\"theme\" hidden>Dark</button></nav>"
  }

  /// Layers beside one another.
  private func overview(_ reports: [PlaceReport]) -> String {
    let ranked = FeatureColumn.average(measures[0]).title
    let figures = Site.allCases.compactMap { site -> String? in
      let layers = reports.filter { $0.place.site == site }.map(\.ranked)
      guard layers.count > 1 else { return nil }
      let markup = Figure.profile(layers).markup(resolution: 1)
      return
        "<figure data-kind=\"profile\" data-site=\"\(site.rawValue)\"><div class=\"plot wide\">\(markup)</div></figure>\n"
    }
    let titles = [
      "place", places[0].unit.things, "largest", "mean", "std", "reliability", "top 20 the same", "units", "first",
    ]
    return """
      <section id="places" aria-labelledby="title-places">
      <h2 id="title-places">Layers beside one another</h2>
      \(figures.joined())<div class="scroll" tabindex="0" role="region" aria-label="Places">
      <table class="places"><caption>\(ranked) of every place</caption>
      <thead><tr>\(titles.map { "<th scope=\"col\">\($0)</th>" }.joined())</tr></thead>
      <tbody>
      \(reports.map(\.summary).joined())</tbody></table></div>
      </section>

      """
  }

  private func data(_ reports: [PlaceReport]) -> String {
    JSON.object([
      ("columns", JSON.array(columns.map(\.json))),
      ("ranking", JSON.quote(FeatureColumn.average(measures[0]).name)),
      ("stride", provenance["stride"].flatMap { Int($0) }.map { "\($0)" } ?? "null"),
      ("places", JSON.array(reports.map { $0.json(options.neuronpedia) })),
    ])
  }

  // MARK: - What runs in the browser

  private static let style = String(decoding: PackageResources.report_css, as: UTF8.self)
  /// Each file relies on those before it.
  private static let script =
    "(() => {\n'use strict';\n"
    + [
      PackageResources.text_js, PackageResources.data_js, PackageResources.features_js, PackageResources.contexts_js,
      PackageResources.tables_js, PackageResources.figures_js, PackageResources.page_js,
    ].map { String(decoding: $0, as: UTF8.self) }.joined() + "})();\n"

  /// Nothing comes from anywhere, and nothing runs but this script: a slip in the page could neither run nor call out.
  private static let policy =
    "default-src 'none'; img-src data:; style-src 'sha256-\(hash(style))'; script-src 'sha256-\(hash(script))'; "
    + "base-uri 'none'; form-action 'none'"

  private static func hash(_ text: String) -> String {
    let digits = Array(SHA256.of(text).utf8)
    return base64(
      stride(from: 0, to: digits.count, by: 2).map {
        UInt8(String(decoding: digits[$0..<$0 + 2], as: UTF8.self), radix: 16)!
      })
  }
}

extension FeatureColumn {
  fileprivate var json: String {
    let kind =
      switch self {
      case .average(.firing), .firstShare: "share"
      case .average, .ablation(.effect), .ablation(.predicted): "value"
      case .standardError, .ablation(.effectError), .ablation(.predictedError): "error"
      case .ablation(.missed): "mark"
      case .z: preconditionFailure("no page has such a column")
      }
    return JSON.object([
      ("name", JSON.quote(name)), ("title", JSON.quote(title)), ("kind", JSON.quote(kind)),
    ])
  }
}
