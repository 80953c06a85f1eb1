import JSON
import SparseAutoencoders
import SystemIO

/// Prints what `--list-saes` asks for: a line for each autoencoder, and for each file that is none and why.
///
/// - Throws: `Failure` of kind cannotOpen where there is no such place, or nothing in it.
func listAutoencoders(below path: String, asJSON: Bool) throws {
  let listed = try ListedAutoencoder.all(below: path).sorted { inOrder($0.name, $1.name) }
  guard !listed.isEmpty else {
    throw Failure(.cannotOpen, "\(path): expected autoencoders, found no file of tensors in it or below")
  }
  let output = OutputFile.standardOutput()
  if asJSON {
    for entry in listed { try output.write("\(json(entry))\n") }
  } else {
    for line in table(listed) { try output.write("\(line)\n") }
  }
  try output.finish()
}

private func table(_ listed: [ListedAutoencoder]) -> [String] {
  let headings = ["name", "place", "format", "width", "features", "L0", "model"]
  let rows = listed.map { entry in
    [printable(entry.name)]
      + cells(entry).map { cells in cells.map { printable($0.value ?? "-") } }.failing { ["refused: \(printable($0))"] }
  }
  // A refusal is a sentence behind the name, which no column waits for.
  let whole = [headings] + rows.filter { $0.count == headings.count }
  let widths = headings.indices.map { column in whole.map { $0[column].count }.max() ?? 0 }
  let nameWidth = max(widths[0], rows.map { $0[0].count }.max() ?? 0)
  func padded(_ cell: String, _ width: Int) -> String {
    cell + String(repeating: " ", count: max(0, width - cell.count))
  }
  return ([headings] + rows).map { row in
    let first = padded(row[0], nameWidth)
    let rest = row.dropFirst().enumerated().map { column, cell in
      column == row.count - 2 ? cell : padded(cell, widths[column + 1])
    }
    return ([first] + rest).joined(separator: "  ")
  }
}

private func json(_ entry: ListedAutoencoder) -> String {
  let described = cells(entry).map { cells in
    cells.map { cell in
      let value = cell.value.map { Int($0) == nil || cell.name == "model" ? JSON.quote($0) : $0 } ?? "null"
      return "\(JSON.quote(cell.name)):\(value)"
    }
  }.failing { ["\"refused\":\(JSON.quote($0))"] }
  return "{\((["\"name\":\(JSON.quote(entry.name))"] + described).joined(separator: ","))}"
}

/// What is said of an autoencoder; what is not known is nil.
private func cells(_ entry: ListedAutoencoder) -> Result<[(name: String, value: String?)], Failure> {
  entry.result.map { autoencoder in
    [
      ("place", autoencoder.placeInWords), ("format", formatName(autoencoder)),
      ("width", String(autoencoder.width)), ("features", String(autoencoder.features)),
      ("l0", autoencoder.k.map { String($0) }), ("model", autoencoder.provenance.modelName),
    ]
  }.mapError { failure in
    // The path that it begins with is the line's own.
    guard let name = failure.description.ranges(of: ": ").first else { return failure }
    return Failure(failure.kind, String(failure.description[name.upperBound...]))
  }
}

/// `dictionary_learning BatchTopKSAE`, or `Gemma Scope 2`, whose class has the format's name.
private func formatName(_ autoencoder: SparseAutoencoder) -> String {
  let (format, name) = (autoencoder.format.rawValue, autoencoder.className)
  return name.hasPrefix(format) ? name : "\(format) \(name)"
}

extension Result where Failure == SystemIO.Failure {
  fileprivate func failing(_ replacement: (String) -> Success) -> Success {
    switch self {
    case .success(let value): value
    case .failure(let failure): replacement(failure.description)
    }
  }
}

/// By the numbers in them where two names differ in one: `layer_2` before `layer_10`.
private func inOrder(_ a: String, _ b: String) -> Bool {
  var (a, b) = (a.utf8[...], b.utf8[...])
  let isDigit: (UInt8) -> Bool = { (0x30...0x39).contains($0) }
  while let first = a.first, let other = b.first {
    let (number, otherNumber) = (a.prefix(while: isDigit), b.prefix(while: isDigit))
    if !number.isEmpty, !otherNumber.isEmpty {
      let (short, long) = (number.drop { $0 == 0x30 }, otherNumber.drop { $0 == 0x30 })
      if short.count != long.count { return short.count < long.count }
      if !short.elementsEqual(long) { return short.lexicographicallyPrecedes(long) }
      (a, b) = (a.dropFirst(number.count), b.dropFirst(otherNumber.count))
    } else if first != other {
      return first < other
    } else {
      (a, b) = (a.dropFirst(), b.dropFirst())
    }
  }
  return a.isEmpty && !b.isEmpty
}
