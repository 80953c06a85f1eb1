import GradientStatistics

/// c: what a gradient of the summed loss is multiplied with.
public enum LossReduction: String, CaseIterable, Sendable {
  /// 1 / the predictions of the batch, which is the scale of `model(input_ids, labels=input_ids).loss`.
  case batch
  /// 1 / the predictions of the sample.
  case sample
  /// 1
  case sum
}

/// What is averaged first.
public enum Weighting: String, CaseIterable, Sendable {
  /// The mean over a sample's positions, then over samples.
  case sample
  /// One pool of positions.
  case position
  /// The mean over a batch's positions, then over batches.
  case batch
}

/// How gradients are averaged: Σ w·c·g / Σ w, or with |c·g|.
public struct AggregationChoices: Equatable, Sendable {
  public var modes: Set<AveragingMode>
  public var lossReduction: LossReduction
  public var weighting: Weighting

  public init(modes: Set<AveragingMode>, lossReduction: LossReduction, weighting: Weighting) {
    precondition(!modes.isEmpty)
    self.modes = modes
    self.lossReduction = lossReduction
    self.weighting = weighting
  }

  /// `mean_abs`, `mean` or `both`, as `--mode` spells it.
  public var modeName: String { modes.count > 1 ? "both" : modes.first!.rawValue }

  /// Reads what `modeName` writes.
  public static func modes(named name: String) -> Set<AveragingMode>? {
    name == "both" ? Set(AveragingMode.allCases) : AveragingMode(rawValue: name).map { [$0] }
  }
}
