import Glibc
import Synchronization
import SystemIO

/// OpenBLAS, opened when it is first needed.
///
/// It is not linked: as it is loaded it starts a thread for every core and maps memory for each, 128 MB on x86-64,
/// and where the system refuses either it asks again for ever. It listens to OPENBLAS_NUM_THREADS, which it reads
/// before a program's main function could set it.
enum OpenBLAS {
  typealias Product =
    @convention(c) (
      _ order: Int32, _ transposeA: Int32, _ transposeB: Int32, _ m: Int32, _ n: Int32, _ k: Int32, _ alpha: Float,
      _ a: UnsafePointer<Float>, _ lda: Int32, _ b: UnsafePointer<Float>, _ ldb: Int32, _ beta: Float,
      _ c: UnsafeMutablePointer<Float>, _ ldc: Int32
    ) -> Void

  typealias DoubleProduct =
    @convention(c) (
      _ order: Int32, _ transposeA: Int32, _ transposeB: Int32, _ m: Int32, _ n: Int32, _ k: Int32, _ alpha: Double,
      _ a: UnsafePointer<Double>, _ lda: Int32, _ b: UnsafePointer<Double>, _ ldb: Int32, _ beta: Double,
      _ c: UnsafeMutablePointer<Double>, _ ldc: Int32
    ) -> Void

  // The values of cblas.h.
  static let rowMajor: Int32 = 101
  static let plain: Int32 = 111
  static let transposed: Int32 = 112

  /// cblas_sgemm, which `open` must have found.
  static let product = try! functions.get().product
  /// cblas_dgemm, likewise.
  static let doubleProduct = try! functions.get().doubleProduct

  /// What is used of the library.
  private struct Functions: @unchecked Sendable {
    let product: Product
    let doubleProduct: DoubleProduct
    let allocate: @convention(c) (Int32) -> UnsafeMutableRawPointer?
    let release: @convention(c) (UnsafeMutableRawPointer?) -> Void

    init() throws(Failure) {
      setenv("OPENBLAS_NUM_THREADS", "1", 1)
      let names = ["libopenblas.so.0", "libopenblas.so"]
      guard let library = names.lazy.compactMap({ dlopen($0, RTLD_NOW) }).first else {
        throw Failure(.unavailable, "cannot open OpenBLAS: \(dlerror().map { String(cString: $0) } ?? names[0])")
      }
      func symbol(_ name: String) throws(Failure) -> UnsafeMutableRawPointer {
        guard let symbol = dlsym(library, name) else {
          throw Failure(.unavailable, "OpenBLAS: expected \(name) in it, found none")
        }
        return symbol
      }
      product = unsafeBitCast(try symbol("cblas_sgemm"), to: Product.self)
      doubleProduct = unsafeBitCast(try symbol("cblas_dgemm"), to: DoubleProduct.self)
      allocate = unsafeBitCast(
        try symbol("blas_memory_alloc"), to: (@convention(c) (Int32) -> UnsafeMutableRawPointer?).self)
      release = unsafeBitCast(
        try symbol("blas_memory_free"), to: (@convention(c) (UnsafeMutableRawPointer?) -> Void).self)
    }
  }

  private static let functions = Result { () throws(Failure) in try Functions() }

  /// What each thread's products need beside their operands: BUFFER_SIZE of OpenBLAS's common_x86_64.h.
  private static let bufferSize = 128 << 20
  private static let buffers = Mutex(0)

  /// Opens the library and has it take the memory for products of so many threads at once, which it keeps.
  ///
  /// - Throws: `Failure` of kind unavailable where there is no OpenBLAS, or outOfMemory.
  static func open(threads: Int) throws(Failure) {
    let functions = try functions.get()
    let isRefused = buffers.withLock { buffers in
      guard threads > buffers else { return false }
      var taken: [UnsafeMutableRawPointer?] = []
      defer { for buffer in taken { functions.release(buffer) } }
      for number in 0..<threads {
        if number >= buffers {
          // OpenBLAS itself would ask again for ever.
          let probe = mmap(nil, bufferSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
          if probe == MAP_FAILED { return true }
          munmap(probe, bufferSize)
        }
        taken.append(functions.allocate(0))
      }
      buffers = threads
      return false
    }
    if isRefused { throw .outOfMemory(bufferSize) }
  }
}
