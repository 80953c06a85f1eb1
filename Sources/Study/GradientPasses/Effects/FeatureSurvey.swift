import Decoders
import SystemIO
import TensorStream

/// How often features fire at the recorded positions, and what they are worth there on average: what has to be known
/// of a text before a feature is set to its mean, or others are chosen that fire as often.
public final class FeatureSurvey {
  private let places: [PlaceFeatures]
  private let stride: Int
  private let scope: StrideScope
  private var counts: [Place: [Int]] = [:]
  private var sums: [Place: [Double]] = [:]
  public private(set) var positions = 0

  /// - Parameter autoencoders: of the places whose features are meant; of the others it is the activation's dimensions.
  public init(
    _ description: DecoderDescription, places: PlaceList, autoencoders: [Place: AutoencoderOperations], stride: Int,
    scope: StrideScope
  ) {
    self.places = places.places.map {
      PlaceFeatures($0, width: description.width(of: $0.site), autoencoder: autoencoders[$0])
    }
    self.stride = stride
    self.scope = scope
    for place in self.places {
      counts[place.place] = Array(repeating: 0, count: place.count)
      sums[place.place] = Array(repeating: 0, count: place.count)
    }
  }

  public func add(_ group: SampleGroup) {
    let recorded = RecordedPositions(group, stride: stride, scope: scope)
    positions += recorded.rows.count
    for place in places {
      counts[place.place]!.withUnsafeMutableBufferPointer { counts in
        sums[place.place]!.withUnsafeMutableBufferPointer { sums in
          place.read(group, recorded) { _, feature, value in
            counts[feature] += 1
            sums[feature] += Double(value)
          }
        }
      }
    }
  }

  /// At how many of the recorded positions each feature is not 0.
  public func firing(at place: Place) -> [Int] { counts[place]! }

  /// A feature's mean over the recorded positions, those included where it is 0.
  public func mean(_ feature: Int, at place: Place) -> Double { sums[place]![feature] / Double(max(positions, 1)) }
}

/// Features at random which fire about as often as chosen ones do: for each of these in turn, of the ten nearest in
/// firing that are left, one. None of them never fires.
///
/// - Parameters:
///   - chosen: the features that are to be like, none of which is taken; at least one.
///   - firing: how often each feature fires.
/// - Returns: fewer than `count` where there are no more.
public func randomFeatures(_ count: Int, like chosen: [Int], firing: [Int], seed: UInt64) -> [Int] {
  let isChosen = Set(chosen)
  // Whoever comes first here is the one that chance takes.
  var left = shuffledPrefix(firing.count, of: firing.count, seed: seed).filter {
    firing[$0] > 0 && !isChosen.contains($0)
  }
  var taken: [Int] = []
  while taken.count < count, !left.isEmpty {
    let wanted = firing[chosen[taken.count % chosen.count]]
    let distances = left.map { abs(firing[$0] - wanted) }
    let limit = distances.sorted()[min(10, left.count) - 1]
    // Of more than ten at most so far away, chance has put these first.
    let place = distances.firstIndex { $0 <= limit }!
    taken.append(left.remove(at: place))
  }
  return taken
}
