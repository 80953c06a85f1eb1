/// How features come of preactivations p. Comparisons are strict. Of equal preactivations at the edge of the k
/// largest, those of lower index are kept.
public enum Activation: Sendable {
  /// f_i = max(p_i, 0) · [p_i > θ], one θ for all. A θ of 0 or less is a plain relu.
  case threshold(Float)
  /// The same with a θ of each feature's own.
  case thresholds([Float])
  /// The k largest p of a position, then max(·, 0).
  case topK(Int)
  /// The k largest |p| of a position, with their signs.
  case topMagnitudes(Int)
  /// max(p, 0); of each of as many groups of consecutive features, the largest, the first where several are.
  case groupMax(groups: Int)
  /// f_i = [p_i + gateBias_i > 0] · max(magnitudeFactors_i · p_i + magnitudeBias_i, 0).
  case gated(gateBias: [Float], magnitudeFactors: [Float], magnitudeBias: [Float])

  public static let relu = Activation.threshold(0)
}
