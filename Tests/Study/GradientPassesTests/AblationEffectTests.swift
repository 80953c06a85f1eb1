import Decoders
import GradientPasses
import SparseAutoencoders
import SystemIO
import TensorOperations
import TensorStream
import TestSupport
import Testing

/// What features' ablations do to the loss, against a loop that does it one feature and one sample at a time.
@Suite struct AblationEffectTests {
  private static let golden = Result { try GoldenFile("demo") }

  /// The demo's text at both sites of two layers, and the model behind it.
  private struct Fixture {
    let model: DecoderModel
    let stream: ActivationsStream
    var autoencoders: [Place: AutoencoderOperations] = [:]

    init(_ run: String = "plain", saesAt places: [Place] = []) throws {
      let golden = try AblationEffectTests.golden.get()
      let operations = try CPUOperations(threads: 2)
      model = try DecoderModel(
        Checkpoint(golden.model), layers: 1..<golden.layerCount, includingHead: true, operations: operations)
      stream = try ActivationsStream(golden, run, layers: [1, 2], sites: [.mlpOut, .residPost, .attnZ])
      let memory = AutoencoderMemory(operations)
      for place in places {
        let path = "\(packageRoot)/demo/saes/mlp_out_layer_\(place.layer)/trainer_0"
        autoencoders[place] = try AutoencoderOperations(SparseAutoencoder(path), memory: memory)
        memory.use(passRows: 1024)
      }
    }

    func effects(
      _ features: [AblatedFeature], stride: Int = 1, scope: StrideScope = .sample, passRows: Int = 1024
    ) throws -> AblationEffects {
      let effects = AblationEffects(
        model: model, features: features, autoencoders: autoencoders, stride: stride, scope: scope, passRows: passRows,
        finiteNumbers: FiniteNumbers(model, isWaived: false))
      try stream.forEachGroup(model.description, effects.neededPlaces, passRows: passRows) {
        try effects.add($0) { _, _ in }
      }
      return effects
    }

    func survey(_ places: [Place], stride: Int = 1) throws -> FeatureSurvey {
      let survey = FeatureSurvey(
        model.description, places: PlaceList(places), autoencoders: autoencoders, stride: stride, scope: .sample)
      try stream.forEachGroup(model.description, places) { survey.add($0) }
      return survey
    }
  }

  /// A sample by itself: its tokens, what was captured, and passes over it alone.
  private struct Sample {
    let tokens: TokenBatch
    let activation: [Float]
    let rest: [Float]?
    let place: Place

    var predictions: Int { tokens.tokenCount - 1 }

    /// The rows that a stride along the sample records.
    func recorded(_ stride: Int) -> [Int] {
      Swift.stride(from: 0, to: tokens.validRows(of: 0).count, by: stride).map { $0 }
    }

    func loss(_ activation: [Float], _ model: DecoderModel) -> Double {
      activation.withUnsafeBufferPointer { activation in
        (rest ?? []).withUnsafeBufferPointer { rest in
          model.losses(
            ModelInput(tokens, samples: 0..<1),
            from: .init(
              place, activation: .floats(activation.baseAddress!),
              rest: self.rest == nil ? nil : .floats(rest.baseAddress!)))[0]
        }
      }
    }
  }

  private func samples(_ fixture: Fixture, _ place: Place) throws -> [Sample] {
    let description = fixture.model.description
    let (W, D) = (description.width(of: place.site), description.width)
    var samples: [Sample] = []
    try fixture.stream.forEachRecord { record in
      let tokens = try TokenBatch(record)
      let N = tokens.tokenCount
      let activation = Array(try record.tensor("act.\(place)", shape: [N, W], of: Float.self))
      let rest =
        place.site.isStream ? nil : Array(try record.tensor("rest.\(place)", shape: [N, D], of: Float.self))
      for sample in 0..<tokens.sampleCount where tokens.predictions(of: sample) > 0 {
        let rows = tokens.rows(of: sample)
        samples.append(
          Sample(
            tokens: TokenBatch(
              inputIDs: Array(tokens.inputIDs[rows]), cuSeqlens: [0, Int32(rows.count)],
              sampleIndex: [tokens.sampleIndex[sample]], validLengths: tokens.validLengths.map { [$0[sample]] }),
            activation: Array(activation[rows.lowerBound * W..<rows.upperBound * W]),
            rest: rest.map { Array($0[rows.lowerBound * D..<rows.upperBound * D]) }, place: place))
      }
    }
    return samples
  }

