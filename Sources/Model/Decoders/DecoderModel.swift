import Glibc
import SystemIO
import TensorFiles
import TensorOperations
import TensorStream

/// A decoder-only transformer, or those of its layers that a program needs.
public final class DecoderModel {
  public let description: DecoderDescription
  /// What the tensors that a pass shows belong to.
  public let operations: any PassOperations
  public let arithmetic: Arithmetic
  private let checkpoint: Checkpoint
  /// By layer number.
  let layers: [Int: DecoderLayer]
  /// The final norm and the output head (V,D), where they were loaded.
  private let output: (norm: Norm, head: Matrix)?
  private let memory: PassMemory
  /// The same layers in Double, where some rows are to be computed so.
  let inDouble: DecoderModel?
  /// Of a model that computes a few rows of another one's passes, where the weights lie that the other one reads too: all
  /// others are let go of once they were used.
  private var sharedWeights: Set<UnsafeRawPointer>?
  /// How many of a sample's first positions are, from the lengths of its residual stream by layer. Tests have another.
  package var countInDouble: ([[Double]]) -> Int = { MassiveActivations.prefix(lengths: $0) }
  /// The numbers that `startLengths` brings down.
  var keptStatistics: Tensor?
  /// Positions whose gradients were computed in Double so far.
  public private(set) var rowsInDouble = 0

  /// Loads the weights of `layers` and, where asked for, of the output head.
  ///
  /// - Parameter arithmetic: float64 takes `DoubleOperations`, and loads the layers below, too.
  /// - Throws: `Failure` of kind unavailable where the device cannot compute the model's attention.
  public init(
    _ checkpoint: Checkpoint, layers wanted: Range<Int>, includingHead: Bool, arithmetic: Arithmetic = .mixed,
    operations: any PassOperations
  ) throws {
    precondition(arithmetic != .float64 || operations is DoubleOperations)
    self.checkpoint = checkpoint
    self.operations = operations
    self.arithmetic = arithmetic
    description = checkpoint.description
    let wanted = arithmetic == .float64 ? 0..<wanted.upperBound : wanted
    for layer in wanted { try operations.check(description.attentions[layer].shape) }
    memory = PassMemory(checkpoint.description, operations)
    let weights = WeightLoader(checkpoint: checkpoint, operations: operations)
    var layers: [Int: DecoderLayer] = [:]
    for layer in wanted { layers[layer] = try DecoderLayer(layer, weights) }
    self.layers = layers
    output = includingHead ? (try weights.norm(.finalNorm, bias: .finalNormBias), try weights.matrix(.head)) : nil
    // Without the head there is no way back. From the first layer on: see `backwardInDouble`.
    if includingHead { _ = try checkpoint.tensor(description.weights.name(.embedding)).elements() }
    inDouble =
      arithmetic == .mixed && includingHead
      ? try DecoderModel(
        checkpoint, layers: 0..<wanted.upperBound, includingHead: true, arithmetic: .float32,
        operations: operations.makeDoubleOperations()) : nil
    inDouble?.sharedWeights = Set((layers.values.flatMap(\.matrices) + [output?.head].compactMap { $0 }).map(\.address))
  }

  /// The layers that must be loaded to go on from a place to the loss.
  public static func layers(from place: Place, of description: DecoderDescription) -> Range<Int> {
    let isInLayer =
      switch description.wiring {
      case .sequential: place.site <= .residMid
      case .parallel: place.site <= .attnZ
      }
    return (place.layer + (isInLayer ? 0 : 1))..<description.layerCount
  }

  /// Rows of samples that a pass has at most, where samples are that short: what the device has memory for.
  ///
  /// - Parameters:
  ///   - start: the place that passes go on from; nil where they have no way back.
  ///   - otherBytes: what a row takes besides, such as in autoencoders.
  public func passRows(from start: Place?, otherBytes: Int = 0) -> Int {
    memory.passRows(
      keptLayers: start.map { Self.layers(from: $0, of: description).count } ?? 1, otherBytes: otherBytes)
  }

