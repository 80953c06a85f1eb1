import Glibc
import SystemIO

/// What a process has of a GPU, given back when nothing refers to it any more.
final class Context {
  let driver: Driver
  /// As 90 for compute capability 9.0.
  let architecture: Int32
  /// The card's own name.
  let model: String
  private let device: Int32
  private let context: OpaquePointer?

  /// Retains the context that all users of the GPU in a process share, and makes it this thread's.
  ///
  /// - Parameter name: the device's, for messages.
  /// - Throws: `Failure` of kind unavailable.
  init(_ driver: Driver, _ index: Int, name: String) throws(Failure) {
    self.driver = driver
    var count: Int32 = 0
    try driver.check(driver.countDevices(&count), "cuDeviceGetCount")
    guard index < Int(count) else {
      throw Failure(.unavailable, "\(name): no such GPU: found \(count) GPUs, numbered from 0")
    }
    var device: Int32 = 0
    try driver.check(driver.getDevice(&device, Int32(index)), "cuDeviceGet")
    self.device = device
    var text = [CChar](repeating: 0, count: 256)
    try driver.check(driver.getName(&text, 255, device), "cuDeviceGetName")
    model = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    let (major, minor) = (try driver.attribute(75, of: device), try driver.attribute(76, of: device))
    architecture = 10 * major + minor
    // Threads of one warp wait for one another one by one only from Volta on.
    guard architecture >= 70 else {
      throw Failure(
        .unavailable, "\(name): expected a GPU of compute capability 7.0 or later, found \(major).\(minor)")
    }
    var context: OpaquePointer?
    let status = driver.retainContext(&context, device)
    // CU_DEVICE_ATTRIBUTE_COMPUTE_MODE: CU_COMPUTEMODE_EXCLUSIVE_PROCESS
    if status == Driver.isTaken, try driver.attribute(20, of: device) == 3 {
      throw Failure(
        .unavailable,
        "\(name): another process is using this GPU, and its compute mode (exclusive process) allows only one: run "
          + "one program after another, or have an administrator run nvidia-smi -c DEFAULT")
    }
    try driver.check(status, "cuDevicePrimaryCtxRetain")
    self.context = context
    try driver.check(driver.setContext(context), "cuCtxSetCurrent")
  }

  deinit { _ = driver.releaseContext(device) }

  /// Gives something back, whichever device this thread uses.
  func giveBack(_ body: () -> Void) {
    _ = driver.pushContext(context)
    body()
    var former: OpaquePointer?
    _ = driver.popContext(&former)
  }
}

/// The compiled kernels on a GPU.
final class KernelModule {
  private let context: Context
  private let module: OpaquePointer?
  private var kernels: [String: OpaquePointer] = [:]

  /// Loads what an earlier run has left, else what NVRTC compiles now.
  ///
  /// - Throws: `Failure` of kind unavailable.
  init(_ context: Context, folders: [String]) throws(Failure) {
    self.context = context
    let (driver, architecture) = (context.driver, context.architecture)
    module = try KernelCompiler.first(driver.majorVersions, in: folders) { compiler throws(Failure) in
      let version = compiler.version
      let cache = KernelCache(
        key: "\(version.major).\(version.minor) sm_\(architecture) \(compiler.name)\n\(kernelSource)")
      var module: OpaquePointer?
      if let code = cache.read(), driver.loadModule(&module, code) == 0 { return module }
      // PTX is text, which ends with a zero.
      let code = try compiler.code(kernelSource, for: architecture) + [0]
      try driver.check(driver.loadModule(&module, code), "\(compiler.name): cuModuleLoadData")
      cache.write(code)
      return module
    }
  }

  deinit { context.giveBack { _ = context.driver.unloadModule(module) } }

  /// - Parameter status: 0 where it is there.
  func kernel(_ name: String, _ status: inout Driver.Status) -> OpaquePointer? {
    if let kernel = kernels[name] { return kernel }
    var kernel: OpaquePointer?
    status = context.driver.getFunction(&kernel, module, name)
    if status == 0 { kernels[name] = kernel }
    return kernel
  }
}
