import Decoders
import FilterSupport
import GradientPasses
import SystemIO
import TensorOperations
import TensorStream

/// A feature that is to be ablated.
struct ChosenFeature {
  let name: FeatureName
  let isRandom: Bool
}

/// The model, its autoencoders and the activations, which are read once to survey the features where that is needed, and
/// once for so many features at a time.
struct EffectStudy {
  let input: ActivationInput
  let model: DecoderModel
  let autoencoders: [Place: AutoencoderOperations]
  let stride: Int
  let scope: StrideScope
  let finiteNumbers: FiniteNumbers
  let messages: MessageOptions
  private let passRows: Int
  private var survey: FeatureSurvey?

  init(
    _ input: ActivationInput, _ model: DecoderModel, _ autoencoders: [Place: AutoencoderOperations], stride: Int,
    scope: StrideScope, _ finiteNumbers: FiniteNumbers, _ messages: MessageOptions
  ) {
    (self.input, self.model, self.autoencoders) = (input, model, autoencoders)
    (self.stride, self.scope, self.finiteNumbers, self.messages) = (stride, scope, finiteNumbers, messages)
    passRows = model.passRows(from: input.places.places[0], with: autoencoders.values)
  }

  /// How many features, or dimensions, a place has.
  func count(at place: Place) -> Int {
    autoencoders[place]?.autoencoder.features ?? model.description.width(of: place.site)
  }

  /// Reads the activations to see how often each feature fires, and what it is worth on average.
  mutating func makeSurvey() throws {
    let progress = Progress(unit: "samples surveyed", total: 0, messages)
    let survey = FeatureSurvey(
      model.description, places: input.places, autoencoders: autoencoders, stride: stride, scope: scope)
    try input.read(passRows: passRows) {
      progress.expect($0.count("samples"))
    } _: { group in
      survey.add(group)
      progress.advance(group.tokens.sampleCount, tokens: group.tokens.tokenCount)
    }
    progress.finish()
    self.survey = survey
  }

  /// For each place so many more features, at random, that fire about as often as those chosen there.
  func addingRandom(_ count: Int, to chosen: [ChosenFeature], seed: UInt64) -> [ChosenFeature] {
    input.places.places.flatMap { place in
      let own = chosen.filter { $0.name.place == place }
      // Dimensions are hardly ever 0: all are alike.
      let firing = survey?.firing(at: place) ?? Array(repeating: 1, count: self.count(at: place))
      let random = randomFeatures(count, like: own.map(\.name.index), firing: firing, seed: seed)
      if random.count < count {
        warn("--random: \(place): only \(random.count) other features are active there, \(count) were asked for")
      }
      return own + random.map { ChosenFeature(name: FeatureName(place, $0), isRandom: true) }
    }
  }

  /// What features are set to by `--ablate mean`.
  func mean(_ feature: FeatureName) -> Double { survey!.mean(feature.index, at: feature.place) }

  /// Reads the activations once for these features' effects.
  ///
  /// - Parameters:
  ///   - expectations: how many features' ablations of each sample are expected of this read and those after it; 0 where
  ///     that was told before.
  func effects(
    of features: [AblatedFeature], _ progress: Progress, expectations: Int
  ) throws -> AblationEffects {
    let effects = AblationEffects(
      model: model, features: features, autoencoders: autoencoders, stride: stride, scope: scope, passRows: passRows,
      finiteNumbers: finiteNumbers)
    try input.read(passRows: passRows) { segment in
      guard expectations > 0 else { return }
      progress.expect(
        segment.count("samples").flatMap { count in
          let (product, isTooLarge) = count.multipliedReportingOverflow(by: expectations)
          return isTooLarge ? nil : product
        })
    } _: { group in
      try effects.add(group) { progress.advance($0, tokens: $1) }
    }
    guard effects.effects.allSatisfy({ $0.effect.count > 0 }) else {
      throw Failure(.malformed, "expected samples of at least two tokens, of which the second is predicted, found none")
    }
    return effects
  }
}
