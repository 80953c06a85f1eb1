import SystemIO

/// The statistics and the largest gradients as text, for a terminal without pictures.
///
/// - Parameters:
///   - top: how many of the largest |values| of each place are listed.
///   - isTabSeparated: one header line, then one line a star with the place's statistics repeated in it, for `cut`,
///     `awk` and pandas; else columns for the eye.
public func gradientTable(_ gradients: [PlaceGradients], top: Int, isTabSeparated: Bool) -> String {
  isTabSeparated
    ? tabSeparated(gradients, top: top) : gradients.map { aligned($0, top: top) }.joined(separator: "\n")
}

private func aligned(_ gradients: PlaceGradients, top: Int) -> String {
  let statistics = gradients.statistics
  let number = { scientific($0, digits: 6) }
  var lines = [
    "layer \(gradients.place.layer)\(gradients.place.site.remark)  \(gradients.mode.names.flag)  \(gradients.values.count) \(gradients.unit.rawValue)s",
    "  max |gradient| \(number(statistics.maximumMagnitude))  mean \(number(statistics.mean))"
      + "  std \(number(statistics.standardDeviation))"
      + "  min \(number(statistics.minimum))  max \(number(statistics.maximum))",
  ]
  if let exclusions = statistics.exclusions { lines.append("  left out: \(exclusions)") }
  let indices = gradients.top(top)
  let width = max(gradients.unit.rawValue.count, String(max(gradients.values.count - 1, 0)).count)
  if !indices.isEmpty { lines.append("  rank  \(padded(gradients.unit.rawValue, to: width))       gradient") }
  for (rank, index) in indices.enumerated() {
    let value = number(gradients.values[index])
    lines.append(
      "  \(padded(String(rank + 1), to: 4))  \(padded(String(index), to: width))  \(padded(value, to: 13))")
  }
  return lines.joined(separator: "\n") + "\n"
}

private func tabSeparated(_ gradients: [PlaceGradients], top: Int) -> String {
  let names = [
    "layer", "mode", "unit", "count", "nan", "infinite", "max_abs", "mean", "std", "min", "max", "rank", "index",
    "gradient", "site",
  ]
  var text = names.joined(separator: "\t") + "\n"
  for gradients in gradients {
    let statistics = gradients.statistics
    var fields = [String(gradients.place.layer), gradients.mode.names.flag, gradients.unit.rawValue]
    fields += [statistics.count, statistics.notANumber.count, statistics.infinite.count].map(String.init)
    // Shortest text that reads back as the same number.
    fields += [
      statistics.maximumMagnitude, statistics.mean, statistics.standardDeviation, statistics.minimum,
      statistics.maximum,
    ].map { "\($0)" }
    let (indices, site) = (gradients.top(top), gradients.place.site.rawValue)
    if indices.isEmpty { text += (fields + ["", "", "", site]).joined(separator: "\t") + "\n" }
    for (rank, index) in indices.enumerated() {
      text +=
        (fields + ["\(rank + 1)", "\(index)", "\(gradients.values[index])", site]).joined(separator: "\t") + "\n"
    }
  }
  return text
}

private func padded(_ text: String, to width: Int) -> String {
  String(repeating: " ", count: max(0, width - text.count)) + text
}
