import Glibc
import SystemIO

/// NVRTC, which compiles the kernels for the GPU that is there.
public struct KernelCompiler {
  private typealias Program = OpaquePointer
  private typealias Status = Int32

  /// As it was found, and its version.
  let name: String
  let version: (major: Int32, minor: Int32)
  /// The architectures that it knows, 90 for sm_90, ascending.
  public let architectures: [Int32]

  private let create:
    @convention(c) (
      UnsafeMutablePointer<Program?>, UnsafePointer<CChar>, UnsafePointer<CChar>, Int32, OpaquePointer?, OpaquePointer?
    ) -> Status
  private let destroy: @convention(c) (UnsafeMutablePointer<Program?>) -> Status
  private let compile: @convention(c) (Program?, Int32, UnsafeMutablePointer<UnsafePointer<CChar>?>) -> Status
  private let getLogSize: @convention(c) (Program?, UnsafeMutablePointer<Int>) -> Status
  private let getLog: @convention(c) (Program?, UnsafeMutablePointer<CChar>) -> Status
  private let getBinarySize: @convention(c) (Program?, UnsafeMutablePointer<Int>) -> Status
  private let getBinary: @convention(c) (Program?, UnsafeMutablePointer<CChar>) -> Status
  private let getAssemblySize: @convention(c) (Program?, UnsafeMutablePointer<Int>) -> Status
  private let getAssembly: @convention(c) (Program?, UnsafeMutablePointer<CChar>) -> Status

  /// - Parameter folder: where the library is; nil where the system keeps it.
  /// - Throws: `Failure` of kind unavailable.
  public init(folder: String?) throws(Failure) {
    let library = try DynamicLibrary(
      ["libnvrtc.so", "libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so.11.2"], folder: folder)
    name = library.name
    create = try library.function("nvrtcCreateProgram")
    destroy = try library.function("nvrtcDestroyProgram")
    compile = try library.function("nvrtcCompileProgram")
    getLogSize = try library.function("nvrtcGetProgramLogSize")
    getLog = try library.function("nvrtcGetProgramLog")
    getBinarySize = try library.function("nvrtcGetCUBINSize")
    getBinary = try library.function("nvrtcGetCUBIN")
    getAssemblySize = try library.function("nvrtcGetPTXSize")
    getAssembly = try library.function("nvrtcGetPTX")
    typealias GetVersion = @convention(c) (UnsafeMutablePointer<Int32>, UnsafeMutablePointer<Int32>) -> Status
    typealias GetNumber = @convention(c) (UnsafeMutablePointer<Int32>) -> Status
    var (major, minor, count): (Int32, Int32, Int32) = (0, 0, 0)
    guard try library.function("nvrtcVersion", as: GetVersion.self)(&major, &minor) == 0, (major, minor) >= (11, 8),
      try library.function("nvrtcGetNumSupportedArchs", as: GetNumber.self)(&count) == 0, count > 0
    else { throw Failure(.unavailable, "\(name): expected NVRTC 11.8 or later, found \(major).\(minor)") }
    version = (major, minor)
    var architectures = [Int32](repeating: 0, count: Int(count))
    guard try library.function("nvrtcGetSupportedArchs", as: GetNumber.self)(&architectures) == 0 else {
      throw Failure(.unavailable, "\(name): cannot say for which GPUs it compiles")
    }
    self.architectures = architectures.sorted()
  }

  /// The kernels as code for GPUs of that architecture, or, where this NVRTC is older than the GPU, as PTX that the
  /// driver compiles further.
  ///
  /// - Throws: `Failure` of kind unavailable where the GPU is older than all that is supported; a bug where the
  ///   kernels do not compile.
  public func code(_ source: String, for architecture: Int32) throws(Failure) -> [UInt8] {
    guard let target = architectures.last(where: { $0 <= architecture }) else {
      throw Failure(
        .unavailable,
        "\(name): expected a GPU of compute capability \(Self.capability(architectures[0])) or later, "
          + "found \(Self.capability(architecture))")
    }
    let isExact = target == architecture
    var program: Program?
    guard create(&program, source, "kernels.cu", 0, nil, nil) == 0 else {
      throw Failure(.unavailable, "\(name): cannot begin a program")
    }
    defer { _ = destroy(&program) }
    let flags = ["--gpu-architecture=\(isExact ? "sm" : "compute")_\(target)", "--std=c++17"]
    let copies = flags.map { strdup($0) }
    defer { for copy in copies { Glibc.free(copy) } }
    var arguments = copies.map { UnsafePointer($0) }
    guard compile(program, Int32(arguments.count), &arguments) == 0 else {
      throw Failure(.bug, "\(name): the kernels do not compile for \(flags[0]): \(log(program))")
    }
    let (size, get) = isExact ? (getBinarySize, getBinary) : (getAssemblySize, getAssembly)
    var count = 0
    guard size(program, &count) == 0, count > 0 else { throw Failure(.unavailable, "\(name): no code for \(flags[0])") }
    var code = [CChar](repeating: 0, count: count)
    guard get(program, &code) == 0 else { throw Failure(.unavailable, "\(name): no code for \(flags[0])") }
    return code.map { UInt8(bitPattern: $0) }
  }

  static func capability(_ architecture: Int32) -> String { "\(architecture / 10).\(architecture % 10)" }

  private func log(_ program: Program?) -> String {
    var count = 0
    guard getLogSize(program, &count) == 0, count > 1 else { return "no reason given" }
    var text = [CChar](repeating: 0, count: count)
    _ = getLog(program, &text)
    return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}