  /// Where the first NaN or infinity of the checkpoint's weights stands, in words; reads all of them.
  public func placeOfNonfinite() -> String? { checkpoint.placeOfNonfinite() }

  // MARK: - From the tokens on

  /// What is shown of a place during a forward pass: the activation and, unless it is the residual stream itself, what
  /// the stream is without it, (N,W) and (N,D), valid during the call.
  public typealias Show = (_ place: Place, _ activation: Tensor, _ rest: Tensor?) throws -> Void

  /// Runs the model up to the last of `places` and shows each of them.
  public func capture(_ input: ModelInput, at places: Set<Place>, show: Show) throws {
    guard let last = places.max() else { return }
    let pass = memory.pass(input, layers: 0)
    try embed(input, into: pass.residual)
    try run(pass, from: Place(.residPre, 0), through: last, showing: places, show)
  }

  /// Runs all of the model, shows `places`, and returns each sample's loss in nats, summed over its predictions.
  public func losses(_ input: ModelInput, capturing places: Set<Place>, show: Show) throws -> [Double] {
    let pass = memory.pass(input, layers: 0)
    try embed(input, into: pass.residual)
    try run(pass, from: Place(.residPre, 0), through: lastPlace, showing: places, show)
    return losses(pass, dResidual: nil)()
  }

  /// The logits (N,V) of a batch, by the same layers as everything else.
  public func logits(_ input: ModelInput) throws -> [Float] {
    let pass = memory.pass(input, layers: 0)
    try embed(input, into: pass.residual)
    run(pass, from: Place(.residPre, 0), through: lastPlace, showing: []) { _, _, _ in }
    let normalized = pass.workspace.normalized
    output!.norm.apply(y: normalized, statistics: pass.statistics, x: pass.residual, operations)
    let logits = operations.makeTensor(rows: input.rowCount, columns: description.vocabularySize)
    operations.linear(y: logits, x: normalized, weight: output!.head)
    return [Float](unsafeUninitializedCapacity: logits.count) { values, count in
      operations.download(values.baseAddress!, from: logits)
      count = logits.count
      guard let softCap = description.logitSoftCap else { return }
      for i in 0..<count { values[i] = softCap * tanhf(values[i] / softCap) }
    }
  }

  private var lastPlace: Place { Place(.residPost, description.layerCount - 1) }

  /// Rows of the embedding matrix, and of the positions' where there are such, taken from the checkpoint itself: a batch
  /// needs few of them.
  private func embed(_ input: ModelInput, into residual: Tensor) throws {
    let D = description.width
    let rows = UnsafeMutablePointer<Float>.allocate(capacity: residual.count)
    defer { rows.deallocate() }
    try widenRows(input.inputIDs, of: .embedding, into: rows)
    if description.embeddingScale != 1 {
      for i in 0..<residual.count { rows[i] *= description.embeddingScale }
    }
    if description.learnedPositions != nil {
      let positions = UnsafeMutablePointer<Float>.allocate(capacity: residual.count)
      defer { positions.deallocate() }
      try widenRows(input.positions, of: .positions, into: positions)
      for i in 0..<input.rowCount * D { rows[i] += positions[i] }
    }
    operations.upload(residual, from: rows)
  }

  private func widenRows(_ numbers: [Int32], of slot: WeightSlot, into rows: UnsafeMutablePointer<Float>) throws {
    let D = description.width
    let matrix = try checkpoint.tensor(description.weights.name(slot))
    let (bytes, type) = (try matrix.elements(), matrix.type)
    for (row, number) in numbers.enumerated() {
      widen(rows + row * D, bytes.baseAddress! + Int(number) * D * type.size, D, type)
    }
  }

  // MARK: - From a place on

  /// What a pass goes on from, in host memory, but for an activation that another one was made of on the device.
  public struct Start {
    public let place: Place
    /// (N,W)
    public let activation: HostRows
    /// (N,D): what the residual stream is without the activation; nil where the place is the stream itself.
    public let rest: HostRows?
    public let replacement: Replacement?

