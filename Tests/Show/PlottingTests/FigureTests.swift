import Aggregation
import CPNG
import Plotting
import SystemIO
import TensorStream
import Testing

@Suite struct FigureLayoutTests {
  /// Every kind of page, over data of every kind.
  private static func figures() -> [(name: String, figure: Figure)] {
    let scales: [Double] = [1e-12, 3.3e-5, 0.02, 1, 7e4, 1e30]
    let samples = scales.flatMap { scale in
      AveragingMode.allCases.flatMap { mode in
        [
          sampleGradients(mode, .feature, count: 5000, scale: scale),
          sampleGradients(mode, .activation, count: 300, scale: scale),
        ]
      }
    }
    let odd: [[Double]] = [
      [], [0], [.nan, 1], [Double](repeating: 0, count: 50), [Double](repeating: 3.3e-5, count: 50),
      [.infinity, -1, 2, .nan], [1, 1 + 1e-12], [1, 1.0.nextUp],
      [3.9491581381352656e-105, 3.9491581381352656e-105 + 200 * 3.9491581381352656e-105.ulp], [-1e308, 1.7e308],
      [.leastNonzeroMagnitude, 0],
    ]
    let oddSamples = odd.flatMap { values in
      AveragingMode.allCases.map {
        PlaceAverages(place: Place(.mlpOut, 7), measure: .average(.gradient, $0), unit: .feature, values: values)
      }
    }
    var common = PlotOptions()
    common.usesCommonScale = true
    var logarithmic = PlotOptions()
    logarithmic.countScale = .logarithmic
    var figures: [(String, Figure)] = []
    for (index, gradients) in (samples + oddSamples).enumerated() {
      figures.append(("histogram \(index)", .histogram(gradients)))
      figures.append(("logarithmic histogram \(index)", .histogram(gradients, logarithmic)))
      figures.append(("scatter \(index)", .scatter(gradients)))
    }
    for (index, scale) in scales.enumerated() {
      let pair = AveragingMode.allCases.map { sampleGradients($0, count: 5000, scale: scale) }
      figures.append(("combined histogram \(index)", .combinedHistogram(pair)))
      figures.append(("combined scatter \(index)", .combinedScatter(pair)))
    }
    for quantity in Quantity.allCases {
      let layers = (0..<5).map { sampleGradients(layer: $0 * 3, .mean, count: 900).of(quantity) }
      let absolute = (0..<5).map { layer in
        // A few are a thousand times the others, and some are 0.
        let values = sampleGradients(layer: layer * 3, .meanAbsolute, count: 900).values.enumerated()
          .map { $0 % 90 == 0 ? 1000 * $1 : $0 % 3 == 0 ? 0 : $1 }
        return PlaceAverages(
          place: Place(.residPost, layer * 3), measure: .average(quantity, .meanAbsolute), unit: .feature,
          values: values)
      }
      for (index, options) in [PlotOptions(), common].enumerated() {
        figures.append(("\(quantity) scatters \(index)", .scatters(layers, options)))
        figures.append(("\(quantity) histograms \(index)", .histograms(layers, options)))
        figures.append(("\(quantity) profile \(index)", .profile(layers, options)))
        figures.append(("\(quantity) long profile \(index)", .profile(absolute, options)))
        figures.append(("\(quantity) consistency \(index)", .consistency(Array(zip(layers, absolute)), options)))
      }
      figures.append(("\(quantity) scatter", .scatter(layers[0])))
      figures.append(("\(quantity) combined scatter", .combinedScatter([layers[0], absolute[0]])))
      figures.append(("\(quantity) profile of one", .profile([absolute[4]])))
    }
    for mode in AveragingMode.allCases {
      let all = (samples + oddSamples).filter { $0.mode == mode }
      figures.append(("common scatters \(mode)", .scatters(all, common)))
      figures.append(("common histograms \(mode)", .histograms(all, common)))
      for one in all { figures.append(("profile", .profile([one]))) }
    }
    for mode in AveragingMode.allCases {
      let layers = (samples + oddSamples).filter { $0.mode == mode }
      figures.append(("all histograms \(mode)", .histograms(layers)))
      figures.append(("all scatters \(mode)", .scatters(layers)))
      for columns in 1...3 {
        var narrow = PlotOptions()
        narrow.columns = columns
        figures.append(("\(columns) columns, \(mode)", .scatters(Array(layers.prefix(4)), narrow)))
      }
    }
    return figures
  }

