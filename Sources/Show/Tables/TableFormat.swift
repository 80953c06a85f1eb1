import SystemIO
import TensorStream

public enum TableFormat: String, CaseIterable, Sendable {
  /// Columns between tabs under a line of names, for R, pandas, polars, `cut` and `awk`. What a place lacks is empty.
  case tsv
  /// An object a line. What a place lacks is null, and so is what is no number.
  case jsonl
  /// Aligned, with fewer digits.
  case text
}

extension FeatureTable {
  public func write(as format: TableFormat, to output: OutputFile) throws {
    switch format {
    case .tsv: try writeTSV(to: output)
    case .jsonl: try writeJSONLines(to: output)
    case .text: try writeText(to: output)
    }
  }

  // MARK: - For programs

  private func writeTSV(to output: OutputFile) throws {
    let names = ["site", "layer", "index"] + columns.map(\.name)
    try output.write(names.joined(separator: "\t") + "\n")
    try writeLines(to: output) { row, values, line in
      line += "\(row.place.site.rawValue)\t\(row.place.layer)\t\(row.index)"
      for (column, values) in zip(columns, values) {
        line += "\t"
        if let value = values?[row.index] { line += number(value, column.kind) }
      }
      line += "\n"
    }
  }

  private func writeJSONLines(to output: OutputFile) throws {
    try writeLines(to: output) { row, values, line in
      line += "{\"site\":\"\(row.place.site.rawValue)\",\"layer\":\(row.place.layer),\"index\":\(row.index)"
      for (column, values) in zip(columns, values) {
        let value = values?[row.index]
        line += ",\"\(column.name)\":"
        line += value.flatMap { $0.isFinite ? number($0, column.kind) : nil } ?? "null"
      }
      line += "}\n"
    }
  }

  /// - Parameter append: adds a row, whose place has these values in each column, to the text.
  private func writeLines(to output: OutputFile, append: (Row, [[Double]?], inout String) -> Void) throws {
    var text = ""
    var values: [[Double]?] = []
    var place: Place?
    for row in rows {
      if row.place != place { (place, values) = (row.place, columns.map { $0.values[row.place] }) }
      append(row, values, &text)
      if text.utf8.count > 1 << 16 {
        try output.write(text)
        text = ""
      }
    }
    try output.write(text)
  }

  /// The shortest text that reads back as the same number, of float32 where all averages are.
  private func number(_ value: Double, _ kind: Column.Kind) -> String {
    if value.isNaN { return "NaN" }
    if value.isInfinite { return value < 0 ? "-Inf" : "Inf" }
    if kind == .count || kind == .mark { return String(Int(value)) }
    return areFloat32 ? "\(Float(value))" : "\(value)"
  }

  // MARK: - For people

  private func writeText(to output: OutputFile) throws {
    let parts = rows.indices.split { !isMixed && rows[$0].place != rows[$0 - 1].place }.map { rows[$0] }
    for (number, part) in parts.enumerated() {
      let headings = isMixed ? [] : headings[part[part.startIndex].place] ?? []
      let lines = headings + aligned(part).map { isMixed ? $0 : "  \($0)" }
      try output.write((number > 0 ? "\n" : "") + lines.map { "\($0)\n" }.joined())
    }
  }

  private func aligned(_ rows: ArraySlice<Row>) -> [String] {
    let places = Set(rows.map(\.place))
    let shown = columns.filter { column in !column.title.isEmpty && places.contains { column.values[$0] != nil } }
    let titles = (isMixed ? ["place"] : []) + ["index"] + shown.map(\.title)
    // attribution.mean_abs stands in two lines, as its numbers are half as wide.
    var table = [titles.map { $0.contains(".") ? String($0.prefix { $0 != "." }) : "" }]
    table.append(zip(titles, table[0]).map { $1.isEmpty ? $0 : String($0.dropFirst($1.count + 1)) })
    if table[0].allSatisfy(\.isEmpty) { table.removeFirst() }
    for row in rows {
      let cells = shown.map { column in column.values[row.place].map { cell($0[row.index], column.kind) } ?? "" }
      table.append((isMixed ? ["\(row.place)"] : []) + [String(row.index)] + cells)
    }
    let widths = table[0].indices.map { column in table.reduce(0) { max($0, $1[column].count) } }
    return table.map { cells in
      let line = zip(cells, widths).map { String(repeating: " ", count: $1 - $0.count) + $0 }.joined(separator: "  ")
      return String(line.reversed().drop { $0 == " " }.reversed())
    }
  }

  private func cell(_ value: Double, _ kind: Column.Kind) -> String {
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
}

extension Range<Int> {
  /// Cut before each index that begins a new part.
  fileprivate func split(where begins: (Int) -> Bool) -> [Range<Int>] {
    let starts = filter { $0 == lowerBound || begins($0) }
    return zip(starts, starts.dropFirst() + [upperBound]).map { $0..<$1 }
  }
}
