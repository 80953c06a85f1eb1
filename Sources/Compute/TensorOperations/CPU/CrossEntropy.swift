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
/// Words of at least this share of the likeliest are added in Double, each by itself. A Float sum that holds one of
/// them loses what thousands of words with shares of 10⁻⁸ should add to it, in every row alike: signed averages over
/// positions would be off by 10⁻⁵ (docs/derivations/cross-entropy.md).
private let prominentShare: Float = 1 / 8
/// They are also at least this part of the sum so far. So there are few of them in a tile, even where all words of the
/// vocabulary are about as likely; then none outweighs the others' sum.
private let prominentPart = 1 / 64.0

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
  /// FlashAttention does. Threads take parts of the vocabulary, whose sums are joined at the end, in Double, with the
  /// prominent words that were left out of them.
  public func crossEntropy(dx: Tensor?, x: Tensor, head: Matrix, targets: [Int32], softCap: Float?) -> () -> [Double] {
    let (V, D) = (head.rows, head.columns)
    precondition(dx?.hasShape(x.rows, D) ?? true && x.columns == D && targets.count == x.rows)
    precondition(!head.isColumnMajor)
    precondition(targets.allSatisfy { $0 < V })
    var losses = [Double](repeating: 0, count: x.rows)
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
      losses.withUnsafeMutableBufferPointer { losses in
        nonisolated(unsafe) let losses = losses.baseAddress! + start
        let wordBytes = head.type == .f32 ? 0 : D * MemoryLayout<Float>.stride
        distribute(rows, scratchBytes: D * MemoryLayout<Double>.stride + wordBytes) { row, memory in
          let target = Int(targets[start + row])
          let dx_t = dx.map { $0.address + (start + row) * D }
          guard target >= 0 else {
            dx_t?.update(repeating: 0, count: D)
            return
          }
          let joined = JoinedSoftmax(states, row: row)
          losses[row] = joined.loss
          guard let dx_t else { return }
          let sums = memory.assumingMemoryBound(to: Double.self)
          joined.gradient(dx_t, head: head, target: target, sums: sums, widened: sums + D)
        }
      }
    }
    return { [losses] in losses }
  }
}

/// Softmax over part of a vocabulary, row by row, and the words' vectors weighted by it.
final class SoftmaxSums {
  private var rows = 0
  private var width = 0
  private var softCap: Float?
  private var keepsWords = false
  /// The largest logit so far.
  fileprivate private(set) var largest: [Float] = []
  /// Σ_v e^(z − largest) over the words other than the target.
  fileprivate private(set) var sums: [Double] = []
  /// The target's logit, once its tile has come, and the cap's derivative there: 1 without a cap.
  fileprivate private(set) var targets: [(logit: Float, slope: Float)?] = []
  /// (rows, width): Σ_v e^(z − largest)·W[v], each with the cap's derivative, where it is wanted, but for the
  /// target and the prominent words.
  private let weighted = AlignedBuffer(capacity: 0)
  /// A word with e^(z − largest), `largest` being that of its time, times the cap's derivative.
  fileprivate typealias ProminentWord = (word: Int32, share: Float, largest: Float)
  /// Of each row, where the words are wanted.
  fileprivate private(set) var prominent: [[ProminentWord]] = []

  func reset(rows: Int, width: Int, softCap: Float?, keepsWords: Bool) {
    self.rows = rows
    self.width = width
    self.softCap = softCap
    self.keepsWords = keepsWords
    largest = Array(repeating: -.infinity, count: rows)
    sums = Array(repeating: 0, count: rows)
    targets = Array(repeating: nil, count: rows)
    guard keepsWords else { return }
    weighted.reserve(rows * width * MemoryLayout<Float>.stride)
    for row in prominent.indices { prominent[row].removeAll(keepingCapacity: true) }
    while prominent.count < rows { prominent.append([]) }
  }

