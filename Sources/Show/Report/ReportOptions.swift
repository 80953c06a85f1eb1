import Aggregation
import SystemIO
import TensorStream

/// What the user may choose of the page.
public struct ReportOptions: Sendable {
  /// What features are ranked by; nil for what all places have: see `PlaceColumns`.
  public var ranking: RankingKey?
  /// Averages whose figures the page has, beside the ranking's.
  public var figures: [RankingKey] = []
  /// Features of each place that are listed, besides those that have contexts.
  public var top = 200
  /// What stands above the page; by default the model's name.
  public var title: String?
  public var neuronpedia: Neuronpedia?
  /// What people call features.
  public var labels: [Place: [Int: String]] = [:]

  public init() {}
}

/// Where Neuronpedia has the features of an autoencoder.
public struct Neuronpedia: Equatable, Sendable {
  /// `gemma-2-2b/{layer}-gemmascope-res-16k`
  private let pattern: String

  /// Reads a model and a set of autoencoders as Neuronpedia's addresses have them: `gemma-2-2b/gemmascope-res-16k`, before
  /// which the layer is put, or with `{layer}` where it belongs.
  ///
  /// - Throws: `Failure` of kind usage for what cannot be one.
  @Sendable public init(_ text: String) throws(Failure) {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    let bare = text.replacing("{layer}", with: "")
    guard parts.count == 2, parts.allSatisfy({ !$0.isEmpty }), !parts[0].contains("{layer}"),
      bare.utf8.allSatisfy({ byte in
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
          UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
          UInt8(ascii: "/"):
          true
        default: false
        }
      })
    else {
      throw Failure(
        .usage,
        "expected a model and a set such as gemma-2-2b/gemmascope-res-16k, as Neuronpedia's addresses have them, found "
          + "'\(printable(text))'")
    }
    pattern = text.contains("{layer}") ? text : "\(parts[0])/{layer}-\(parts[1])"
  }

  /// What a feature's number is put behind.
  package func address(of place: Place) -> String {
    "https://www.neuronpedia.org/\(pattern.replacing("{layer}", with: "\(place.layer)"))/"
  }
}
