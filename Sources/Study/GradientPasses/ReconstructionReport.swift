import TensorOperations

/// What people check a sparse autoencoder by, over the positions that it rebuilt.
public struct ReconstructionReport: Sendable {
  public internal(set) var positions = 0
  var activeFeatures = 0
  /// Over all of these positions.
  var sums: ReconstructionSums?
  /// The summed loss in nats of the samples, with the autoencoder in place and without; their predictions.
  public internal(set) var replacedLoss: Double?
  public internal(set) var loss: Double?
  public internal(set) var predictions = 0

  /// The same in nats per prediction.
  public var replacedLossPerToken: Double? { perToken(replacedLoss) }
  public var lossPerToken: Double? { perToken(loss) }

  private func perToken(_ loss: Double?) -> Double? { loss.map { $0 / Double(max(predictions, 1)) } }

  /// Active features a position.
  public var meanL0: Double { Double(activeFeatures) / Double(max(positions, 1)) }

  /// 1 − Σ‖x − x̂‖² / Σ‖x − mean x‖²
  public var varianceExplained: Double {
    guard let sums else { return .nan }
    let variance = sums.squaredNorm - sums.sum.reduce(0) { $0 + $1 * $1 } / Double(max(positions, 1))
    return 1 - sums.squaredError / variance
  }
}
