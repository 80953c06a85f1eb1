import SystemIO

/// An address in a GPU's memory.
typealias DevicePointer = UInt64

/// What is used of the driver, libcuda.
struct Driver {
  typealias Status = Int32

  static let names = ["libcuda.so.1", "libcuda.so"]

  /// The version of CUDA that it is for, as it counts: 12040 for 12.4.
  let version: Int32

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
  let releaseContext: @convention(c) (Int32) -> Status
  let setContext: @convention(c) (OpaquePointer?) -> Status
  let pushContext: @convention(c) (OpaquePointer?) -> Status
  let popContext: @convention(c) (UnsafeMutablePointer<OpaquePointer?>) -> Status
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
  let destroyStream: @convention(c) (OpaquePointer?) -> Status
  let createEvent: @convention(c) (UnsafeMutablePointer<OpaquePointer?>, UInt32) -> Status
  let destroyEvent: @convention(c) (OpaquePointer?) -> Status
  let getElapsedTime: @convention(c) (UnsafeMutablePointer<Float>, OpaquePointer?, OpaquePointer?) -> Status
  let recordEvent: @convention(c) (OpaquePointer?, OpaquePointer?) -> Status
  let waitForEvent: @convention(c) (OpaquePointer?, OpaquePointer?, UInt32) -> Status
  let synchronizeEvent: @convention(c) (OpaquePointer?) -> Status
  let loadModule: @convention(c) (UnsafeMutablePointer<OpaquePointer?>, UnsafeRawPointer) -> Status
  let unloadModule: @convention(c) (OpaquePointer?) -> Status
  let getFunction: @convention(c) (UnsafeMutablePointer<OpaquePointer?>, OpaquePointer?, UnsafePointer<CChar>) -> Status
  let launch:
    @convention(c) (
      OpaquePointer?, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, OpaquePointer?,
      UnsafeMutablePointer<UnsafeMutableRawPointer?>?, UnsafeMutablePointer<UnsafeMutableRawPointer?>?
    ) -> Status

  /// - Throws: `Failure` of kind unavailable.
  init(folders: [String]) throws(Failure) {
    self = try DynamicLibrary.first(Self.names, in: folders) { library throws(Failure) in try Driver(library) }
  }

  private init(_ library: DynamicLibrary) throws(Failure) {
    getErrorString = try library.function("cuGetErrorString")
    initialize = try library.function("cuInit")
    getVersion = try library.function("cuDriverGetVersion")
    countDevices = try library.function("cuDeviceGetCount")
    getDevice = try library.function("cuDeviceGet")
    getName = try library.function("cuDeviceGetName")
    getAttribute = try library.function("cuDeviceGetAttribute")
    retainContext = try library.function("cuDevicePrimaryCtxRetain")
    releaseContext = try library.function("cuDevicePrimaryCtxRelease_v2")
    setContext = try library.function("cuCtxSetCurrent")
    pushContext = try library.function("cuCtxPushCurrent_v2")
    popContext = try library.function("cuCtxPopCurrent_v2")
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
    destroyStream = try library.function("cuStreamDestroy_v2")
    createEvent = try library.function("cuEventCreate")
    destroyEvent = try library.function("cuEventDestroy_v2")
    getElapsedTime = try library.function("cuEventElapsedTime")
    recordEvent = try library.function("cuEventRecord")
    waitForEvent = try library.function("cuStreamWaitEvent")
    synchronizeEvent = try library.function("cuEventSynchronize")
    loadModule = try library.function("cuModuleLoadData")
    unloadModule = try library.function("cuModuleUnload")
    getFunction = try library.function("cuModuleGetFunction")
    launch = try library.function("cuLaunchKernel")
    var version: Int32 = 0
    let (initialized, told) = (initialize(0), getVersion(&version))
    self.version = version
    try check(initialized, "cuInit")
    try check(told, "cuDriverGetVersion")
    guard version >= Self.oldestVersion else {
      throw Failure(
        .unavailable,
        "\(library.name): expected a driver for CUDA 11.8 or later, found one for \(version / 1000).\(version % 1000 / 10)"
      )
    }
  }

  /// The major versions of CUDA whose libraries run with this driver, the newest first.
  var majorVersions: [Int32] { (11...version / 1000).reversed() }

  func message(_ status: Status) -> String {
    var text: UnsafePointer<CChar>?
    _ = getErrorString(status, &text)
    return text.map { String(cString: $0) } ?? "error \(status)"
  }

  func check(_ status: Status, _ call: String) throws(Failure) {
    guard status == 0 else { throw Failure(.unavailable, "\(call): \(message(status))") }
  }

  /// A property of a device, by its CUdevice_attribute.
  func attribute(_ attribute: Int32, of device: Int32) throws(Failure) -> Int32 {
    var value: Int32 = 0
    try check(getAttribute(&value, attribute, device), "cuDeviceGetAttribute")
    return value
  }

  /// CUDA_ERROR_OUT_OF_MEMORY
  static let outOfMemory: Status = 2

  /// CUDA_ERROR_DEVICE_UNAVAILABLE
  static let isTaken: Status = 46
}
