import Glibc
import SystemIO
import TensorOperations

/// One GPU: its memory, its kernels, its products. All work is queued in one order, that of the calls.
///
/// What fails after the start ends the program with a message: nothing goes on without its device.
final class Device {
  /// `cuda:0`
  let name: String
  /// The card's own name.
  let model: String
  /// As 90 for compute capability 9.0.
  let architecture: Int32
  let products: CuBLAS
  private let driver: Driver
  private let context: OpaquePointer?
  private var kernels: [String: OpaquePointer] = [:]
  private var kernelModule: OpaquePointer?
  /// Bytes in use, and the most that were.
  private var used = 0
  private(set) var mostUsed = 0

  /// - Parameter folder: the only place where the libraries are looked for; nil where the system keeps them.
  /// - Throws: `Failure` of kind unavailable that says what is missing.
  init(_ index: Int, precision: Precision, folder: String?) throws(Failure) {
    name = "cuda:\(index)"
    driver = try Driver(folder: folder)
    var count: Int32 = 0
    try driver.check(driver.countDevices(&count), "cuDeviceGetCount")
    guard index < Int(count) else {
      throw Failure(.unavailable, "\(name): expected a device below \(count), which is how many there are")
    }
    var device: Int32 = 0
    try driver.check(driver.getDevice(&device, Int32(index)), "cuDeviceGet")
    var text = [CChar](repeating: 0, count: 256)
    try driver.check(driver.getName(&text, 255, device), "cuDeviceGetName")
    model = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    var (major, minor): (Int32, Int32) = (0, 0)
    try driver.check(driver.getAttribute(&major, 75, device), "cuDeviceGetAttribute")
    try driver.check(driver.getAttribute(&minor, 76, device), "cuDeviceGetAttribute")
    architecture = 10 * major + minor
    var context: OpaquePointer?
    try driver.check(driver.retainContext(&context, device), "cuDevicePrimaryCtxRetain")
    self.context = context
    try driver.check(driver.setContext(context), "cuCtxSetCurrent")
    products = try CuBLAS(folder: folder, precision: precision)
    kernelModule = try loadKernels(KernelCompiler(folder: folder))
  }

  private func loadKernels(_ compiler: KernelCompiler) throws(Failure) -> OpaquePointer? {
    let source = kernelSource
    let cache = KernelCache(
      key: "\(compiler.version.major).\(compiler.version.minor) sm_\(architecture) \(compiler.name)\n\(source)")
    var module: OpaquePointer?
    if let code = cache.read(), driver.loadModule(&module, code) == 0 { return module }
    // PTX is text, which ends with a zero.
    let code = try compiler.code(source, for: architecture) + [0]
    try driver.check(driver.loadModule(&module, code), "cuModuleLoadData")
    cache.write(code)
    return module
  }

  // MARK: - Memory

  /// Bytes that are free on the card, and all that it has.
  var memory: (free: Int, total: Int) {
    var (free, total) = (0, 0)
    demand(driver.getMemory(&free, &total), "cuMemGetInfo")
    return (free, total)
  }

  func allocate(_ bytes: Int) -> DevicePointer {
    var address: DevicePointer = 0
    let status = driver.allocate(&address, max(bytes, 1))
    if status == Driver.outOfMemory {
      let (free, total) = memory
      stop(
        Failure(
          .outOfMemory,
          "\(name): out of memory: \(bytes) bytes more were needed: \(used) are in use, \(free) of \(total) are free; "
            + "fewer layers at a time need less"))
    }
    demand(status, "cuMemAlloc")
    used += bytes
    mostUsed = max(mostUsed, used)
    return address
  }

  func release(_ address: DevicePointer, _ bytes: Int) {
    demand(driver.free(address), "cuMemFree")
    used -= bytes
  }

  func copy(to destination: DevicePointer, from source: UnsafeRawPointer, bytes: Int) {
    if bytes > 0 { demand(driver.copyToDevice(destination, source, bytes), "cuMemcpyHtoD") }
  }

  func copy(to destination: UnsafeMutableRawPointer, from source: DevicePointer, bytes: Int) {
    if bytes > 0 { demand(driver.copyToHost(destination, source, bytes), "cuMemcpyDtoH") }
  }

  func copy(to destination: DevicePointer, within source: DevicePointer, bytes: Int) {
    if bytes > 0 { demand(driver.copyWithin(destination, source, bytes), "cuMemcpyDtoD") }
  }

  func clear(_ address: DevicePointer, bytes: Int) {
    if bytes > 0 { demand(driver.fill(address, 0, bytes), "cuMemsetD8") }
  }

  // MARK: - Copies beside the work

  func allocateHost(_ bytes: Int) -> UnsafeMutableRawPointer {
    var address: UnsafeMutableRawPointer?
    let status = driver.allocateHost(&address, bytes)
    if status == Driver.outOfMemory {
      stop(Failure(.outOfMemory, "\(name): out of memory: \(bytes) bytes of pinned memory more were needed"))
    }
    demand(status, "cuMemAllocHost")
    return address!
  }

  func releaseHost(_ address: UnsafeMutableRawPointer) { demand(driver.freeHost(address), "cuMemFreeHost") }

  /// A queue of its own, which does not wait for that of the work.
  func makeStream() -> OpaquePointer? {
    var stream: OpaquePointer?
    demand(driver.createStream(&stream, 1), "cuStreamCreate")  // CU_STREAM_NON_BLOCKING
    return stream
  }

  func makeEvent() -> OpaquePointer? {
    var event: OpaquePointer?
    demand(driver.createEvent(&event, 2), "cuEventCreate")  // CU_EVENT_DISABLE_TIMING
    return event
  }