  /// decode(f) of a feature's value alone, in Double and from the parameters as they were read.
  private func decoded(_ autoencoder: SparseAutoencoder, _ feature: Int, _ value: Double) throws -> [Double] {
    let decoder = try Matrix(autoencoder.parameters.decoder, asFloat: true)
    return (0..<decoder.columns).map { d in
      let index =
        decoder.isColumnMajor ? d * decoder.leadingDimension + feature : feature * decoder.leadingDimension + d
      return value * Double(decoder.floats[index]) * Double(autoencoder.parameters.decoderFactors?[feature] ?? 1)
    }
  }

  /// The activation with a part of a feature's ablation: all of it where `share` is 1.
  private func ablated(
    _ sample: Sample, _ feature: AblatedFeature, _ fixture: Fixture, stride: Int, share: Double = 1
  ) throws -> [Float] {
    let W = fixture.model.description.width(of: sample.place.site)
    var activation = sample.activation
    for row in sample.recorded(stride) {
      let x = Array(sample.activation[row * W..<(row + 1) * W])
      if let autoencoder = fixture.autoencoders[sample.place] {
        var rebuilt = [Float](repeating: 0, count: W)
        let features = autoencoder.rebuild(&rebuilt, from: x, rows: 1)
        let value = zip(features.indices, features.values).first { Int($0.0) == feature.index }?.1 ?? 0
        let change = try decoded(autoencoder.autoencoder, feature.index, share * (feature.target - Double(value)))
        for i in 0..<W { activation[row * W + i] = Float(Double(x[i]) + change[i]) }
      } else {
        let value = Double(x[feature.index])
        activation[row * W + feature.index] = Float(value + share * (feature.target - value))
      }
    }
    return activation
  }

  /// - Parameter tolerance: of a loss a prediction, which other packing may round otherwise.
  private func expectAgreement(
    _ fixture: Fixture, _ features: [AblatedFeature], stride: Int, tolerance: Double = 2e-7
  ) throws {
    let found = try fixture.effects(features, stride: stride).effects
    for (feature, found) in zip(features, found) {
      let samples = try samples(fixture, feature.place)
      let differences = try samples.map { sample in
        let changed = try ablated(sample, feature, fixture, stride: stride)
        return (sample.loss(changed, fixture.model) - sample.loss(sample.activation, fixture.model))
          / Double(sample.predictions)
      }
      let mean = differences.reduce(0, +) / Double(differences.count)
      let variance = differences.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(differences.count - 1)
      #expect(found.effect.count == differences.count)
      #expect(abs(found.effect.mean - mean) < tolerance, "\(feature): \(found.effect.mean), expected \(mean)")
      let error = (variance / Double(differences.count)).squareRoot()
      #expect(abs(found.effect.standardError! - error) < tolerance, "\(feature)")
    }
  }

  /// The features of both layers that fire most, and one that never does.
  private func firingMost(_ fixture: Fixture, stride: Int, count: Int = 6) throws -> [AblatedFeature] {
    let places = fixture.autoencoders.keys.sorted()
    let survey = try fixture.survey(places, stride: stride)
    return places.flatMap { place in
      let firing = survey.firing(at: place)
      let most = firing.indices.sorted { (firing[$0], $1) > (firing[$1], $0) }
      #expect(firing[most[count - 1]] > 0 && firing[most.last!] == 0)
      return (most.prefix(count) + [most.last!]).map { AblatedFeature(place, $0, target: 0) }
    }
  }

  @Test(arguments: ["plain", "padded"], [1, 3]) func featuresAgainstANaiveLoop(_ run: String, _ stride: Int) throws {
    let fixture = try Fixture(run, saesAt: [Place(.mlpOut, 1), Place(.mlpOut, 2)])
    let features = try firingMost(fixture, stride: stride)
    try expectAgreement(fixture, features, stride: stride)
    let effects = try fixture.effects(features, stride: stride).effects
    #expect(effects[0].effect.mean != 0 && effects[6].effect.mean == 0 && effects[6].predicted.mean == 0)
    #expect(effects[6].firingShare == 0)
  }

  @Test func featuresSetToTheirMean() throws {
    let fixture = try Fixture(saesAt: [Place(.mlpOut, 2)])
    let survey = try fixture.survey([Place(.mlpOut, 2)], stride: 2)
    let features = try firingMost(fixture, stride: 2, count: 3).map {
      AblatedFeature($0.place, $0.index, target: survey.mean($0.index, at: $0.place))
    }
    #expect(features[0].target > 0)
    try expectAgreement(fixture, features, stride: 2)
  }

