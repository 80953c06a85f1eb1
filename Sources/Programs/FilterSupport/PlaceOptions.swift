import ArgumentParser
import Decoders
import SystemIO
import TensorStream

/// The flags that name places.
public struct PlaceOptions: ParsableArguments {
  @Option(
    name: .customLong("site"),
    help: ArgumentHelp("Sites in every layer: \(Site.list), or a list of them.", valueName: "sites"),
    completion: .list(Site.allCases.map(\.rawValue)), transform: SiteList.init)
  public var list = SiteList([.mlpOut])

  @Option(
    help: "Layers, such as 0-23, 0,5,10, a mix of both, or all. (default: all layers of the model or of the input)",
    completion: .layers,
    transform: LayerList.asked)
  public var layers = LayerList?.none

  public init() {}

  public var sites: [Site] { list.sites }

  /// The places asked for; nil where layers are not, which the input then decides.
  ///
  /// - Throws: `Failure` of kind usage for a site or a layer that the model lacks.
  public func places(of description: DecoderDescription) throws -> PlaceList? {
    do { try description.check(sites) } catch { throw error.at("--site") }
    guard let layers else { return nil }
    if let last = layers.layers.last, last >= description.layerCount {
      throw Failure(.usage, "--layers: layer \(last): the model's last layer is \(description.layerCount - 1)")
    }
    return PlaceList(sites: sites, layers: layers.layers)
  }

  /// Refuses a path for several places that does not tell them apart.
  ///
  /// - Parameters:
  ///   - flag: the flag whose value `path` is.
  ///   - places: those that the path stands for.
  public static func check(_ flag: String, _ path: String, for places: PlaceList) throws(Failure) {
    for (word, count, remedy) in [
      ("{layer}", Set(places.places.map(\.layer)).count, "a single layer by --layers"),
      ("{site}", Set(places.places.map(\.site)).count, "a single site by --site"),
    ] where count > 1 && !path.contains(word) {
      throw Failure(
        .usage, "\(flag): one path for \(places): expected \(word) in it, or \(remedy), found '\(path)'")
    }
  }
}

/// `mlp_out` or `mlp_out,resid_post`.
public struct SiteList: CustomStringConvertible, Equatable, Sendable {
  /// In the order in which a layer computes them.
  public let sites: [Site]

  public init(_ sites: [Site]) { self.sites = Set(sites).sorted() }

  /// White space around commas is allowed.
  @Sendable public init(_ text: String) throws {
    self.init(
      try text.split(separator: ",", omittingEmptySubsequences: false).map { part in
        let name = part.filter { !$0.isWhitespace }
        guard let site = Site(rawValue: name) else {
          throw Failure(.usage, "expected \(Site.list), or a list of them, found '\(text)'")
        }
        return site
      })
  }

  public var description: String { sites.map(\.rawValue).joined(separator: ",") }
}

extension Place {
  /// `path` with `{layer}` and `{site}` replaced.
  public func substituted(in path: String) -> String {
    path.replacing("{layer}", with: "\(layer)").replacing("{site}", with: site.rawValue)
  }
}