  @Test func noTextMeetsAnotherOrLeavesThePage() {
    for (name, figure) in Self.figures() {
      let texts = figure.texts()
      let page = Rectangle(x: 0, y: 0, width: figure.width, height: figure.height)
      #expect(texts.count > 4, "\(name)")
      for (index, text) in texts.enumerated() {
        #expect(page.contains(text.place), "\(name): \(text)")
        for other in texts[(index + 1)...] {
          #expect(!text.place.intersects(other.place), "\(name): \(text) and \(other)")
        }
      }
    }
  }

  @Test func titleAndStatisticsStandOnThePage() {
    let gradients = PlaceAverages(
      place: Place(.mlpOut, 11), measure: .average(.gradient, .meanAbsolute), unit: .feature,
      values: [7.566e-5, 5.8632e-5, 0])
    let texts = Figure.histogram(gradients).texts().map(\.text)
    #expect(texts.contains("Layer 11: SAE Feature Gradient Distribution (Mean Absolute)"))
    #expect(texts.contains("Total Features: 3    Max |gradient|: 7.57×10⁻⁵    Mean: 4.48×10⁻⁵    Std: 3.24×10⁻⁵"))
    #expect(texts.contains("Mean: 4.48×10⁻⁵"))
    #expect(texts.contains("Mean Absolute Gradient  (×10⁻⁵)"))
    #expect(texts.contains("Number of Features"))
  }

  @Test func signedPlotsSayWhichSideRaisesTheLoss() {
    let gradients = sampleGradients(.mean, .activation, count: 100)
    for figure in [Figure.histogram(gradients), .scatter(gradients), .combinedScatter([gradients, gradients])] {
      let texts = figure.texts()
      let lowers = texts.first { $0.text == "← lowers the loss" }?.place
      let raises = texts.first { $0.text == "raises the loss →" }?.place
      // Right on the histogram's axis, up on the scatter plot's.
      if let lowers, let raises {
        #expect(lowers.x < raises.x || lowers.y > raises.y)
      } else {
        Issue.record("the directions are missing")
      }
    }
    let unsigned = Figure.scatter(sampleGradients(.meanAbsolute, count: 100)).texts().map(\.text)
    #expect(!unsigned.contains { $0.contains("loss") })
  }

  @Test func starsCarryTheirIndices() {
    var values = [Double](repeating: 1, count: 9000)
    for (rank, index) in [17, 4000, 8999].enumerated() { values[index] = 50 + Double(rank) * 20 }
    var options = PlotOptions()
    options.top = 3
    let gradients = PlaceAverages(
      place: Place(.mlpOut, 0), measure: .average(.gradient, .meanAbsolute), unit: .feature, values: values)
    let texts = Figure.scatter(gradients, options).texts().map(\.text)
    #expect(["17", "4000", "8999", "Top 3 features"].allSatisfy(texts.contains))
  }

