import Aggregation
import ArgumentParser
import SystemIO
import TensorStream

/// The files that averages are read from, and what they are where these do not say it.
public struct AverageOptions: ParsableArguments {
  @Option(help: "What the values belong to, feature or activation. (default: what the stream says; arrays: feature)")
  public var unit: GradientUnit?

  @Option(help: "Mode of arrays whose names tell none. (default: mean where a value is negative, else mean_abs)")
  public var mode: AveragingMode?

  @Option(help: "Layer of the first array whose name tells none; the next such arrays are the next layers.")
  public var layer = 0

  @Option(help: "Layers such as 0-23, 0,5,10 or all. (default: all)", completion: .layers, transform: LayerList.asked)
  public var layers = LayerList?.none

  @Option(
    name: .customLong("site"),
    help: ArgumentHelp("Sites such as mlp_out, or a list of them. (default: all)", valueName: "sites"),
    completion: .list(Site.allCases.map(\.rawValue)), transform: SiteList.init)
  public var sites = SiteList?.none

  @Argument(
    help: "Streams of aggregates, arrays (.npy), or both; - or nothing: a stream on standard input.",
    completion: .file())
  public var files: [String] = []

  public init() {}

  public func validate() throws {
    guard Place.layers.contains(layer) else {
      throw ValidationError("--layer: expected 0 to \(Place.layers.upperBound - 1), found \(layer)")
    }
  }

  /// What is in the files of the command line.
  public func read() throws -> AverageCollection { try read(files) }

  /// What is in these files, read as those of the command line are.
  public func read(_ files: [String]) throws -> AverageCollection {
    var defaults = AverageCollection.Defaults()
    (defaults.unit, defaults.mode, defaults.nextLayer) = (unit, mode, layer)
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
