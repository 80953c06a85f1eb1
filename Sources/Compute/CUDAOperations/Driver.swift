import SystemIO

/// An address in a GPU's memory.
typealias DevicePointer = UInt64

/// What is used of the driver, libcuda.
struct Driver {
  typealias Status = Int32

  static let names = ["libcuda.so.1", "libcuda.so"]

  /// CUDA 11.8, the oldest toolkit whose libraries this package is written for, as the driver counts.
  static let oldestVersion: Int32 = 11080

  let getErrorString: @convention(c) (Status, UnsafeMutablePointer<UnsafePointer<CChar>?>) -> Status
  let initialize: @convention(c) (UInt32) -> Status
  let getVersion: @convention(c) (UnsafeMutablePointer<Int32>) -> Status
  let countDevices: @convention(c) (UnsafeMutablePointer<Int32>) -> Status
  let getDevice: @convention(c) (UnsafeMutablePointer<Int32>, Int32) -> Status
  let getName: @convention(c) (UnsafeMutablePointer<CChar>, Int32, Int32) -> Status
  let getAttribute: @convention(c) (UnsafeMutablePointer<Int32>, Int32, Int32) -> Status
  let retainContext: @convention(c) (UnsafeMutablePointer<OpaquePointer?>, Int32) -> Status
  let setContext: @convention(c) (OpaquePointer?) -> Status
  let getMemory: @convention(c) (UnsafeMutablePointer<Int>, UnsafeMutablePointer<Int>) -> Status
  let allocate: @convention(c) (UnsafeMutablePointer<DevicePointer>, Int) -> Status
  let free: @convention(c) (DevicePointer) -> Status
  let copyToDevice: @convention(c) (DevicePointer, UnsafeRawPointer, Int) -> Status
  let copyToHost: @convention(c) (UnsafeMutableRawPointer, DevicePointer, Int) -> Status
  let copyWithin: @convention(c) (DevicePointer, DevicePointer, Int) -> Status
  let fill: @convention(c) (DevicePointer, UInt8, Int) -> Status
  let allocateHost: @convention(c) (UnsafeMutablePointer<UnsafeMutableRawPointer?>, Int) -> Status
  let freeHost: @convention(c) (UnsafeMutableRawPointer) -> Status
  let beginCopyToHost: @convention(c) (UnsafeMutableRawPointer, DevicePointer, Int, OpaquePointer?) -> Status
  let beginCopyToDevice: @convention(c) (DevicePointer, UnsafeRawPointer, Int, OpaquePointer?) -> Status
  let createStream: @convention(c) (UnsafeMutablePointer<OpaquePointer?>, UInt32) -> Status
  let createEvent: @convention(c) (UnsafeMutablePointer<OpaquePointer?>, UInt32) -> Status
  let recordEvent: @convention(c) (OpaquePointer?, OpaquePointer?) -> Status
  let waitForEvent: @convention(c) (OpaquePointer?, OpaquePointer?, UInt32) -> Status
  let synchronizeEvent: @convention(c) (OpaquePointer?) -> Status
  let loadModule: @convention(c) (UnsafeMutablePointer<OpaquePointer?>, UnsafeRawPointer) -> Status
  let getFunction: @convention(c) (UnsafeMutablePointer<OpaquePointer?>, OpaquePointer?, UnsafePointer<CChar>) -> Status
  let launch:
    @convention(c) (
      OpaquePointer?, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, OpaquePointer?,
      UnsafeMutablePointer<UnsafeMutableRawPointer?>?, UnsafeMutablePointer<UnsafeMutableRawPointer?>?
    ) -> Status

  /// - Throws: `Failure` of kind unavailable.
  init(folder: String?) throws(Failure) {
    let library = try DynamicLibrary(Self.names, folder: folder)
    getErrorString = try library.function("cuGetErrorString")
    initialize = try library.function("cuInit")
    getVersion = try library.function("cuDriverGetVersion")
    countDevices = try library.function("cuDeviceGetCount")
    getDevice = try library.function("cuDeviceGet")
    getName = try library.function("cuDeviceGetName")
    getAttribute = try library.function("cuDeviceGetAttribute")
    retainContext = try library.function("cuDevicePrimaryCtxRetain")
    setContext = try library.function("cuCtxSetCurrent")
    getMemory = try library.function("cuMemGetInfo_v2")
    allocate = try library.function("cuMemAlloc_v2")
    free = try library.function("cuMemFree_v2")
    copyToDevice = try library.function("cuMemcpyHtoD_v2")
    copyToHost = try library.function("cuMemcpyDtoH_v2")
    copyWithin = try library.function("cuMemcpyDtoD_v2")
    fill = try library.function("cuMemsetD8_v2")
    allocateHost = try library.function("cuMemAllocHost_v2")
    freeHost = try library.function("cuMemFreeHost")
    beginCopyToHost = try library.function("cuMemcpyDtoHAsync_v2")
    beginCopyToDevice = try library.function("cuMemcpyHtoDAsync_v2")
    createStream = try library.function("cuStreamCreate")
    createEvent = try library.function("cuEventCreate")
    recordEvent = try library.function("cuEventRecord")
    waitForEvent = try library.function("cuStreamWaitEvent")
    synchronizeEvent = try library.function("cuEventSynchronize")
    loadModule = try library.function("cuModuleLoadData")
    getFunction = try library.function("cuModuleGetFunction")
    launch = try library.function("cuLaunchKernel")
    try check(initialize(0), "cuInit")
    var version: Int32 = 0
    try check(getVersion(&version), "cuDriverGetVersion")
    guard version >= Self.oldestVersion else {
      throw Failure(
        .unavailable,
        "\(library.name): expected a driver for CUDA 11.8 or later, found one for \(version / 1000).\(version % 1000 / 10)"
      )
    }
  }

  func message(_ status: Status) -> String {
    var text: UnsafePointer<CChar>?
    _ = getErrorString(status, &text)
    return text.map { String(cString: $0) } ?? "error \(status)"
  }

  func check(_ status: Status, _ call: String) throws(Failure) {
    guard status == 0 else { throw Failure(.unavailable, "\(call): \(message(status))") }
  }

  /// CUDA_ERROR_OUT_OF_MEMORY
  static let outOfMemory: Status = 2
}