  @Test func starsOfAllLayersCarryTheirIndices() {
    var values = [Double](repeating: 1, count: 9000)
    for (rank, index) in [17, 4000, 8999].enumerated() { values[index] = 50 + Double(rank) * 20 }
    var options = PlotOptions()
    options.top = 3
    let layers = (0..<3).map {
      PlaceAverages(
        place: Place(.mlpOut, $0), measure: .average(.gradient, .meanAbsolute), unit: .feature, values: values)
    }
    let texts = Figure.scatters(layers, options).texts().map(\.text)
    for index in ["17", "4000", "8999"] { #expect(texts.count { $0 == index } == 3) }
    options.top = 0
    #expect(!Figure.scatters(layers, options).texts().contains { $0.text.hasPrefix("Top ") || $0.text == "17" })
  }

  /// Blue and orange are signs; averages of absolute values have none.
  @Test func absoluteGradientsHaveNoColoursOfSigns() throws {
    var options = PlotOptions()
    // Stars are yellow.
    options.top = 0
    // Of both signs and centred on zero, as no true average of absolute values is.
    let values = (-500...500).map { Double($0) * 1e-5 }
    for count in [1001, 5005] {
      let (signed, absolute) = (AveragingMode.mean, AveragingMode.meanAbsolute)
      let pair = [signed, absolute].map { mode in
        PlaceAverages(
          place: Place(.mlpOut, 1), measure: .average(.gradient, mode), unit: .feature,
          values: (0..<count).map { values[$0 % values.count] })
      }
      for figure in [Figure.histogram(pair[1], options), .scatter(pair[1], options)] {
        let picture = try Colours(png: figure.encoded(as: .png, resolution: 72))
        #expect(picture.count(\.isGreen) > 1000 && picture.count(\.isBlue) == 0 && picture.count(\.isOrange) == 0)
      }
      for figure in [Figure.combinedHistogram(pair, options), .combinedScatter(pair, options)] {
        let picture = try Colours(png: figure.encoded(as: .png, resolution: 72))
        let (left, right) = (0..<picture.width / 2, picture.width / 2..<picture.width)
        #expect(picture.count(in: left, \.isBlue) > 1000 && picture.count(in: left, \.isOrange) > 1000)
        #expect(picture.count(in: left, \.isGreen) == 0)
        #expect(picture.count(in: right, \.isGreen) > 1000)
        #expect(picture.count(in: right, \.isBlue) == 0 && picture.count(in: right, \.isOrange) == 0)
        // What explains the signs stands over the signed half.
        let signs = figure.texts().filter { $0.text.hasPrefix("increase ") }
        #expect(signs.count == 2 && signs.allSatisfy { $0.place.maxX < figure.width / 2 })
      }
    }
  }

  /// However close together the values lie: a bar that the line of the mean does not hide, and ticks that differ.
  @Test(
    arguments: [
      [3.9491581381352656, 3.9491581381352665], [2, 2], [1, 1.0.nextUp.nextUp], [-3e-5, -3e-5], [0, 0],
      [.leastNonzeroMagnitude, 0], [1, 1 + 1e-12], [0.9999, 1.0001], [1e300, 1e300.nextUp], [-1e-9, 1e-9],
    ] as [[Double]], AveragingMode.allCases) func nearlyEqualValuesShowABar(ends: [Double], mode: AveragingMode) throws
  {
    let values = (0..<1000).map { ends[$0 % 2] }
    let gradients = PlaceAverages(
      place: Place(.mlpOut, 0), measure: .average(.gradient, mode), unit: .feature, values: values)
    for figure in [Figure.histogram(gradients), .histograms([gradients, gradients])] {
      let picture = try Colours(png: figure.encoded(as: .png, resolution: 72))
      // Above the legend's swatches nothing is as tall.
      let columns = (0..<picture.width).filter { x in
        (0..<picture.height).count { picture[x, $0].isGreen || picture[x, $0].isBlue || picture[x, $0].isOrange } > 60
      }
      #expect(columns.count >= 2, "\(figure.title)")
      let ticks = figure.texts().map(\.text).filter { Double($0.replacing("−", with: "-")) != nil }
      #expect(Set(ticks).count >= 4, "\(ticks)")
    }
  }

  /// Bars of two standard errors, for which the axis has room.
  @Test func starsHaveErrorBars() throws {
    let values = [Double](repeating: 1, count: 100) + [50, 70]
    func figure(_ errors: [Double]?) -> Figure {
      var options = PlotOptions()
      options.top = 2
      let averages = PlaceAverages(
        place: Place(.mlpOut, 0), measure: .average(.attribution, .meanAbsolute), unit: .feature, values: values,
        standardErrors: errors)
      return .scatter(averages, options)
    }
    // Left of the plot, where no index stands.
    func largestTick(_ figure: Figure) -> Double {
      figure.texts().filter { $0.place.maxX < 70 }.compactMap { Double($0.text) }.max()!
    }
    let (with, without) = (figure([Double](repeating: 0, count: 100) + [0, 40]), figure(nil))
    #expect(with.texts().contains { $0.text == "± 2 SE" } && !without.texts().contains { $0.text.contains("SE") })
    #expect(largestTick(without) < 80 && largestTick(with) > 120)
    #expect(with.texts().contains { $0.text == "Mean Absolute Attribution, nats" })
    // Of an error that is not known there is no bar, and no room is taken for it.
    #expect(largestTick(figure([Double](repeating: .nan, count: 102))) < 80)
  }

  @Test func aCommonScaleIsThatOfAllPlots() {
    let layers = (0..<3).map { layer in
      PlaceAverages(
        place: Place(.mlpOut, layer), measure: .average(.gradient, .meanAbsolute), unit: .feature,
        values: (0..<500).map { Double($0 % 50) * pow10(Double(layer)) })
    }
    var options = PlotOptions()
    options.top = 0
    func count(_ figure: Figure, _ label: String) -> Int { figure.texts().count { $0.text == label } }
    for draw in [Figure.scatters, Figure.histograms] {
      options.usesCommonScale = false
      #expect(count(draw(layers, options), "4000") <= 1)
      options.usesCommonScale = true
      #expect(count(draw(layers, options), "4000") == 3)
    }
  }

  @Test func profilesNameLayersAndTheLargest() {
    let layers = [0, 10, 20].map { layer in
      var values = (0..<400).map { Double($0 % 40) }
      values[17 + layer] = 500
      return PlaceAverages(
        place: Place(.mlpOut, layer), measure: .average(.attribution, .meanAbsolute), unit: .feature, values: values)
    }
    let texts = Figure.profile(layers).texts().map(\.text)
    for text in [
      "0", "10", "20", "17", "27", "37", "Layer", "Mean Absolute Attribution, nats", "Median", "Top 20 features",
      "SAE Feature Attribution by Layer – All Layers (Mean Absolute)",
    ] {
      #expect(texts.contains(text), "\(text)")
    }
    let gradients = layers.map { $0.of(.gradient) }
    #expect(Figure.profile(gradients).texts().contains { $0.text == "Mean Absolute Gradient, nats per unit" })
  }

  @Test func whatIsLeftOutIsNamed() {
    let gradients = PlaceAverages(
      place: Place(.mlpOut, 0), measure: .average(.gradient, .mean), unit: .feature, values: [1, .nan, -.infinity])
    for figure in [Figure.histogram(gradients), .scatter(gradients)] {
      #expect(figure.texts().contains { $0.text == "Left out: 1 NaN (at 1), 1 infinite (at 2)" })
    }
    let empty = PlaceAverages(
      place: Place(.mlpOut, 0), measure: .average(.gradient, .mean), unit: .feature, values: [.nan])
    #expect(Figure.scatter(empty).texts().contains { $0.text == "no finite values" })
  }
}

@Suite struct PlotSetTests {
  private func layers(_ range: Range<Int>, _ modes: [AveragingMode], _ unit: GradientUnit) -> [PlaceAverages] {
    places(range.map { Place(.mlpOut, $0) }, modes, unit)
  }

