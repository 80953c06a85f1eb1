import Aggregation
import SystemIO
import TensorStream

/// The table for people: aligned, and on a terminal no wider than that.
extension FeatureTable {
  /// - Parameter width: that no line should exceed. Columns that matter least are left out for it, and named.
  func writeText(to output: OutputFile, width: Int?) throws {
    let parts = rows.indices.split { !isMixed && rows[$0].place != rows[$0 - 1].place }
      .map { AlignedRows($0, of: self) }
    let leftOut = width.map { superfluous(in: parts, toFit: $0) } ?? []
    for (number, part) in parts.enumerated() {
      var lines = isMixed ? [] : headings[rows[part.range.lowerBound].place] ?? []
      if let width { lines = lines.flatMap { wrapped($0, width) } }
      lines += part.lines(without: leftOut).map { isMixed ? $0 : "  \($0)" }
      try output.write((number > 0 ? "\n" : "") + lines.map { "\($0)\n" }.joined())
    }
    guard let width, !leftOut.isEmpty else { return }
    let names = columns.indices.filter(leftOut.contains).map { columns[$0].name }
    let words = "left out to fit \(width) columns: \(names.joined(separator: ", ")); --format tsv has them"
    try output.write("\n" + wrapped(words, width, at: " ").map { "\($0)\n" }.joined())
  }

  /// The columns, by their places in the table, without which every part is narrow enough or nothing more can go.
  private func superfluous(in parts: [AlignedRows], toFit width: Int) -> Set<Int> {
    var leftOut: Set<Int> = []
    let shown = Set(parts.flatMap(\.columns))
    for column in columns.indices.sorted(by: { importance(of: $0) > importance(of: $1) })
    where shown.contains(column) && importance(of: column) > 0 {
      guard parts.contains(where: { $0.width(without: leftOut) + (isMixed ? 0 : 2) > width }) else { break }
      leftOut.insert(column)
    }
    return leftOut
  }

  /// 0 for what rows are sorted by and what stands behind it; of others the first in the list are the last to go.
  private func importance(of column: Int) -> Int {
    guard let content = columns[column].content else { return .max }
    if sortedBy?.average == content.average { return 0 }
    return 1 + (FeatureColumn.mostImportantFirst.firstIndex(of: content) ?? FeatureColumn.mostImportantFirst.count)
  }
}

extension FeatureColumn {
  /// The average that a standard error or z belongs to.
  fileprivate var average: FeatureColumn {
    switch self {
    case .average, .firstShare: self
    case .standardError(let measure): .average(measure)
    case .z(let quantity): .average(.average(quantity, .mean))
    case .ablation(.effect), .ablation(.effectError): .ablation(.effect)
    case .ablation(.predicted), .ablation(.predictedError): .ablation(.predicted)
    case .ablation(.missed): self
    }
  }

  /// What stays longest where there is no room: a standard error and z go before the average that they stand behind.
  fileprivate static let mostImportantFirst: [FeatureColumn] = {
    let ablations: [FeatureColumn] = [.effect, .predicted, .missed, .effectError, .predictedError].map { .ablation($0) }
    func averages(_ quantity: Quantity) -> [FeatureColumn] {
      [AveragingMode.meanAbsolute, .mean].flatMap { mode -> [FeatureColumn] in
        [.average(.average(quantity, mode)), .standardError(.average(quantity, mode))]
      }
    }
    return averages(.attribution) + ablations + [.average(.firing)] + averages(.gradient) + averages(.activation)
      + [.firstShare] + [Quantity.attribution, .gradient, .activation].map { .z($0) } + [.standardError(.firing)]
  }()
}

/// Some of the rows as cells of text.
private struct AlignedRows {
  let range: Range<Int>
  /// Those that have a value here, by their places in the table.
  let columns: [Int]
  /// The place, where rows of several stand among one another, and the index.
  private let first: [[String]]
  private let cells: [[String]]
  private let widths: [Int]

