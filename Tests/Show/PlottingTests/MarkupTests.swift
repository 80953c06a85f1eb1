import Aggregation
import Foundation
import Plotting
import TensorStream
import Testing

@Suite struct MarkupTests {
  private func element(_ figure: Figure) throws -> Element { try Element(figure.markup(resolution: 1)) }

  /// An element in which every tag that opens is closed in its turn.
  private struct Element {
    let text: String

    init(_ text: String) throws {
      self.text = text
      var open: [Substring] = []
      for match in text.matches(of: /<(\/?)([a-z]+)[^<>]*?(\/?)>/) {
        if !match.output.1.isEmpty {
          #expect(open.popLast() == match.output.2)
        } else if match.output.3.isEmpty {
          open.append(match.output.2)
        }
      }
      #expect(open.isEmpty)
    }

    var texts: [String] { text.matches(of: /<text [^>]*>([^<]*)</).map { String($0.output.1) } }
  }

  private func options() -> PlotOptions { PlotOptions() }

  @Test func hasEveryTextOfTheFigure() throws {
    let averages = sampleGradients(.mean, .feature, count: 5000)
    for figure in [
      Figure.histogram(averages), .scatter(averages), .columnHistogram(averages, options()),
      .columnScatter(averages, options()).figure, .profile([averages, sampleGradients(layer: 9, .mean, count: 500)]),
    ] {
      let found = try element(figure).texts.map { $0.replacing("&lt;", with: "<").replacing("&amp;", with: "&") }
      #expect(found.sorted() == figure.texts().map(\.text).sorted())
    }
  }

  /// A page forbids styles within, and elements of several figures may not have one id.
  @Test func hasNoStyleAndNoId() throws {
    let text = try element(.scatter(sampleGradients(.mean, .feature, count: 9000))).text
    #expect(!text.contains("style=") && !text.contains(" id=") && !text.contains("http"))
    #expect(text.contains("class=\"cloud\"") && text.contains("data:image/png;base64,iVBORw0KGgo"))
  }

  /// Few points are discs, each at its place.
  @Test func discsStandWhereTheirValuesFall() throws {
    let values = [0.5, -1, 0.25, 2]
    let averages = PlaceAverages(
      place: Place(.mlpOut, 7), measure: .average(.gradient, .mean), unit: .feature, values: values)
    var options = PlotOptions()
    options.top = 0
    let (figure, area) = Figure.columnScatter(averages, options)
    let plot = try #require(area)
    let text = try element(figure).text
    for (index, value) in values.enumerated() {
      let x = plot.area.x + plot.xAxis.fraction(of: Double(index)) * plot.area.width
      let y = plot.area.maxY - plot.yAxis.fraction(of: value) * plot.area.height
      let found = text.matches(of: /M([0-9.]+) ([0-9.]+)h0/).map {
        (Double($0.output.1)!, Double($0.output.2)!)
      }
      #expect(found.count { abs($0.0 - x) <= 0.051 && abs($0.1 - y) <= 0.051 } == 1, "\(x) \(y) \(found)")
    }
  }
}

@Suite struct MergedColorsTests {
  @Test func fewColoursStayAsTheyAre() {
    let pixels: [UInt32] = [0, 0xff10_2030, 0xffff_ffff, 0xff10_2030, 0x00aa_bbcc]
    let merged = MergedColors(pixels)
    #expect(merged.indices == [0, 1, 2, 1, 0])
    #expect(merged.colors.map(\.opacity) == [0, 255, 255])
    #expect([merged.colors[1].red, merged.colors[1].green, merged.colors[1].blue] == [0x10, 0x20, 0x30])
  }

  /// However many there are, no component is off by more than a step of the coarsest merging.
  @Test func manyColoursAreMerged() {
    var pixels: [UInt32] = []
    for value in stride(from: UInt32(0), through: 0xff_ffff, by: 1021) { pixels.append(0xff00_0000 | value) }
    let merged = MergedColors(pixels)
    #expect(merged.colors.count <= 256)
    for (pixel, index) in zip(pixels, merged.indices) {
      let color = merged.colors[Int(index)]
      for (found, shift) in zip([color.red, color.green, color.blue], [16, 8, 0]) {
        #expect(abs(Int(found) - Int(pixel >> UInt32(shift) & 0xff)) < 64)
      }
    }
  }

  /// Premultiplied colours come back by their opacity, in steps of a third.
  @Test func opacity() {
    let half = MergedColors([0x8040_2010])
    #expect(half.colors[1].opacity == 170 && half.colors[1].red == 128 && half.colors[1].green == 64)
  }
}
