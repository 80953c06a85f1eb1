import Aggregation
import ArgumentParser
import SystemIO
import TensorStream

/// What is averaged, and how.
public struct AggregationOptions: ParsableArguments {
  @Option(
    help: """
      What is averaged: gradient, attribution (activation times gradient), activation, or a list of them; with the \
      last two also how often features fire. (default: gradient)
      """)
  public var quantity: Quantities?

  @Option(help: "The average of |c·g|, of c·g, or both. (default: mean_abs)")
  public var mode: Modes?

  @Option(
    help: """
      sum, padded, sample or batch: c is 1, 1/(batch size × (max_length − 1)) as of scripts that pad every sample, \
      1/predictions of the sample, or 1/predictions of the batch. (default: sum)
      """)
  public var lossReduction: LossReduction?

  @Option(
    help: """
      position, sample or batch: one pool of positions; the mean over a sample's positions, then over samples; the \
      mean over a batch's positions, then over batches. (default: position)
      """)
  public var weighting: Weighting?

  @Option(
    help: """
      document or sample: what standard errors take as independent of one another. (default: document, and sample \
      where samples were shuffled)
      """)
  public var unit: IndependentUnit?

  @Option(help: ArgumentHelp("Leave out the positions of each sample before this one.", valueName: "n"))
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
        "--unit document: the samples were drawn at random, so that a document's do not follow one another: expected "
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
