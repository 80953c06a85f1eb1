import CVectorMath

/// Rows and keys of the square tiles that scores are computed in: 64 KB, and 128 KB in Double, so that a tile stays in
/// cache and memory does not grow with the square of a sample's length.
let scoreTile = 128

/// A tile of attention's scores in Double, of queries and keys in Float.
struct DoubleScores {
  /// Rows that are computed together. Keys that none of them sees are left out.
  private static let stripRows = 32

  private let scores: UnsafeMutablePointer<Double>
  /// (stripRows, head width)
  private let queries: UnsafeMutablePointer<Double>
  /// (scoreTile, head width)
  private let keys: UnsafeMutablePointer<Double>

  /// The memory that a tile needs.
  static func bytes(headWidth: Int) -> Int {
    (scoreTile * scoreTile + (stripRows + scoreTile) * headWidth) * MemoryLayout<Double>.stride
  }

  /// - Parameter memory: of `bytes`, aligned to Double.
  init(_ memory: UnsafeMutableRawPointer, headWidth: Int) {
    scores = memory.assumingMemoryBound(to: Double.self)
    queries = scores + scoreTile * scoreTile
    keys = queries + Self.stripRows * headWidth
  }

  /// The scores of a row from one of its keys on.
  func at(_ row: Int, _ key: Int) -> UnsafePointer<Double> { UnsafePointer(scores + row * scoreTile + key) }

  /// S(rows,count) = scale · q(rows,W) · k(count,W)ᵀ, but for keys behind a row's own.
  ///
  /// - Parameters:
  ///   - firstRow: the key of the first row, counted from the first of these keys.
  ///   - q: of one head, rows of `shape.queryWidth`; `k` has rows of `shape.keyValueWidth`.
  func compute(
    rows: Int, count: Int, firstRow: Int, _ q: UnsafePointer<Float>, _ k: UnsafePointer<Float>, _ shape: AttentionShape
  ) {
    let W = shape.headWidth
    for key in 0..<count { vector_widen_float(keys + key * W, k + key * shape.keyValueWidth, W) }
    for strip in stride(from: 0, to: rows, by: Self.stripRows) {
      let stripEnd = min(strip + Self.stripRows, rows)
      let seen = min(firstRow + stripEnd, count)
      guard seen > 0 else { continue }
      for row in strip..<stripEnd {
        vector_widen_float(queries + (row - strip) * W, q + row * shape.queryWidth, W)
      }
      OpenBLAS.doubleProduct(
        OpenBLAS.rowMajor, OpenBLAS.plain, OpenBLAS.transposed, Int32(stripEnd - strip), Int32(seen), Int32(W),
        Double(shape.scale), queries, Int32(W), keys, Int32(W), 0, scores + strip * scoreTile, Int32(scoreTile))
    }
  }
}
