import SparseAutoencoders
import SystemIO
import TensorStream

/// Which average ranks features: `attribution.mean_abs`.
public struct RankingKey: Sendable, CustomStringConvertible {
  public let quantity: Quantity
  public let mode: AveragingMode

  public init(_ quantity: Quantity, _ mode: AveragingMode) {
    self.quantity = quantity
    self.mode = mode
  }

  /// - Throws: `Failure` of kind usage that tells what there is.
  @Sendable public init(_ text: String) throws {
    let parts = text.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
    guard parts.count == 2, let quantity = Quantity(rawValue: parts[0]), let mode = AveragingMode(\.flag, parts[1])
    else {
      throw Failure(
        .usage,
        "expected gradient, attribution or activation, followed by .mean or .mean_abs, such as attribution.mean_abs, found "
          + "'\(text)'")
    }
    self.init(quantity, mode)
  }

  public var description: String { "\(quantity.rawValue).\(mode.names.flag)" }

  public static let all = Quantity.allCases.flatMap { quantity in
    AveragingMode.allCases.map { RankingKey(quantity, $0) }
  }

  var measure: Measure { .average(quantity, mode) }
}

/// The features of each place of an aggregates stream whose average of one kind is largest in magnitude.
public struct FeatureRanking: Sendable {
  /// The largest first.
  public private(set) var features: [Place: [Int]] = [:]
  /// The autoencoders whose features they are, where the stream names them.
  public let references: [Place: BasisReference]

  /// - Parameters:
  ///   - top: how many of a place.
  ///   - isWanted: which places.
  ///   - check: refuses a segment.
  /// - Throws: `Failure` of kind malformed also where no record has that average.
  public init(
    _ file: InputFile, by key: RankingKey, top: Int, isWanted: @escaping (Place) -> Bool,
    check: (Segment) throws -> Void
  ) throws {
    var collection = AverageCollection { place, measure in measure == key.measure && isWanted(place) }
    var references: [Place: BasisReference] = [:]
    try collection.readStream(file) { segment in
      try check(segment)
      references.merge(try segment.autoencoders()) { $1 }
    }
    self.references = references
    for averages in try collection.sorted() { features[averages.place] = averages.top(top) }
    guard !features.isEmpty else {
      let found = RankingKey.all.filter { collection.measuresFound.contains($0.measure) }.map(\.description).sorted()
      throw Failure(
        .malformed,
        "\(file.name): expected averages \(key) of the places asked for, found averages "
          + (found.isEmpty ? "none" : found.joined(separator: ", ")))
    }
  }
}
