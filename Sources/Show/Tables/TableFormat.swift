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
  /// - Parameter width: the columns of the terminal that it is for; without it text is as wide as it takes.
  public func write(as format: TableFormat, to output: OutputFile, width: Int? = nil) throws {
    switch format {
    case .tsv: try writeTSV(to: output)
    case .jsonl: try writeJSONLines(to: output)
    case .text: try writeText(to: output, width: width)
    }
  }

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
}
