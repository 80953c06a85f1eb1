import CVectorMath
import Glibc
import SystemIO

/// Rows of x that are taken through the vocabulary together.
private let rowBlock = 1024
/// Words of the vocabulary whose logits are computed at a time: 1,024 rows of them make 2 MB, which stays in cache.
private let wordTile = 512
/// Parts that the vocabulary is cut into. The same for any number of threads up to this, so that sums are added in the
/// same order and have the same bits.
private let vocabularyParts = 16

extension CPUOperations {
  /// With z = x·Wᵀ and p = softmax(z):
  ///
  ///     loss[t] = log Σ_v e^z[t,v] − z[t,target]
  ///     dx[t]   = Σ_v p[t,v]·W[v] − W[target]
  ///
  /// Where there is a cap c, z = c·tanh(x·Wᵀ / c), and each W[v] of dx comes with z's derivative 1 − tanh²(x·W[v] / c).
  /// PyTorch: F.cross_entropy(reduction="sum") behind a bias-free head. HF: Gemma2ForCausalLM.forward.
  ///
  /// Forward and backward are one pass over the vocabulary by tiles, so that logits never exist but for a tile: the
  /// sum Σ_v e^(z−m)·W[v] runs along with m, the largest logit so far, and shrinks when m grows, as the output of
  /// FlashAttention does. Threads take parts of the vocabulary, whose sums are joined at the end.
  public func crossEntropy(dx: Tensor?, x: Tensor, head: Matrix, targets: [Int32], softCap: Float?) -> [Double] {
    let (V, D) = (head.rows, head.columns)
    precondition(dx?.hasShape(x.rows, D) ?? true && x.columns == D && targets.count == x.rows)
    precondition(!head.isColumnMajor)
    precondition(targets.allSatisfy { $0 < V })
    var losses = [Double](repeating: 0, count: x.rows)
    let targetWord = makeTensor(rows: 1, columns: D)
    for start in stride(from: 0, to: x.rows, by: rowBlock) {
      let rows = min(rowBlock, x.rows - start)
      let tiles = (V + wordTile - 1) / wordTile
      let parts = min(max(vocabularyParts, threads), tiles)
      while softmaxSums.count < parts { softmaxSums.append(SoftmaxSums()) }
      let states = softmaxSums[..<parts]
      for state in states { state.reset(rows: rows, width: D, softCap: softCap, keepsWords: dx != nil) }
      // One row more, for the derivatives of a row's capped logits.
      let logitBytes = (rows + 1) * wordTile * MemoryLayout<Float>.stride
      let widenedBytes = head.type == .f32 ? 0 : wordTile * D * MemoryLayout<Float>.stride
      let bytes = logitBytes + widenedBytes + paddingBytes(max(wordTile, D), max(wordTile, D))
      distribute(parts, scratchBytes: bytes) { part, memory in
        let words = tiles * part / parts * wordTile..<min(tiles * (part + 1) / parts * wordTile, V)
        states[part].add(
          words, of: head, x: x.address + start * D, targets: targets[start..<start + rows],
          logits: memory.assumingMemoryBound(to: Float.self), widened: memory + logitBytes,
          padding: memory + logitBytes + widenedBytes)
      }
      for row in 0..<rows {
        let target = Int(targets[start + row])
        let dx_t = dx.map { $0.address + (start + row) * D }
        guard target >= 0 else {
          dx_t?.update(repeating: 0, count: D)
          continue
        }
        let (loss, slope) = SoftmaxSums.join(states, row: row, into: dx_t, width: D)
        losses[start + row] = loss
        guard let dx_t else { continue }
        let word = head.floats(rows: target..<target + 1, columns: 0..<D, widened: targetWord.address)
        vector_add_scaled(dx_t, word.address, D, -slope)
      }
    }
    return losses
  }
}

