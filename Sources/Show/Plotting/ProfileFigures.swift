import Aggregation

// All layers at one site, one quantity, beside one another.

extension Figure {
  /// How the layers' values are distributed, on one scale.
  public static func profile(_ layers: [PlaceAverages], _ options: PlotOptions = PlotOptions()) -> Figure {
    let panel = Panel.profile(
      layers, top: options.top, title: layers.title("by Layer", layers[0].mode.names.title))
    // A box needs a third of an inch to be told from its neighbours.
    let width = min(max(10, 2.5 + 0.45 * Double(layers.count)), 30)
    return page(panel, width: width * inch, height: 5.8 * inch)
  }

  /// The signed mean of each feature or dimension against its mean_abs, a plot a layer.
  ///
  /// - Parameter pairs: signed and absolute averages of the same layers.
  public static func consistency(
    _ pairs: [(signed: PlaceAverages, absolute: PlaceAverages)], _ options: PlotOptions = PlotOptions()
  ) -> Figure {
    let scale = options.usesCommonScale ? ConsistencyScale(pairs) : nil
    let panels = pairs.map { Panel.consistency($0.signed, $0.absolute, top: options.top, scale: scale) }
    let signed = pairs.map(\.signed)
    let largest = signed.max { ($0.isSigned ? 1 : 0, $0.values.count) < ($1.isSigned ? 1 : 0, $1.values.count) }!
    let starred = pairs.map { $0.absolute.starred(options.top).count }.max() ?? 0
    return rows(
      of: panels, columns: min(options.columns, panels.count), cellWidth: 4.6 * inch, cellHeight: 3.1 * inch,
      title: signed.title("Consistency", "Mean against Mean Absolute"), subtitle: signed.sizes,
      legend: Panel.consistencyLegend(largest, starred: starred))
  }
}
