/// OpenBLAS takes kernels of their own for products of at most m·n·k = 100³, which round otherwise
/// (kernel/x86_64/sgemm_small_kernel_permit_skylakex.c).
private let smallProduct = 1_000_000

/// C(m,n) = A(m,k) · B(k,n), or C += where `accumulate`: each row of C has the same bits whatever other rows are
/// computed with it, and each column too. So results depend neither on how many threads share the work nor on which
/// samples go through the model together.
///
/// - Parameters:
///   - sumLength: how many terms are added up at a time, at most; the sums are added to C one after another.
///   - memory: of `paddingBytes` or more.
func rowByRowProduct<Number: ProductNumber>(
  _ m: Int, _ n: Int, _ k: Int, _ a: UnsafePointer<Number>, _ lda: Int, _ b: UnsafePointer<Number>, _ ldb: Int,
  transposedB: Bool = false, accumulate: Bool = false, sumLength: Int = .max, into c: UnsafeMutablePointer<Number>,
  _ ldc: Int, _ memory: UnsafeMutableRawPointer
) {
  guard k <= sumLength else {
    let sums = (k - 1) / sumLength + 1
    for sum in 0..<sums {
      let terms = k * sum / sums..<k * (sum + 1) / sums
      rowByRowProduct(
        m, n, terms.count, a + terms.lowerBound, lda, b + terms.lowerBound * (transposedB ? 1 : ldb), ldb,
        transposedB: transposedB, accumulate: accumulate || sum > 0, into: c, ldc, memory)
    }
    return
  }
  guard m > 0, m * n * k <= smallProduct, n * k > 0 else {
    Number.product(m, n, k, a, lda, b, ldb, transposedB: transposedB, accumulate: accumulate, into: c, ldc)
    return
  }
  // Rows of zeros make the product large enough for the kernel that all others take.
  let rows = smallProduct / (n * k) + 1
  let paddedA = memory.assumingMemoryBound(to: Number.self)
  let paddedC = paddedA + rows * k
  for row in 0..<m {
    (paddedA + row * k).update(from: a + row * lda, count: k)
    if accumulate { (paddedC + row * n).update(from: c + row * ldc, count: n) }
  }
  (paddedA + m * k).update(repeating: 0, count: (rows - m) * k)
  if accumulate { (paddedC + m * n).update(repeating: 0, count: (rows - m) * n) }
  Number.product(rows, n, k, paddedA, k, b, ldb, transposedB: transposedB, accumulate: accumulate, into: paddedC, n)
  for row in 0..<m { (c + row * ldc).update(from: paddedC + row * n, count: n) }
}

/// The scratch memory that `rowByRowProduct` needs for at most so many columns and inner elements; for most products
/// it is not touched.
func paddingBytes(_ n: Int, _ k: Int, numberSize: Int = MemoryLayout<Float>.stride) -> Int {
  // (smallProduct / (n·k) + 1) · (n + k) for any smaller n and k
  (2 * smallProduct + n + k) * numberSize
}

/// What OpenBLAS multiplies.
protocol ProductNumber: BinaryFloatingPoint {
  /// C(m,n) = A(m,k) · B(k,n), or C += where `accumulate`, row-major; `transposedB` says that B lies in memory as its
  /// transpose. Runs on the calling thread.
  static func product(
    _ m: Int, _ n: Int, _ k: Int, _ a: UnsafePointer<Self>, _ lda: Int, _ b: UnsafePointer<Self>, _ ldb: Int,
    transposedB: Bool, accumulate: Bool, into c: UnsafeMutablePointer<Self>, _ ldc: Int)
}

extension Float: ProductNumber {
  static func product(
    _ m: Int, _ n: Int, _ k: Int, _ a: UnsafePointer<Float>, _ lda: Int, _ b: UnsafePointer<Float>, _ ldb: Int,
    transposedB: Bool, accumulate: Bool, into c: UnsafeMutablePointer<Float>, _ ldc: Int
  ) {
    matrixProduct(m, n, k, a, lda, b, ldb, transposedB: transposedB, beta: accumulate ? 1 : 0, into: c, ldc)
  }
}

extension Double: ProductNumber {
  static func product(
    _ m: Int, _ n: Int, _ k: Int, _ a: UnsafePointer<Double>, _ lda: Int, _ b: UnsafePointer<Double>, _ ldb: Int,
    transposedB: Bool, accumulate: Bool, into c: UnsafeMutablePointer<Double>, _ ldc: Int
  ) {
    OpenBLAS.doubleProduct(
      OpenBLAS.rowMajor, OpenBLAS.plain, transposedB ? OpenBLAS.transposed : OpenBLAS.plain, Int32(m), Int32(n),
      Int32(k), 1, a, Int32(lda), b, Int32(ldb), accumulate ? 1 : 0, c, Int32(ldc))
  }
}
