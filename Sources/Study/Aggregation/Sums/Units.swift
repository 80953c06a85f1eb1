import TensorStream

/// What is taken as independent of one another, so that the spread of its totals tells how sure an average is.
public enum IndependentUnit: String, CaseIterable, Sendable {
  case document
  case sample
}

/// A document or a sample of a text.
struct UnitKey: Hashable, Sendable {
  let text: TextIdentity
  let number: Int64

  var isEven: Bool { number % 2 == 0 }

  static func precedes(_ one: UnitKey, _ other: UnitKey) -> Bool {
    (one.text, one.number) < (other.text, other.number)
  }
}

/// The independent units that went into the sums at a place, and their weights b, each the Σ w of its positions.
///
/// A document may go on in another part of the text. It is open, and its totals are kept apart, until the samples
/// before and behind those that are known of it were seen.
public struct Units: Sendable {
  /// A unit that may not be complete.
  struct Open: Sendable {
    var weight: Double
    /// The first and the last of its samples so far.
    var samples: ClosedRange<Int64>
  }

  /// Complete ones that have positions.
  public internal(set) var complete = 0
  public internal(set) var completeEven = 0
  /// Σ b over the complete ones of even number, and Σ b² over all complete ones.
  public internal(set) var evenWeight = 0.0
  public internal(set) var squaredWeight = 0.0
  private(set) var open: [UnitKey: Open] = [:]

  /// All of them that have positions.
  public var count: Int { complete + open.values.count { $0.weight > 0 } }

  /// Adds samples of a unit, whose positions have that weight together.
  mutating func add(_ key: UnitKey, samples: ClosedRange<Int64>, weight: Double) {
    guard var unit = open[key] else {
      open[key] = Open(weight: weight, samples: samples)
      return
    }
    unit.weight += weight
    unit.samples =
      min(unit.samples.lowerBound, samples.lowerBound)...max(unit.samples.upperBound, samples.upperBound)
    open[key] = unit
  }

  /// The open ones in an order that does not depend on when they came.
  var openKeys: [UnitKey] { open.keys.sorted(by: UnitKey.precedes) }

  /// Whether nothing can be added to an open unit any more, by the samples that were seen.
  func isComplete(_ key: UnitKey, among seen: SampleNumbers) -> Bool {
    guard let samples = open[key]?.samples, let ofText = seen.byText[key.text] else { return false }
    return (samples.lowerBound == 0 || ofText.contains(samples.lowerBound - 1))
      && ofText.contains(samples.upperBound + 1)
      && ofText.contains(samples.lowerBound..<samples.upperBound + 1)
  }

  /// Counts an open unit as complete.
  ///
  /// - Returns: its weight.
  mutating func complete(_ key: UnitKey) -> Double {
    let weight = open.removeValue(forKey: key)?.weight ?? 0
    count(key, weight: weight)
    return weight
  }

  private mutating func count(_ key: UnitKey, weight: Double) {
    guard weight > 0 else { return }
    complete += 1
    squaredWeight += weight * weight
    guard key.isEven else { return }
    completeEven += 1
    evenWeight += weight
  }

  /// All of them, the open ones counted as they are.
  var closed: Units {
    var all = self
    for key in openKeys { _ = all.complete(key) }
    return all
  }
}

extension RangeSet<Int64> {
  /// Whether all of `range` is there.
  fileprivate func contains(_ range: Range<Int64>) -> Bool {
    ranges.last { $0.lowerBound <= range.lowerBound }.map { range.upperBound <= $0.upperBound } ?? false
  }
}
