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

  // The values of cblas.h.
  static let rowMajor: Int32 = 101
  static let plain: Int32 = 111
  static let transposed: Int32 = 112

  /// cblas_sgemm
  static let product = unsafeBitCast(symbol("cblas_sgemm"), to: Product.self)

  private static let names = ["libopenblas.so.0", "libopenblas.so"]

  nonisolated(unsafe) private static let library: UnsafeMutableRawPointer = {
    setenv("OPENBLAS_NUM_THREADS", "1", 1)
    guard let library = names.lazy.compactMap({ dlopen($0, RTLD_NOW) }).first else {
      complain("cannot open OpenBLAS: \(dlerror().map { String(cString: $0) } ?? names[0])")
      _exit(Failure.Kind.unavailable.rawValue)
    }
    return library
  }()

  private static func symbol(_ name: String) -> UnsafeMutableRawPointer {
    guard let symbol = dlsym(library, name) else {
      complain("OpenBLAS: expected \(name) in it, found none")
      _exit(Failure.Kind.unavailable.rawValue)
    }
    return symbol
  }

  /// What each thread's products need beside their operands: BUFFER_SIZE of OpenBLAS's common_x86_64.h.
  private static let bufferSize = 128 << 20
  private static let buffers = Mutex(0)

  /// Has OpenBLAS take the memory for products of so many threads at once, which it keeps; a program that the system
  /// gives no more ends here.
  static func prepare(threads: Int) {
    typealias Allocate = @convention(c) (Int32) -> UnsafeMutableRawPointer?
    typealias Free = @convention(c) (UnsafeMutableRawPointer?) -> Void
    let allocate = unsafeBitCast(symbol("blas_memory_alloc"), to: Allocate.self)
    let release = unsafeBitCast(symbol("blas_memory_free"), to: Free.self)
    buffers.withLock { buffers in
      guard threads > buffers else { return }
      let taken = (0..<threads).map { number in
        if number >= buffers {
          let probe = mmap(nil, bufferSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
          if probe == MAP_FAILED { stopForWantOfMemory(bufferSize) }
          munmap(probe, bufferSize)
        }
        return allocate(0)
      }
      for buffer in taken { release(buffer) }
      buffers = threads
    }
  }
}