/// Softmax over part of a vocabulary, row by row, and the words' vectors weighted by it.
final class SoftmaxSums {
  private var rows = 0
  private var width = 0
  private var softCap: Float?
  private var keepsWords = false
  /// The largest logit so far.
  private var largest: [Float] = []
  /// Σ_v e^(z − largest)
  private var sums: [Double] = []
  /// The target's logit, once its tile has come, and the cap's derivative there: 1 without a cap.
  private var targets: [(logit: Float, slope: Float)?] = []
  /// (rows, width): Σ_v e^(z − largest)·W[v], each with the cap's derivative, where it is wanted.
  private let weighted = AlignedBuffer(capacity: 0)

  func reset(rows: Int, width: Int, softCap: Float?, keepsWords: Bool) {
    self.rows = rows
    self.width = width
    self.softCap = softCap
    self.keepsWords = keepsWords
    largest = Array(repeating: -.infinity, count: rows)
    sums = Array(repeating: 0, count: rows)
    targets = Array(repeating: nil, count: rows)
    if keepsWords { weighted.reserve(rows * width * MemoryLayout<Float>.stride) }
  }

  private var weightedRows: UnsafeMutablePointer<Float>? {
    keepsWords ? weighted.address.assumingMemoryBound(to: Float.self) : nil
  }

  /// - Parameters:
  ///   - logits: memory for (rows + 1, wordTile) numbers.
  ///   - widened: memory for (wordTile, D) numbers, where the head is in another type than Float.
  ///   - padding: memory of `paddingBytes` for both products.
  func add(
    _ words: Range<Int>, of head: Matrix, x: UnsafePointer<Float>, targets: ArraySlice<Int32>,
    logits: UnsafeMutablePointer<Float>, widened: UnsafeMutableRawPointer, padding: UnsafeMutableRawPointer
  ) {
    let slopes = logits + rows * wordTile
    for first in stride(from: words.lowerBound, to: words.upperBound, by: wordTile) {
      let count = min(wordTile, words.upperBound - first)
      let w = head.floats(rows: first..<first + count, columns: 0..<width, widened: widened).address
      // z(rows,count) = x(rows,D) · W(count,D)ᵀ
      rowByRowProduct(rows, count, width, x, width, w, width, transposedB: true, into: logits, wordTile, padding)
      for row in 0..<rows {
        let z = logits + row * wordTile
        if let softCap { vector_soft_cap(z, slopes, count, softCap) }
        let target = Int(targets[targets.startIndex + row]) - first
        if target >= 0, target < count { self.targets[row] = (z[target], softCap == nil ? 1 : slopes[target]) }
        let newLargest = max(largest[row], vector_maximum(z, count))
        let correction = Glibc.exp(largest[row] - newLargest)
        sums[row] = sums[row] * Double(correction) + vector_exponentiate(z, count, newLargest)
        if let weightedRows, first > words.lowerBound, correction != 1 {
          vector_scale(weightedRows + row * width, width, correction)
        }
        largest[row] = newLargest
        if softCap != nil { vector_multiply(z, slopes, count) }
      }
      guard let weightedRows else { continue }
      // weighted(rows,D) += e^(z − largest)(rows,count) · W(count,D)
      rowByRowProduct(
        rows, width, count, logits, wordTile, w, width, accumulate: first > words.lowerBound, into: weightedRows,
        width, padding)
    }
  }

  /// Writes the row's Σ_v p·W[v] over all parts, where there is room for it, and returns the row's loss and the cap's
  /// derivative at its target.
  static func join(
    _ parts: ArraySlice<SoftmaxSums>, row: Int, into mean: UnsafeMutablePointer<Float>?, width: Int
  ) -> (loss: Double, targetSlope: Float) {
    let largest = parts.map { Double($0.largest[row]) }.max()!
    let factors = parts.map { Glibc.exp(Double($0.largest[row]) - largest) }
    let sum = zip(parts, factors).reduce(0) { $0 + $1.0.sums[row] * $1.1 }
    if let mean {
      mean.update(repeating: 0, count: width)
      for (part, factor) in zip(parts, factors) {
        vector_add_scaled(mean, part.weightedRows! + row * width, width, Float(factor / sum))
      }
    }
    let target = parts.lazy.compactMap { $0.targets[row] }.first!
    return (largest + log(sum) - Double(target.logit), target.slope)
  }
}
