import CVectorMath

/// Rows of a matrix in another type than Float that are widened at a time, next to the product that reads them.
private let widenedRows = 1024
/// Columns of a product that a thread takes at a time, at most: with `widenedRows` of them a widened block has 2.5 MB.
private let taskColumns = 640
/// What a task's columns are a multiple of: of every OpenBLAS kernel's tile.
private let columnUnit = 32
/// How many terms a forward pass adds up one after another in Float. OpenBLAS itself adds hundreds, which doubles the
/// error, and every layer behind amplifies it. Costs 3 % of such a product's time.
let shortSum = 64
/// How many terms a forward pass adds up by short sums, before these are added to the rest: four short sums.
private let longSum = 4 * shortSum

extension CPUOperations {
  public func product(y: Tensor, x: Tensor, matrix: Matrix, bias: Tensor?, accumulate: Bool) {
    product(y: y, x: x, matrix: matrix, bias: bias, accumulate: accumulate, sumLength: shortSum)
  }

  /// Linear, so that what is off is not amplified: its sums are as long as OpenBLAS makes them.
  public func linearBackward(dx: Tensor, dy: Tensor, weight: Matrix, accumulate: Bool) {
    product(y: dx, x: dy, matrix: weight, bias: nil, accumulate: accumulate, sumLength: .max)
  }

  /// Threads take columns of the output, so that each packs its own part of the matrix, which is larger than x.
  private func product(y: Tensor, x: Tensor, matrix: Matrix, bias: Tensor?, accumulate: Bool, sumLength: Int) {
    precondition(y.hasShape(x.rows, matrix.columns) && x.columns == matrix.rows)
    precondition(bias.map { $0.count == matrix.columns } ?? true)
    let units = (matrix.columns + columnUnit - 1) / columnUnit
    // As many tasks for each thread as for the others, and at least two: a thread whose core is taken away for a moment
    // then leaves one to the others.
    let rounds = (matrix.columns + taskColumns * threads - 1) / (taskColumns * threads)
    let tasks = min(2 * rounds * threads, units)
    let bytes = multiplyBytes(matrix, rows: x.rows, columns: taskColumns, sumLength: sumLength)
    distribute(tasks, scratchBytes: bytes) { task, memory in
      let first = units * task / tasks * columnUnit
      let columns = first..<min(units * (task + 1) / tasks * columnUnit, matrix.columns)
      let y_ = y.address + columns.lowerBound
      multiply(
        x.address, rows: x.rows, matrix, columns: columns, accumulate: accumulate, sumLength: sumLength, into: y_,
        rowDistance: y.columns, memory)
      guard let bias else { return }
      for row in 0..<y.rows { vector_add(y_ + row * y.columns, bias.address + columns.lowerBound, columns.count) }
    }
  }

  /// out(rows,columns) = x(rows,in) · M[:,columns], or out += where `accumulate`, on the calling thread.
  ///
  /// - Parameters:
  ///   - sumLength: as `rowByRowProduct` has it; where there is one, `longSum` terms at a time are added to `out`.
  ///   - memory: of `multiplyBytes` or more.
  func multiply(
    _ x: UnsafePointer<Float>, rows: Int, _ matrix: Matrix, columns: Range<Int>, accumulate: Bool = false,
    sumLength: Int = .max, into out: UnsafeMutablePointer<Float>, rowDistance: Int, _ memory: UnsafeMutableRawPointer
  ) {
    let step = step(of: matrix, sumLength: sumLength)
    let sums = (memory + widenedBytes(of: matrix, columns: columns.count, step)).assumingMemoryBound(to: Float.self)
    let padding = UnsafeMutableRawPointer(sums) + sumBytes(rows: rows, columns: columns.count, sumLength: sumLength)
    for first in stride(from: 0, to: matrix.rows, by: step) {
      let block = matrix.floats(rows: first..<min(first + step, matrix.rows), columns: columns, widened: memory)
      let adds = accumulate || first > 0
      let isApart = adds && sumLength < .max
      rowByRowProduct(
        rows, columns.count, block.rows, x + first, matrix.rows, block.address, block.leadingDimension,
        transposedB: matrix.isColumnMajor, accumulate: adds && !isApart, sumLength: sumLength,
        into: isApart ? sums : out, isApart ? columns.count : rowDistance, padding)
      guard isApart else { continue }
      for row in 0..<rows { vector_add(out + row * rowDistance, sums + row * columns.count, columns.count) }
    }
  }

  /// The scratch memory that `multiply` needs for at most so many rows and columns.
  func multiplyBytes(_ matrix: Matrix, rows: Int, columns: Int, sumLength: Int = .max) -> Int {
    widenedBytes(of: matrix, columns: columns, step(of: matrix, sumLength: sumLength))
      + sumBytes(rows: rows, columns: columns, sumLength: sumLength) + paddingBytes(columns, matrix.rows)
  }

  /// Rows of the matrix that are multiplied at a time. A matrix of Float is used where it lies; others are widened by
  /// blocks, each once for all rows of x.
  private func step(of matrix: Matrix, sumLength: Int) -> Int {
    sumLength < .max ? longSum : matrix.type == .f32 ? max(matrix.rows, 1) : widenedRows
  }

  private func widenedBytes(of matrix: Matrix, columns: Int, _ step: Int) -> Int {
    matrix.type == .f32 ? 0 : min(matrix.rows, step) * min(matrix.columns, columns) * MemoryLayout<Float>.stride
  }

  private func sumBytes(rows: Int, columns: Int, sumLength: Int) -> Int {
    sumLength < .max ? rows * columns * MemoryLayout<Float>.stride : 0
  }
}

extension Matrix {
  /// Part of the matrix as Float, in the matrix's order: where it lies, or widened into `memory`.
  func floats(
    rows: Range<Int>, columns: Range<Int>, widened memory: UnsafeMutableRawPointer
  ) -> (address: UnsafePointer<Float>, rows: Int, leadingDimension: Int) {
    let (lines, elements) = isColumnMajor ? (columns, rows) : (rows, columns)
    if type == .f32 {
      return (floats + lines.lowerBound * leadingDimension + elements.lowerBound, rows.count, leadingDimension)
    }
    let destination = memory.assumingMemoryBound(to: Float.self)
    for (index, line) in lines.enumerated() {
      let source = address + (line * leadingDimension + elements.lowerBound) * type.size
      widen(destination + index * elements.count, source, elements.count, type)
    }
    return (UnsafePointer(destination), rows.count, elements.count)
  }
}

/// C(m,n) = alpha · A(m,k) · B(k,n) + beta · C, row-major; `transposed` says that A or B lies in memory as its
/// transpose. Leading dimensions are the distances between rows in memory. Runs on the calling thread.
@inline(__always)
func matrixProduct(
  _ m: Int, _ n: Int, _ k: Int, alpha: Float = 1, _ a: UnsafePointer<Float>, _ lda: Int, transposedA: Bool = false,
  _ b: UnsafePointer<Float>, _ ldb: Int, transposedB: Bool = false, beta: Float = 0,
  into c: UnsafeMutablePointer<Float>,
  _ ldc: Int
) {
  OpenBLAS.product(
    OpenBLAS.rowMajor, transposedA ? OpenBLAS.transposed : OpenBLAS.plain,
    transposedB ? OpenBLAS.transposed : OpenBLAS.plain, Int32(m), Int32(n), Int32(k), alpha, a, Int32(lda), b,
    Int32(ldb), beta, c, Int32(ldc))
}
