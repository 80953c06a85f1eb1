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
        "expected gradient, attribution or activation, and of it mean or mean_abs, such as attribution.mean_abs, found "
          + "'\(text)'")
    }
    self.init(quantity, mode)
  }

  public var description: String { "\(quantity.rawValue).\(mode.names.flag)" }

  public static let all = Quantity.allCases.flatMap { quantity in
    AveragingMode.allCases.map { RankingKey(quantity, $0) }
  }

  /// The finished averages of an aggregates stream.
  var average: PlaceValue { Measure.average(quantity, mode).average }
}

/// The features of each place of an aggregates stream whose average of one kind is largest in magnitude.
public struct FeatureRanking: Sendable {
  /// The largest first.
  public private(set) var features: [Place: [Int]] = [:]
  /// The autoencoders whose features they are, where the stream names them.
  public private(set) var references: [Place: BasisReference] = [:]

  /// - Parameters:
  ///   - top: how many of a place.
  ///   - isWanted: which places.
  ///   - check: refuses a segment.
  /// - Throws: `Failure` of kind malformed also where no record has that average.
  public init(
    _ file: InputFile, by key: RankingKey, top: Int, isWanted: (Place) -> Bool, check: (Segment) throws -> Void
  ) throws {
    let reader = StreamReader(file)
    var found: Set<String> = []
    while let segment = try reader.nextSegment(.aggregates) {
      try check(segment)
      references.merge(try segment.autoencoders()) { $1 }
      while let record = try reader.nextRecord() {
        found.formUnion(
          RankingKey.all.filter { key in record.header.tensors.contains { key.average.place($0.name) != nil } }
            .map(\.description))
        for place in try record.places(of: key.average) where isWanted(place) {
          guard features[place] == nil else {
            throw record.failure("\(key) of \(place): expected once, found it in an earlier record as well")
          }
          let values = try record.tensor(key.average.name(place), shape: [nil], of: Float.self)
          features[place] = indicesOfLargestMagnitudes(values.map(Double.init), count: top)
        }
      }
    }
    guard !features.isEmpty else {
      let averages = found.isEmpty ? "none" : found.sorted().joined(separator: ", ")
      throw Failure(
        .malformed, "\(file.name): expected averages \(key) of the places asked for, found averages \(averages)")
    }
  }
}
