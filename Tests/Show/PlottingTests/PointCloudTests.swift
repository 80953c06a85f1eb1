import Plotting
import Testing

@Suite struct PointCloudTests {
  private func lightness(_ pixel: UInt32) -> Double {
    0.3 * Double(pixel >> 16 & 0xff) + 0.59 * Double(pixel >> 8 & 0xff) + 0.11 * Double(pixel & 0xff)
  }

  private func picture(_ points: [Point], zeroRow: Double = -1) -> [UInt32] {
    PointCloud(width: 200, height: 100, radius: 1.5)
      .pixels(points, span: 0...200, below: .unsigned, above: .positive, zeroRow: zeroRow)
  }

  /// A lone point at (20, 20), and 400 in the square from (100, 40) to (120, 60).
  private var points: [Point] {
    [Point(x: 20.5, y: 20.5)]
      + (0..<400).map { Point(x: 100.5 + Double($0 % 20), y: 40.5 + Double($0 / 20)) }
  }

  @Test func colourDarkensWithDensity() {
    let pixels = picture(points)
    let lone = pixels[20 * 200 + 20]
    let core = pixels[50 * 200 + 110]
    let edge = pixels[41 * 200 + 101]
    #expect(lone >> 24 == 255 && core >> 24 == 255)
    #expect(lightness(lone) > lightness(edge) + 20 && lightness(edge) > lightness(core) + 5)
  }

  @Test func nothingIsDrawnWhereNoPointIs() {
    let pixels = picture(points)
    #expect(pixels[80 * 200 + 50] == 0)
    #expect(pixels[20 * 200 + 25] == 0)
    #expect(picture([]).allSatisfy { $0 == 0 })
    #expect(picture([Point(x: -1, y: 5), Point(x: 5, y: 100), Point(x: 200, y: 1)]).allSatisfy { $0 == 0 })
  }

  @Test func aCloudOfEvenDensityDoesNotFadeAtItsEnds() {
    let even = (0..<4000).map { Point(x: Double($0 % 400) / 2, y: 40 + Double($0 / 400) * 2) }
    let pixels = picture(even)
    let row = (0..<200).map { lightness(pixels[50 * 200 + $0]) }
    #expect(row.allSatisfy { abs($0 - row[100]) < 12 })
  }

  @Test func signsHaveTheirOwnColours() {
    let pixels = picture([Point(x: 50.5, y: 30.5), Point(x: 50.5, y: 70.5)], zeroRow: 50)
    let (above, below) = (pixels[30 * 200 + 50], pixels[70 * 200 + 50])
    #expect(above >> 16 & 0xff > above & 0xff, "orange has more red than blue")
    #expect(below >> 16 & 0xff < below & 0xff, "blue has more blue than red")
  }

  @Test func rampsOnlyDarken() {
    for ramp in [ColorRamp.unsigned, .positive] {
      let greys = (0...100).map { ramp.grey(at: Double($0) / 100) }
      #expect(zip(greys, greys.dropFirst()).allSatisfy { $0 > $1 })
      // From clearly visible on white to nearly black.
      #expect(greys[0] < 0.8 && greys[100] < 0.25)
    }
  }
}
