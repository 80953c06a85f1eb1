import ArgumentParser
import CUDAOperations
import SystemIO
import TensorOperations

/// Where the tensor operations run.
public enum DeviceChoice: ExpressibleByArgument, Equatable, Sendable {
  case auto, cpu
  /// One of the GPUs, from 0.
  case cuda(Int)

  public init?(argument: String) {
    switch argument {
    case "auto": self = .auto
    case "cpu": self = .cpu
    case "cuda": self = .cuda(0)
    default:
      let parts = argument.split(separator: ":", omittingEmptySubsequences: false)
      guard parts.count == 2, parts[0] == "cuda", (1...3).contains(parts[1].utf8.count),
        parts[1].utf8.allSatisfy({ (0x30...0x39).contains($0) }), let index = Int(parts[1])
      else { return nil }
      self = .cuda(index)
    }
  }

  public var defaultValueDescription: String { "auto" }

  /// As the flag has it.
  public var flag: String {
    switch self {
    case .auto: "auto"
    case .cpu: "cpu"
    case .cuda(let index): "cuda:\(index)"
    }
  }

  public static let allValueStrings = ["auto", "cpu", "cuda", "cuda:N"]
  public static let defaultCompletionKind = CompletionKind.list(["auto", "cpu", "cuda"])
}

extension Precision: ExpressibleByArgument {}

/// The options of programs that compute.
public struct ComputeOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Where to compute: cpu, cuda, cuda:N for one of several GPUs, or auto (cuda if it works, otherwise cpu).",
      valueName: "device"))
  public var device: DeviceChoice = .auto

  @Option(
    help: ArgumentHelp(
      """
      How a GPU multiplies matrices. float32: in float32. split: as exactly, but on tensor cores. auto: split \
      where it was measured to be faster, otherwise float32. tf32, bf16: factors are rounded to that.
      """,
      valueName: "precision"))
  public var precision: Precision = .auto

  @Option(help: "How many threads to compute with. (default: the number of cores that this process may use)")
  public var threads: Int?

  @Flag(
    help: """
      Continue when a number is NaN or infinite. Otherwise the program stops and names the place where it found one.
      """)
  public var allowNonfinite = false

  @Option(
    help: ArgumentHelp(
      "Record when each thread and the GPU was busy with what, in a trace file for ui.perfetto.dev.", valueName: "file"),
    completion: .file())
  public var trace: String?

  public init() {}

  public func validate() throws {
    if let threads, !(1...1024).contains(threads) {
      throw ValidationError("--threads: expected a number from 1 to 1024, found \(threads)")
    }
    if device == .cpu, !isForProcessors {
      throw ValidationError("--precision: expected auto or float32 with --device cpu, found \(precision.rawValue)")
    }
  }

  /// The thread count asked for, else the cores this process may use.
  public var threadCount: Int { threads ?? availableCores() }

  /// The tensor operations where they were asked for. Says where that is.
  ///
  /// - Throws: `Failure` of kind unavailable that says what is missing of the device asked for.
  public func makeOperations(_ messages: MessageOptions) throws -> any TensorOperations {
    try beginTrace()
    let (operations, reason) = try chosenOperations()
    let words = operations.description + (reason.map { " (no GPU: \($0))" } ?? "")
    if !messages.quiet { complain("device: \(words)") }
    FactWriter.write(.device(printable(words)))
    return operations
  }

  /// Begins the trace that was asked for, where it has not begun: for who does work before there are operations.
  public func beginTrace() throws {
    if let trace, Trace.current == nil { try Trace.begin(path: trace) }
  }

  /// Where a program with these options computes: the value of `--device` that leads there, and what tells its numbers
  /// from those of another kind of device.
  ///
  /// - Throws: as `makeOperations` does.
  public func resolvedDevice() throws -> (flag: String, identity: String) {
    // What needs no look at a GPU takes none, which would be a second.
    if device == .cpu || device == .auto && isForProcessors && !CUDAOperations.isDriverThere {
      return ("cpu", "cpu")
    }
    let operations = try chosenOperations().0
    guard operations is CUDAOperations else { return ("cpu", "cpu") }
    return (device == .auto ? "cuda:0" : device.flag, operations.description)
  }

  /// Where programs with these options are to compute that run on other machines, whose GPUs cannot be looked at here:
  /// on the processor unless the flag names a GPU.
  ///
  /// - Throws: `Failure` of kind usage for a precision that only GPUs have, without one.
  public func deviceElsewhere() throws(Failure) -> (flag: String, identity: String) {
    if case .cuda = device { return (device.flag, "cuda") }
    guard isForProcessors else {
      throw Failure(.usage, "--precision \(precision.rawValue): requires --device cuda")
    }
    return ("cpu", "cpu")
  }

  /// - Returns: also why a GPU that seems to be there is not used.
  private func chosenOperations() throws -> (any TensorOperations, String?) {
    switch device {
    case .cpu: return (try CPUOperations(threads: threadCount), nil)
    case .cuda(let index):
      do { return (try CUDAOperations(device: index, precision: precision), nil) } catch {
        throw error.at("--device cuda")
      }
    case .auto:
      do { return (try CUDAOperations(precision: precision), nil) } catch {
        guard isForProcessors else { throw error.at("--precision \(precision.rawValue)") }
        let reason = CUDAOperations.isDriverThere ? error.description : nil
        return (try CPUOperations(threads: threadCount), reason)
      }
    }
  }

  /// The same on the processor, which `flag` asks for.
  ///
  /// - Throws: `Failure` of kind usage for a precision that only GPUs have.
  func onProcessor(_ flag: String) throws(Failure) -> ComputeOptions {
    guard isForProcessors else {
      throw Failure(.usage, "\(flag): expected --precision auto or float32, found \(precision.rawValue)")
    }
    var options = self
    options.device = .cpu
    return options
  }

  /// What goes into a stream's provenance: nothing, where numbers are those of the processor but for rounding.
  public var provenance: [String: String] {
    [.auto, .float32, .split].contains(precision) ? [:] : ["precision": precision.rawValue]
  }

  /// Whether a processor computes so, too.
  private var isForProcessors: Bool { [.auto, .float32].contains(precision) }

  /// Ends what was begun with the device: says how much of a GPU's memory was in use at most, and ends the trace.
  public func finish(_ operations: (any TensorOperations)?, _ messages: MessageOptions) throws {
    if let report = operations?.memoryReport { messages.note(report) }
    (operations as? CUDAOperations)?.finishTrace()
    try Trace.finish()
  }
}