  /// The event happens when what is queued so far is done; on the work's own queue where none is given.
  func record(_ event: OpaquePointer?, on stream: OpaquePointer? = nil) {
    demand(driver.recordEvent(event, stream), "cuEventRecord")
  }

  /// What is queued on `stream` from now on waits for the event; the work's own queue where that is nil.
  func wait(for event: OpaquePointer?, on stream: OpaquePointer?) {
    demand(driver.waitForEvent(stream, event, 0), "cuStreamWaitEvent")
  }

  func wait(for event: OpaquePointer?) { demand(driver.synchronizeEvent(event), "cuEventSynchronize") }

  /// - Parameter destination: pinned memory.
  func startCopy(
    to destination: UnsafeMutableRawPointer, from source: DevicePointer, bytes: Int, on stream: OpaquePointer?
  ) {
    demand(driver.beginCopyToHost(destination, source, bytes, stream), "cuMemcpyDtoHAsync")
  }

  /// - Parameter source: pinned memory.
  func startCopy(to destination: DevicePointer, from source: UnsafeRawPointer, bytes: Int, on stream: OpaquePointer?) {
    demand(driver.beginCopyToDevice(destination, source, bytes, stream), "cuMemcpyHtoDAsync")
  }

  // MARK: - Work

  enum Argument {
    case address(DevicePointer)
    case int(Int)
    case long(Int)
    case float(Float)
    case double(Double)
  }

  /// Threads of a block, where the kernel does not want another number.
  static let blockSize = 256

  /// Runs a kernel on one thread for each of `count` elements.
  func run(_ kernel: String, elements count: Int, _ arguments: Argument...) {
    run(kernel, blocks: ((count + Self.blockSize - 1) / Self.blockSize, 1), threads: Self.blockSize, arguments)
  }

  /// Runs a kernel on one block for each of `count` rows.
  func run(_ kernel: String, rows count: Int, _ arguments: Argument...) {
    run(kernel, rows: count, arguments)
  }

  func run(_ kernel: String, rows count: Int, _ arguments: [Argument]) {
    run(kernel, blocks: (count, 1), threads: Self.blockSize, arguments)
  }

  func run(_ kernel: String, blocks: (x: Int, y: Int), threads: Int, _ arguments: [Argument]) {
    guard blocks.x > 0, blocks.y > 0 else { return }
    if kernels[kernel] == nil {
      var function: OpaquePointer?
      demand(driver.getFunction(&function, kernelModule, kernel), "cuModuleGetFunction(\(kernel))")
      kernels[kernel] = function
    }
    // Each in eight bytes of its own, of which the kernel reads as many as its parameter has.
    var values = arguments.map { argument in
      switch argument {
      case .address(let address): address
      case .int(let value): UInt64(UInt32(bitPattern: Int32(value)))
      case .long(let value): UInt64(bitPattern: Int64(value))
      case .float(let value): UInt64(value.bitPattern)
      case .double(let value): value.bitPattern
      }
    }
    let status = values.withUnsafeMutableBufferPointer { values in
      var places = values.indices.map { UnsafeMutableRawPointer?(values.baseAddress! + $0) }
      return driver.launch(
        kernels[kernel]!, UInt32(blocks.x), UInt32(blocks.y), 1, UInt32(threads), 1, 1, 0, nil, &places, nil)
    }
    demand(status, kernel)
  }

  /// C(m,n) = A(m,k) · B(k,n), or C += where `accumulate`.
  func multiply(
    _ m: Int, _ n: Int, _ k: Int, _ a: CuBLAS.Operand, _ b: CuBLAS.Operand, accumulate: Bool = false,
    into c: DevicePointer, distance: Int
  ) {
    guard m > 0, n > 0 else { return }
    demandProduct(products.multiply(m, n, k, a, b, accumulate: accumulate, into: c, distance: distance))
  }

  /// C(m,n) = alpha · A(m,k) · B(k,n), or C += where `accumulate`, of numbers in half precision: see
  /// `CuBLAS.multiplyHalves`.
  func multiplyHalves(
    _ m: Int, _ n: Int, _ k: Int, _ a: CuBLAS.Operand, _ b: CuBLAS.Operand, alpha: DevicePointer, accumulate: Bool,
    one: DevicePointer, into c: DevicePointer, distance: Int
  ) {
    guard m > 0, n > 0 else { return }
    demandProduct(
      products.multiplyHalves(
        m, n, k, a, b, alpha: alpha, accumulate: accumulate, one: one, into: c, distance: distance))
  }

  private func demandProduct(_ status: Int32) {
    if status != 0 { stop(Failure(.inputOutput, "\(name): cublasGemmEx: status \(status)")) }
  }

  private func demand(_ status: Driver.Status, _ call: String) {
    if status != 0 { stop(Failure(.inputOutput, "\(name): \(call): \(driver.message(status))")) }
  }
}

/// Memory of a device, given back when nothing refers to it any more.
final class DeviceMemory {
  private(set) var address: DevicePointer
  private var capacity: Int
  private let device: Device

  init(_ device: Device, bytes: Int) {
    self.device = device
    capacity = bytes
    address = device.allocate(bytes)
  }

  deinit { device.release(address, capacity) }

  /// Grows to at least `bytes`; the contents are lost where it does.
  func reserve(_ bytes: Int) -> DevicePointer {
    if bytes > capacity {
      device.release(address, capacity)
      capacity = bytes
      address = device.allocate(bytes)
    }
    return address
  }
}
