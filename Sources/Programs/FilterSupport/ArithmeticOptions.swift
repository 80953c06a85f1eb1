import ArgumentParser
import Decoders

extension Arithmetic: ExpressibleByArgument {}

/// The option of programs that find gradients.
public struct ArithmeticOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      """
      mixed: compute the first positions of a sample in float64 if one of them develops a massive activation, whose gradient \
      float32 cannot represent accurately. float32: compute everything in float32.
      """, valueName: "arithmetic"))
  public var arithmetic: Arithmetic = .mixed

  public init() {}

  /// What streams say of it: nothing of the default.
  public var provenance: [String: String] {
    arithmetic == .mixed ? [:] : ["arithmetic": arithmetic.rawValue]
  }
}