  private func places(_ places: [Place], _ modes: [AveragingMode], _ unit: GradientUnit) -> [PlaceAverages] {
    places.flatMap { place in
      modes.map { PlaceAverages(place: place, measure: .average(.gradient, $0), unit: unit, values: [1, 2]) }
    }
  }

  @Test func hasTheFilesOfThePythonScripts() {
    let names = PlotSet(layers(0..<24, [.mean, .meanAbsolute], .feature)).plots.map(\.name)
    var expected: Set<String> = []
    for mode in ["mean", "mean_abs"] {
      expected.formUnion(["all_layers_\(mode)_gradient_histograms", "all_layers_\(mode)_feature_scatter"])
      for layer in 0..<24 {
        expected.formUnion(["layer_\(layer)_\(mode)_gradient_hist", "layer_\(layer)_\(mode)_feature_scatter"])
        expected.formUnion(["layer_\(layer)_gradient_hist_combined", "layer_\(layer)_gradient_scatter_combined"])
      }
    }
    #expect(names.count == 148 && Set(names) == expected)
  }

  /// Each site's layers are on pages of their own, and a site with one layer has no such page.
  @Test func sitesAreDrawnApart() {
    let several = [Place(.attnZ, 1), Place(.mlpOut, 0), Place(.residPost, 0), Place(.mlpOut, 1), Place(.residPost, 1)]
    let plots = PlotSet(places(several, [.mean, .meanAbsolute], .activation)).plots
    var expected: Set<String> = []
    for stem in ["layer_0", "layer_1", "layer_1_attn_z", "layer_0_resid_post", "layer_1_resid_post"] {
      expected.formUnion(["\(stem)_gradient_hist_combined", "\(stem)_gradient_scatter_combined"])
      for mode in ["mean", "mean_abs"] {
        expected.formUnion(["\(stem)_\(mode)_gradient_hist", "\(stem)_\(mode)_activation_scatter"])
      }
    }
    for stem in ["all_layers", "all_layers_resid_post"] {
      for mode in ["mean", "mean_abs"] {
        expected.formUnion(["\(stem)_\(mode)_gradient_histograms", "\(stem)_\(mode)_activation_scatter"])
      }
    }
    #expect(plots.count == expected.count && Set(plots.map(\.name)) == expected)
    let title = { (name: String) in plots.first { $0.name == name }!.figure().title }
    #expect(title("layer_1_mean_gradient_hist") == "Layer 1: Activation Gradient Distribution (Signed Mean)")
    #expect(
      title("layer_1_attn_z_mean_abs_activation_scatter")
        == "Layer 1 (attn_z): Activation Gradient Scatter Plot (Mean Absolute)")
    #expect(
      title("layer_0_resid_post_gradient_hist_combined") == "Layer 0 (resid_post): Activation Gradient Comparison")
    #expect(
      title("all_layers_mean_gradient_histograms") == "Activation Gradient Distribution – All Layers (Signed Mean)")
    #expect(
      title("all_layers_resid_post_mean_gradient_histograms")
        == "Activation Gradient Distribution – All Layers at resid_post (Signed Mean)")
  }

  /// By the names that the scripts would have given them.
  @Test func quantitiesAreNamed() {
    let layers = places([Place(.mlpOut, 1), Place(.mlpOut, 2), Place(.attnOut, 2)], [.mean, .meanAbsolute], .feature)
    let firing = PlaceAverages(place: Place(.mlpOut, 1), measure: .firing, unit: .feature, values: [1, 0])
    var options = PlotOptions()
    options.showsLayerProfile = true
    let names = PlotSet(layers.map { $0.of(.attribution) } + [firing], options).plots.map(\.name)
    var expected: Set<String> = []
    for stem in ["layer_1", "layer_2", "layer_2_attn_out"] {
      expected.formUnion(["\(stem)_attribution_hist_combined", "\(stem)_attribution_scatter_combined"])
      for mode in ["mean", "mean_abs"] {
        expected.formUnion(["\(stem)_\(mode)_attribution_hist", "\(stem)_\(mode)_attribution_feature_scatter"])
      }
    }
    for mode in ["mean", "mean_abs"] {
      expected.formUnion([
        "all_layers_\(mode)_attribution_histograms", "all_layers_\(mode)_attribution_feature_scatter",
        "all_layers_\(mode)_attribution_profile", "all_layers_attn_out_\(mode)_attribution_profile",
      ])
    }
    expected.formUnion([
      "all_layers_attribution_mean_against_mean_abs", "all_layers_attn_out_attribution_mean_against_mean_abs",
    ])
    #expect(names.count == expected.count && Set(names) == expected)
    // Three quantities at once do not get into one another's way.
    let all = Quantity.allCases.flatMap { quantity in layers.map { $0.of(quantity) } }
    #expect(PlotSet(all, options).plots.count == 3 * expected.count)
    let activation = places([Place(.mlpOut, 1)], [.mean], .activation)[0].of(.activation)
    #expect(Figure.histogram(activation).title == "Layer 1: Activation Distribution (Signed Mean)")
  }

  @Test func oneModeOfOneLayerHasTwoFiles() {
    let names = PlotSet(layers(5..<6, [.meanAbsolute], .activation)).plots.map(\.name)
    #expect(Set(names) == ["layer_5_mean_abs_gradient_hist", "layer_5_mean_abs_activation_scatter"])
  }
}

