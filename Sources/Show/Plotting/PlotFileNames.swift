import Aggregation
import TensorStream

// The names of the PyTorch scripts' pictures, without the extension, and at other sites than theirs with the site:
// `layer_11_mean_gradient_hist`, `layer_11_resid_post_mean_gradient_hist`.

extension Place {
  func histogramFile(_ mode: AveragingMode) -> String { "\(fileName)_\(mode.names.file)_gradient_hist" }

  func scatterFile(_ mode: AveragingMode, _ unit: GradientUnit) -> String {
    "\(fileName)_\(mode.names.file)_\(unit.rawValue)_scatter"
  }

  var combinedHistogramFile: String { "\(fileName)_gradient_hist_combined" }

  var combinedScatterFile: String { "\(fileName)_gradient_scatter_combined" }
}

extension Site {
  func allHistogramsFile(_ mode: AveragingMode) -> String {
    "all_layers\(fileSuffix)_\(mode.names.file)_gradient_histograms"
  }

  func allScattersFile(_ mode: AveragingMode, _ unit: GradientUnit) -> String {
    "all_layers\(fileSuffix)_\(mode.names.file)_\(unit.rawValue)_scatter"
  }
}
