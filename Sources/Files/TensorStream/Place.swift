/// A kind of place in a decoder layer at which activations are captured and gradients taken. With x the residual stream,
/// a layer of sequential wiring computes
///
///     resid_pre  = x
///     attn_z     = the attention heads' outputs, side by side, before the output projection
///     attn_out   = what attention adds to the stream
///     resid_mid  = resid_pre + attn_out
///     mlp_out    = what the MLP adds to the stream
///     resid_post = resid_mid + mlp_out
///
/// TransformerLens calls them hook_resid_pre, attn.hook_z, hook_attn_out, hook_resid_mid, hook_mlp_out, hook_resid_post.
public enum Site: String, CaseIterable, Sendable, Comparable {
  // In the order in which a layer computes them.
  case residPre = "resid_pre"
  case attnZ = "attn_z"
  case attnOut = "attn_out"
  case residMid = "resid_mid"
  case mlpOut = "mlp_out"
  case residPost = "resid_post"

  /// Whether what is there is the residual stream itself, and not something that is added to it.
  public var isStream: Bool { [.residPre, .residMid, .residPost].contains(self) }

  /// All sites, for messages.
  public static let list = allCases.map(\.rawValue).joined(separator: ", ")

  public static func < (a: Site, b: Site) -> Bool {
    allCases.firstIndex(of: a)! < allCases.firstIndex(of: b)!
  }
}

/// A site of a layer, written `mlp_out.11`.
public struct Place: Hashable, Sendable, Comparable, CustomStringConvertible {
  public let site: Site
  public let layer: Int

  public init(_ site: Site, _ layer: Int) {
    self.site = site
    self.layer = layer
  }

  /// Reads what `description` writes; nil for anything else.
  public init?(_ text: some StringProtocol) {
    let parts = text.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count == 2, let site = Site(rawValue: String(parts[0])), let layer = Self.layer(parts[1]) else {
      return nil
    }
    self.init(site, layer)
  }

  /// The layers that a place can be in: no model has more.
  public static let layers = 0..<10_000

  /// A layer's number as it is always written: digits without zeros before them.
  static func layer(_ text: some StringProtocol) -> Int? {
    guard let layer = Int(text), layers.contains(layer), String(layer) == text else { return nil }
    return layer
  }

  public var description: String { "\(site.rawValue).\(layer)" }

  /// In the order in which a model computes them.
  public static func < (a: Place, b: Place) -> Bool {
    (a.layer, a.site) < (b.layer, b.site)
  }
}

/// Places as flags and provenance list them, in the order in which a model computes them, each once:
/// `mlp_out.0-23,resid_post.5`.
public struct PlaceList: Equatable, Sendable, CustomStringConvertible {
  public let places: [Place]

  public init(_ places: some Sequence<Place>) {
    self.places = Set(places).sorted()
  }

  /// The layers of those places that are at `site`, ascending.
  public func layers(at site: Site) -> [Int] { places.filter { $0.site == site }.map(\.layer) }

  /// Every one of these sites in every one of these layers.
  public init(sites: [Site], layers: some Sequence<Int>) {
    self.init(layers.flatMap { layer in sites.map { Place($0, layer) } })
  }

  /// Reads what `description` writes; nil for anything else.
  public init?(_ text: String) {
    var places: [Place] = []
    for item in text.split(separator: ",", omittingEmptySubsequences: false) {
      let parts = item.split(separator: ".", omittingEmptySubsequences: false)
      guard parts.count == 2, let site = Site(rawValue: String(parts[0])) else { return nil }
      let ends = parts[1].split(separator: "-", omittingEmptySubsequences: false).map { Place.layer($0) }
      guard (1...2).contains(ends.count), let first = ends[0], let last = ends[ends.count - 1], first <= last else {
        return nil
      }
      places += (first...last).map { Place(site, $0) }
      // More than there are: a stream's list that repeats itself must not exhaust memory.
      guard places.count <= Site.allCases.count * Place.layers.count else { return nil }
    }
    self.init(places)
  }

  /// Runs of layers of one site after another.
  public var description: String {
    Site.allCases.flatMap { site in
      consecutiveRuns(layers(at: site)).map { run in
        "\(site.rawValue).\(run.lowerBound)" + (run.count > 1 ? "-\(run.upperBound)" : "")
      }
    }.joined(separator: ",")
  }
}

/// Ascending numbers as runs of those that follow one another.
public func consecutiveRuns(_ numbers: [Int]) -> [ClosedRange<Int>] {
  var runs: [ClosedRange<Int>] = []
  for number in numbers {
    if let run = runs.last, run.upperBound + 1 == number {
      runs[runs.count - 1] = run.lowerBound...number
    } else {
      runs.append(number...number)
    }
  }
  return runs
}
