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

  /// A histogram and a scatter plot of each place, quantity and mode; both modes side by side where a place has both; and
  /// all layers of a site on one page where there are several. Of firing nothing is drawn.
  /// - Parameter gradients: all of one unit, each place and measure once, in the order in which they shall appear on the
  ///   pages of many layers.
  public init(_ gradients: [PlaceAverages], _ options: PlotOptions = PlotOptions()) {
    var plots: [Plot] = []
    // The pages of many layers take longest: first, they leave no thread waiting at the end.
    for site in Site.allCases {
      for quantity in Quantity.allCases {
        plots += Self.allLayers(gradients.filter { $0.place.site == site && $0.measure.quantity == quantity }, options)
      }
    }
    for one in gradients {
      guard let quantity = one.measure.quantity else { continue }
      plots.append(
        Plot(name: one.place.scatterFile(quantity, one.mode, one.unit)) { .scatter(one, options) })
      plots.append(Plot(name: one.place.histogramFile(quantity, one.mode)) { .histogram(one, options) })
    }
    for pair in Self.pairs(gradients) {
      let (place, quantity) = (pair.signed.place, pair.signed.quantity)
      let both = [pair.signed, pair.absolute]
      plots.append(Plot(name: place.combinedScatterFile(quantity)) { .combinedScatter(both, options) })
      plots.append(Plot(name: place.combinedHistogramFile(quantity)) { .combinedHistogram(both, options) })
    }
    precondition(Set(plots.map(\.name)).count == plots.count, "two pictures of one name")
    self.plots = plots
  }

  /// The pages of one quantity at all layers of a site.
  private static func allLayers(_ all: [PlaceAverages], _ options: PlotOptions) -> [Plot] {
    guard let first = all.first else { return [] }
    let (site, quantity) = (first.place.site, first.quantity)
    var plots: [Plot] = []
    for mode in AveragingMode.allCases {
      let layers = all.filter { $0.mode == mode }
      if layers.count > 1 {
        plots.append(Plot(name: site.allScattersFile(quantity, mode, first.unit)) { .scatters(layers, options) })
        plots.append(Plot(name: site.allHistogramsFile(quantity, mode)) { .histograms(layers, options) })
      }
      if options.showsLayerProfile, !layers.isEmpty {
        plots.append(Plot(name: site.profileFile(quantity, mode)) { .profile(layers, options) })
      }
    }
    let pairs = pairs(all).filter { $0.signed.values.count == $0.absolute.values.count }
    if options.showsLayerProfile, !pairs.isEmpty {
      plots.append(Plot(name: site.consistencyFile(quantity)) { .consistency(pairs, options) })
    }
    return plots
  }

  /// Both modes of each place and quantity that has both.
  private static func pairs(_ all: [PlaceAverages]) -> [(signed: PlaceAverages, absolute: PlaceAverages)] {
    all.compactMap { absolute in
      guard absolute.measure.quantity != nil, absolute.mode == .meanAbsolute else { return nil }
      let signed = all.first {
        $0.mode == .mean && $0.place == absolute.place && $0.measure.quantity == absolute.measure.quantity
      }
      return signed.map { ($0, absolute) }
    }
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
