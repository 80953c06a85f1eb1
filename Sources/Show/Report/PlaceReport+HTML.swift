import Aggregation
import Plotting
import SystemIO
import Tables
import TensorStream

extension PlaceReport {
  /// The place's part of the page, which can be read without the script: figures, and the first rows of its table.
  func section(_ all: [FeatureColumn]) -> String {
    var text = "<section class=\"place\" id=\"\(place)\" aria-labelledby=\"title-\(place)\">\n"
    text += "<h2 id=\"title-\(place)\">\(place)</h2>\n<p>\(sentences)</p>\n<div class=\"figures\">\n"
    for figure in figures {
      let name = FeatureColumn.average(figure.averages.measure).name
      for (kind, markup) in [("histogram", figure.histogram), ("scatter", figure.scatter)] {
        text += "<figure data-kind=\"\(kind)\" data-measure=\"\(name)\"><div class=\"plot\">\(markup)</div></figure>\n"
      }
    }
    return text + "</div>\n<div class=\"features\">\n\(table(all))</div>\n</section>\n"
  }

  /// "1,024 features, ranked by attribution.mean_abs: the ranking's reliability is 0.92 …"
  private var sentences: String {
    let name = FeatureColumn.average(ranked.measure).title
    var text = "\(grouped(columns.count)) \(unit.things), ranked by \(name)."
    if let reliability = ranked.reliability {
      text +=
        " Reliability of the ranking: \(decimal(reliability.ofAll, 2)); of the top \(Reliability.overlapOf) of two "
      text += "halves of the text, \(reliability.overlap) are the same."
      if reliability.ofAll < Self.unreliable {
        text += " <strong>Another text would rank most of them differently.</strong>"
      }
    } else {
      text += " The reliability of the ranking is not known."
    }
    if let effects = effectsInWords { text += " \(effects)" }
    if let exclusions = ranked.statistics.exclusions { text += " Left out: \(html(exclusions))." }
    return text
  }

  private var effectsInWords: String? {
    let ablations = columns.ablations.values
    guard !ablations.isEmpty else { return nil }
    let missed = ablations.count { $0.isMissed == true }
    return "Of \(grouped(ablations.count)) \(unit.things) the effect was measured; attribution misses "
      + "\(missed == 0 ? "none" : grouped(missed)) of these effects."
  }

  /// Below it less than half of the variance is the features' own.
  static let unreliable = 0.5

  /// A row of the table of places.
  var summary: String {
    let statistics = ranked.statistics
    let reliability = ranked.reliability
    let first = rows.prefix(3).map { row in
      "<a href=\"#\(place)/\(row.index)\">\(row.index)</a>"
    }
    let cells = [
      grouped(columns.count), number(statistics.maximumMagnitude), number(statistics.mean),
      number(statistics.standardDeviation), reliability.map { decimal($0.ofAll, 2) } ?? "not known",
      reliability.map { "\($0.overlap) of \(Reliability.overlapOf)" } ?? "not known",
      reliability.map { grouped($0.units) } ?? "not known",
    ]
    return "<tr><th scope=\"row\"><a href=\"#\(place)\">\(place)</a></th>"
      + cells.map { "<td>\($0)</td>" }.joined() + "<td>\(first.joined(separator: ", "))</td></tr>\n"
  }

  /// Rows that stand in the page itself; the script shows all of them.
  private static let staticRows = 20

  private func table(_ all: [FeatureColumn]) -> String {
    let shown = all.indices.filter { index in
      (all[index].error != nil || all[index] == .ablation(.missed)) && columns.values(all[index]) != nil
    }
    let hasTokens = !contexts.isEmpty
    let hasLabels = !labels.isEmpty
    var text = "<table><caption>The first \(min(rows.count, Self.staticRows)) of \(place)</caption>\n<thead><tr>"
    text += "<th scope=\"col\">rank</th><th scope=\"col\">\(unit == .feature ? "feature" : "dimension")</th>"
    if hasLabels { text += "<th scope=\"col\">label</th>" }
    if hasTokens { text += "<th scope=\"col\">tokens</th>" }
    text += shown.map { "<th scope=\"col\">\(all[$0].title)</th>" }.joined() + "</tr></thead>\n<tbody>\n"
    for row in rows.prefix(Self.staticRows) {
      text += "<tr><td>\(row.rank)</td><th scope=\"row\"><a href=\"#\(place)/\(row.index)\">\(row.index)</a></th>"
      if hasLabels { text += "<td class=\"words\"><bdi>\(html(labels[row.index] ?? ""))</bdi></td>" }
      if hasTokens {
        let tokens = tokens(of: row.index).map { "<bdi class=\"token\">\(html($0))</bdi>" }
        text += "<td class=\"words\">\(tokens.joined(separator: " "))</td>"
      }
      for column in shown { text += "<td>\(cell(row, column, all))</td>" }
      text += "</tr>\n"
    }
    return text + "</tbody></table>\n"
  }

  /// "0.0720 ± 0.011", "14.2 ± 0.9 %", "yes"
  private func cell(_ row: Row, _ index: Int, _ all: [FeatureColumn]) -> String {
    let column = all[index]
    guard let value = row.values[index] else { return "" }
    guard value.isFinite else { return number(value) }
    if column == .ablation(.missed) { return value == 1 ? "yes" : "no" }
    let error = column.error.flatMap { all.firstIndex(of: $0) }.flatMap { row.values[$0] }
    let isShare = column == .average(.firing)
    let scale = isShare ? 100.0 : 1
    let text =
      number(value * scale) + (error.flatMap { $0.isFinite ? " ± \(number($0 * scale, digits: 2))" : nil } ?? "")
    return isShare ? "\(text) %" : text
  }
}

/// A number for people, as the page's script writes it, too: "0.0720", "7.20e−5".
package func number(_ value: Double, digits: Int = 3) -> String {
  guard value.isFinite else { return value.isNaN ? "–" : value < 0 ? "−∞" : "∞" }
  guard value != 0 else { return "0" }
  let parts = scientific(value, digits: digits).split(separator: "e")
  let exponent = Int(parts[1])!
  let text = (-3..<5).contains(exponent) ? decimal(value, max(0, digits - 1 - exponent)) : "\(parts[0])e\(exponent)"
  return text.replacing("-", with: "−")
}