    /// What stands in for the model's own activation.
    public struct Replacement {
      /// (N,W)
      let activation: Tensor
      /// Those in which it is another than the model's own.
      let rows: [Int32]
      /// Puts what stands in for one of the rows in the place of the model's own, in Double, [W].
      let replace: (_ row: Int32, _ values: UnsafeMutablePointer<Double>) -> Void

      public init(
        _ activation: Tensor, rows: [Int32],
        inDouble replace: @escaping (_ row: Int32, _ values: UnsafeMutablePointer<Double>) -> Void
      ) {
        (self.activation, self.rows, self.replace) = (activation, rows, replace)
      }
    }

    public init(_ place: Place, activation: HostRows, rest: HostRows?, replacement: Replacement? = nil) {
      precondition((rest == nil) == place.site.isStream)
      self.place = place
      self.activation = activation
      self.rest = rest
      self.replacement = replacement
    }
  }

  /// Goes on from `start` to the loss, and back.
  ///
  /// - Parameters:
  ///   - start: the layers from there on must have been loaded (see `layers(from:of:)`).
  ///   - places: those whose gradients are wanted, none before `start`.
  ///   - shown: those whose activations are shown on the way to the loss, by `show`, (N,W), valid during the call: of
  ///     the layer of `start` only those that are computed from it alone.
  ///   - record: called from the last of `places` to the first with the gradient of the summed loss there, and where
  ///     there are rows whose gradients Float cannot give, once more with those.
  /// - Returns: each sample's loss in nats, summed over its predictions.
  public func gradients(
    _ input: ModelInput, from start: Start, at places: Set<Place>, showing shown: Set<Place> = [],
    show: (Place, Tensor) -> Void = { _, _ in }, record: (Place, PlaceGradient) throws -> Void
  ) rethrows -> [Double] {
    precondition(places.allSatisfy { $0 >= start.place && description.sites.contains($0.site) })
    let pass = forward(input, from: start, showing: shown, show)
    // What is asked of the lengths here, a device need not wait for: it has the losses to compute.
    let lengths = inDouble.map { _ in startLengths(of: pass) }
    let losses = losses(pass, dResidual: pass.dResidual)
    let firstRows = lengths.map { massiveRows(pass, $0) } ?? []
    func recordAll(_ place: Place, _ values: Tensor) throws {
      try record(place, PlaceGradient(values: values, operations: operations, rows: nil))
    }
    if firstRows.isEmpty {
      try backward(pass, at: places, recordAll)
    } else {
      let later = LaterAttention(firstRows, of: pass, inDouble!.operations as! DoubleOperations)
      try backward(pass.keeping(later), at: places, recordAll)
      // What is recorded anew must come last.
      operations.finishDownloads()
      try backwardInDouble(later, of: input, from: start, at: places, record: record)
      rowsInDouble += firstRows.reduce(0) { $0 + $1.count }
    }
    return losses()
  }

  /// Goes on from `start` to each sample's summed loss, without a way back.
  public func losses(_ input: ModelInput, from start: Start) -> [Double] {
    losses(forward(input, from: start, showing: []) { _, _ in }, dResidual: nil)()
  }

  private func forward(
    _ input: ModelInput, from start: Start, showing places: Set<Place>, _ show: (Place, Tensor) -> Void
  ) -> PassTensors {
    forward(
      input, from: start.place,
      activation: {
        switch start.replacement {
        case nil: start.activation.upload(to: $0, operations)
        case let replacement? where arithmetic == .float64:
          start.activation.upload(to: $0, operations)
          for row in replacement.rows { replacement.replace(row, $0.doubles(row: Int(row))) }
        case let replacement?: operations.copy($0, from: replacement.activation)
        }
      },
      rest: { start.rest!.upload(to: $0, operations) }, showing: places, show)
  }

