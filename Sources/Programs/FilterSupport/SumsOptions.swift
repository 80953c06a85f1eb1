import Aggregation
import ArgumentParser
import TensorOperations

/// The options of programs that write gradients or, in their place, sums of them.
public struct SumsOptions: ParsableArguments {
  @Flag(
    help: """
      Write partial aggregates instead of gradients, such as grad-aggregate --partial makes of them, for \
      grad-aggregate to merge. Its flags --quantity, --mode, --loss-reduction, --weighting, --unit and --from-position \
      are for it then.
      """)
  public var sums = false

  @OptionGroup(title: "With --sums") public var aggregation: AggregationOptions

  public init() {}

  public func validate() throws {
    if !sums, let flag = aggregation.firstFlag {
      throw ValidationError("--\(flag): expected with --sums, of which it is a choice")
    }
  }

  /// Whether activations are needed beside the gradients.
  public var needsActivations: Bool {
    sums && aggregation.quantity.map { $0.quantities != [.gradient] } ?? false
  }
}
