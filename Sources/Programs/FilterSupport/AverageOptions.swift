import Aggregation
import ArgumentParser
import SystemIO
import TensorStream

/// The files that averages are read from, and what they are where these do not say it.
public struct AverageOptions: ParsableArguments {
  @Option(
    help: """
      What the values belong to: feature (of an autoencoder) or activation (a dimension of it). (default: as the \
      stream says; feature for arrays)
      """)
  public var unit: GradientUnit?

  @Option(
    help: """
      Mode of arrays whose file names do not say it. (default: mean if any value is negative, otherwise mean_abs)
      """)
  public var mode: AveragingMode?

  @Option(
    help: """
      Layer of the first array whose file name does not say it. Further such arrays are the layers after it. \
      (default: 0)
      """)
  public var layer: Int?

  @Option(
    help: "Show only these layers, such as 0-23 or 0,5,10. (default: all)", completion: .layers,
    transform: LayerList.asked)
  public var layers = LayerList?.none

  @Option(
    name: .customLong("site"),
    help: ArgumentHelp(
      "Show only these sites, such as mlp_out or mlp_out,resid_post. (default: all)", valueName: "sites"),
    completion: .list(Site.allCases.map(\.rawValue)), transform: SiteList.init)
  public var sites = SiteList?.none

  @Argument(
    help: """
      Streams of aggregates, arrays (.npy), or both. Without any, or for -, a stream is read from standard input.
      """,
    completion: .file())
  public var files: [String] = []

  public init() {}

  public func validate() throws {
    guard let layer, !Place.layers.contains(layer) else { return }
    throw ValidationError("--layer: expected 0 to \(Place.layers.upperBound - 1), found \(layer)")
  }

  /// Refuses the flags that say what arrays do not say themselves where no file is such an array: nothing would follow
  /// from them.
  ///
  /// - Parameter others: files that are read beside those of the command line.
  public func checkArrayFlags(with others: [String] = []) throws {
    let arrays = (files + others).filter(AverageCollection.isArray)
    let names = arrays.map { ArrayFileName(parsing: $0) }
    let flags = [
      (
        "--layer", isMeant: layer != nil, isOpen: names.contains(nil), what: "layer",
        instead: "--layers \(layer ?? 0) chooses layers"
      ),
      (
        "--mode", isMeant: mode != nil, isOpen: names.contains { $0 == nil || $0?.quantity != nil && $0?.mode == nil },
        what: "mode", instead: "a stream says which averages it contains"
      ),
    ]
    for flag in flags where flag.isMeant && !flag.isOpen {
      let which = arrays.isEmpty ? ".npy arrays only" : "arrays only whose file names do not say the \(flag.what)"
      throw ValidationError("\(flag.0): applies to \(which); \(flag.instead)")
    }
  }

  /// What is in the files of the command line.
  public func read() throws -> AverageCollection { try read(files) }

  /// What is in these files, read as those of the command line are.
  public func read(_ files: [String]) throws -> AverageCollection {
    var defaults = AverageCollection.Defaults()
    (defaults.unit, defaults.mode, defaults.nextLayer) = (unit, mode, layer ?? 0)
    var collection = AverageCollection(defaults)
    for file in try InputFile.standardInputOr(files) { try collection.read(file.name) }
    return collection
  }

  /// Those of the layers and sites that are asked for.
  public func chosen(from collection: AverageCollection) throws -> [PlaceAverages] {
    try collection.sorted(layers: layers?.layers, sites: sites?.sites)
  }
}

extension GradientUnit: ExpressibleByArgument {}

extension AveragingMode: ExpressibleByArgument {
  public static var allValueStrings: [String] { allCases.map(\.names.flag) }
  public static var defaultCompletionKind: CompletionKind { .list(allValueStrings) }

  public init?(argument: String) { self.init(\.flag, argument) }
}

/// The values of `--quantity`.
public struct Quantities: ExpressibleByArgument {
  public static let allValueStrings = Quantity.allCases.map(\.rawValue)
  public static let defaultCompletionKind = CompletionKind.list(allValueStrings)

  public let quantities: Set<Quantity>

  public init?(argument: String) {
    guard let quantities = AggregationChoices.quantities(named: argument) else { return nil }
    self.quantities = quantities
  }
}
