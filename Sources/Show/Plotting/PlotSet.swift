import Aggregation
import Dispatch
import Synchronization
import SystemIO
import TensorStream

/// All the pictures of a run.
public struct PlotSet: Sendable {
  public struct Plot: Sendable {
    /// Of the file, without the format's extension.
    public let name: String
    /// Binning and layout are done on demand, by the thread that draws.
    public let figure: @Sendable () -> Figure
  }

  public let plots: [Plot]

  /// A histogram and a scatter plot of each place and mode; both modes side by side where a place has both; and all
  /// layers of a site on one page where a mode has several.
  /// - Parameter gradients: all of one unit, each place and mode once, in the order in which they shall appear on the
  ///   pages of many layers.
  public init(_ gradients: [PlaceAverages], _ options: PlotOptions = PlotOptions()) {
    var plots: [Plot] = []
    // The pages of many layers take longest: first, they leave no thread waiting at the end.
    for site in Site.allCases {
      for mode in AveragingMode.allCases {
        let layers = gradients.filter { $0.place.site == site && $0.mode == mode }
        guard layers.count > 1 else { continue }
        plots.append(Plot(name: site.allScattersFile(mode, layers[0].unit)) { .scatters(layers, options) })
        plots.append(Plot(name: site.allHistogramsFile(mode)) { .histograms(layers, options) })
      }
    }
    for one in gradients {
      plots.append(Plot(name: one.place.scatterFile(one.mode, one.unit)) { .scatter(one, options) })
      plots.append(Plot(name: one.place.histogramFile(one.mode)) { .histogram(one, options) })
    }
    for absolute in gradients where absolute.mode == .meanAbsolute {
      guard let signed = gradients.first(where: { $0.mode == .mean && $0.place == absolute.place }) else { continue }
      let pair = [signed, absolute]
      plots.append(Plot(name: absolute.place.combinedScatterFile) { .combinedScatter(pair, options) })
      plots.append(
        Plot(name: absolute.place.combinedHistogramFile) { .combinedHistogram(pair, options) })
    }
    precondition(Set(plots.map(\.name)).count == plots.count, "two pictures of one name")
    self.plots = plots
  }

  /// Writes every picture into `folder`.
  /// - Parameters:
  ///   - threads: that draw and encode side by side.
  ///   - didWrite: called for each picture, by any of the threads.
  public func write(
    to folder: String, as format: PlotFormat, resolution: Double, metadata: [(key: String, value: String)],
    threads: Int, didWrite: @Sendable (String) -> Void = { _ in }
  ) throws {
    let next = Atomic(0)
    let failure = Mutex<Failure?>(nil)
    // A thread on a page of many layers holds some 50 MB of pixels.
    DispatchQueue.concurrentPerform(iterations: max(1, min(threads, plots.count, 8))) { _ in
      while failure.withLock({ $0 == nil }) {
        let index = next.wrappingAdd(1, ordering: .relaxed).oldValue
        guard index < plots.count else { return }
        let name = "\(plots[index].name).\(format.rawValue)"
        do {
          try plots[index].figure()
            .write(to: "\(folder)/\(name)", as: format, resolution: resolution, metadata: metadata)
          didWrite(name)
        } catch {
          failure.withLock { $0 = $0 ?? error as? Failure ?? Failure(.bug, "\(error)") }
        }
      }
    }
    if let failure = failure.withLock({ $0 }) { throw failure }
  }
}