  init(_ range: Range<Int>, of table: FeatureTable) {
    self.range = range
    let rows = table.rows[range]
    let places = Set(rows.map(\.place))
    columns = table.columns.indices.filter { number in
      let column = table.columns[number]
      return !column.title.isEmpty && places.contains { column.values[$0] != nil }
    }
    let titles = (table.isMixed ? ["place"] : []) + ["index"] + columns.map { table.columns[$0].title }
    // attribution.mean_abs stands in two lines, as its numbers are half as wide.
    var lines = [titles.map { $0.contains(".") ? String($0.prefix { $0 != "." }) : "" }]
    lines.append(zip(titles, lines[0]).map { $1.isEmpty ? $0 : String($0.dropFirst($1.count + 1)) })
    for row in rows {
      let cells = columns.map { number in
        let column = table.columns[number]
        return column.values[row.place].map { cell($0[row.index], column.kind) } ?? ""
      }
      lines.append((table.isMixed ? ["\(row.place)"] : []) + [String(row.index)] + cells)
    }
    let fixed = titles.count - columns.count
    first = lines.map { Array($0[..<fixed]) }
    cells = lines.map { Array($0[fixed...]) }
    widths = titles.indices.map { column in lines.reduce(0) { max($0, $1[column].count) } }
  }

  func width(without leftOut: Set<Int>) -> Int {
    let shown = shown(without: leftOut)
    return shown.reduce(0) { $0 + widths[$1] } + 2 * (shown.count - 1)
  }

  func lines(without leftOut: Set<Int>) -> [String] {
    let shown = shown(without: leftOut)
    var lines = zip(first, cells).map { first, cells in shown.map { (first + cells)[$0] } }
    if lines[0].allSatisfy(\.isEmpty) { lines.removeFirst() }
    return lines.map { cells in
      let line = zip(cells, shown).map { String(repeating: " ", count: widths[$1] - $0.count) + $0 }
        .joined(separator: "  ")
      return String(line.reversed().drop { $0 == " " }.reversed())
    }
  }

  private func shown(without leftOut: Set<Int>) -> [Int] {
    let fixed = first[0].count
    return Array(0..<fixed) + columns.indices.filter { !leftOut.contains(columns[$0]) }.map { fixed + $0 }
  }
}

private func cell(_ value: Double, _ kind: FeatureTable.Column.Kind) -> String {
  guard !value.isNaN else { return "-" }
  return switch kind {
  case .value: scientific(value, digits: 4)
  case .error: scientific(value, digits: 2)
  case .ratio: decimal(value, 1)
  case .share: "\(decimal(100 * value, 2)) %"
  case .count: decimal(value, 0)
  case .mark: value == 0 ? "" : "yes"
  }
}

/// The line in pieces that are at most `width` wide if `separator` allows it; those behind the first are indented.
private func wrapped(_ line: String, _ width: Int, at separator: String = "  ") -> [String] {
  let indentation = String(line.prefix { $0 == " " })
  var lines: [String] = []
  var rest = line
  while rest.count > width {
    let start = rest.index(rest.startIndex, offsetBy: indentation.count + (lines.isEmpty ? 0 : 2))
    let fits = rest.index(rest.startIndex, offsetBy: width)
    guard let gap = rest[start...].ranges(of: separator).last(where: { $0.lowerBound <= fits }) else { break }
    lines.append(String(rest[..<gap.lowerBound].reversed().drop { $0 == " " }.reversed()))
    rest = "\(indentation)  \(rest[gap.upperBound...].drop { $0 == " " })"
  }
  return lines + [rest]
}

extension Range<Int> {
  /// Cut before each index that begins a new part.
  fileprivate func split(where begins: (Int) -> Bool) -> [Range<Int>] {
    let starts = filter { $0 == lowerBound || begins($0) }
    return zip(starts, starts.dropFirst() + [upperBound]).map { $0..<$1 }
  }
}
