import Glibc
import SystemIO

/// How the products of matrices of Float are computed.
public enum Precision: String, CaseIterable, Sendable {
  /// Float32 or split, whichever is faster where the device is one that was measured.
  case auto
  /// As on the processor: 24 bits throughout.
  case float32
  /// As exact as float32, on tensor cores: see `SplitProducts`.
  case split
  /// Factors cut to 11 bits, sums in float32.
  case tf32
  /// Factors rounded to the 8 bits of bfloat16, sums in float32.
  case bf16

  /// As exact as float32, and the fastest on cards of that architecture, by measurements on one.
  static func measuredBest(architecture: Int32) -> Precision { architecture == 90 ? .split : .float32 }

  /// Before compute capability 8.0 there are no such products.
  var oldestArchitecture: Int32 { self == .tf32 || self == .bf16 ? 80 : 70 }

  /// What products of Float are given as factors.
  var factors: CuBLAS.Factors { self == .bf16 ? .bfloat16 : .float32 }
}

/// Products of matrices in a GPU's memory, by cuBLAS.
final class CuBLAS {
  private typealias Status = Int32
  private typealias Product =
    @convention(c) (
      OpaquePointer?, Int32, Int32, Int32, Int32, Int32, UnsafeRawPointer, DevicePointer, Int32, Int32, DevicePointer,
      Int32, Int32, UnsafeRawPointer, DevicePointer, Int32, Int32, Int32, Int32
    ) -> Status

  /// cudaDataType_t
  enum Factors: Int32 {
    case float32 = 0
    case float16 = 2
    case bfloat16 = 14

    /// A small whole number.
    fileprivate func bytes(_ value: Float) -> [UInt8] {
      switch self {
      case .float32: withUnsafeBytes(of: value.bitPattern) { Array($0) }
      case .float16: withUnsafeBytes(of: Float16(value).bitPattern) { Array($0) }
      case .bfloat16: withUnsafeBytes(of: UInt16(value.bitPattern >> 16)) { Array($0) }
      }
    }
  }

  /// CUBLAS_STATUS_ALLOC_FAILED
  static let outOfMemory: Int32 = 3

  /// What NVIDIA recommends for the GPUs that want most.
  static let workspaceBytes = 32 << 20

  let name: String
  private let context: Context
  private let precision: Precision
  private let product: Product
  private let setPointerMode: @convention(c) (OpaquePointer?, Int32) -> Status
  private let destroy: @convention(c) (OpaquePointer?) -> Status
  private var handle: OpaquePointer?
  private var workspace: DevicePointer = 0

  /// The first library that goes with the driver and computes a product right.
  ///
  /// - Throws: `Failure` of kind unavailable.
  static func open(_ context: Context, precision: Precision, folders: [String]) throws(Failure) -> CuBLAS {
    // What changes the precision of products unseen.
    for name in ["NVIDIA_TF32_OVERRIDE", "CUBLAS_EMULATE_SINGLE_PRECISION", "CUBLAS_EMULATION_STRATEGY"] {
      unsetenv(name)
    }
    let versions = context.driver.majorVersions
    let names = versions.map { "libcublas.so.\($0)" } + ["libcublas.so"]
    return try DynamicLibrary.first(names, in: folders) { library throws(Failure) in
      let products = try CuBLAS(library, context, precision)
      for factors in precision == .split ? [.float32, .float16] : [precision.factors] {
        try products.check(factors)
      }
      return products
    }
  }

  private init(_ library: DynamicLibrary, _ context: Context, _ precision: Precision) throws(Failure) {
    (name, self.context, self.precision) = (library.name, context, precision)
    product = try library.function("cublasGemmEx")
    setPointerMode = try library.function("cublasSetPointerMode_v2")
    destroy = try library.function("cublasDestroy_v2")
    typealias Create = @convention(c) (UnsafeMutablePointer<OpaquePointer?>) -> Status
    typealias GetProperty = @convention(c) (Int32, UnsafeMutablePointer<Int32>) -> Status
    typealias SetWorkspace = @convention(c) (OpaquePointer?, DevicePointer, Int) -> Status
    var major: Int32 = 0
    _ = try library.function("cublasGetProperty", as: GetProperty.self)(0, &major)
    let newest = context.driver.majorVersions[0]
    guard (11...newest).contains(major) else {
      throw Failure(
        .unavailable,
        "\(name): expected cuBLAS 11 to \(newest), because the driver is for CUDA \(newest), found version \(major)")
    }
    var status = try library.function("cublasCreate_v2", as: Create.self)(&handle)
    guard status == 0 else { throw Failure(.unavailable, "\(name): cublasCreate: status \(status)") }
    let driver = context.driver
    try driver.check(driver.allocate(&workspace, Self.workspaceBytes), "\(name): allocating its workspace")
    // In memory that cuBLAS looks for by itself, what it finds may decide on the order of a sum.
    status = try library.function("cublasSetWorkspace_v2", as: SetWorkspace.self)(
      handle, workspace, Self.workspaceBytes)
    guard status == 0 else { throw Failure(.unavailable, "\(name): cublasSetWorkspace: status \(status)") }
  }