@Suite struct PictureFileTests {
  private let figure = Figure.histogram(sampleGradients(.mean, count: 200))

  /// Keyword and text of the text chunks, read as the PNG specification lays them out.
  private func textChunks(_ png: [UInt8]) -> [String: String] {
    var chunks: [String: String] = [:]
    var position = 8
    while position + 8 <= png.count {
      let length = png[position..<position + 4].reduce(0) { $0 << 8 | Int($1) }
      let type = String(decoding: png[position + 4..<position + 8], as: UTF8.self)
      let data = png[position + 8..<position + 8 + length]
      if type == "tEXt" || type == "iTXt" {
        let keyword = data.prefix { $0 != 0 }
        // iTXt: keyword 0, compression flag and method, language 0, translated keyword 0, text.
        let text = data.dropFirst(keyword.count + (type == "tEXt" ? 1 : 5))
        chunks[String(decoding: keyword, as: UTF8.self)] = String(decoding: text, as: UTF8.self)
      }
      position += 12 + length
    }
    return chunks
  }

  @Test func pngCarriesItsOrigin() throws {
    let long = String(repeating: "k", count: 100)
    let png = try figure.encoded(
      as: .png, resolution: 40,
      metadata: [("history.0", "wt-tokenize --num-samples 5"), ("model", "Modell für Größe"), (long, "x")])
    let texts = textChunks(png)
    #expect(texts["Title"] == figure.title)
    #expect(texts["Software"] == "grad-plot")
    #expect(texts["history.0"] == "wt-tokenize --num-samples 5")
    #expect(texts["model"] == "Modell für Größe")
    #expect(texts[String(long.prefix(79))] == "x")
  }

