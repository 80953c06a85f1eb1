import Aggregation
import JSON
import Plotting
import SystemIO
import Tables
import TensorStream

extension PlaceReport {
  /// What the page's script knows of the place.
  func json(_ neuronpedia: Neuronpedia?) -> String {
    let areFloat32 = columns.areFloat32
    let rows = rows.map { row in
      JSON.array(
        ["\(row.rank)", "\(row.index)"]
          + row.values.map { $0.map { jsonNumber($0, areFloat32: areFloat32) } ?? "null" })
    }
    var members = [
      ("place", JSON.quote("\(place)")), ("site", JSON.quote(place.site.rawValue)), ("layer", "\(place.layer)"),
      ("unit", JSON.quote(unit == .feature ? "feature" : "dimension")), ("count", "\(columns.count)"),
      ("rows", JSON.array(rows)),
      ("labels", JSON.object(labels.sorted { $0.key < $1.key }.map { ("\($0)", JSON.quote($1)) })),
      (
        "tokens",
        JSON.object(
          contexts.keys.sorted().map { index in ("\(index)", JSON.array(tokens(of: index).map { JSON.quote($0) })) })
      ),
      ("contexts", JSON.object(contexts.sorted { $0.key < $1.key }.map { ("\($0)", "\($1.count)") })),
      ("figures", JSON.array(figures.map(json))),
    ]
    if let quartiles {
      let numbers = [
        ranked.statistics.minimum, quartiles.lower, quartiles.median, quartiles.upper, ranked.statistics.maximum,
      ]
      members.append(("range", JSON.array(numbers.map { jsonNumber($0, areFloat32: areFloat32) })))
    }
    if let neuronpedia, unit == .feature { members.append(("neuronpedia", JSON.quote(neuronpedia.address(of: place)))) }
    return JSON.object(members)
  }

  private func json(_ figure: FigurePair) -> String {
    func numbers(_ values: [Double]) -> String { JSON.array(values.map { jsonNumber($0, areFloat32: false) }) }
    var members = [
      ("measure", JSON.quote(FeatureColumn.average(figure.averages.measure).name)),
      ("edges", JSON.array(figure.bins.edges.map { jsonNumber($0, areFloat32: columns.areFloat32) })),
      ("counts", JSON.array(figure.bins.counts.map { "\($0)" })),
    ]
    if let area = figure.area {
      members += [
        (
          "area",
          numbers([area.area.x, area.area.y, area.area.width, area.area.height].map { ($0 * 100).rounded() / 100 })
        ),
        ("x", numbers([area.xAxis.low, area.xAxis.high])), ("y", numbers([area.yAxis.low, area.yAxis.high])),
      ]
    }
    if let step = figure.values.step { members.append(("step", numbers([step.low, step.size]))) }
    return JSON.object(members)
  }

  /// Script elements with what is unpacked when it is looked at.
  var packedElements: String {
    var elements = figures.map { figure in
      Self.packed(
        figure.values.bytes,
        "values-\(place)-\(FeatureColumn.average(figure.averages.measure).name)")
    }
    if let packedContexts { elements.append(Self.packed(packedContexts, "contexts-\(place)")) }
    return elements.joined()
  }

  private static func packed(_ bytes: [UInt8], _ id: String) -> String {
    "<script type=\"application/gzip-base64\" id=\"\(id)\">\(base64(bytes))</script>\n"
  }
}
