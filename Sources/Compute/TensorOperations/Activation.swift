/// How features come of preactivations p. Comparisons are strict. Of equal preactivations at the edge of the k
/// largest, those of lower index are kept.
///
/// `Numbers` is what holds a number of each feature: an array, or a tensor where a device computes.
public enum ActivationRule<Numbers> {
  /// f_i = max(p_i, 0) · [p_i > θ], one θ for all. A θ of 0 or less is a plain relu.
  case threshold(Float)
  /// The same with a θ of each feature's own.
  case thresholds(Numbers)
  /// The k largest p of a position, then max(·, 0).
  case topK(Int)
  /// The k largest |p| of a position, with their signs.
  case topMagnitudes(Int)
  /// max(p, 0); of each of as many groups of consecutive features, the largest, the first where several are.
  case groupMax(groups: Int)
  /// f_i = [p_i + gateBias_i > 0] · max(magnitudeFactors_i · p_i + magnitudeBias_i, 0).
  case gated(gateBias: Numbers, magnitudeFactors: Numbers, magnitudeBias: Numbers)

  public static var relu: Self { .threshold(0) }

  /// Of `features` features at most so many of a position are active.
  public func mostActive(of features: Int) -> Int {
    switch self {
    case .threshold, .thresholds, .gated: features
    case .topK(let k), .topMagnitudes(let k): min(k, features)
    case .groupMax(let groups): groups
    }
  }
}

extension ActivationRule: Sendable where Numbers: Sendable {}

public typealias Activation = ActivationRule<[Float]>

extension Activation {
  /// The same rule with its numbers on a device.
  public func placed(on operations: any PassOperations) -> ActivationRule<Tensor> {
    switch self {
    case .threshold(let threshold): .threshold(threshold)
    case .thresholds(let thresholds): .thresholds(operations.makeRow(thresholds))
    case .topK(let k): .topK(k)
    case .topMagnitudes(let k): .topMagnitudes(k)
    case .groupMax(let groups): .groupMax(groups: groups)
    case .gated(let gateBias, let magnitudeFactors, let magnitudeBias):
      .gated(
        gateBias: operations.makeRow(gateBias), magnitudeFactors: operations.makeRow(magnitudeFactors),
        magnitudeBias: operations.makeRow(magnitudeBias))
    }
  }
}
