import Aggregation
import ArgumentParser
import TensorOperations

/// The options of programs that write gradients or, in their place, sums of them.
public struct SumsOptions: ParsableArguments {
  @Flag(
    help: """
      Write sums of the gradients instead of the gradients, as grad-aggregate --partial does. grad-aggregate turns \
      them into averages. The flags under WITH --SUMS are those of grad-aggregate.
      """)
  public var sums = false

  @OptionGroup(title: "With --sums") public var aggregation: AggregationOptions

  public init() {}

  public func validate() throws {
    if !sums, let flag = aggregation.firstFlag {
      throw ValidationError("--\(flag): requires --sums")
    }
  }

  /// Whether activations are needed beside the gradients.
  public var needsActivations: Bool {
    sums && aggregation.quantity.map { $0.quantities != [.gradient] } ?? false
  }
}
