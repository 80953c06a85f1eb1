import SystemIO
import TensorStream

/// What a feature's ablation did to the loss, and what its attributions predicted, as sae-effect finds them.
public struct Ablation: Equatable, Sendable {
  /// In nats per prediction; NaN where it is no number.
  public let effect: Double
  public let predicted: Double
  /// The standard errors of both, and of their difference over the same samples; nil of a single sample.
  public let effectError: Double?
  public let predictedError: Double?
  public let differenceError: Double?

  public init(
    effect: Double, effectError: Double?, predicted: Double, predictedError: Double?, differenceError: Double?
  ) {
    (self.effect, self.effectError) = (effect, effectError)
    (self.predicted, self.predictedError) = (predicted, predictedError)
    self.differenceError = differenceError
  }

  /// Whether the linear prediction misses the effect: they are further apart than two standard errors of their difference,
  /// so that it is hardly chance, and by at least half of the larger one, so that it counts. Nil where that cannot be
  /// told.
  package var isMissed: Bool? {
    guard let differenceError else { return nil }
    let difference = abs(effect - predicted)
    guard difference.isFinite, differenceError.isFinite else { return nil }
    return difference > 2 * differenceError && 2 * difference >= max(abs(effect), abs(predicted))
  }

  subscript(_ value: AblationValue) -> Double {
    switch value {
    case .effect: effect
    case .effectError: effectError ?? .nan
    case .predicted: predicted
    case .predictedError: predictedError ?? .nan
    case .missed: isMissed.map { $0 ? 1 : 0 } ?? .nan
    }
  }
}

/// What a table has of an ablation; the raw value is the column's name.
public enum AblationValue: String, CaseIterable, Sendable {
  case effect
  case effectError = "effect_se"
  case predicted
  case predictedError = "predicted_se"
  case missed
}

extension [PlaceColumns] {
  /// Adds what ablations of features did, each told of once.
  ///
  /// - Returns: the places among theirs that are not among these.
  /// - Throws: `Failure` of kind malformed for a feature that its place does not have, for one that is told of twice, and
  ///   where none is of these places.
  public mutating func add(_ ablations: [(place: Place, feature: Int, ablation: Ablation)]) throws -> [Place] {
    var others: Set<Place> = []
    var found = false
    for (place, feature, ablation) in ablations {
      guard let number = firstIndex(where: { $0.place == place }) else {
        others.insert(place)
        continue
      }
      guard feature < self[number].count else {
        throw Failure(
          .malformed, "\(place): expected features from 0 to \(self[number].count - 1), found \(feature)")
      }
      guard self[number].ablations.updateValue(ablation, forKey: feature) == nil else {
        throw Failure(.malformed, "\(place): expected feature \(feature) once, found it twice")
      }
      found = true
    }
    guard found else {
      throw Failure(
        .malformed,
        "expected features at \(PlaceList(map(\.place))), found "
          + (others.isEmpty ? "none" : "some at \(PlaceList(others))"))
    }
    return others.sorted()
  }
}
