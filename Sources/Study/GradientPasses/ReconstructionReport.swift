import TensorStream

/// What people check a sparse autoencoder by, over the positions that it rebuilt.
public struct ReconstructionReport: Sendable {
  public private(set) var positions = 0
  private var activeFeatures = 0
  private var squaredError = 0.0
  private var squaredNorm = 0.0
  private var sum: [Double] = []
  /// The summed loss in nats of the samples, with the autoencoder in place and without; their predictions.
  public internal(set) var replacedLoss: Double?
  public internal(set) var loss: Double?
  public internal(set) var predictions = 0

  /// The same in nats a predicted token.
  public var replacedLossPerToken: Double? { perToken(replacedLoss) }
  public var lossPerToken: Double? { perToken(loss) }

  private func perToken(_ loss: Double?) -> Double? { loss.map { $0 / Double(max(predictions, 1)) } }

  /// Active features a position.
  public var meanL0: Double { Double(activeFeatures) / Double(max(positions, 1)) }

  /// 1 − Σ‖x − x̂‖² / Σ‖x − mean x‖²
  public var varianceExplained: Double {
    let variance = squaredNorm - sum.reduce(0) { $0 + $1 * $1 } / Double(max(positions, 1))
    return 1 - squaredError / variance
  }

  mutating func add(_ x: UnsafePointer<Float>, rebuilt: UnsafePointer<Float>, rows: Int, width: Int, active: Int) {
    if sum.isEmpty { sum = Array(repeating: 0, count: width) }
    for row in 0..<rows {
      for i in 0..<width {
        let (value, error) = (Double(x[row * width + i]), Double(x[row * width + i] - rebuilt[row * width + i]))
        squaredError += error * error
        squaredNorm += value * value
        sum[i] += value
      }
    }
    positions += rows
    activeFeatures += active
  }
}