  fileprivate var weightedRows: UnsafeMutablePointer<Float>? {
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
      rowByRowProduct(
        rows, count, width, x, width, w, width, transposedB: true, sumLength: shortSum, into: logits, wordTile, padding)
      for row in 0..<rows {
        let z = logits + row * wordTile
        if let softCap { vector_soft_cap(z, slopes, count, softCap) }
        let target = Int(targets[targets.startIndex + row]) - first
        let tileLargest = vector_maximum(z, count)
        let newLargest = max(largest[row], tileLargest)
        if target >= 0, target < count {
          self.targets[row] = (z[target], softCap == nil ? 1 : slopes[target])
          z[target] = -.infinity
        }
        let correction = Glibc.exp(largest[row] - newLargest)
        sums[row] = sums[row] * Double(correction) + vector_exponentiate(z, count, newLargest)
        if target >= 0, target < count {
          // The smallest share that there is.
          sums[row] -= Double(z[target])
          z[target] = 0
        }
        if let weightedRows, first > words.lowerBound, correction != 1 {
          vector_scale(weightedRows + row * width, width, correction)
        }
        largest[row] = newLargest
        // Most tiles have none.
        let likeliest = Glibc.exp(tileLargest - newLargest)
        if keepsWords, likeliest >= prominentShare, Double(likeliest) >= prominentPart * sums[row] {
          setAside(prominentAmong: z, count, first: first, of: row) { softCap == nil ? 1 : slopes[$0] }
        }
        if softCap != nil { vector_multiply(z, slopes, count) }
      }
      guard let weightedRows else { continue }
      // weighted(rows,D) += e^(z − largest)(rows,count) · W(count,D)
      rowByRowProduct(
        rows, width, count, logits, wordTile, w, width, accumulate: first > words.lowerBound, into: weightedRows,
        width, padding)
    }
  }

  /// Takes prominent words out of a row's e^(z − largest) of one tile.
  private func setAside(
    prominentAmong shares: UnsafeMutablePointer<Float>, _ count: Int, first: Int, of row: Int, slope: (Int) -> Float
  ) {
    withUnsafeTemporaryAllocation(of: Int32.self, capacity: count) { found in
      let indices = found[..<vector_indices_above(found.baseAddress!, shares, prominentShares, count)].map(Int.init)
      for i in indices where Double(shares[i]) >= prominentPart * sums[row] {
        prominent[row].append((Int32(first + i), shares[i] * slope(i), largest[row]))
        shares[i] = 0
      }
    }
  }
}

private let prominentShares = [Float](repeating: prominentShare, count: wordTile)

/// A row's softmax over all parts of the vocabulary.
private struct JoinedSoftmax {
  private let parts: ArraySlice<SoftmaxSums>
  private let row: Int
  private let largest: Double
  /// Σ_v e^(z − largest) over the words other than the target.
  private let others: Double
  /// e^(z[target] − largest)
  private let own: Double
  private let target: (logit: Float, slope: Float)
  private var sum: Double { others + own }

  /// - Parameter row: one that has a target.
  init(_ parts: ArraySlice<SoftmaxSums>, row: Int) {
    self.parts = parts
    self.row = row
    let largest = parts.map { Double($0.largest[row]) }.max()!
    self.largest = largest
    others = parts.reduce(0) { $0 + $1.sums[row] * Glibc.exp(Double($1.largest[row]) - largest) }
    target = parts.lazy.compactMap { $0.targets[row] }.first!
    own = Glibc.exp(Double(target.logit) - largest)
  }

  /// −log p[target]
  var loss: Double { own > others ? log1p(others / own) : largest + log(sum) - Double(target.logit) }

  /// dx = Σ_{v ≠ target} p[v]·W[v] − (1 − p[target])·W[target], each with the cap's derivative. 1 − p[target] is the
  /// others' sum: where the target is all but certain, the difference of the two would have no digits left.
  ///
  /// - Parameters:
  ///   - sums: memory for D numbers.
  ///   - widened: memory for D Floats, where the head is in another type than Float.
  func gradient(
    _ dx: UnsafeMutablePointer<Float>, head: Matrix, target word: Int, sums: UnsafeMutablePointer<Double>,
    widened: UnsafeMutableRawPointer
  ) {
    let D = head.columns
    sums.update(repeating: 0, count: D)
    func add(_ word: Int, _ factor: Double) {
      vector_accumulate(sums, head.floats(rows: word..<word + 1, columns: 0..<D, widened: widened).address, D, factor)
    }
    for part in parts {
      vector_accumulate(
        sums, part.weightedRows! + row * D, D, Glibc.exp(Double(part.largest[row]) - largest) / sum)
      for (word, share, largestThen) in part.prominent[row] {
        add(Int(word), Double(share) * Glibc.exp(Double(largestThen) - largest) / sum)
      }
    }
    add(word, -Double(target.slope) * others / sum)
    for i in 0..<D { dx[i] = Float(sums[i]) }
  }
}
