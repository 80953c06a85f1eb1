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

  /// What the first compiler makes that does.
  ///
  /// - Parameters:
  ///   - versions: the major versions of CUDA that may be taken, the best first.
  ///   - use: throws where the compiler does not serve, and the next one is tried.
  /// - Throws: `Failure` of kind unavailable, or what `use` throws of another kind.
  static func first<Use>(
    _ versions: [Int32], in folders: [String], use: (KernelCompiler) throws(Failure) -> Use
  ) throws(Failure) -> Use {
    // That of CUDA 11 is named for the first that it is compatible with.
    let names = versions.map { $0 == 11 ? "libnvrtc.so.11.2" : "libnvrtc.so.\($0)" } + ["libnvrtc.so"]
    return try DynamicLibrary.first(names, in: folders) { library throws(Failure) in
      let compiler = try KernelCompiler(library)
      guard versions.contains(compiler.version.major) else {
        throw Failure(
          .unavailable,
          "\(compiler.name): expected NVRTC of CUDA \(versions[0]) or earlier, because the driver is for CUDA "
            + "\(versions[0]), found \(compiler.version.major).\(compiler.version.minor)")
      }
      return try use(compiler)
    }
  }

  /// The newest of that folder.
  ///
  /// - Throws: `Failure` of kind unavailable.
  public init(folder: String) throws(Failure) {
    self = try Self.first([13, 12, 11], in: [folder]) { compiler throws(Failure) in compiler }
  }

  private init(_ library: DynamicLibrary) throws(Failure) {
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
      throw Failure(.unavailable, "\(name): does not report the GPUs that it compiles for")
    }
    self.architectures = architectures.sorted()
  }

  /// The kernels as code for GPUs of that architecture, or, where this NVRTC is older than the GPU, as PTX that the
  /// driver compiles further.
  ///
  /// - Throws: `Failure` of kind unavailable where the GPU is older than all that is supported, or the compiler lacks what
  ///   it needs; a bug where the kernels do not compile.
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
      throw Failure(.unavailable, "\(name): cannot create a program")
    }
    defer { _ = destroy(&program) }
    let flags = ["--gpu-architecture=\(isExact ? "sm" : "compute")_\(target)", "--std=c++17"]
    let copies = flags.map { strdup($0) }
    defer { for copy in copies { Glibc.free(copy) } }
    var arguments = copies.map { UnsafePointer($0) }
    let status = compile(program, Int32(arguments.count), &arguments)
    guard status == 0 else {
      // NVRTC_ERROR_COMPILATION, which blames the kernels. All others are of the machine, such as a missing
      // libnvrtc-builtins.
      let isOurs = status == 6
      throw Failure(
        isOurs ? .bug : .unavailable,
        "\(name): \(isOurs ? "the kernels do not compile" : "cannot compile, status \(status),") for \(flags[0]): "
          + log(program))
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
    let lines = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    return lines.split(separator: "\n").joined(separator: " ")
  }
}
