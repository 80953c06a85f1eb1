import GradientStatistics

/// The names of the PyTorch scripts' pictures, without the extension.
public enum PlotFileNames {
  public static func histogram(layer: Int, _ mode: AveragingMode) -> String {
    "layer_\(layer)_\(mode.rawValue)_gradient_hist"
  }

  public static func scatter(layer: Int, _ mode: AveragingMode, _ unit: GradientUnit) -> String {
    "layer_\(layer)_\(mode.rawValue)_\(unit.rawValue)_scatter"
  }

  public static func combinedHistogram(layer: Int) -> String { "layer_\(layer)_gradient_hist_combined" }

  public static func combinedScatter(layer: Int) -> String { "layer_\(layer)_gradient_scatter_combined" }

  public static func allHistograms(_ mode: AveragingMode) -> String {
    "all_layers_\(mode.rawValue)_gradient_histograms"
  }

  public static func allScatters(_ mode: AveragingMode, _ unit: GradientUnit) -> String {
    "all_layers_\(mode.rawValue)_\(unit.rawValue)_scatter"
  }
}
