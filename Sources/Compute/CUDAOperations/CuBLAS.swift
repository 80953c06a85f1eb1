import Glibc
import SystemIO

/// How the products of matrices of Float are computed.
public enum Precision: String, CaseIterable, Sendable {
  /// As on the processor: 24 bits throughout.
  case float32
  /// Factors cut to 11 bits, sums in float32.
  case tf32
  /// Factors rounded to the 8 bits of bfloat16, sums in float32.
  case bf16

  /// Before compute capability 8.0 there are no such products.
  var oldestArchitecture: Int32 { self == .float32 ? 70 : 80 }

  /// What products are given as factors.
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
    case bfloat16 = 14
  }

  /// CUBLAS_STATUS_ALLOC_FAILED
  static let outOfMemory: Int32 = 3

  /// What NVIDIA recommends for the GPUs that want most.
  static let workspaceBytes = 32 << 20

  let name: String
  private let context: Context
  private let precision: Precision
  private let product: Product
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
      try products.check()
      return products
    }
  }

  private init(_ library: DynamicLibrary, _ context: Context, _ precision: Precision) throws(Failure) {
    (name, self.context, self.precision) = (library.name, context, precision)
    product = try library.function("cublasGemmEx")
    destroy = try library.function("cublasDestroy_v2")
    typealias Create = @convention(c) (UnsafeMutablePointer<OpaquePointer?>) -> Status
    typealias GetProperty = @convention(c) (Int32, UnsafeMutablePointer<Int32>) -> Status
    typealias SetWorkspace = @convention(c) (OpaquePointer?, DevicePointer, Int) -> Status
    var major: Int32 = 0
    _ = try library.function("cublasGetProperty", as: GetProperty.self)(0, &major)
    let newest = context.driver.majorVersions[0]
    guard (11...newest).contains(major) else {
      throw Failure(
        .unavailable, "\(name): expected cuBLAS 11 to \(newest), which is the driver's CUDA, found version \(major)")
    }
    var status = try library.function("cublasCreate_v2", as: Create.self)(&handle)
    guard status == 0 else { throw Failure(.unavailable, "\(name): cublasCreate: status \(status)") }
    let driver = context.driver
    try driver.check(driver.allocate(&workspace, Self.workspaceBytes), "\(name): memory for its workspace")
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
  private func check() throws(Failure) {
    let (driver, size) = (context.driver, 16)
    let (a, b) = ((0..<size * size).map { Float($0 * 7 % 11 - 5) }, (0..<size * size).map { Float($0 * 5 % 13 - 6) })
    let bytes = a.count * MemoryLayout<Float>.stride
    var memory: DevicePointer = 0
    try driver.check(driver.allocate(&memory, 3 * bytes), "cuMemAlloc")
    defer { _ = driver.free(memory) }
    let places = (0..<3).map { memory + DevicePointer($0 * bytes) }
    for (place, values) in zip(places, [a, b]) {
      let halves = values.map { UInt16($0.bitPattern >> 16) }
      try driver.check(
        precision.factors == .bfloat16
          ? driver.copyToDevice(place, halves, bytes / 2) : driver.copyToDevice(place, values, bytes), "cuMemcpyHtoD")
    }
    let status = multiply(
      size, size, size, Operand(address: places[0], distance: size), Operand(address: places[1], distance: size),
      of: precision.factors, accumulate: false, into: places[2], distance: size)
    guard status == 0 else { throw Failure(.unavailable, "\(name): cublasGemmEx: status \(status)") }
    var found = [Float](repeating: .nan, count: a.count)
    try driver.check(driver.copyToHost(&found, places[2], bytes), "\(name): cublasGemmEx")
    let expected = found.indices.map { i in
      (0..<size).reduce(0) { $0 + a[i / size * size + $1] * b[$1 * size + i % size] }
    }
    guard found == expected else { throw Failure(.unavailable, "\(name): cublasGemmEx: a first product is wrong") }
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
    // cuBLAS reads by columns, where these are their transposes: Cᵀ = Bᵀ · Aᵀ.
    var alpha: Float = 1
    var beta: Float = accumulate ? 1 : 0
    let float32 = Factors.float32.rawValue
    // CUBLAS_COMPUTE_32F_FAST_TF32 or CUBLAS_COMPUTE_32F
    let computeType: Int32 = factors == .float32 && precision == .tf32 ? 77 : 68
    let anyAlgorithm: Int32 = -1  // CUBLAS_GEMM_DEFAULT
    return product(
      handle, b.isTransposed ? 1 : 0, a.isTransposed ? 1 : 0, Int32(n), Int32(m), Int32(k), &alpha, b.address,
      factors.rawValue, Int32(b.distance), a.address, factors.rawValue, Int32(a.distance), &beta, c, float32,
      Int32(distance), computeType, anyAlgorithm)
  }
}
