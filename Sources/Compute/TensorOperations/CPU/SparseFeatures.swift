import CVectorMath

/// Features whose products with all gathered rows are held at a time: 512 rows of them make 1 MB.
private let featureTile = 512
/// Parts of the rows that each thread finds active features of: one that is held up leaves some to the others.
private let partsOfThread = 8

extension CPUOperations {
  /// The same memory, whose columns `decode` reads along their lines.
  public func makeDecoder(_ host: Matrix) -> Matrix { host }

  public func scaleColumns(_ x: Tensor, by factors: Tensor) {
    precondition(factors.count == x.columns)
    split(x.rows) { rows in
      for row in rows {
        let x_t = x.address + row * x.columns
        for i in 0..<x.columns { x_t[i] *= factors.address[i] }
      }
    }
  }

  /// Threads fill parts of rows, which are then put together.
  public func activate(_ p: Tensor, by rule: ActivationRule<Tensor>) -> any DeviceFeatures {
    let F = p.columns
    let thresholds = rule.thresholds(features: F)
    let parts = min(p.rows, partsOfThread * threads)
    var found = [ActiveFeatures](repeating: ActiveFeatures(), count: parts)
    found.withUnsafeMutableBufferPointer { found in
      nonisolated(unsafe) let found = found
      distribute(parts, scratchBytes: F * MemoryLayout<Int32>.stride) { part, memory in
        let candidates = UnsafeMutableBufferPointer(start: memory.assumingMemoryBound(to: Int32.self), count: F)
        var own = ActiveFeatures()
        for row in p.rows * part / parts..<p.rows * (part + 1) / parts {
          let p_t = UnsafeMutableBufferPointer(start: p.address + row * F, count: F)
          let count = rule.findFeatures(of: p_t, thresholds: thresholds, in: candidates)
          own.appendRow(UnsafeBufferPointer(rebasing: candidates[..<count]), of: p_t.baseAddress!)
        }
        found[part] = own
      }
    }
    return ActiveFeatures(joining: found)
  }

  public func startDownload(_ features: any DeviceFeatures, _ take: @escaping (ActiveFeatures) -> Void) {
    take(features as! ActiveFeatures)
  }

  public func decode(y: Tensor, features: any DeviceFeatures, factors: Tensor?, decoder: Matrix, bias: Tensor) {
    var features = features as! ActiveFeatures
    precondition(y.hasShape(features.rowCount, decoder.columns) && bias.count == decoder.columns)
    if let factors {
      precondition(factors.count == decoder.rows)
      features.scale(by: factors.address)
    }
    features.offsets.withUnsafeBufferPointer { offsets in
      features.indices.withUnsafeBufferPointer { indices in
        features.values.withUnsafeBufferPointer { values in
          decode(y, offsets, indices, values, decoder, bias)
        }
      }
    }
  }

