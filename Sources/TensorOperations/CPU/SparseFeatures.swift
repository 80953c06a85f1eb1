import CVectorMath

/// Features whose products with all gathered rows are held at a time: 512 rows of them make 1 MB.
private let featureTile = 512

extension CPUOperations {
  public func scaleColumns(_ x: Tensor, by factors: [Float]) {
    precondition(factors.count == x.columns)
    split(x.rows) { rows in
      for row in rows {
        let x_t = x.address + row * x.columns
        for i in 0..<x.columns { x_t[i] *= factors[i] }
      }
    }
  }

  public func activate(_ p: Tensor, by activation: Activation) -> ActiveFeatures {
    var rows = [(indices: [Int32], values: [Float])](repeating: ([], []), count: p.rows)
    let thresholds = activation.thresholds(features: p.columns)
    rows.withUnsafeMutableBufferPointer { rows in
      nonisolated(unsafe) let rows = rows
      distribute(p.rows, scratchBytes: p.columns * MemoryLayout<Int32>.stride) { row, memory in
        let p_t = UnsafeMutableBufferPointer(start: p.address + row * p.columns, count: p.columns)
        let candidates = UnsafeMutableBufferPointer(
          start: memory.assumingMemoryBound(to: Int32.self), count: p.columns)
        rows[row] = activation.features(of: p_t, thresholds: thresholds, candidates: candidates)
      }
    }
    return ActiveFeatures(rows: rows)
  }

  public func decode(y: Tensor, features: ActiveFeatures, decoder: Matrix, bias: [Float]) {
    precondition(y.hasShape(features.rows.count, decoder.columns) && bias.count == decoder.columns)
    if decoder.isColumnMajor {
      // Each of the decoder's columns is read for all positions while it is in cache.
      split(decoder.columns) { columns in
        for column in columns {
          let w = decoder.floats + column * decoder.leadingDimension
          for (row, active) in features.rows.enumerated() {
            var sum = Double(bias[column])
            for i in active.indices.indices { sum += Double(active.values[i]) * Double(w[Int(active.indices[i])]) }
            y.address[row * y.columns + column] = Float(sum)
          }
        }
      }
    } else {
      distribute(y.rows, scratchBytes: y.columns * MemoryLayout<Double>.stride) { row, memory in
        let sums = memory.assumingMemoryBound(to: Double.self)
        for column in 0..<y.columns { sums[column] = Double(bias[column]) }
        let active = features.rows[row]
        for (index, value) in zip(active.indices, active.values) {
          vector_accumulate(sums, decoder.floats + Int(index) * decoder.leadingDimension, y.columns, Double(value))
        }
        for column in 0..<y.columns { y.address[row * y.columns + column] = Float(sums[column]) }
      }
    }
  }

  public func product(_ matrix: Matrix, _ vector: [Double]) -> [Double] {
    precondition(vector.count == matrix.columns)
    var result = [Double](repeating: 0, count: matrix.rows)
    result.withUnsafeMutableBufferPointer { result in
      nonisolated(unsafe) let result = result.baseAddress!
      split(matrix.rows, multiple: 64) { rows in
        if matrix.isColumnMajor {
          for (column, factor) in vector.enumerated() {
            vector_accumulate(
              result + rows.lowerBound, matrix.floats + column * matrix.leadingDimension + rows.lowerBound, rows.count,
              factor)
          }
        } else {
          for row in rows {
            let line = matrix.floats + row * matrix.leadingDimension
            var sum = 0.0
            for i in 0..<vector.count { sum += Double(line[i]) * vector[i] }
            result[row] = sum
          }
        }
      }
    }
    return result
  }

