import COpenBLAS

/// C(m,n) = alpha · A(m,k) · B(k,n) + beta · C, row-major; `transposed` says that A or B lies in memory as its
/// transpose. Leading dimensions are the distances between rows in memory. Runs on the calling thread.
@inline(__always)
func matrixProduct(
  _ m: Int, _ n: Int, _ k: Int, alpha: Float = 1, _ a: UnsafePointer<Float>, _ lda: Int, transposedA: Bool = false,
  _ b: UnsafePointer<Float>, _ ldb: Int, transposedB: Bool = false, beta: Float = 0,
  into c: UnsafeMutablePointer<Float>,
  _ ldc: Int
) {
  cblas_sgemm(
    CblasRowMajor, transposedA ? CblasTrans : CblasNoTrans, transposedB ? CblasTrans : CblasNoTrans, Int32(m), Int32(n),
    Int32(k), alpha, a, Int32(lda), b, Int32(ldb), beta, c, Int32(ldc))
}
