import Aggregation
import TensorStream

/// The names of the PyTorch scripts' pictures, without the extension, and at other sites than theirs with the site:
/// `layer_11_mean_gradient_hist`, `layer_11_resid_post_mean_gradient_hist`.
public enum PlotFileNames {
  public static func histogram(_ place: Place, _ mode: AveragingMode) -> String {
    "\(place.fileName)_\(mode.names.file)_gradient_hist"
  }

  public static func scatter(_ place: Place, _ mode: AveragingMode, _ unit: GradientUnit) -> String {
    "\(place.fileName)_\(mode.names.file)_\(unit.rawValue)_scatter"
  }

  public static func combinedHistogram(_ place: Place) -> String { "\(place.fileName)_gradient_hist_combined" }

  public static func combinedScatter(_ place: Place) -> String { "\(place.fileName)_gradient_scatter_combined" }

  public static func allHistograms(_ site: Site, _ mode: AveragingMode) -> String {
    "all_layers\(site.fileSuffix)_\(mode.names.file)_gradient_histograms"
  }

  public static func allScatters(_ site: Site, _ mode: AveragingMode, _ unit: GradientUnit) -> String {
    "all_layers\(site.fileSuffix)_\(mode.names.file)_\(unit.rawValue)_scatter"
  }
}
