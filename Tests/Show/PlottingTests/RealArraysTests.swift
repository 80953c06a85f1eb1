import Aggregation
import Plotting
import SystemIO
import TestSupport
import Testing

private let folder = sharedData + "/python-scripts-run"

/// The 24 layers of a real run: 65,536 gradients each.
@Suite(.enabled(if: exists(folder), "the arrays of a real run are not at ../shared/data/python-scripts-run"))
struct RealArraysTests {
  private let layers: [PlaceAverages]

  init() throws {
    var collection = AverageCollection()
    for layer in 0..<24 { try collection.read("\(folder)/layer_\(layer)_gradients.npy") }
    layers = try collection.sorted()
  }

  @Test func areComplete() {
    #expect(layers.map(\.place.layer) == Array(0..<24))
    #expect(layers.allSatisfy { $0.mode == .meanAbsolute && $0.statistics.count == 65_536 })
    #expect(layers.allSatisfy { $0.histogram(bins: 100).counts.reduce(0, +) == 65_536 })
  }

  /// Against a sort of everything.
  @Test func haveTheirTopTwenty() {
    for layer in layers {
      let ranked = layer.values.enumerated().sorted { abs($0.element) > abs($1.element) }
      #expect(layer.top(20) == ranked.prefix(20).map(\.offset), "\(layer.place)")
    }
  }

  @Test func noTextMeetsAnother() {
    for figure in [Figure.histograms(layers), .scatters(layers)] + layers.map({ Figure.scatter($0) }) {
      let texts = figure.texts()
      for (index, text) in texts.enumerated() {
        #expect(!texts[(index + 1)...].contains { $0.place.intersects(text.place) }, "\(figure.title): \(text)")
      }
    }
  }
}