  @Test(arguments: [40.0, 96, 150]) func pngHasTheSizeOfItsResolution(resolution: Double) throws {
    let picture = try Picture(png: figure.encoded(as: .png, resolution: resolution))
    #expect(picture.width == Int((figure.width * resolution / 72).rounded()))
    #expect(picture.height == Int((figure.height * resolution / 72).rounded()))
    // The page is white to its last pixel.
    let corners = [picture[0, 0], picture[picture.width - 1, picture.height - 1], picture[picture.width - 1, 0]]
    #expect(corners == [255, 255, 255])
  }

  @Test func refusesMorePixelsThanCairoHas() {
    #expect(throws: Failure.self) { try figure.encoded(as: .png, resolution: 4000) }
  }

  @Test func svgIsTextWithATitleAndItsOrigin() throws {
    let svg = String(decoding: try figure.encoded(as: .svg, metadata: [("a<b", "c&d\u{1}")]), as: UTF8.self)
    #expect(svg.contains("<title>\(figure.title)</title>"))
    #expect(svg.contains("a&lt;b: c&amp;d\u{fffd}\n"))
    #expect(svg.hasSuffix("</svg>\n"))
  }

  @Test func vectorPagesOfLargeCloudsStaySmall() throws {
    let cloud = Figure.scatter(sampleGradients(.meanAbsolute, count: 20_000))
    for format in [PlotFormat.svg, .pdf] {
      let bytes = try cloud.encoded(as: format)
      // 20,000 discs as paths take more than 4 MB.
      #expect(bytes.count < 1_000_000)
      #expect(bytes.starts(with: Array((format == .pdf ? "%PDF" : "<?xml").utf8)))
    }
    // A small layer is all vectors.
    let discs = try Figure.scatter(sampleGradients(.meanAbsolute, count: 300)).encoded(as: .svg)
    #expect(!String(decoding: discs, as: UTF8.self).contains("<image"))
  }

  @Test func theSameDataMakeTheSameBytes() throws {
    #expect(try figure.encoded(as: .png) == figure.encoded(as: .png))
  }
}
