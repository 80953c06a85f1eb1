import Aggregation
import Glibc
import SystemIO

/// Where an axis has its ticks and what they say.
public struct AxisTicks: Equatable, Sendable {
  public let values: [Double]
  /// The values less the offset, divided by 10^exponent, all with as many decimals as the step needs.
  public let labels: [String]
  /// The one power of ten that belongs to the whole axis, for the axis' label; 0 where there is none.
  public let exponent: Int
  /// A round number amid the values, where they are so close together that they share most of their digits; else 0.
  public let offset: Double

  public init(values: [Double], labels: [String], exponent: Int, offset: Double = 0) {
    self.values = values
    self.labels = labels
    self.exponent = exponent
    self.offset = offset
  }

  /// At most `count` ticks (and at least one where a round value lies within) at multiples of 1, 2, 2.5 or 5 × 10^n.
  /// - Parameter areIntegers: the axis counts things: whole steps, digits in groups, no exponent.
  public static func linear(on axis: Axis, atMost count: Int, areIntegers: Bool = false) -> AxisTicks {
    if !areIntegers, let offset = offset(on: axis) {
      let differences = linear(on: Axis(low: axis.low - offset, high: axis.high - offset), atMost: count)
      return AxisTicks(
        values: differences.values.map { offset + $0 }, labels: differences.labels, exponent: differences.exponent,
        offset: offset)
    }
    let rough = (axis.high / Double(count) - axis.low / Double(count))
    var power = Int(floor(log10(rough)))
    // Steps are whole multiples of a tenth of a power of ten, so that 2.5 is exact and k × step rounds only once.
    let candidates = [(10, 0), (20, 0), (25, 1), (50, 0), (100, 0), (200, 0)]
    func ticks(tenths: Int, power: Int) -> (first: Int, last: Int) {
      let step = Self.scaled(Double(tenths), by: power - 1)
      return (Int(ceil(axis.low / step - 1e-9)), Int(floor(axis.high / step + 1e-9)))
    }
    var (step, decimals) = (10, 0)
    for (tenths, extraDecimals) in candidates {
      (step, decimals) = (tenths, extraDecimals)
      let (first, last) = ticks(tenths: tenths, power: power)
      if last - first < count { break }
    }
    if step >= 100 { (step, power) = (step / 10, power + 1) }
    if areIntegers, power < 0 || (power == 0 && step == 25) { (step, power, decimals) = (step == 25 ? 50 : 10, 0, 0) }
    let (first, last) = ticks(tenths: step, power: power)
    guard first <= last else { return AxisTicks(values: [], labels: [], exponent: 0) }
    let multiples = (first...last).map { $0 * step }
    let values = multiples.map { Self.scaled(Double($0), by: power - 1) }
    if areIntegers {
      return AxisTicks(values: values, labels: values.map { grouped(Int($0)) }, exponent: 0)
    }
    let largest = values.map(abs).max()!
    let magnitude = largest > 0 ? Int(floor(log10(largest) + 1e-9)) : power
    let exponent = (-3..<5).contains(magnitude) ? 0 : magnitude
    let labels = multiples.map {
      decimal(Self.scaled(Double($0), by: power - 1 - exponent), max(0, exponent - power + decimals)).replacingHyphen
    }
    return AxisTicks(values: values, labels: labels, exponent: exponent)
  }

  /// Where labels would need more than some eight digits to differ, the multiple of a power of ten, not smaller than
  /// the axis is long, that lies nearest to its middle.
  private static func offset(on axis: Axis) -> Double? {
    let span = axis.high - axis.low
    guard span.isFinite, span < 1e-6 * max(abs(axis.low), abs(axis.high)) else { return nil }
    let power = Int(ceil(log10(span)))
    return scaled((scaled(axis.low / 2 + axis.high / 2, by: -power)).rounded(), by: power)
  }

  /// The powers of ten on a logarithmic axis, every second, third … of them where there are more than `count`.
  public static func decades(on axis: Axis, atMost count: Int) -> AxisTicks {
    let first = Int(ceil(log10(axis.low) - 1e-9))
    let last = Int(floor(log10(axis.high) + 1e-9))
    guard first <= last else { return AxisTicks(values: [], labels: [], exponent: 0) }
    let stride = (last - first) / max(count, 1) + 1
    let values = Swift.stride(from: first, through: last, by: stride).map { pow(10, Double($0)) }
    let labels = zip(values, Swift.stride(from: first, through: last, by: stride)).map { value, exponent in
      (0...9).contains(exponent) ? grouped(Int(value)) : powerOfTen(exponent)
    }
    return AxisTicks(values: values, labels: labels, exponent: 0)
  }

  /// The most ticks whose labels keep `gap` between them.
  /// - Parameters:
  ///   - length: of the axis.
  ///   - extent: how much of that length a label takes.
  public static func fitting(
    _ axis: Axis, length: Double, gap: Double, atMost count: Int = 10, areIntegers: Bool = false,
    extent: (String) -> Double
  ) -> AxisTicks {
    for count in stride(from: count, through: 1, by: -1) {
      let ticks =
        axis.scale == .linear
        ? linear(on: axis, atMost: count, areIntegers: areIntegers) : decades(on: axis, atMost: count)
      if ticks.haveRoom(on: axis, length: length, gap: gap, extent: extent) { return ticks }
    }
    return AxisTicks(values: [], labels: [], exponent: 0)
  }

  /// Whether no two labels, each centred on its tick, come closer than `gap`.
  public func haveRoom(on axis: Axis, length: Double, gap: Double, extent: (String) -> Double) -> Bool {
    let centres = values.map { axis.fraction(of: $0) * length }
    let halves = labels.map { extent($0) / 2 }
    return centres.indices.dropLast().allSatisfy {
      centres[$0 + 1] - halves[$0 + 1] - (centres[$0] + halves[$0]) >= gap
    }
  }

  /// value × 10^power, rounded once: 3 × 10^-5 is 3 / 100000, the nearest Double.
  private static func scaled(_ value: Double, by power: Int) -> Double {
    switch power {
    case 0...: value * pow(10, Double(power))
    case -300..<0: value / pow(10, Double(-power))
    default: value / 1e300 / pow(10, Double(-power - 300))
    }
  }
}
