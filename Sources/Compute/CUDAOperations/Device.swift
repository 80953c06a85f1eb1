import Glibc
import SystemIO
import TensorOperations

/// One GPU: its memory, its kernels, its products. All work is queued in one order, that of the calls.
///
/// What fails after the start ends the program with a message: nothing goes on without its device.
final class Device {
  /// `cuda:0`
  let name: String
  let products: CuBLAS
  let precision: Precision
  private let context: Context
  private let kernels: KernelModule
  private var driver: Driver { context.driver }
  /// Bytes in use, and the most that were.
  private(set) var used = CuBLAS.workspaceBytes
  private(set) var mostUsed = CuBLAS.workspaceBytes
  /// Forgotten here, where everything is queued that may write to a tensor.
  var magnitudes = KnownMagnitudes()
  /// Memory that was set aside for allocations to come.
  private var promised: [(address: DevicePointer, bytes: Int)] = []
  /// Copies of a product's factors.
  private var rounded: [(address: DevicePointer, capacity: Int)] = [(0, 0), (0, 0)]

  /// - Parameter folders: where the libraries are looked for.
  /// - Throws: `Failure` of kind unavailable that says what is missing.
  init(_ index: Int, precision asked: Precision, folders: LibraryFolders) throws(Failure) {
    name = "cuda:\(index)"
    context = try Context(Driver(folders: folders.driver), index, name: name)
    let precision = asked == .auto ? Precision.measuredBest(architecture: context.architecture) : asked
    self.precision = precision
    guard context.architecture >= precision.oldestArchitecture else {
      throw Failure(
        .unavailable,
        "\(name): products in \(precision.rawValue): expected a GPU of compute capability 8.0 or later, found "
          + KernelCompiler.capability(context.architecture))
    }
    products = try CuBLAS.open(context, precision: precision, folders: folders.toolkit)
    kernels = try KernelModule(context, folders: folders.toolkit)
  }

  deinit {
    context.giveBack {
      for (address, _) in rounded where address != 0 { _ = driver.free(address) }
      for (address, _) in promised { _ = driver.free(address) }
    }
  }

  /// Where a trace is being written.
  private(set) lazy var trace = Trace.current.map { DeviceTrace(self, $0) }

  func finishTrace() {
    trace?.finish()
    trace = nil
  }

  /// The card's own name.
  var model: String { context.model }

  // MARK: - Memory

  /// Bytes that are free on the card, and all that it has.
  var memory: (free: Int, total: Int) {
    var (free, total) = (0, 0)
    demand(driver.getMemory(&free, &total), "cuMemGetInfo")
    return (free, total)
  }

  func allocate(_ bytes: Int) -> DevicePointer {
    var address: DevicePointer = 0
    // What was promised makes room for what it was promised to.
    var released = 0
    while released < bytes, let next = promised.popLast() {
      demand(driver.free(next.address), "cuMemFree")
      released += next.bytes
    }
    var status = driver.allocate(&address, max(bytes, 1))
    if status == Driver.outOfMemory, !promised.isEmpty {
      breakPromises()
      status = driver.allocate(&address, max(bytes, 1))
    }
    if status == Driver.outOfMemory {
      let (free, total) = memory
      stop(
        Failure(
          .outOfMemory,
          "\(name): out of memory: \(bytes) bytes more were needed: this program uses \(used), and \(free) of the GPU's "
            + "\(total) are free; choose fewer layers at a time"))
    }
    demand(status, "cuMemAlloc")
    used += bytes
    mostUsed = max(mostUsed, used)
    return address
  }

  /// Sets memory aside for allocations to come, so that no neighbour takes it before; in place of what was set aside
  /// earlier. They find it whatever their sizes are: a GPU's memory is one of pages.
  ///
  /// - Returns: whether there is as much.
  func promise(_ bytes: Int) -> Bool {
    breakPromises()
    let piece = (bytes + 15) / 16
    for _ in 0..<16 where piece > 0 {
      var address: DevicePointer = 0
      let status = driver.allocate(&address, piece)
      if status == Driver.outOfMemory {
        breakPromises()
        return false
      }
      demand(status, "cuMemAlloc")
      promised.append((address, piece))
    }
    return true
  }

  private func breakPromises() {
    for (address, _) in promised { demand(driver.free(address), "cuMemFree") }
    promised = []
  }

