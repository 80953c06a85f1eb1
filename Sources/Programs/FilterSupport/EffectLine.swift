import GradientPasses
import JSON
import SystemIO
import TensorStream

/// What sae-effect writes of a feature, and what is read of it again.
public struct EffectLine: Sendable {
  public let name: FeatureName
  public let effect: Double
  public let predicted: Double
  /// nil of fewer than two samples.
  public let effectError: Double?
  public let predictedError: Double?
  /// Of the difference of both over the same samples.
  public let differenceError: Double?
  public let firing: Double
  public let isRandom: Bool

  public init(_ name: FeatureName, _ effect: FeatureEffect, isRandom: Bool) {
    self.name = name
    self.effect = effect.effect.mean
    effectError = effect.effect.standardError
    predicted = effect.predicted.mean
    predictedError = effect.predicted.standardError
    differenceError = effect.difference.standardError
    firing = effect.firingShare
    self.isRandom = isRandom
  }

  /// nil where it is no such line.
  init?(_ json: JSON) {
    guard let place = json["place"]?.text.flatMap({ Place($0) }), let feature = json["feature"]?.int, feature >= 0,
      let effect = json.double("effect"), let predicted = json.double("predicted"), let firing = json.double("firing"),
      let isRandom = json["random"]?.boolean
    else { return nil }
    name = FeatureName(place, feature)
    (self.effect, self.predicted, self.firing, self.isRandom) = (effect, predicted, firing, isRandom)
    (effectError, predictedError) = (json["effect_se"]?.number, json["predicted_se"]?.number)
    differenceError = json["difference_se"]?.number
  }

  public var json: String {
    JSON.object([
      ("place", JSON.quote("\(name.place)")), ("feature", "\(name.index)"), ("effect", JSON.number(effect)),
      ("effect_se", JSON.number(effectError)), ("predicted", JSON.number(predicted)),
      ("predicted_se", JSON.number(predictedError)), ("difference_se", JSON.number(differenceError)),
      ("firing", JSON.number(firing)), ("random", "\(isRandom)"),
    ])
  }

  /// As wide as `heading`.
  public var text: String {
    let cells = [effect, effectError, predicted, predictedError].map {
      padded($0.map { scientific($0, digits: 3) } ?? "-", 10)
    }
    return ([padded("\(name)", 20)] + cells + [padded("\(decimal(100 * firing, 2)) %", 9)]).joined(separator: "  ")
      + (isRandom ? "  random" : "")
  }

  public static let heading =
    ([padded("feature", 20)] + ["effect", "± SE", "predicted", "± SE"].map { padded($0, 10) } + [padded("firing", 9)])
    .joined(separator: "  ")
}

private func padded(_ text: String, _ width: Int) -> String {
  String(repeating: " ", count: max(0, width - text.count)) + text
}

extension EffectLine {
  /// The features of a run's lines. A last line that was not finished is passed over, and said.
  ///
  /// - Throws: `Failure` of kind malformed for a line of another kind.
  public static func read(_ path: String) throws -> [EffectLine] {
    let bytes = try InputFile(path: path).readAll(limit: 1 << 30)
    do { try refuseStream(bytes, insteadOf: "the lines of JSON that sae-effect writes") } catch { throw error.at(path) }
    var lines: [EffectLine] = []
    for (number, line) in bytes.split(separator: 0x0a, omittingEmptySubsequences: false).enumerated() {
      if line.allSatisfy({ $0 == 0x20 || $0 == 0x0d }) { continue }
      do throws(Failure) {
        let json = try JSON(parsing: Array(line))
        if json["correlation"] != nil { continue }
        guard let read = EffectLine(json) else {
          throw Failure(.malformed, "expected place, feature, effect, predicted, firing and random")
        }
        lines.append(read)
      } catch {
        guard line.endIndex == bytes.endIndex else { throw error.at("\(path): line \(number + 1)") }
        warn("\(path): line \(number + 1), the last one, is incomplete and was skipped")
      }
    }
    return lines
  }
}
