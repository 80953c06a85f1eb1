import Glibc

/// Bytes of logits at a time, at most, but for those of a single row.
private let logitBytes = 128 << 20

extension DoubleOperations {
  public func crossEntropy(dx: Tensor?, x: Tensor, head: Matrix, targets: [Int32], softCap: Float?) -> () -> [Double] {
    let (V, D) = (head.rows, head.columns)
    precondition(dx?.hasShape(x.rows, D) ?? true && x.columns == D && targets.count == x.rows && !head.isColumnMajor)
    precondition(targets.allSatisfy { $0 < V })
    let rowsAtATime = min(max(logitBytes / (V * MemoryLayout<Double>.stride), 1), x.rows)
    let memory = makeTensor(rows: rowsAtATime, columns: V)
    var losses = [Double](repeating: 0, count: x.rows)
    for first in stride(from: 0, to: x.rows, by: max(rowsAtATime, 1)) {
      let rows = first..<min(first + rowsAtATime, x.rows)
      let logits = memory.first(rows: rows.count)
      linear(y: logits, x: x.doubleRows(rows), weight: head)
      losses.withUnsafeMutableBufferPointer { losses in
        nonisolated(unsafe) let losses = losses.baseAddress!
        team.run(rows.count) { place in
          losses[first + place] = loss(
            logits.doubles(row: place), V, target: targets[first + place], softCap.map(Double.init), goesBack: dx != nil
          )
        }
      }
      if let dx { product(y: dx.doubleRows(rows), x: logits, matrix: head, bias: nil, accumulate: false) }
    }
    return { losses }
  }

  /// A row's loss. Where it goes back, puts the loss's gradient at the logits before a cap in their place.
  private func loss(
    _ z: UnsafeMutablePointer<Double>, _ count: Int, target: Int32, _ softCap: Double?, goesBack: Bool
  ) -> Double {
    guard target >= 0 else {
      z.update(repeating: 0, count: count)
      return 0
    }
    let target = Int(target)
    func capped(_ logit: Double) -> Double { softCap.map { $0 * tanh(logit / $0) } ?? logit }
    let own = capped(z[target])
    // Σ e^(z − z[target]) over the others, from the largest logit if that would be too much.
    let largest = (0..<count).reduce(-Double.infinity) { max($0, capped(z[$1])) }
    let others = sum(count) { $0 == target ? 0 : exp(capped(z[$0]) - largest) }
    let total = others + exp(own - largest)
    if goesBack {
      for v in 0..<count {
        let slope = softCap.map { 1 - tanh(z[v] / $0) * tanh(z[v] / $0) } ?? 1
        z[v] = (v == target ? -others : exp(capped(z[v]) - largest)) / total * slope
      }
    }
    return own == largest ? log1p(others) : largest + log(total) - own
  }
}