  func release(_ address: DevicePointer, _ bytes: Int) {
    demand(driver.free(address), "cuMemFree")
    magnitudes.release(address..<address + DevicePointer(bytes))
    used -= bytes
  }

  func copy(to destination: DevicePointer, from source: UnsafeRawPointer, bytes: Int) {
    magnitudes.forget(writingAt: destination)
    if bytes > 0 {
      Trace.span("copy up") { demand(driver.copyToDevice(destination, source, bytes), "cuMemcpyHtoD") }
    }
  }

  func copy(to destination: UnsafeMutableRawPointer, from source: DevicePointer, bytes: Int) {
    if bytes > 0 {
      Trace.span("copy down") { demand(driver.copyToHost(destination, source, bytes), "cuMemcpyDtoH") }
    }
  }

  func copy(to destination: DevicePointer, within source: DevicePointer, bytes: Int) {
    magnitudes.forget(writingAt: destination)
    if bytes > 0 { demand(driver.copyWithin(destination, source, bytes), "cuMemcpyDtoD") }
  }

  func clear(_ address: DevicePointer, bytes: Int) {
    magnitudes.forget(writingAt: address)
    if bytes > 0 { demand(driver.fill(address, 0, bytes), "cuMemsetD8") }
  }

  // MARK: - Copies beside the work

