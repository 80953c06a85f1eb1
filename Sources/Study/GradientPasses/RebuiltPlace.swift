import Decoders
import TensorOperations
import TensorStream

/// A place with an autoencoder, and what comes of it in a group of samples.
final class RebuiltPlace {
  let place: Place
  let autoencoder: AutoencoderOperations
  /// W
  let width: Int
  private var operations: any TensorOperations { autoencoder.operations }
  /// Of all recorded positions of the group, (P,W), and (P,F).
  var gradients: HostTensor { gradientsInTurn.tensor }
  var featureGradients: HostTensor { featureGradientsInTurn.tensor }
  private let gradientsInTurn: OutputTensor
  private let featureGradientsInTurn: OutputTensor
  private var active = ActiveFeatureList()
  private(set) var report = ReconstructionReport()
  /// What each recorded row of the pass was scaled by.
  private let scalings: ReusedTensor
  /// For recorded rows' gradients that are to be scaled.
  private let scaled: ReusedTensor
  /// On the device, over all groups so far, and brought down after each.
  private let sums: Tensor
  private let hostSums = HostTensor()

  /// - Parameter scaled: memory that places use in turn.
  init(_ place: Place, _ autoencoder: AutoencoderOperations, width: Int, scaled: ReusedTensor) {
    (self.place, self.autoencoder, self.width, self.scaled) = (place, autoencoder, width, scaled)
    let operations = autoencoder.operations
    scalings = ReusedTensor(operations)
    gradientsInTurn = OutputTensor(operations)
    featureGradientsInTurn = OutputTensor(operations)
    sums = operations.makeRow(Array(repeating: 0, count: ReconstructionSums.columns(width: width)))
  }

  var features: ActiveFeatures { active.features }

  private func scalings(rows: Int) -> Tensor {
    scalings.tensor(rows: rows, columns: InputNormalization.Scaling.columns)
  }

  /// Makes place for a group's recorded positions.
  func begin(positions: Int, isDense: Bool) {
    active = ActiveFeatureList()
    gradientsInTurn.turn()
    featureGradientsInTurn.turn()
    _ = gradients.resize(positions * width)
    if isDense { _ = featureGradients.resize(positions * autoencoder.autoencoder.features) }
  }

  /// Begins to bring down what was added up.
  func end() {
    operations.startDownload(hostSums.resize(sums.columns), from: sums, rows: nil)
  }

  /// Takes what has come down into the report.
  ///
  /// - Parameters:
  ///   - loss: of the group's samples, with the autoencoder in place where there was a pass with it, and without.
  func report(positions: Int, predictions: Int, loss: Double, replacedLoss: Double?) {
    report.positions += positions
    report.activeFeatures += features.count
    report.sums = ReconstructionSums(
      hostSums.values.withMemoryRebound(to: Double.self) { Array($0) })
    report.predictions += predictions
    report.loss = (report.loss ?? 0) + loss
    if let replacedLoss { report.replacedLoss = (report.replacedLoss ?? 0) + replacedLoss }
  }

  /// Adds rows' features to those of the rows before, and what is rebuilt of them to the report.
  ///
  /// - Parameters:
  ///   - gather: puts some of the rows into a tensor.
  ///   - show: is shown some of the rows as they are rebuilt, valid during the call.
  func rebuild(rows: Int, gather: (Tensor, Range<Int>) -> Void, show: (Range<Int>, Tensor) -> Void = { _, _ in }) {
    autoencoder.rebuild(rows: rows, scalings: scalings(rows: rows), gather: gather) { part, x, rebuilt in
      operations.addReconstruction(to: sums, x: x, rebuilt: rebuilt)
      show(part, rebuilt)
    } take: { [active] in
      active.append($0)
    }
  }

  /// Rebuilds a row in Double, [W], in its place, from the features that were found in Float.
  ///
  /// - Parameter position: which of the group's recorded positions it is; its features have come down.
  func rebuildInDouble(_ row: UnsafeMutablePointer<Double>, recorded position: Int) {
    autoencoder.rebuildInDouble(row, from: features.rows(position..<position + 1).indices)
  }

  /// Keeps the gradients of a pass's recorded rows, in a form that ⟨decoder_i, ·⟩ turns into those of feature i.
  ///
  /// - Parameter first: where those of the pass begin among all of the group.
  func keep(_ gradient: PlaceGradient, rows recorded: [Int32], first: Int) {
    let kept = gradients.mutableValues.baseAddress! + first * width
    guard autoencoder.scalesGradients else { return gradient.startDownload(kept, rows: recorded) }
    let places = gradient.places(of: recorded)
    let (g, own) = (scaled.tensor(rows: places.count, columns: width), scalings(rows: recorded.count))
    gradient.copy(g, rows: places.map { recorded[$0] }, operations)
    guard places.count < recorded.count else {
      autoencoder.scaleGradients(g, scalings: own)
      return operations.startDownload(kept, from: g, rows: nil)
    }
    for (index, place) in places.enumerated() {
      let row = g.rows(index..<index + 1)
      autoencoder.scaleGradients(row, scalings: own.rows(place..<place + 1))
      operations.startDownload(kept + place * width, from: row, rows: nil)
    }
  }

  /// Makes every feature's gradient of what was kept and is there.
  func makeDense(_ rows: Range<Int>) {
    autoencoder.featureGradients(
      featureGradients.mutableValues.baseAddress! + rows.lowerBound * autoencoder.autoencoder.features,
      from: gradients.values.baseAddress! + rows.lowerBound * width, rows: rows.count)
  }
}