  /// - Parameters:
  ///   - activation: puts what is to be at `start` into a tensor.
  ///   - rest: puts there what the residual stream is without it; not called where the place is the stream itself.
  func forward(
    _ input: ModelInput, from start: Place, activation: (Tensor) -> Void, rest: (Tensor) -> Void,
    showing places: Set<Place> = [], _ show: (Place, Tensor) -> Void = { _, _ in }
  ) -> PassTensors {
    let pass = memory.pass(input, layers: Self.layers(from: start, of: description).count)
    enter(pass, start, activation, rest)
    run(pass, from: start, through: lastPlace, showing: places) { place, activation, _ in show(place, activation) }
    return pass
  }

  /// Puts what is given where the layer that it belongs to looks for it.
  private func enter(_ pass: PassTensors, _ place: Place, _ activation: (Tensor) -> Void, _ rest: (Tensor) -> Void) {
    func addRest(to sum: Tensor) {
      rest(sum)
      activation(pass.workspace.mlpOutput)
      operations.add(sum, pass.workspace.mlpOutput)
    }
    switch place.site {
    case .residPre, .residPost: activation(pass.residual)
    case .attnZ:
      rest(pass.saved(place.layer).input)
      activation(pass.saved(place.layer).attention)
    case .attnOut:
      switch description.wiring {
      case .sequential: addRest(to: pass.saved(place.layer).middle!)
      case .parallel: addRest(to: pass.residual)
      }
    case .residMid: activation(pass.saved(place.layer).middle!)
    case .mlpOut: addRest(to: pass.residual)
    }
  }

  // MARK: - Through the layers, and back

  /// From `start`, where what is there already is, to `last`; leaves the residual stream behind the last layer run in
  /// `pass.residual`.
  private func run(
    _ pass: PassTensors, from start: Place, through last: Place, showing places: Set<Place>, _ show: Show
  ) rethrows {
    for number in start.layer...last.layer {
      let first = number == start.layer ? start.site : .residPre
      let goesOn =
        switch description.wiring {
        case .sequential: try runSequential(number, pass, from: first, through: last, showing: places, show)
        case .parallel: try runParallel(number, pass, from: first, through: last, showing: places, show)
        }
      letGo(of: layers[number]?.matrices ?? [])
      guard goesOn else { return }
    }
  }

  /// From `pass.dResidual`, the gradient at the residual stream behind the last layer, down to the first of `places`.
  func backward(_ pass: PassTensors, at places: Set<Place>, _ record: (Place, Tensor) throws -> Void) rethrows {
    guard let lowest = places.min() else { return }
    let dx = pass.dResidual
    for number in (lowest.layer..<description.layerCount).reversed() {
      let last = number == lowest.layer ? lowest.site : .residPre
      switch description.wiring {
      case .sequential: try backSequential(number, pass, dx: dx, to: last, at: places, record)
      case .parallel: try backParallel(number, pass, dx: dx, to: last, at: places, record)
      }
      letGo(of: layers[number]?.matrices ?? [])
    }
  }

  /// Mapped weights that were read for a few rows alone would stay in memory, all of a checkpoint's in the end.
  private func letGo(of weights: [Matrix]) {
    guard let sharedWeights else { return }
    for matrix in weights where !sharedWeights.contains(matrix.address) { MappedFile.letGo(of: matrix.bytes) }
  }

  /// What waits for each sample's loss and, where asked for, the gradient of their sum at the residual stream behind the
  /// last layer.
  func losses(_ pass: PassTensors, dResidual: Tensor?) -> () -> [Double] {
    let (output, residual) = (output!, pass.residual)
    // The width of a residual row is all that these two need; both are free between the passes.
    let (normalized, dNormalized) = (pass.workspace.normalized, pass.workspace.mlpOutput)
    output.norm.apply(y: normalized, statistics: pass.statistics, x: residual, operations)
    let losses = operations.crossEntropy(
      dx: dResidual == nil ? nil : dNormalized, x: normalized, head: output.head, targets: pass.input.targets,
      softCap: description.logitSoftCap)
    if let dResidual {
      output.norm.backward(
        dx: dResidual, dy: dNormalized, statistics: pass.statistics, x: residual, operations, accumulate: false)
    }
    letGo(of: [output.head])
    return {
      let losses = losses()
      return pass.input.sampleRows.map { losses[$0].reduce(0, +) }
    }
  }
}
