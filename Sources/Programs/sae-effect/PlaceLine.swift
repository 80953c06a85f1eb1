import Aggregation
import FilterSupport
import JSON
import SystemIO
import TensorStream

/// What is written of a place: how well what was predicted of its features agrees with what they do.
struct PlaceLine {
  let place: Place
  private let features: Int
  private let correlation: Double?
  private let rankCorrelation: Double?

  init(_ place: Place, _ lines: [EffectLine]) {
    self.place = place
    features = lines.count
    let (effects, predictions) = (lines.map(\.effect), lines.map(\.predicted))
    correlation = Aggregation.correlation(effects, predictions)
    rankCorrelation = Aggregation.rankCorrelation(effects, predictions)
  }

  var json: String {
    JSON.object([
      ("place", JSON.quote("\(place)")), ("features", "\(features)"), ("correlation", JSON.number(correlation)),
      ("rank_correlation", JSON.number(rankCorrelation)),
    ])
  }

  var text: String {
    func words(_ value: Double?) -> String { value.map { decimal($0, 3) } ?? "none" }
    return
      "\(place): \(counted(features, "feature")), correlation of effect and prediction \(words(correlation)), of their ranks "
      + words(rankCorrelation)
  }
}
