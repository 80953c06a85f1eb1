import Aggregation
import TensorStream

// The names of the PyTorch scripts' pictures, without the extension, and at other sites than theirs with the site:
// `layer_11_mean_gradient_hist`, `layer_11_resid_post_mean_gradient_hist`. Other quantities stand in place of the gradient:
// `layer_11_mean_attribution_hist`, `layer_11_mean_attribution_feature_scatter`.

extension Place {
  func histogramFile(_ quantity: Quantity, _ mode: AveragingMode) -> String {
    "\(fileName)_\(mode.names.file)_\(quantity.rawValue)_hist"
  }

  func scatterFile(_ quantity: Quantity, _ mode: AveragingMode, _ unit: GradientUnit) -> String {
    "\(fileName)_\(mode.names.file)_\(quantity.scatterFile(unit))"
  }

  func combinedHistogramFile(_ quantity: Quantity) -> String { "\(fileName)_\(quantity.rawValue)_hist_combined" }

  func combinedScatterFile(_ quantity: Quantity) -> String { "\(fileName)_\(quantity.rawValue)_scatter_combined" }
}

extension Site {
  func allHistogramsFile(_ quantity: Quantity, _ mode: AveragingMode) -> String {
    "all_layers\(fileSuffix)_\(mode.names.file)_\(quantity.rawValue)_histograms"
  }

  func allScattersFile(_ quantity: Quantity, _ mode: AveragingMode, _ unit: GradientUnit) -> String {
    "all_layers\(fileSuffix)_\(mode.names.file)_\(quantity.scatterFile(unit))"
  }

  func profileFile(_ quantity: Quantity, _ mode: AveragingMode) -> String {
    "all_layers\(fileSuffix)_\(mode.names.file)_\(quantity.rawValue)_profile"
  }

  func consistencyFile(_ quantity: Quantity) -> String {
    "all_layers\(fileSuffix)_\(quantity.rawValue)_mean_against_mean_abs"
  }
}

extension Quantity {
  /// The PyTorch scripts, which know gradients alone, do not name them here.
  fileprivate func scatterFile(_ unit: GradientUnit) -> String {
    (self == .gradient ? "" : "\(rawValue)_") + "\(unit.rawValue)_scatter"
  }
}