  private func decode(
    _ y: Tensor, _ offsets: UnsafeBufferPointer<Int64>, _ indices: UnsafeBufferPointer<Int32>,
    _ values: UnsafeBufferPointer<Float>, _ decoder: Matrix, _ bias: Tensor
  ) {
    let bias = bias.address
    if decoder.isColumnMajor {
      // Each of the decoder's columns is read for all positions while it is in cache.
      split(decoder.columns) { columns in
        for column in columns {
          let w = decoder.floats + column * decoder.leadingDimension
          for row in 0..<y.rows {
            var sum = Double(bias[column])
            for i in Int(offsets[row])..<Int(offsets[row + 1]) { sum += Double(values[i]) * Double(w[Int(indices[i])]) }
            y.address[row * y.columns + column] = Float(sum)
          }
        }
      }
    } else {
      distribute(y.rows, scratchBytes: y.columns * MemoryLayout<Double>.stride) { row, memory in
        let sums = memory.assumingMemoryBound(to: Double.self)
        for column in 0..<y.columns { sums[column] = Double(bias[column]) }
        for i in Int(offsets[row])..<Int(offsets[row + 1]) {
          let line = decoder.floats + Int(indices[i]) * decoder.leadingDimension
          vector_accumulate(sums, line, y.columns, Double(values[i]))
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

  public func addMagnitudes(
    ofProduct x: Tensor, matrix: Matrix, to sums: Tensor?, partsEndingAt ends: [Int], show: PartSums
  ) {
    let rowsInParts = ends.last ?? 0
    precondition(rowsInParts <= x.rows && (ends.isEmpty || sums!.hasShape(1, 2 * matrix.columns)))
    forEachTile(of: x, matrix) { columns, products, ofPart in
      var row = 0
      for (part, end) in ends.enumerated() {
        ofPart.update(repeating: 0, count: columns.count)
        while row < end {
          vector_accumulate_magnitude(ofPart, products + row * featureTile, columns.count, 1)
          row += 1
        }
        // Once a part: to add every row up twice takes 1 % of the product's time.
        vector_add_scaled_doubles(sums!.doubles + columns.lowerBound, ofPart, columns.count, 1)
        show(part, columns, ofPart)
      }
      for row in rowsInParts..<x.rows {
        vector_widen_float(ofPart, products + row * featureTile, columns.count)
        show(ends.count + row - rowsInParts, columns, ofPart)
      }
    }
  }

  /// Gives `body` some columns, their x · M, whose rows are `featureTile` apart, and memory for as many numbers.
  private func forEachTile(
    of x: Tensor, _ matrix: Matrix,
    _ body: (Range<Int>, UnsafePointer<Float>, UnsafeMutablePointer<Double>) -> Void
  ) {
    precondition(x.columns == matrix.rows)
    let tiles = (matrix.columns + featureTile - 1) / featureTile
    let sumBytes = featureTile * MemoryLayout<Double>.stride
    let productBytes = x.rows * featureTile * MemoryLayout<Float>.stride
    let multiplyBytes = multiplyBytes(matrix, rows: x.rows, columns: featureTile)
    distribute(tiles, scratchBytes: sumBytes + productBytes + multiplyBytes) { tile, memory in
      let columns = tile * featureTile..<min((tile + 1) * featureTile, matrix.columns)
      let products = (memory + sumBytes).assumingMemoryBound(to: Float.self)
      multiply(
        x.address, rows: x.rows, matrix, columns: columns, into: products, rowDistance: featureTile,
        memory + sumBytes + productBytes)
      body(columns, products, memory.assumingMemoryBound(to: Double.self))
    }
  }
}

extension ActivationRule<Tensor> {
  /// What p must exceed to be active, for the rules that are nothing else.
  fileprivate func thresholds(features: Int) -> [Float]? {
    switch self {
    case .threshold(let threshold): Array(repeating: max(threshold, 0), count: features)
    case .thresholds(let thresholds): (0..<features).map { max(thresholds.address[$0], 0) }
    default: nil
    }
  }

  /// Finds the active features of one position, ascending.
  ///
  /// - Parameters:
  ///   - p: its preactivations, in whose place the values of the active features are left.
  ///   - found: memory for as many indices, the first of which become those of the active features.
  /// - Returns: how many there are.
  fileprivate func findFeatures(
    of p: UnsafeMutableBufferPointer<Float>, thresholds: [Float]?, in found: UnsafeMutableBufferPointer<Int32>
  ) -> Int {
    var count = 0
    func keep(_ index: Int) {
      found[count] = Int32(index)
      count += 1
    }
    switch self {
    case .threshold, .thresholds:
      return vector_indices_above(found.baseAddress!, p.baseAddress!, thresholds!, p.count)
    case .topK(let k):
      // What is kept moves down, never past what is yet to be looked at.
      for i in 0..<findLargest(k, of: p, in: found, by: { $0 }) where !(p[Int(found[i])] <= 0) { keep(Int(found[i])) }
    case .topMagnitudes(let k):
      for i in 0..<findLargest(k, of: p, in: found, by: \.magnitude) where p[Int(found[i])] != 0 {
        keep(Int(found[i]))
      }
    case .groupMax(let groups):
      let size = p.count / groups
      for group in 0..<groups {
        var best = group * size
        for i in best..<(group + 1) * size where p[i] > p[best] || p[i].isNaN { best = i }
        if !(p[best] <= 0) { keep(best) }
      }
    case .gated(let gateBias, let magnitudeFactors, let magnitudeBias):
      for i in 0..<p.count where !(p[i] + gateBias.address[i] <= 0) {
        p[i] = magnitudeFactors.address[i] * p[i] + magnitudeBias.address[i]
        if !(p[i] <= 0) { keep(i) }
      }
    }
    return count
  }

  /// Puts the indices of the k largest first in `found`, ascending; of equal ones those of lower index.
  ///
  /// - Returns: how many there are.
  private func findLargest(
    _ k: Int, of p: UnsafeMutableBufferPointer<Float>, in found: UnsafeMutableBufferPointer<Int32>,
    by key: (Float) -> Float
  ) -> Int {
    for i in 0..<p.count { found[i] = Int32(i) }
    guard k < p.count else { return p.count }
    // NaN counts as the largest, so that it is kept and seen.
    func precedes(_ a: Int32, _ b: Int32) -> Bool {
      let (x, y) = (key(p[Int(a)]), key(p[Int(b)]))
      if x.isNaN != y.isNaN { return x.isNaN }
      return x == y || x.isNaN ? a < b : x > y
    }
    // Quickselect: after each round the k-th lies between low and high, and what precedes low precedes all of it.
    var (low, high) = (0, p.count - 1)
    while low < high {
      let pivot = found[low + (high - low) / 2]
      var (i, j) = (low, high)
      while i <= j {
        while precedes(found[i], pivot) { i += 1 }
        while precedes(pivot, found[j]) { j -= 1 }
        if i <= j {
          found.swapAt(i, j)
          i += 1
          j -= 1
        }
      }
      if k - 1 <= j { high = j } else if k - 1 >= i { low = i } else { break }
    }
    var largest = UnsafeMutableBufferPointer(rebasing: found[0..<k])
    largest.sort()
    return k
  }
}
