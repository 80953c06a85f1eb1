import GradientStatistics

/// All the pictures of a run, by the names of their files.
public struct PlotSet {
  /// Without the format's extension.
  public let name: String
  /// Drawn on demand: a figure holds no pixels until it is encoded.
  public let figure: Figure

  /// - Parameter gradients: of any layers and modes, in the order in which they shall appear.
  public static func of(_ gradients: [LayerGradients], _ options: PlotOptions) -> [PlotSet] {
    gradients.flatMap {
      [
        PlotSet(name: PlotFileNames.histogram(layer: $0.layer, $0.mode), figure: .histogram($0, options)),
        PlotSet(name: PlotFileNames.scatter(layer: $0.layer, $0.mode, $0.unit), figure: .scatter($0, options)),
      ]
    }
  }
}
