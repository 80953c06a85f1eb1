import Decoders
import TensorOperations
import TensorStream
import TestSupport
import Testing

/// The model's passes against Hugging Face in float64, layer by layer and in the order of computation, so that the
/// first wrong layer is named and not what follows from it.
///
/// The models are f32, bf16 and f16, with tied and untied heads, in one file and in two. What a bf16 model gives in
/// float32 arithmetic and what it gives in float64 differ by rounding alone: some 1e-7 a layer.
@Suite struct GoldenTests {
  /// Activations: one layer's rounding is about 2e-7, and three or four layers follow one another.
  static let forwardTolerance = 3e-6
  /// Gradients go through the layers twice, and through differences of probabilities.
  static let gradientTolerance = 1e-5
  /// The contract's: relative, of each sample's loss.
  static let lossTolerance = 1e-6

  @Test(arguments: GoldenFile.names, GoldenFile.runs)
  func forward(name: String, run: String) throws {
    let golden = try GoldenFile(name)
    let model = try loadModel(golden.model)
    var captured: [String: [Float]] = [:]
    for tokens in try golden.batches(run) {
      let batch = try ModelInput(tokens, model.description)
      let places = PlaceList(sites: [.residMid, .mlpOut], layers: 0..<golden.layerCount)
      try model.capture(batch, at: Set(places.places)) { place, activation, _ in
        captured["\(place)", default: []] += activation.values
      }
    }
    for layer in 0..<golden.layerCount {
      for key in ["resid_mid.\(layer)", "mlp_out.\(layer)"] {
        let found = try golden.pick(run, of: try #require(captured[key]), width: model.description.width)
        let error = relativeL2(found, try golden.floats("\(run).\(key)"))
        try #require(error < Self.forwardTolerance, "the first bad activation is \(key)")
      }
    }
  }

  @Test(arguments: GoldenFile.names.filter { $0 != "demo" }, GoldenFile.runs)
  func logits(name: String, run: String) throws {
    let golden = try GoldenFile(name)
    let model = try loadModel(golden.model)
    let all = try golden.batches(run).flatMap { try model.logits(ModelInput($0, model.description)) }
    let found = try golden.pick(run, of: all, width: model.description.vocabularySize)
    #expect(relativeL2(found, try golden.floats("\(run).logits")) < Self.forwardTolerance)
  }

  @Test(arguments: GoldenFile.names, GoldenFile.runs)
  func gradients(name: String, run: String) throws {
    let golden = try GoldenFile(name)
    let model = try loadModel(golden.model)
    var gradients: [Int: [Float]] = [:]
    var losses: [Double] = []
    for tokens in try golden.batches(run) {
      let batch = try ModelInput(tokens, model.description)
      losses += try captured(model, batch, at: Place(.mlpOut, 0)).gradients(golden.mlpOutputs) { place, gradient in
        gradients[place.layer, default: []] += gradient
      }
    }
    let expected = try golden.doubles("\(run).loss")
    for (sample, (loss, exact)) in zip(losses, expected).enumerated() {
      #expect(abs(loss - exact) <= Self.lossTolerance * exact, "sample \(sample): \(loss), expected \(exact)")
    }
    #expect(losses.count == expected.count)
    // The way back: from the last layer down.
    for layer in (0..<golden.layerCount).reversed() {
      let found = try golden.pick(run, of: try #require(gradients[layer]), width: model.description.width)
      let error = relativeL2(found, try golden.floats("\(run).grad.\(layer)"))
      try #require(error < Self.gradientTolerance, "the first bad gradient is layer \(layer)'s")
    }
  }
}

/// What holds without any golden number.
@Suite struct ModelInvarianceTests {
  /// Going on from a higher place is the same computation with less of it, to the bit; but what attention adds, cut
  /// out and added again, rounds otherwise.
  @Test func startDoesNotMatter() throws {
    let golden = try GoldenFile("f32")
    let model = try loadModel(golden.model)
    let batch = try ModelInput(try golden.batches("plain")[0], model.description)
    let all = PlaceList(sites: Site.allCases, layers: 0..<golden.layerCount)
    func run(_ start: Place) throws -> (losses: [Double], gradients: [Place: [Float]]) {
      var gradients: [Place: [Float]] = [:]
      let captured = try captured(model, batch, at: start)
      let losses = captured.gradients(all.places.filter { $0 >= start }) { gradients[$0] = $1 }
      #expect(gradients.keys.sorted() == all.places.filter { $0 >= start })
      #expect(captured.losses() == losses)
      return (losses, gradients)
    }
    let first = try run(all.places[0])
    for start in all.places where start.site != .attnOut {
      let found = try run(start)
      #expect(found.losses == first.losses, "\(start)")
      for (place, gradient) in found.gradients { #expect(gradient == first.gradients[place], "\(place) from \(start)") }
    }
  }

  /// What comes before the lowest place wanted is not gone back through.
  @Test func stopsAtTheLowestPlaceWanted() throws {
    let golden = try GoldenFile("f32")
    let model = try loadModel(golden.model)
    let batch = try ModelInput(try golden.batches("plain")[0], model.description)
    var seen: [Place] = []
    let captured = try captured(model, batch, at: Place(.mlpOut, 0))
    _ = captured.gradients([Place(.mlpOut, 2), Place(.residMid, 1), Place(.residPost, 1)]) { place, _ in
      seen.append(place)
    }
    #expect(seen == [Place(.mlpOut, 2), Place(.residPost, 1), Place(.residMid, 1)])
  }

  /// A sample's loss and gradients do not depend on what it is batched with; products of other heights round otherwise.
  @Test func batchingDoesNotMatter() throws {
    let golden = try GoldenFile("f32")
    let model = try loadModel(golden.model)
    let tokens = try golden.batches("plain")[1]
    func run(_ tokens: TokenBatch) throws -> (losses: [Double], gradient: [Float]) {
      let batch = try ModelInput(tokens, model.description)
      var gradient: [Float] = []
      let place = Place(.mlpOut, 0)
      let losses = try captured(model, batch, at: place).gradients([place]) { gradient = $1 }
      return (losses, gradient)
    }
    let together = try run(tokens)
    let width = model.description.width
    for sample in 0..<tokens.sampleCount {
      let rows = tokens.rows(of: sample)
      let alone = try run(
        TokenBatch(inputIDs: Array(tokens.inputIDs[rows]), cuSeqlens: [0, Int32(rows.count)], sampleIndex: [0]))
      #expect(abs(alone.losses[0] - together.losses[sample]) <= 1e-6 * alone.losses[0])
      let part = Array(together.gradient[rows.lowerBound * width..<rows.upperBound * width])
      #expect(relativeL2(part, alone.gradient) < 2e-6)
    }
  }

  /// Memory is kept from batch to batch: a small batch behind a large one must not see its rows.
  @Test func anEarlierBatchLeavesNothingBehind() throws {
    let golden = try GoldenFile("bf16-sharded")
    let used = try loadModel(golden.model)
    let batches = try golden.batches("padded") + golden.batches("plain")
    for tokens in batches {
      let fresh = try loadModel(golden.model)
      let batch = try ModelInput(tokens, used.description)
      let start = Place(.mlpOut, 0)
      let (kept, fresher) = (try captured(used, batch, at: start), try captured(fresh, batch, at: start))
      #expect(kept.activation == fresher.activation && kept.rest == fresher.rest)
      var (first, second): ([[Float]], [[Float]]) = ([], [])
      let losses = kept.gradients(golden.mlpOutputs) { first.append($1) }
      #expect(fresher.gradients(golden.mlpOutputs) { second.append($1) } == losses)
      #expect(first == second)
    }
  }
}

/// Every place of a model against autograd in float64.
@Suite struct PlaceTests {
  private let golden = try! GoldenFile("f32")
  private let exact = try! GoldenFile("places")
  private var places: [Place] { PlaceList(sites: Site.allCases, layers: 0..<golden.layerCount).places }

  private func rows(_ values: [Float], _ model: DecoderModel, _ site: Site) throws -> [Float] {
    try golden.pick("plain", of: values, width: model.description.width(of: site))
  }

  @Test func activations() throws {
    let model = try loadModel(golden.model)
    var found: [Place: [Float]] = [:]
    var sums: [Place: [Float]] = [:]
    for tokens in try golden.batches("plain") {
      try model.capture(ModelInput(tokens, model.description), at: Set(places)) { place, activation, rest in
        found[place, default: []] += activation.values
        #expect((rest == nil) == place.site.isStream)
        if [.attnOut, .mlpOut].contains(place.site) {
          sums[place, default: []] += zip(activation.values, rest!.values).map { $0 + $1 }
        }
      }
    }
    for place in places {
      let error = relativeL2(
        try rows(try #require(found[place]), model, place.site), try exact.floats("plain.act.\(place)"))
      #expect(error < GoldenTests.forwardTolerance, "\(place)")
    }
    // What is left of the residual stream is what adds up to it.
    for layer in 0..<golden.layerCount {
      for (part, whole) in [(Site.attnOut, Site.residMid), (.mlpOut, .residPost)] {
        #expect(relativeL2(sums[Place(part, layer)]!, found[Place(whole, layer)]!) < 1e-6)
      }
    }
  }

  /// From every place to every one behind it.
  @Test func gradients() throws {
    let model = try loadModel(golden.model)
    let batches = try golden.batches("plain")
    for start in places {
      var found: [Place: [Float]] = [:]
      var losses: [Double] = []
      for tokens in batches {
        losses += try captured(model, ModelInput(tokens, model.description), at: start).gradients(
          places.filter { $0 >= start }
        ) { place, gradient in
          found[place, default: []] += gradient
        }
      }
      for (loss, expected) in zip(losses, try golden.doubles("plain.loss")) {
        #expect(abs(loss - expected) <= GoldenTests.lossTolerance * expected, "from \(start)")
      }
      for place in places where place >= start {
        let error = relativeL2(
          try rows(try #require(found[place]), model, place.site), try exact.floats("plain.grad.\(place)"))
        #expect(error < GoldenTests.gradientTolerance, "\(place) from \(start)")
      }
    }
  }
}

extension GoldenFile {
  fileprivate var mlpOutputs: [Place] { (0..<layerCount).map { Place(.mlpOut, $0) } }
}

/// What a forward pass leaves at a place, to go on from.
struct Captured {
  let model: DecoderModel
  let batch: ModelInput
  let place: Place
  let activation: [Float]
  let rest: [Float]?
  /// Rows whose activation is another than the model's own.
  var replaced: [Int32] = []

  private func withStart<Result>(_ body: (DecoderModel.Start) throws -> Result) rethrows -> Result {
    try activation.withUnsafeBufferPointer { activation in
      try (rest ?? []).withUnsafeBufferPointer { rest in
        try body(
          DecoderModel.Start(
            place, activation: .floats(activation.baseAddress!),
            rest: self.rest == nil ? nil : .floats(rest.baseAddress!),
            replacement: replaced.isEmpty ? nil : replacement(activation)))
      }
    }
  }

  private func replacement(_ activation: UnsafeBufferPointer<Float>) -> DecoderModel.Start.Replacement {
    let columns = activation.count / batch.rowCount
    return .init(onDevice(activation), rows: replaced) { row, values in
      for i in 0..<columns { values[i] = Double(activation[Int(row) * columns + i]) }
    }
  }

  private func onDevice(_ activation: UnsafeBufferPointer<Float>) -> Tensor {
    let tensor = model.operations.makeTensor(rows: batch.rowCount, columns: activation.count / batch.rowCount)
    model.operations.upload(tensor, from: activation.baseAddress!)
    return tensor
  }

  /// Shows each place's gradients, (N,W), in the order in which they were recorded first.
  func gradients(_ places: [Place], _ show: (Place, [Float]) -> Void) -> [Double] {
    var (order, found): ([Place], [Place: [Float]]) = ([], [:])
    let losses = withStart {
      model.gradients(batch, from: $0, at: Set(places)) { place, gradient in
        if found[place] == nil {
          order.append(place)
          found[place] = Array(repeating: .nan, count: batch.rowCount * gradient.columns)
        }
        gradient.startDownload(&found[place]!, rows: Array(0..<Int32(batch.rowCount)))
        model.operations.finishDownloads()
      }
    }
    for place in order { show(place, found[place]!) }
    return losses
  }

  func losses() -> [Double] { withStart { model.losses(batch, from: $0) } }
}

func captured(_ model: DecoderModel, _ batch: ModelInput, at place: Place) throws -> Captured {
  var (activation, rest): ([Float], [Float]?) = ([], nil)
  try model.capture(batch, at: [place]) {
    (activation, rest) = ($1.downloaded(model.operations), $2?.downloaded(model.operations))
  }
  return Captured(model: model, batch: batch, place: place, activation: activation, rest: rest)
}

func loadModel(
  _ folder: String, threads: Int = 2, arithmetic: Arithmetic = .mixed, operations: (any PassOperations)? = nil
) throws -> DecoderModel {
  let checkpoint = try Checkpoint(folder)
  return try DecoderModel(
    checkpoint, layers: 0..<checkpoint.description.layerCount, includingHead: true, arithmetic: arithmetic,
    operations: try operations ?? CPUOperations(threads: threads))
}

extension Tensor {
  /// The numbers of a tensor in the processor's memory.
  var values: [Float] { Array(UnsafeBufferPointer(start: address, count: count)) }

  /// The numbers of a tensor in any device's memory.
  func downloaded(_ operations: any PassOperations) -> [Float] {
    [Float](unsafeUninitializedCapacity: count) { values, initialized in
      operations.download(values.baseAddress!, from: self)
      initialized = count
    }
  }
}