  @Test(arguments: [Site.mlpOut, .residPost, .attnZ]) func dimensionsAgainstANaiveLoop(_ site: Site) throws {
    let fixture = try Fixture()
    for (place, target) in [(Place(site, 1), 0.0), (Place(site, 2), 0.25)] {
      try expectAgreement(fixture, [0, 7, 127].map { AblatedFeature(place, $0, target: target) }, stride: 1)
    }
  }

  /// The slope of the loss along the ablation, from both sides.
  @Test func predictionsAreSlopes() throws {
    let fixture = try Fixture(saesAt: [Place(.mlpOut, 1)])
    let features =
      try firingMost(fixture, stride: 2, count: 3).dropLast() + [AblatedFeature(Place(.residPost, 2), 9, target: 0.5)]
    let found = try fixture.effects(Array(features), stride: 2).effects
    for (feature, found) in zip(features, found) {
      let slopes = try samples(fixture, feature.place).map { sample in
        let h = 0.05
        let losses = try [h, -h].map {
          sample.loss(try ablated(sample, feature, fixture, stride: 2, share: $0), fixture.model)
        }
        return (losses[0] - losses[1]) / (2 * h) / Double(sample.predictions)
      }
      let mean = slopes.reduce(0, +) / Double(slopes.count)
      #expect(found.predicted.count == slopes.count)
      #expect(
        abs(found.predicted.mean - mean) < 0.02 * abs(mean) + 1e-6, "\(feature): \(found.predicted.mean), \(mean)")
      #expect(found.predicted.standardError! > 0)
    }
  }

  /// Many rows in a pass, or a sample at a time: the packing rounds otherwise, and no more.
  @Test func passesOfAnySize() throws {
    let fixture = try Fixture(saesAt: [Place(.mlpOut, 1), Place(.mlpOut, 2)])
    let features = try firingMost(fixture, stride: 2)
    let together = try fixture.effects(features, stride: 2).effects
    for passRows in [1, 40] {
      let apart = try fixture.effects(features, stride: 2, passRows: passRows).effects
      for (one, other) in zip(apart, together) {
        #expect(abs(one.effect.mean - other.effect.mean) < 2e-7)
        #expect(abs(one.predicted.mean - other.predicted.mean) < 2e-7)
        #expect(one.firingShare == other.firingShare)
      }
    }
  }

  @Test func everyAblationAndTokenIsTold() throws {
    let fixture = try Fixture(saesAt: [Place(.mlpOut, 1)])
    let features = try firingMost(fixture, stride: 1)
    let effects = AblationEffects(
      model: fixture.model, features: features, autoencoders: fixture.autoencoders, stride: 1, scope: .sample,
      passRows: 64, finiteNumbers: FiniteNumbers(fixture.model, isWaived: false))
    var (ablations, tokens, samples, expected) = (0, 0, 0, 0)
    try fixture.stream.forEachGroup(fixture.model.description, effects.neededPlaces, passRows: 64) { group in
      samples += group.tokens.sampleCount
      expected += group.tokens.tokenCount
      try effects.add(group) {
        ablations += $0
        tokens += $1
      }
    }
    #expect(ablations == samples * features.count)
    // Once unmodified, and at most once for each feature that fires.
    #expect(tokens > expected && tokens <= expected * features.count)
    #expect(effects.predictions == expected - samples)
  }

  @Test func theSurveyCountsAndAverages() throws {
    let place = Place(.mlpOut, 2)
    let fixture = try Fixture("padded", saesAt: [place])
    let survey = try fixture.survey([place], stride: 2)
    var (counts, sums, positions) = ([Int: Int](), [Int: Double](), 0)
    let autoencoder = fixture.autoencoders[place]!
    // Padded, every sample has predictions.
    for sample in try samples(fixture, place) {
      for row in sample.recorded(2) {
        var rebuilt = [Float](repeating: 0, count: 128)
        let x = Array(sample.activation[row * 128..<(row + 1) * 128])
        let features = autoencoder.rebuild(&rebuilt, from: x, rows: 1)
        for (index, value) in zip(features.indices, features.values) {
          counts[Int(index), default: 0] += 1
          sums[Int(index), default: 0] += Double(value)
        }
        positions += 1
      }
    }
    #expect(survey.positions == positions && !counts.isEmpty)
    #expect(survey.firing(at: place) == (0..<1024).map { counts[$0] ?? 0 })
    for (feature, sum) in sums {
      #expect(abs(survey.mean(feature, at: place) - sum / Double(positions)) < 1e-6)
    }
  }
}
