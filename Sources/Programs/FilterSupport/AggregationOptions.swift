import Aggregation
import ArgumentParser
import SystemIO
import TensorStream

/// What is averaged, and how.
public struct AggregationOptions: ParsableArguments {
  @Option(
    help: """
      What to average: gradient, attribution (activation times gradient), activation, or a list of them. With \
      attribution or activation of features, also how often each feature is active. (default: gradient)
      """)
  public var quantity: Quantities?

  @Option(help: "Average absolute values (mean_abs), signed values (mean), or both. (default: mean_abs)")
  public var mode: Modes?

  @Option(
    help: """
      The loss whose gradients are averaged. sum: the loss summed over all predictions. padded: that divided by \
      batch size × (max_length − 1), as in PyTorch scripts that pad every sample. sample: divided by the number of \
      predictions in the sample. batch: by the number in the batch. (default: sum)
      """)
  public var lossReduction: LossReduction?

  @Option(
    help: """
      What counts equally in the average. position: every position. sample: every sample, by the mean over its \
      positions. batch: every batch, by the mean over its positions. (default: position)
      """)
  public var weighting: Weighting?

  @Option(
    help: """
      What standard errors treat as independent: document or sample. (default: document; sample if the samples were \
      shuffled)
      """)
  public var unit: IndependentUnit?

  @Option(
    help: ArgumentHelp(
      "Leave out all positions of each sample before this one; 1 leaves out the first token.", valueName: "n"))
  public var fromPosition: Int?

  public init() {}

  public func validate() throws {
    if let fromPosition, fromPosition < 0 {
      throw ValidationError("--from-position: expected a number of at least 0, found \(fromPosition)")
    }
  }

  /// The first of these flags that was given.
  var firstFlag: String? {
    let given: [(String, Any?)] = [
      ("quantity", quantity), ("mode", mode), ("loss-reduction", lossReduction), ("weighting", weighting),
      ("unit", unit), ("from-position", fromPosition),
    ]
    return given.first { $0.1 != nil }?.0
  }

  /// The choices of the flags, where aggregates are merged those that made them.
  func choices(_ segment: Segment) throws -> AggregationChoices {
    let known = segment.kind == .aggregates ? segment.provenance : [:]
    let modes = try agreed("mode", mode?.modes, known["mode"].map(AggregationChoices.modes(named:)))
    let lossReduction =
      try agreed("loss-reduction", lossReduction, known["loss_reduction"].map(LossReduction.init(rawValue:))) ?? .sum
    let quantities = try agreed(
      "quantity", quantity?.quantities, known["quantity"].map(AggregationChoices.quantities(named:)))
    let isShuffled = segment.provenance["samples.order"] == "shuffled"
    let unit = try agreed("unit", unit, known["standard_errors"].map(IndependentUnit.init(rawValue:)))
    if unit == .document, isShuffled {
      throw Failure(
        .malformed,
        "--unit document: the samples were shuffled, so that those of a document are not consecutive: use "
          + "--unit sample")
    }
    let firstPosition = try agreed(
      "from-position", fromPosition, segment.kind == .aggregates ? .some(Int(known["from_position"] ?? "0")) : nil)
    return AggregationChoices(
      quantities: quantities ?? [.gradient], modes: modes ?? [.meanAbsolute], lossReduction: lossReduction,
      weighting: try agreed("weighting", weighting, known["weighting"].map(Weighting.init(rawValue:))) ?? .position,
      paddedPredictions: lossReduction == .padded
        ? try AggregationChoices.paddedPredictions(of: segment.provenance) : nil,
      unit: unit ?? (isShuffled ? .sample : .document), firstPosition: max(firstPosition ?? 0, 0))
  }

  /// The value of a flag or that of an aggregates stream, which must not contradict each other.
  private func agreed<Value: Equatable>(_ flag: String, _ asked: Value?, _ found: Value??) throws -> Value? {
    guard let found else { return asked }
    guard let found else { throw Failure(.malformed, "begin record: \(flag): an unknown value") }
    guard asked == nil || asked == found else {
      throw Failure(.malformed, "--\(flag): the aggregates were made with another value: rerun without the flag")
    }
    return found
  }
}

/// The values of `--mode`.
public struct Modes: ExpressibleByArgument {
  public static let allValueStrings = [AveragingMode.meanAbsolute, .mean].map(\.names.flag) + ["both"]
  public static let defaultCompletionKind = CompletionKind.list(allValueStrings)

  let modes: Set<AveragingMode>

  public init?(argument: String) {
    guard let modes = AggregationChoices.modes(named: argument) else { return nil }
    self.modes = modes
  }
}

extension LossReduction: ExpressibleByArgument {}
extension Weighting: ExpressibleByArgument {}
extension IndependentUnit: ExpressibleByArgument {}
