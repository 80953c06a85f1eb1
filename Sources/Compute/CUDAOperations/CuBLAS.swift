import SystemIO

/// How the products of matrices of Float are computed.
public enum Precision: String, CaseIterable, Sendable {
  /// As on the processor: 24 bits throughout.
  case float32
  /// As exact as float32, on tensor cores, where a matrix is exact in half precision: see `SplitProducts`.
  case split
  /// Factors rounded to 11 bits, sums in float32.
  case tf32
  /// Factors rounded to 8 bits, sums in float32.
  case bf16

  /// cublasComputeType_t
  fileprivate var computeType: Int32 {
    switch self {
    case .float32, .split: 68  // CUBLAS_COMPUTE_32F
    case .tf32: 77  // CUBLAS_COMPUTE_32F_FAST_TF32
    case .bf16: 75  // CUBLAS_COMPUTE_32F_FAST_16BF
    }
  }
}

/// Products of matrices of Float in a GPU's memory, by cuBLAS.
struct CuBLAS {
  private typealias Status = Int32
  private typealias Product =
    @convention(c) (
      OpaquePointer?, Int32, Int32, Int32, Int32, Int32, UnsafeRawPointer, DevicePointer, Int32, Int32, DevicePointer,
      Int32, Int32, UnsafeRawPointer, DevicePointer, Int32, Int32, Int32, Int32
    ) -> Status

  let name: String
  private let handle: OpaquePointer?
  private let product: Product
  private let setPointerMode: @convention(c) (OpaquePointer?, Int32) -> Status
  private let precision: Precision

  /// - Throws: `Failure` of kind unavailable.
  init(folder: String?, precision: Precision) throws(Failure) {
    let library = try DynamicLibrary(
      ["libcublas.so", "libcublas.so.13", "libcublas.so.12", "libcublas.so.11"], folder: folder)
    name = library.name
    self.precision = precision
    product = try library.function("cublasGemmEx")
    setPointerMode = try library.function("cublasSetPointerMode_v2")
    typealias Create = @convention(c) (UnsafeMutablePointer<OpaquePointer?>) -> Status
    typealias GetVersion = @convention(c) (OpaquePointer?, UnsafeMutablePointer<Int32>) -> Status
    var handle: OpaquePointer?
    let status = try library.function("cublasCreate_v2", as: Create.self)(&handle)
    guard status == 0 else { throw Failure(.unavailable, "\(name): cublasCreate: status \(status)") }
    self.handle = handle
    var version: Int32 = 0
    _ = try library.function("cublasGetVersion_v2", as: GetVersion.self)(handle, &version)
    // As cuBLAS counts: 11.11.3 of CUDA 11.8 is 111103, 12.1.0 is 120100.
    guard version >= 110_000 else {
      throw Failure(.unavailable, "\(name): expected cuBLAS 11 or later, found version \(version)")
    }
  }

  /// A matrix as a product reads it: row-major, or the transpose of what lies row-major in memory.
  struct Operand {
    var address: DevicePointer
    let distance: Int
    var isTransposed = false
  }

  /// C(m,n) = A(m,k) · B(k,n), or C += where `accumulate`; C row-major with `distance` elements from row to row.
  ///
  /// - Returns: cuBLAS's status, 0 where the product was begun.
  func multiply(
    _ m: Int, _ n: Int, _ k: Int, _ a: Operand, _ b: Operand, accumulate: Bool, into c: DevicePointer, distance: Int
  ) -> Int32 {
    var alpha: Float = 1
    var beta: Float = accumulate ? 1 : 0
    return multiply(
      m, n, k, a, b, of: Self.float32, &alpha, &beta, into: c, distance: distance, computing: precision.computeType)
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
      m, n, k, a, b, of: Self.float16, UnsafeRawPointer(bitPattern: UInt(alpha))!,
      UnsafeRawPointer(bitPattern: UInt(accumulate ? one : zero))!, into: c, distance: distance,
      computing: Precision.float32.computeType)
  }

  private static let float32: Int32 = 0  // CUDA_R_32F
  private static let float16: Int32 = 2  // CUDA_R_16F

  private func multiply(
    _ m: Int, _ n: Int, _ k: Int, _ a: Operand, _ b: Operand, of type: Int32, _ alpha: UnsafeRawPointer,
    _ beta: UnsafeRawPointer, into c: DevicePointer, distance: Int, computing computeType: Int32
  ) -> Int32 {
    // cuBLAS reads by columns, where these are their transposes: Cᵀ = Bᵀ · Aᵀ.
    let anyAlgorithm: Int32 = -1  // CUBLAS_GEMM_DEFAULT
    return product(
      handle, b.isTransposed ? 1 : 0, a.isTransposed ? 1 : 0, Int32(n), Int32(m), Int32(k), alpha, b.address, type,
      Int32(b.distance), a.address, type, Int32(a.distance), beta, c, Self.float32, Int32(distance), computeType,
      anyAlgorithm)
  }
}
