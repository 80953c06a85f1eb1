import Aggregation
import Glibc
import Plotting
import SystemIO
import TensorStream
import TestSupport
import Testing

private let folder = packageRoot + "/Tests/Show/PlottingTests/Pictures"
private let resolution = 72.0

/// Pictures that were looked at and found right. After a change that is meant to show:
///     RECORD_PICTURES=1 swift test --filter PictureTests     and look at Tests/Show/PlottingTests/Pictures/*.png
@Suite struct PictureTests {
  private static func figure(_ name: String) -> Figure {
    switch name {
    case "signed-histogram": return .histogram(sampleGradients(.mean, .activation, count: 896))
    case "signed-scatter": return .scatter(sampleGradients(.mean, .activation, count: 896))
    case "cloud": return .scatter(sampleGradients(.meanAbsolute, count: 20_000))
    case "error-bars":
      return .combinedScatter([.mean, .meanAbsolute].map { sampleGradients($0, count: 700).of(.attribution) })
    case "profile": return .profile(heavyTailed(.meanAbsolute))
    case "consistency":
      var options = PlotOptions()
      options.columns = 3
      options.usesCommonScale = true
      return .consistency(Array(zip(heavyTailed(.mean), heavyTailed(.meanAbsolute))), options)
    default:
      var options = PlotOptions()
      options.columns = 2
      return .histograms((0..<3).map { sampleGradients(layer: $0, .meanAbsolute, count: 2000) }, options)
    }
  }

  /// Attributions as they are: of most features almost nothing, and some of one sign.
  private static func heavyTailed(_ mode: AveragingMode) -> [PlaceAverages] {
    (0..<3).map { layer in
      let magnitudes = sampleGradients(layer: layer, .meanAbsolute, count: 2000, scale: 1).values.enumerated().map {
        pow10(1.5 * $1 - 8 + Double(layer) / 3) * ($0 % 7 == 0 ? 0 : 1)
      }
      let values = magnitudes.enumerated().map { mode == .mean ? $1 * (Double($0 % 11) / 5 - 1) : $1 }
      return PlaceAverages(
        place: Place(.mlpOut, layer), measure: .average(.attribution, mode), unit: .feature, values: values)
    }
  }

  private static let names = [
    "signed-histogram", "signed-scatter", "cloud", "all-layers", "error-bars", "profile", "consistency",
  ]

  /// DejaVu Sans is what the reference pictures are lettered in; another font is more than a pixel off.
  private static let hasFont = Figure.histogram(sampleGradients(.mean, .activation, count: 10)).texts()
    .contains { $0.text == "Signed Mean Gradient  (×10⁻⁵)" && abs($0.place.width - 165.4) < 3 }

  @Test(.enabled(if: hasFont, "the font DejaVu Sans is not installed (fonts-dejavu-core)"), arguments: names)
  func looksAsItDid(name: String) throws {
    let png = try Self.figure(name).encoded(as: .png, resolution: resolution)
    let path = "\(folder)/\(name).png"
    if getenv("RECORD_PICTURES") != nil {
      mkdir(folder, 0o777)
      let file = try OutputFile(path: path)
      try file.write(png)
      try file.finish()
    }
    let reference = try Picture(png: InputFile(path: path).readAll(limit: 10_000_000))
    #expect(try Picture(png: png).difference(from: reference) == nil)
  }

  @Test func aFontAPixelOffIsNoDifference() throws {
    let figure = Self.figure("signed-scatter")
    let reference = try Picture(png: figure.encoded(as: .png, resolution: resolution))
    for text in figure.texts().enumerated().filter({ $0.offset % 4 == 0 }).map(\.element) {
      var moved = reference
      moved.nudge(
        x: Int(text.place.x) - 1..<Int(text.place.maxX) + 2, y: Int(text.place.y) - 2..<Int(text.place.maxY) + 3)
      #expect(moved.pixels != reference.pixels)
      #expect(moved.difference(from: reference) == nil, "\(text)")
    }
  }

  @Test func aMissingElementIsADifference() throws {
    for name in ["signed-scatter", "signed-histogram"] {
      let figure = Self.figure(name)
      let reference = try Picture(png: figure.encoded(as: .png, resolution: resolution))
      #expect(reference.difference(from: reference) == nil)
      // A third of the texts, in turn, is enough to wait for.
      for text in figure.texts().enumerated().filter({ $0.offset % 3 == 0 }).map(\.element) {
        var incomplete = reference
        incomplete.erase(
          x: Int(text.place.x)..<Int(text.place.maxX) + 1, y: Int(text.place.y) - 1..<Int(text.place.maxY) + 2)
        #expect(incomplete.difference(from: reference) != nil, "\(text)")
      }
    }
    var options = PlotOptions()
    let whole = try Picture(png: Self.figure("signed-scatter").encoded(as: .png, resolution: resolution))
    options.top = 19
    let starless = Figure.scatter(sampleGradients(.mean, .activation, count: 896), options)
    #expect(try Picture(png: starless.encoded(as: .png, resolution: resolution)).difference(from: whole) != nil)
    // A grid line: the brightest line right of the frame that runs from top to bottom.
    let gridColumn = (100..<whole.width - 40).first { x in
      (110..<120).allSatisfy { (200..<240).contains(whole[x, $0]) }
    }
    if let gridColumn {
      var gridless = whole
      gridless.erase(x: gridColumn..<gridColumn + 1, y: 0..<whole.height)
      #expect(gridless.difference(from: whole) != nil)
    } else {
      Issue.record("the plot has no grid line where one was looked for")
    }
  }
}
