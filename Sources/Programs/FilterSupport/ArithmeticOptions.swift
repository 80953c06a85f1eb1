import ArgumentParser
import Decoders

extension Arithmetic: ExpressibleByArgument {}

/// The option of programs that find gradients.
public struct ArithmeticOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "mixed: the first positions of a sample in float64 where one of them is on its way to a massive activation, whose "
        + "gradient float32 cannot give; or float32 throughout.", valueName: "arithmetic"))
  public var arithmetic: Arithmetic = .mixed

  public init() {}

  /// What streams say of it: nothing of the default.
  public var provenance: [String: String] {
    arithmetic == .mixed ? [:] : ["arithmetic": arithmetic.rawValue]
  }
}