  func allocateHost(_ bytes: Int) -> UnsafeMutableRawPointer {
    var address: UnsafeMutableRawPointer?
    let status = driver.allocateHost(&address, bytes)
    if status == Driver.outOfMemory {
      stop(Failure(.outOfMemory, "\(name): out of memory: \(bytes) more bytes of pinned memory were needed"))
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

  func destroyStream(_ stream: OpaquePointer?) { demand(driver.destroyStream(stream), "cuStreamDestroy") }

  func destroyEvent(_ event: OpaquePointer?) { demand(driver.destroyEvent(event), "cuEventDestroy") }

  /// One that tells when it happened.
  func makeTimedEvent() -> OpaquePointer? {
    var event: OpaquePointer?
    demand(driver.createEvent(&event, 0), "cuEventCreate")  // CU_EVENT_DEFAULT
    return event
  }

  /// Seconds from one event to another, both of which have happened.
  func seconds(from begin: OpaquePointer?, to end: OpaquePointer?) -> Double {
    var milliseconds: Float = 0
    demand(driver.getElapsedTime(&milliseconds, begin, end), "cuEventElapsedTime")
    return Double(milliseconds) / 1000
  }

  /// The event happens when what is queued so far is done; on the work's own queue where none is given.
  func record(_ event: OpaquePointer?, on stream: OpaquePointer? = nil) {
    demand(driver.recordEvent(event, stream), "cuEventRecord")
  }

  /// What is queued on `stream` from now on waits for the event; the work's own queue where that is nil.
  func wait(for event: OpaquePointer?, on stream: OpaquePointer?) {
    demand(driver.waitForEvent(stream, event, 0), "cuStreamWaitEvent")
  }

  func wait(for event: OpaquePointer?) {
    Trace.span("wait for \(name)") { demand(driver.synchronizeEvent(event), "cuEventSynchronize") }
  }

  /// - Parameter destination: pinned memory.
  func startCopy(
    to destination: UnsafeMutableRawPointer, from source: DevicePointer, bytes: Int, on stream: OpaquePointer?
  ) {
    traced("copy down", on: stream) {
      demand(driver.beginCopyToHost(destination, source, bytes, stream), "cuMemcpyDtoHAsync")
    }
  }

  /// - Parameter source: pinned memory.
  func startCopy(to destination: DevicePointer, from source: UnsafeRawPointer, bytes: Int, on stream: OpaquePointer?) {
    magnitudes.forget(writingAt: destination)
    traced("copy up", on: stream) {
      demand(driver.beginCopyToDevice(destination, source, bytes, stream), "cuMemcpyHtoDAsync")
    }
  }

  // MARK: - Work

  enum Argument {
    /// Of memory that the kernel may write to.
    case address(DevicePointer)
    /// Of memory that it reads only, where it matters that this is known.
    case source(DevicePointer)
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

  /// Runs a kernel on one thread for every four of `count` elements.
  func run(_ kernel: String, foursOf count: Int, _ arguments: Argument...) {
    let threads = (count + 3) / 4
    run(kernel, blocks: ((threads + Self.blockSize - 1) / Self.blockSize, 1), threads: Self.blockSize, arguments)
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
    var status: Driver.Status = 0
    let function = kernels.kernel(kernel, &status)
    demand(status, "cuModuleGetFunction(\(kernel))")
    for case .address(let address) in arguments { magnitudes.forget(writingAt: address) }
    // Each in eight bytes of its own, of which the kernel reads as many as its parameter has.
    var values = arguments.map { argument in
      switch argument {
      case .address(let address), .source(let address): address
      case .int(let value): UInt64(UInt32(bitPattern: Int32(value)))
      case .long(let value): UInt64(bitPattern: Int64(value))
      case .float(let value): UInt64(value.bitPattern)
      case .double(let value): value.bitPattern
      }
    }
    values.withUnsafeMutableBufferPointer { values in
      var places = values.indices.map { UnsafeMutableRawPointer?(values.baseAddress! + $0) }
      traced(kernel) {
        status = driver.launch(
          function, UInt32(blocks.x), UInt32(blocks.y), 1, UInt32(threads), 1, 1, 0, nil, &places, nil)
      }
    }
    demand(status, kernel)
  }

  /// C(m,n) = A(m,k) · B(k,n), or C += where `accumulate`.
  func multiply(
    _ m: Int, _ n: Int, _ k: Int, _ a: CuBLAS.Operand, _ b: CuBLAS.Operand, accumulate: Bool = false,
    into c: DevicePointer, distance: Int
  ) {
    guard m > 0, n > 0 else { return }
    magnitudes.forget(writingAt: c)
    var (a, b) = (a, b)
    if precision.factors == .bfloat16 {
      a = roundedToBfloat16(a, rows: m, columns: k, slot: 0)
      b = roundedToBfloat16(b, rows: k, columns: n, slot: 1)
    }
    traced("product \(m)x\(n)x\(k)") {
      demandProduct(
        products.multiply(m, n, k, a, b, of: precision.factors, accumulate: accumulate, into: c, distance: distance))
    }
  }

  /// C(m,n) = alpha · A(m,k) · B(k,n), or C += where `accumulate`, of numbers in half precision: see
  /// `CuBLAS.multiplyHalves`.
  func multiplyHalves(
    _ m: Int, _ n: Int, _ k: Int, _ a: CuBLAS.Operand, _ b: CuBLAS.Operand, alpha: DevicePointer, accumulate: Bool,
    one: DevicePointer, into c: DevicePointer, distance: Int
  ) {
    guard m > 0, n > 0 else { return }
    magnitudes.forget(writingAt: c)
    traced("product of halves \(m)x\(n)x\(k)") {
      demandProduct(
        products.multiplyHalves(
          m, n, k, a, b, alpha: alpha, accumulate: accumulate, one: one, into: c, distance: distance))
    }
  }

  private func demandProduct(_ status: Int32) {
    guard status != 0 else { return }
    let isMemory = status == CuBLAS.outOfMemory
    let words = isMemory ? "out of memory, status" : "status"
    stop(Failure(isMemory ? .outOfMemory : .inputOutput, "\(name): cublasGemmEx: \(words) \(status)"))
  }

  /// A copy in bfloat16, until the next one in that slot.
  private func roundedToBfloat16(
    _ operand: CuBLAS.Operand, rows: Int, columns: Int, slot: Int
  ) -> CuBLAS.Operand {
    let (rows, columns) = operand.isTransposed ? (columns, rows) : (rows, columns)
    // Tensor cores want rows at 16 bytes.
    let distance = (columns + 7) / 8 * 8
    let bytes = rows * distance * MemoryLayout<UInt16>.stride
    if bytes > rounded[slot].capacity {
      if rounded[slot].address != 0 { release(rounded[slot].address, rounded[slot].capacity) }
      rounded[slot] = (0, 0)
      rounded[slot] = (allocate(bytes), bytes)
    }
    run(
      "round_to_bfloat16", elements: rows * columns, .address(rounded[slot].address), .address(operand.address),
      .int(columns), .int(distance), .int(operand.distance), .long(rows * columns))
    return CuBLAS.Operand(
      address: rounded[slot].address, distance: distance, isTransposed: operand.isTransposed)
  }

  private func demand(_ status: Driver.Status, _ call: String) {
    guard status != 0 else { return }
    let kind = status == Driver.outOfMemory ? Failure.Kind.outOfMemory : .inputOutput
    stop(Failure(kind, "\(name): \(call): \(driver.message(status))"))
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

  var range: Range<DevicePointer> { address..<address + DevicePointer(capacity) }

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
