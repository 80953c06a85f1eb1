import Decoders
import GradientPasses
import SparseAutoencoders
import TensorOperations
import TensorStream
import TestSupport
import Testing

/// Ablations in Double against a loop that does one feature and one sample at a time: nothing lies between them but the
/// last roundings, however small an effect is beside the loss.
@Suite struct DoubleAblationTests {
  private let golden: GoldenFile
  private let tokens: [TokenBatch]

  init() throws {
    golden = try GoldenFile("demo")
    tokens = try golden.batches("plain")
  }

  private func model(from place: Place) throws -> DecoderModel {
    let checkpoint = try Checkpoint(golden.model)
    return try DecoderModel(
      checkpoint, layers: DecoderModel.layers(from: place, of: checkpoint.description), includingHead: true,
      arithmetic: .float64, operations: DoubleOperations.forWholePasses(threads: 2))
  }

  /// A feature's value at an activation and its direction, in Double from the parameters as they were read.
  private func feature(
    _ index: Int, _ autoencoder: SparseAutoencoder
  ) throws -> (value: ([Double]) -> Double, direction: [Double]) {
    let parameters = autoencoder.parameters
    let (encoder, decoder) = try (
      Matrix(parameters.encoder, asFloat: true), Matrix(parameters.decoder, asFloat: true).transposed
    )
    func column(_ matrix: Matrix) -> [Double] {
      (0..<matrix.rows).map { row in
        let (line, element) = matrix.isColumnMajor ? (index, row) : (row, index)
        return Double(matrix.floats[line * matrix.leadingDimension + element])
      }
    }
    guard case .threshold(let threshold) = parameters.activation else { preconditionFailure("another rule") }
    let (weights, direction) = (column(encoder), column(decoder))
    return (
      { x in
        let p = zip(x, weights).enumerated().reduce(Double(parameters.encoderBias![index])) {
          $0 + ($1.element.0 - Double(parameters.inputBias![$1.offset])) * $1.element.1
        }
        return p > max(Double(threshold), 0) ? p : 0
      }, direction
    )
  }

  @Test(arguments: [Place(.mlpOut, 2), Place(.attnZ, 1), Place(.residPost, 2)])
  func effectsAndTheirSlopes(place: Place) throws {
    let model = try model(from: place)
    let stream = try ActivationsStream(golden, "plain", layers: [place.layer], sites: [place.site])
    let W = model.description.width(of: place.site)
    var autoencoders: [Place: AutoencoderOperations] = [:]
    var indices = [0, 7]
    var read = indices.map { index in
      (value: { (x: [Double]) in x[index] }, direction: (0..<W).map { $0 == index ? 1.0 : 0 })
    }
    if place.site == .mlpOut {
      let autoencoder = try SparseAutoencoder("\(packageRoot)/demo/saes/mlp_out_layer_\(place.layer)/trainer_0")
      let memory = AutoencoderMemory(try CPUOperations(threads: 2))
      autoencoders[place] = try AutoencoderOperations(autoencoder, memory: memory)
      memory.use(passRows: 1024)
      let survey = FeatureSurvey(
        model.description, places: PlaceList([place]), autoencoders: autoencoders, stride: 1, scope: .sample)
      try stream.forEachGroup(model.description, [place]) { survey.add($0) }
      let firing = survey.firing(at: place)
      indices = Array(firing.indices.sorted { (firing[$0], $1) > (firing[$1], $0) }.prefix(3))
      read = try indices.map { try feature($0, autoencoder) }
    }
    let effects = AblationEffects(
      model: model, features: indices.map { AblatedFeature(place, $0, target: 0) }, autoencoders: autoencoders,
      stride: 1, scope: .sample, passRows: 64, finiteNumbers: FiniteNumbers(model, isWaived: false))
    try stream.forEachGroup(model.description, effects.neededPlaces, passRows: 64) {
      try effects.add($0) { _, _ in }
    }
    for (found, feature) in zip(effects.effects, read) {
      let (differences, slopes) = try differencesAndSlopes(of: feature, at: place, model)
      let mean = differences.reduce(0, +) / Double(differences.count)
      let slope = slopes.reduce(0, +) / Double(slopes.count)
      #expect(found.effect.count == differences.count && mean != 0)
      #expect(abs(found.effect.mean - mean) < 1e-10 * abs(mean) + 1e-14, "\(found.effect.mean), expected \(mean)")
      // The gradient is recorded in Float.
      #expect(abs(found.predicted.mean - slope) < 1e-5 * abs(slope) + 1e-10, "\(found.predicted.mean), \(slope)")
    }
  }

  /// By sample, what a feature's ablation does to the loss per prediction, and the slope of the loss towards it.
  private func differencesAndSlopes(
    of feature: (value: ([Double]) -> Double, direction: [Double]), at place: Place, _ model: DecoderModel
  ) throws -> (differences: [Double], slopes: [Double]) {
    var found: (differences: [Double], slopes: [Double]) = ([], [])
    for batch in tokens {
      for sample in 0..<batch.sampleCount where batch.predictions(of: sample) > 0 {
        let input = ModelInput(batch, samples: sample..<sample + 1)
        var (x, rest): ([Double], [Double]?) = ([], nil)
        try model.capture(input, at: [place]) { (x, rest) = ($1.elements, $2?.elements) }
        let W = x.count / input.rowCount
        func loss(_ share: Double) -> Double {
          var changed = x
          for row in 0..<input.rowCount {
            let value = feature.value(Array(x[row * W..<(row + 1) * W]))
            for i in 0..<W { changed[row * W + i] -= share * value * feature.direction[i] }
          }
          return changed.withUnsafeBufferPointer { changed in
            (rest ?? []).withUnsafeBufferPointer { rest in
              model.losses(
                input,
                from: .init(
                  place, activation: .doubles(changed.baseAddress!),
                  rest: place.site.isStream ? nil : .doubles(rest.baseAddress!)))[0]
            }
          }
        }
        let predictions = Double(batch.predictions(of: sample))
        found.differences.append((loss(1) - loss(0)) / predictions)
        found.slopes.append((loss(1e-4) - loss(-1e-4)) / 2e-4 / predictions)
      }
    }
    return found
  }
}

extension Tensor {
  fileprivate var elements: [Double] { Array(UnsafeBufferPointer(start: doubles, count: count)) }
}
