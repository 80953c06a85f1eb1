import Aggregation
import Glibc

/// The values that one side of a plot spans, and where each falls on it.
public struct Axis: Equatable, Sendable {
  public enum Scale: Sendable {
    case linear
    case logarithmic
  }

  public let low: Double
  public let high: Double
  public let scale: Scale

  public init(low: Double, high: Double, scale: Scale = .linear) {
    precondition(low < high && (scale == .linear || low > 0))
    self.low = low
    self.high = high
    self.scale = scale
  }

  /// 0 at `low`, 1 at `high`, and beyond for values outside.
  public func fraction(of value: Double) -> Double {
    switch scale {
    case .linear:
      // Halved first: the difference of two large values of different sign may overflow.
      (value / 2 - low / 2) / (high / 2 - low / 2)
    case .logarithmic: log(value / low) / log(high / low)
    }
  }

  /// Room for averages from `minimum` to `maximum`: a margin on both sides; centred on zero where the sign means
  /// something; never empty, so that a constant array has a place to be drawn at: half its value to both sides.
  public static func averages(
    minimum: Double, maximum: Double, isCentredOnZero: Bool, margin: Double = 0.05
  ) -> Axis {
    let smallestSpan = PlaceAverages.smallestSpread
    guard minimum.isFinite, maximum.isFinite else { return Axis(low: isCentredOnZero ? -1 : 0, high: 1) }
    if isCentredOnZero {
      let reach = max(abs(minimum), abs(maximum))
      let extent = reach > smallestSpan ? min(reach * (1 + margin), .greatestFiniteMagnitude) : 1
      return Axis(low: -extent, high: extent)
    }
    var room = (maximum - minimum) * margin
    if !(maximum - minimum > smallestSpan) {
      room = abs(maximum) > smallestSpan ? abs(maximum) / 2 : 0.5
    }
    room = min(room, .greatestFiniteMagnitude / 4)
    return Axis(
      low: max(minimum - room, -.greatestFiniteMagnitude), high: min(maximum + room, .greatestFiniteMagnitude))
  }

  /// Counts from 0 to `maximum`, with headroom; logarithmic ones from below 1, so that a single count has a bar.
  public static func counts(maximum: Int, scale: Scale) -> Axis {
    switch scale {
    case .linear: Axis(low: 0, high: Double(max(maximum, 1)) * 1.05)
    case .logarithmic: Axis(low: 0.7, high: Double(max(maximum, 10)) * 1.5, scale: scale)
    }
  }
}
