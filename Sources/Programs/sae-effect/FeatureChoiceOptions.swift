import Aggregation
import ArgumentParser
import Decoders
import FilterSupport
import SparseAutoencoders
import SystemIO
import TensorStream

/// The flags that say which features are ablated.
struct FeatureChoiceOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Features such as 3:17,resid_post.3:204, of mlp_out where no site is named; or a file of them.",
      valueName: "list"), completion: .file())
  var features: String?

  @Option(
    help: ArgumentHelp(
      "An aggregates stream, of whose places the features that rank highest are taken.", valueName: "path"),
    completion: .file())
  var aggregates: String?

  @Option(help: "How many of each place of --aggregates.")
  var top = 20

  @Option(
    help: ArgumentHelp(
      "What --aggregates ranks by: the magnitude of gradient, attribution or activation, .mean or .mean_abs.",
      valueName: "average"),
    completion: .list(["attribution.mean_abs", "attribution.mean", "gradient.mean_abs", "gradient.mean"]),
    transform: RankingKey.init)
  var sort = RankingKey(.attribution, .meanAbsolute)

  @Option(
    name: .customLong("site"), help: ArgumentHelp("Only the features at these sites.", valueName: "sites"),
    completion: .list(Site.allCases.map(\.rawValue)), transform: SiteList.init)
  var sites = SiteList?.none

  @Option(help: "Only the features in these layers.", completion: .layers, transform: LayerList.asked)
  var layers = LayerList?.none

  func validate() throws {
    switch (features, aggregates) {
    case (nil, nil): throw ValidationError("--features: expected a list of them, or --aggregates, found neither")
    case (_?, _?): throw ValidationError("--aggregates: expected without --features, found both")
    case (let list?, nil) where FeatureList.isList(list):
      do { _ = try FeatureList(list) } catch { throw ValidationError("--features: \(error)") }
    default: break
    }
    if top < 1 { throw ValidationError("--top: expected a number of at least 1, found \(top)") }
  }

  /// The features chosen, and the autoencoders that they are said to be of.
  ///
  /// - Throws: `Failure` of kind usage for a site or a layer that the model lacks, and where nothing is left.
  func choose(_ checkpoint: Checkpoint) throws -> (features: [FeatureName], references: [Place: BasisReference]) {
    let isWanted = { (place: Place) in
      sites?.sites.contains(place.site) ?? true && layers?.layers.contains(place.layer) ?? true
    }
    if let aggregates {
      let ranking = try FeatureRanking(InputFile(path: aggregates), by: sort, top: top, isWanted: isWanted) { segment in
        do { try segment.check(identity: checkpoint.identity) } catch let failure as Failure {
          throw failure.at(aggregates)
        }
      }
      let features = ranking.features.flatMap { place, features in features.map { FeatureName(place, $0) } }
      try check(features, checkpoint.description, flag: "--aggregates")
      return (features, ranking.references)
    }
    let all = try FeatureList(listOrFile: features!).features
    try check(all, checkpoint.description, flag: "--features")
    let kept = all.filter { isWanted($0.place) }
    guard !kept.isEmpty else {
      throw Failure(.usage, "--features: expected some at --site and in --layers, found \(PlaceList(all.map(\.place)))")
    }
    return (kept, [:])
  }

  private func check(_ features: [FeatureName], _ description: DecoderDescription, flag: String) throws {
    for feature in features {
      do { try description.check([feature.place.site]) } catch { throw error.at("\(flag): \(feature)") }
      guard feature.place.layer < description.layerCount else {
        throw Failure(.usage, "\(flag): \(feature): the model's last layer is \(description.layerCount - 1)")
      }
    }
  }
}
