import Glibc

/// A cloud of points as pixels: every point a disc, coloured by how many others lie around it.
///
/// Tens of thousands of equal dots merge into a solid bar. Here the lone point keeps a light colour, and the colour
/// darkens with the square root of the local density, so that the bar shows where most of the points are.
package struct PointCloud {
  let width: Int
  let height: Int
  /// Pixels.
  let radius: Double

  package init(width: Int, height: Int, radius: Double) {
    self.width = width
    self.height = height
    self.radius = radius
  }

  /// Side of the cells in which points are counted, in pixels, and how many cells around each are averaged: wide
  /// enough that chance neighbours do not speckle, narrow enough that an edge stays an edge.
  private static let cell = 4
  private static let reach = 2

  /// The picture, premultiplied ARGB.
  /// - Parameters:
  ///   - points: in pixels; those outside are not drawn.
  ///   - span: from the first index to the last.
  ///   - zeroRow: rows above it are drawn with `above`, the others with `below`.
  package func pixels(
    _ points: [Point], span: ClosedRange<Double>, below: ColorRamp, above: ColorRamp, zeroRow: Double
  ) -> [UInt32] {
    let coverage = coverage(points)
    let (density, columns) = relativeDensity(points, span: span)
    let ramps = [below, above].map { ramp in (0..<256).map { ramp.color(at: Double($0) / 255) } }
    let opaque = ramps.map { $0.map { Self.premultiplied($0, opacity: 255) } }
    var pixels = [UInt32](repeating: 0, count: width * height)
    let scale = 1 / Float(Self.cell)
    for y in 0..<height {
      let sign = Double(y) + 0.5 < zeroRow ? 1 : 0
      let (ramp, opaqueRamp) = (ramps[sign], opaque[sign])
      let gridY = max((Float(y) + 0.5) * scale - 0.5, 0)
      let row = min(Int(gridY), density.count / columns - 2)
      let down = min(gridY - Float(row), 1)
      for x in 0..<width {
        let opacity = coverage[y * width + x]
        guard opacity > 0 else { continue }
        let gridX = max((Float(x) + 0.5) * scale - 0.5, 0)
        let column = min(Int(gridX), columns - 2)
        let across = min(gridX - Float(column), 1)
        let corner = row * columns + column
        let upper = density[corner] + (density[corner + 1] - density[corner]) * across
        let lower =
          density[corner + columns] + (density[corner + columns + 1] - density[corner + columns]) * across
        let shade = Int((upper + (lower - upper) * down) * 255)
        pixels[y * width + x] =
          opacity == 255 ? opaqueRamp[shade] : Self.premultiplied(ramp[shade], opacity: opacity)
      }
    }
    return pixels
  }

  private static func premultiplied(_ color: Color, opacity: UInt8) -> UInt32 {
    let alpha = Double(opacity)
    func component(_ value: Double) -> UInt32 { UInt32(value * alpha + 0.5) }
    return UInt32(opacity) << 24 | component(color.red) << 16 | component(color.green) << 8 | component(color.blue)
  }

  /// How much of each pixel the discs cover. Points are placed to a quarter of a pixel, which lets sixteen drawn
  /// discs serve all of them.
  private func coverage(_ points: [Point]) -> [UInt8] {
    let phases = 4
    let reach = Int(radius.rounded(.up)) + 1
    let side = 2 * reach + 1
    let discs = (0..<phases * phases).flatMap { phase in
      let centreX = Double(reach) + (Double(phase % phases) + 0.5) / Double(phases)
      let centreY = Double(reach) + (Double(phase / phases) + 0.5) / Double(phases)
      return (0..<side * side).map { pixel in
        let distance = hypot(Double(pixel % side) + 0.5 - centreX, Double(pixel / side) + 0.5 - centreY)
        return UInt8(min(max(radius + 0.5 - distance, 0), 1) * 255)
      }
    }
    // A border as wide as a disc's reach takes what points at the edge draw beyond it.
    let stride = width + 2 * reach
    var bordered = [UInt8](repeating: 0, count: stride * (height + 2 * reach))
    bordered.withUnsafeMutableBufferPointer { bordered in
      discs.withUnsafeBufferPointer { discs in
        for point in points {
          guard point.x >= 0, point.y >= 0, point.x < Double(width), point.y < Double(height) else { continue }
          let (x, y) = (Int(point.x), Int(point.y))
          let phase = Int((point.y - Double(y)) * Double(phases)) * phases + Int((point.x - Double(x)) * Double(phases))
          let disc = discs.baseAddress! + phase * side * side
          let corner = bordered.baseAddress! + y * stride + x
          for row in 0..<side {
            let (source, target) = (disc + row * side, corner + row * stride)
            for column in 0..<side { target[column] = max(target[column], source[column]) }
          }
        }
      }
    }
    return (0..<height).reduce(into: []) { coverage, row in
      let start = (row + reach) * stride + reach
      coverage.append(contentsOf: bordered[start..<start + width])
    }
  }

  /// 0 where a point is alone, 1 where the cloud is densest, the square root between; a grid of cells, row by row.
  private func relativeDensity(_ points: [Point], span: ClosedRange<Double>) -> (cells: [Float], columns: Int) {
    let columns = max(2, (width + Self.cell - 1) / Self.cell)
    let rows = max(2, (height + Self.cell - 1) / Self.cell)
    var cells = [Float](repeating: 0, count: columns * rows)
    for point in points {
      guard point.x >= 0, point.y >= 0, point.x < Double(width), point.y < Double(height) else { continue }
      cells[Int(point.y) / Self.cell * columns + Int(point.x) / Self.cell] += 1
    }
    for _ in 0..<2 {
      cells = Self.averaged(cells, lines: rows, length: columns, lineStride: columns, stride: 1)
      cells = Self.averaged(cells, lines: columns, length: rows, lineStride: 1, stride: columns)
    }
    // Beside the first and the last index there are no points because there are no indices: the mean is taken over
    // the indices there are, or the cloud would fade at both ends.
    var presence = (0..<columns).map { column in
      let (left, right) = (Double(column * Self.cell), Double((column + 1) * Self.cell))
      return Float(max(0, min(right, span.upperBound) - max(left, span.lowerBound)) / Double(Self.cell))
    }
    for _ in 0..<2 { presence = Self.averaged(presence, lines: 1, length: columns, lineStride: columns, stride: 1) }
    for index in cells.indices where cells[index] > 0 { cells[index] /= max(presence[index % columns], 0.1) }
    // Twice a mean of n is a triangle whose peak is 1/n, in both directions.
    let single = 1 / Float((2 * Self.reach + 1) * (2 * Self.reach + 1))
    let span = (cells.max() ?? 0) - single
    return (cells.map { span > 0 && $0 > single ? min(($0 - single) / span, 1).squareRoot() : 0 }, columns)
  }

  /// The mean over `reach` cells to both sides; beyond the border there is nothing.
  private static func averaged(
    _ cells: [Float], lines: Int, length: Int, lineStride: Int, stride: Int
  ) -> [Float] {
    var averages = cells
    let weight = 1 / Float(2 * reach + 1)
    for line in 0..<lines {
      let start = line * lineStride
      var sum: Float = 0
      for index in 0..<min(reach, length) { sum += cells[start + index * stride] }
      for index in 0..<length {
        if index + reach < length { sum += cells[start + (index + reach) * stride] }
        if index > reach { sum -= cells[start + (index - reach - 1) * stride] }
        averages[start + index * stride] = sum * weight
      }
    }
    return averages
  }
}
