import Aggregation
import ArgumentParser
import SparseAutoencoders
import SystemIO
import TensorStream

/// The flags that name features, or dimensions.
public struct FeatureChoiceOptions: ParsableArguments {
  @Option(help: FeatureList.help("The features"), completion: .file())
  public var features: String?

  @Option(
    help: ArgumentHelp(
      "An aggregates stream. At each of its places, the highest-ranking features are taken.", valueName: "path"),
    completion: .file())
  public var aggregates: String?

  @Option(help: "How many features to take at each place of --aggregates.")
  public var top = 20

  @Option(
    help: ArgumentHelp(
      """
      The average whose magnitude ranks the features of --aggregates: gradient, attribution or activation, \
      followed by .mean or .mean_abs.
      """,
      valueName: "average"),
    completion: .list(["attribution.mean_abs", "attribution.mean", "gradient.mean_abs", "gradient.mean"]),
    transform: RankingKey.init)
  public var sort = RankingKey(.attribution, .meanAbsolute)

  @Option(
    name: .customLong("site"), help: ArgumentHelp("Take only the features at these sites.", valueName: "sites"),
    completion: .list(Site.allCases.map(\.rawValue)), transform: SiteList.init)
  public var sites = SiteList?.none

  @Option(help: "Take only the features in these layers.", completion: .layers, transform: LayerList.asked)
  public var layers = LayerList?.none

  public init() {}

  public func validate() throws {
    switch (features, aggregates) {
    case (nil, nil):
      throw ValidationError("--features: expected a list of features, or --aggregates instead, found neither")
    case (_?, _?): throw ValidationError("--aggregates: cannot be combined with --features")
    case (let list?, nil): try FeatureList.validate(list)
    default: break
    }
    if top < 1 { throw ValidationError("--top: expected a number of at least 1, found \(top)") }
  }

  /// The flag that says which.
  public var flag: String { aggregates == nil ? "--features" : "--aggregates" }

  /// The features chosen, those of an aggregates stream place by place and the first in rank first, and the autoencoders
  /// that they are said to be of.
  ///
  /// - Parameter check: refuses a segment of the aggregates.
  /// - Throws: `Failure` of kind usage where nothing is left.
  public func choose(
    _ check: (Segment) throws -> Void
  ) throws -> (features: [FeatureName], references: [Place: BasisReference]) {
    let isWanted = { (place: Place) in
      sites?.sites.contains(place.site) ?? true && layers?.layers.contains(place.layer) ?? true
    }
    if let aggregates {
      let ranking = try FeatureRanking(InputFile(path: aggregates), by: sort, top: top, isWanted: isWanted) { segment in
        do { try check(segment) } catch let failure as Failure { throw failure.at(aggregates) }
      }
      let features = ranking.features.sorted { $0.key < $1.key }.flatMap { place, features in
        features.map { FeatureName(place, $0) }
      }
      return (features, ranking.references)
    }
    let all = try FeatureList(listOrFile: features!).features
    let kept = all.filter { isWanted($0.place) }
    guard !kept.isEmpty else {
      throw Failure(.usage, "--features: expected some at --site and in --layers, found \(PlaceList(all.map(\.place)))")
    }
    return (kept, [:])
  }

  /// Refuses features of other autoencoders than those at hand.
  ///
  /// - Parameters:
  ///   - expected: what `choose` gave.
  ///   - found: the autoencoders at hand; of places that are not among them nothing is known.
  public func check(_ expected: [Place: BasisReference], against found: [Place: BasisReference]) throws(Failure) {
    for (place, reference) in expected.sorted(by: { $0.key < $1.key }) {
      guard let own = found[place], !own.isSameDecoder(as: reference) else { continue }
      throw Failure(
        .malformed,
        "\(aggregates!): \(place): averages of another autoencoder: expected XXH64 \(own.hash) (\(own.path)), "
          + "found \(reference.hash) (\(reference.path))")
    }
  }
}
