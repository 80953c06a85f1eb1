/// The numbers that titles, tables and logs give of one layer's gradients.
///
/// Sums run in `Double` whatever the values' type. NaN and infinite values are counted and located, and take no part
/// in the rest: one bad value would otherwise hide what the others say.
public struct Statistics: Equatable, Sendable {
  /// Values that are no numbers to draw: how many, and where the first of them are.
  public struct Excluded: Equatable, Sendable {
    /// Enough to go and look; a layer that is NaN throughout should not become a list of its own.
    public static let indicesKept = 5

    public private(set) var count = 0
    public private(set) var firstIndices: [Int] = []

    @usableFromInline
    mutating func add(_ index: Int) {
      count += 1
      if firstIndices.count < Self.indicesKept { firstIndices.append(index) }
    }

    @usableFromInline
    init() {}

    package init(count: Int, firstIndices: [Int]) {
      self.count = count
      self.firstIndices = firstIndices
    }
  }

  /// Finite values. Where there are none, every number below is NaN.
  public let count: Int
  public let notANumber: Excluded
  public let infinite: Excluded
  public let minimum: Double
  public let maximum: Double
  /// The largest absolute value.
  public let maximumMagnitude: Double
  public let mean: Double
  /// Of the population: √(Σ(x − mean)² / count).
  public let standardDeviation: Double

  @inlinable
  public init(_ values: some Collection<some BinaryFloatingPoint>) {
    var count = 0
    var sum = 0.0
    var minimum = Double.infinity
    var maximum = -Double.infinity
    var notANumber = Excluded()
    var infinite = Excluded()
    for (index, value) in values.enumerated() {
      let x = Double(value)
      guard x.isFinite else {
        if x.isNaN { notANumber.add(index) } else { infinite.add(index) }
        continue
      }
      count += 1
      sum += x
      minimum = x < minimum ? x : minimum
      maximum = x > maximum ? x : maximum
    }
    // A second pass, because Σx² − n·mean² loses every digit where the spread is small beside the mean.
    let mean = sum / Double(count)
    var squares = 0.0
    for value in values {
      let deviation = Double(value) - mean
      if deviation.isFinite { squares += deviation * deviation }
    }
    self.init(
      count: count, notANumber: notANumber, infinite: infinite,
      minimum: count == 0 ? .nan : minimum, maximum: count == 0 ? .nan : maximum,
      mean: count == 0 ? .nan : mean, standardDeviation: count == 0 ? .nan : (squares / Double(count)).squareRoot())
  }

  @usableFromInline
  package init(
    count: Int, notANumber: Excluded, infinite: Excluded, minimum: Double, maximum: Double, mean: Double,
    standardDeviation: Double
  ) {
    self.count = count
    self.notANumber = notANumber
    self.infinite = infinite
    self.minimum = minimum
    self.maximum = maximum
    maximumMagnitude = max(abs(minimum), abs(maximum))
    self.mean = mean
    self.standardDeviation = standardDeviation
  }

  /// What was left out, for a person: "2 NaN (at 3, 17), 1 infinite (at 5)"; nil where nothing was.
  public var exclusions: String? {
    let parts = [(notANumber, "NaN"), (infinite, "infinite")].filter { $0.0.count > 0 }.map { excluded, name in
      let indices = excluded.firstIndices.map(String.init).joined(separator: ", ")
      return "\(excluded.count) \(name) (at \(indices)\(excluded.count > excluded.firstIndices.count ? ", …" : ""))"
    }
    return parts.isEmpty ? nil : parts.joined(separator: ", ")
  }
}