  deinit {
    context.giveBack {
      if handle != nil { _ = destroy(handle) }
      if workspace != 0 { _ = context.driver.free(workspace) }
    }
  }

  /// Computes a product whose numbers no precision rounds. A library that is too old for the GPU has none.
  ///
  /// - Throws: `Failure` of kind unavailable.
  private func check(_ factors: Factors) throws(Failure) {
    let (driver, size) = (context.driver, 16)
    let (a, b) = ((0..<size * size).map { Float($0 * 7 % 11 - 5) }, (0..<size * size).map { Float($0 * 5 % 13 - 6) })
    let bytes = a.count * MemoryLayout<Float>.stride
    var memory: DevicePointer = 0
    try driver.check(driver.allocate(&memory, 3 * bytes), "cuMemAlloc")
    defer { _ = driver.free(memory) }
    let places = (0..<3).map { memory + DevicePointer($0 * bytes) }
    for (place, values) in zip(places, [a, b]) {
      let content = values.flatMap(factors.bytes)
      try driver.check(driver.copyToDevice(place, content, content.count), "cuMemcpyHtoD")
    }
    let status = multiply(
      size, size, size, Operand(address: places[0], distance: size), Operand(address: places[1], distance: size),
      of: factors, accumulate: false, into: places[2], distance: size)
    guard status == 0 else { throw Failure(.unavailable, "\(name): cublasGemmEx: status \(status)") }
    var found = [Float](repeating: .nan, count: a.count)
    try driver.check(driver.copyToHost(&found, places[2], bytes), "\(name): cublasGemmEx")
    let expected = found.indices.map { i in
      (0..<size).reduce(0) { $0 + a[i / size * size + $1] * b[$1 * size + i % size] }
    }
    guard found == expected else {
      throw Failure(.unavailable, "\(name): cublasGemmEx: the result of a test product is wrong")
    }
  }

  /// A matrix as a product reads it: row-major, or the transpose of what lies row-major in memory.
  struct Operand {
    var address: DevicePointer
    var distance: Int
    var isTransposed = false
  }

  /// C(m,n) = A(m,k) · B(k,n), or C += where `accumulate`; C in Float, row-major with `distance` elements from row to row.
  ///
  /// - Parameter factors: what A and B are of.
  /// - Returns: cuBLAS's status, 0 where the product was begun.
  func multiply(
    _ m: Int, _ n: Int, _ k: Int, _ a: Operand, _ b: Operand, of factors: Factors, accumulate: Bool,
    into c: DevicePointer, distance: Int
  ) -> Int32 {
    var alpha: Float = 1
    var beta: Float = accumulate ? 1 : 0
    return multiply(m, n, k, a, b, of: factors, &alpha, &beta, into: c, distance: distance)
  }

  /// C(m,n) = alpha · A(m,k) · B(k,n), or C += where `accumulate`, of numbers in half precision, summed in Float.
  ///
  /// - Parameters:
  ///   - alpha: a number in the GPU's memory.
  ///   - one: the number 1 there, and 0 behind it.
  func multiplyHalves(
    _ m: Int, _ n: Int, _ k: Int, _ a: Operand, _ b: Operand, alpha: DevicePointer, accumulate: Bool,
    one: DevicePointer, into c: DevicePointer, distance: Int
  ) -> Int32 {
    let status = setPointerMode(handle, 1)  // CUBLAS_POINTER_MODE_DEVICE
    guard status == 0 else { return status }
    defer { _ = setPointerMode(handle, 0) }
    let zero = one + DevicePointer(MemoryLayout<Float>.stride)
    return multiply(
      m, n, k, a, b, of: .float16, UnsafeRawPointer(bitPattern: UInt(alpha))!,
      UnsafeRawPointer(bitPattern: UInt(accumulate ? one : zero))!, into: c, distance: distance)
  }

  private func multiply(
    _ m: Int, _ n: Int, _ k: Int, _ a: Operand, _ b: Operand, of factors: Factors, _ alpha: UnsafeRawPointer,
    _ beta: UnsafeRawPointer, into c: DevicePointer, distance: Int
  ) -> Int32 {
    // CUBLAS_COMPUTE_32F_FAST_TF32 or CUBLAS_COMPUTE_32F
    let computeType: Int32 = factors == .float32 && precision == .tf32 ? 77 : 68
    let anyAlgorithm: Int32 = -1  // CUBLAS_GEMM_DEFAULT
    // cuBLAS reads by columns, where these are their transposes: Cᵀ = Bᵀ · Aᵀ.
    return product(
      handle, b.isTransposed ? 1 : 0, a.isTransposed ? 1 : 0, Int32(n), Int32(m), Int32(k), alpha, b.address,
      factors.rawValue, Int32(b.distance), a.address, factors.rawValue, Int32(a.distance), beta, c,
      Factors.float32.rawValue, Int32(distance), computeType, anyAlgorithm)
  }
}
