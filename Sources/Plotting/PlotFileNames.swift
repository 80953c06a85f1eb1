import GradientStatistics

/// The names of the PyTorch scripts' files, in both directions.
public enum PlotFileNames {
  /// What the name of an array file tells: `layer_11_mean_abs_gradients.npy`, or `layer_11_gradients.npy` of the
  /// scripts' early versions, which leave the mode out.
  public static func parse(_ path: String) -> (layer: Int, mode: AveragingMode?)? {
    let name = path.split(separator: "/").last ?? ""
    guard name.hasPrefix("layer_"), name.hasSuffix("_gradients.npy") else { return nil }
    let middle = name.dropFirst("layer_".count).dropLast("_gradients.npy".count)
    let digits = middle.prefix { $0.isASCII && $0.isNumber }
    guard let layer = Int(digits) else { return nil }
    let rest = middle.dropFirst(digits.count)
    if rest.isEmpty { return (layer, nil) }
    guard rest.first == "_", let mode = AveragingMode(rawValue: String(rest.dropFirst())) else { return nil }
    return (layer, mode)
  }

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
