import ArgumentParser
import Decoders
import SystemIO
import TensorOperations

extension Arithmetic: ExpressibleByArgument {}

/// The option of programs that find gradients.
public struct ArithmeticOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      """
      mixed: compute the first positions of a sample in float64 if one of them develops a massive activation, whose gradient \
      float32 cannot represent accurately. float32: compute everything in float32. float64: compute the model in \
      float64, from the tokens on, on the processor.
      """, valueName: "arithmetic"))
  public var arithmetic: Arithmetic = .mixed

  public init() {}

  /// Where to compute: float64 leaves the processor alone of what was asked for.
  ///
  /// - Throws: `Failure` of kind usage where that is a GPU: its kernels compute in float32.
  public func devices(_ compute: ComputeOptions) throws(Failure) -> ComputeOptions {
    guard arithmetic == .float64 else { return compute }
    if case .cuda = compute.device {
      throw Failure(
        .usage,
        "--arithmetic float64: expected --device cpu or auto, found \(compute.device.flag): GPUs compute in float32")
    }
    return try compute.onProcessor("--arithmetic float64")
  }

  /// What the model computes with, beside autoencoders that do so with `operations`.
  public func modelOperations(_ operations: any TensorOperations, _ compute: ComputeOptions) throws
    -> any PassOperations
  {
    arithmetic == .float64 ? try DoubleOperations.forWholePasses(threads: compute.threadCount) : operations
  }

  /// What streams say of it: nothing of the default.
  public var provenance: [String: String] {
    arithmetic == .mixed ? [:] : ["arithmetic": arithmetic.rawValue]
  }
}