  public func addMagnitudes(ofProduct x: Tensor, matrix: Matrix, to sums: UnsafeMutableBufferPointer<Double>) {
    precondition(x.columns == matrix.rows && sums.count == matrix.columns)
    let tiles = (matrix.columns + featureTile - 1) / featureTile
    let productBytes = x.rows * featureTile * MemoryLayout<Float>.stride
    let multiplyBytes = multiplyBytes(matrix, columns: featureTile)
    distribute(tiles, scratchBytes: productBytes + multiplyBytes) { tile, memory in
      let columns = tile * featureTile..<min((tile + 1) * featureTile, matrix.columns)
      let products = memory.assumingMemoryBound(to: Float.self)
      multiply(
        x.address, rows: x.rows, matrix, columns: columns, into: products, rowDistance: featureTile,
        memory + productBytes)
      for row in 0..<x.rows {
        vector_accumulate_magnitude(
          sums.baseAddress! + columns.lowerBound, products + row * featureTile, columns.count, 1)
      }
    }
  }
}

extension Activation {
  /// What p must exceed to be active, for the rules that are nothing else.
  fileprivate func thresholds(features: Int) -> [Float]? {
    switch self {
    case .threshold(let threshold): Array(repeating: max(threshold, 0), count: features)
    case .thresholds(let thresholds): thresholds.map { max($0, 0) }
    default: nil
    }
  }

  /// - Parameters:
  ///   - p: one position's preactivations, which may be overwritten.
  ///   - candidates: memory for as many indices.
  fileprivate func features(
    of p: UnsafeMutableBufferPointer<Float>, thresholds: [Float]?, candidates: UnsafeMutableBufferPointer<Int32>
  ) -> (indices: [Int32], values: [Float]) {
    let indices: [Int32]
    switch self {
    case .threshold, .thresholds:
      let count = vector_indices_above(candidates.baseAddress!, p.baseAddress!, thresholds!, p.count)
      indices = Array(candidates[..<count])
    case .topK(let k):
      indices = largest(k, of: p, candidates) { $0 }.filter { p[Int($0)] > 0 || p[Int($0)].isNaN }
    case .topMagnitudes(let k):
      indices = largest(k, of: p, candidates, by: \.magnitude).filter { p[Int($0)] != 0 }
    case .groupMax(let groups):
      let size = p.count / groups
      indices = (0..<groups).compactMap { group in
        var best = group * size
        for i in best..<(group + 1) * size where p[i] > p[best] || p[i].isNaN { best = i }
        return p[best] > 0 || p[best].isNaN ? Int32(best) : nil
      }
    case .gated(let gateBias, let magnitudeFactors, let magnitudeBias):
      var active: [Int32] = []
      for i in 0..<p.count where !(p[i] + gateBias[i] <= 0) {
        p[i] = magnitudeFactors[i] * p[i] + magnitudeBias[i]
        if !(p[i] <= 0) { active.append(Int32(i)) }
      }
      indices = active
    }
    return (indices, indices.map { p[Int($0)] })
  }

  /// The indices of the k largest, ascending; of equal ones those of lower index.
  private func largest(
    _ k: Int, of p: UnsafeMutableBufferPointer<Float>, _ candidates: UnsafeMutableBufferPointer<Int32>,
    by key: (Float) -> Float
  ) -> [Int32] {
    guard k < p.count else { return (0..<Int32(p.count)).map { $0 } }
    for i in 0..<p.count { candidates[i] = Int32(i) }
    // NaN counts as the largest, so that it is kept and seen.
    func precedes(_ a: Int32, _ b: Int32) -> Bool {
      let (x, y) = (key(p[Int(a)]), key(p[Int(b)]))
      if x.isNaN != y.isNaN { return x.isNaN }
      return x == y || x.isNaN ? a < b : x > y
    }
    // Quickselect: after each round the k-th lies between low and high, and what precedes low precedes all of it.
    var (low, high) = (0, p.count - 1)
    while low < high {
      let pivot = candidates[low + (high - low) / 2]
      var (i, j) = (low, high)
      while i <= j {
        while precedes(candidates[i], pivot) { i += 1 }
        while precedes(pivot, candidates[j]) { j -= 1 }
        if i <= j {
          candidates.swapAt(i, j)
          i += 1
          j -= 1
        }
      }
      if k - 1 <= j { high = j } else if k - 1 >= i { low = i } else { break }
    }
    return candidates[..<k].sorted()
  }
}
