import CVectorMath

/// Rows and columns of a matrix that a thread widens at a time, next to the product that reads them: 2 MB.
private let blockSide = 512

extension DoubleOperations {
  /// Threads take columns of the output.
  public func product(y: Tensor, x: Tensor, matrix: Matrix, bias: Tensor?, accumulate: Bool) {
    precondition(y.hasShape(x.rows, matrix.columns) && x.columns == matrix.rows)
    precondition(bias.map { $0.count == matrix.columns } ?? true)
    let units = (matrix.columns + 31) / 32
    let parts = min(threads, units)
    if isForWholePasses { for part in 0..<parts { scratch[part].reserve(blockBytes(matrix)) } }
    team.run(parts) { part in
      let columns = units * part / parts * 32..<min(units * (part + 1) / parts * 32, matrix.columns)
      for row in 0..<y.rows {
        let y_t = y.doubles(row: row)
        for column in columns {
          y_t[column] = (accumulate ? y_t[column] : 0) + (bias.map { $0.doubles[column] } ?? 0)
        }
      }
      if isForWholePasses {
        addByBlocks(y, x, matrix, columns, scratch[part].address)
      } else {
        addByLines(y, x, matrix, columns)
      }
    }
  }

  private func blockBytes(_ matrix: Matrix) -> Int {
    let (rows, columns) = (min(blockSide, matrix.rows), min(blockSide, matrix.columns))
    return (MemoryLayout<Double>.stride + MemoryLayout<Float>.stride) * rows * columns
      + paddingBytes(columns, rows, numberSize: MemoryLayout<Double>.stride)
  }

  /// y(N,columns) += x · M[:,columns] by OpenBLAS, each block of M widened once for all rows.
  private func addByBlocks(
    _ y: Tensor, _ x: Tensor, _ matrix: Matrix, _ columns: Range<Int>, _ memory: UnsafeMutableRawPointer
  ) {
    for firstColumn in stride(from: columns.lowerBound, to: columns.upperBound, by: blockSide) {
      for firstRow in stride(from: 0, to: matrix.rows, by: blockSide) {
        let columns = firstColumn..<min(firstColumn + blockSide, columns.upperBound)
        let rows = firstRow..<min(firstRow + blockSide, matrix.rows)
        let block = memory.assumingMemoryBound(to: Double.self)
        let narrow = UnsafeMutableRawPointer(block + rows.count * columns.count)
        let floats = matrix.floats(rows: rows, columns: columns, widened: narrow)
        let (lines, length) =
          matrix.isColumnMajor ? (columns.count, rows.count) : (rows.count, columns.count)
        for line in 0..<lines {
          vector_widen_float(block + line * length, floats.address + line * floats.leadingDimension, length)
        }
        rowByRowProduct(
          x.rows, columns.count, rows.count, x.doubles + rows.lowerBound, x.columns, block, length,
          transposedB: matrix.isColumnMajor, accumulate: true, into: y.doubles + columns.lowerBound, y.columns,
          narrow + MemoryLayout<Float>.stride * rows.count * columns.count)
      }
    }
  }

  /// The same for few rows, for which the reading of the matrix takes longest, and without OpenBLAS, which need not be
  /// there beside a GPU: each line is widened once for all rows.
  private func addByLines(_ y: Tensor, _ x: Tensor, _ matrix: Matrix, _ columns: Range<Int>) {
    let length = matrix.isColumnMajor ? matrix.rows : columns.count
    withUnsafeTemporaryAllocation(byteCount: 12 * max(length, 1), alignment: 64) { memory in
      let line = memory.baseAddress!.assumingMemoryBound(to: Double.self)
      let narrow = UnsafeMutableRawPointer(line + length)
      func widen(rows: Range<Int>, columns: Range<Int>) {
        vector_widen_float(line, matrix.floats(rows: rows, columns: columns, widened: narrow).address, length)
      }
      if matrix.isColumnMajor {
        for column in columns {
          widen(rows: 0..<matrix.rows, columns: column..<column + 1)
          for row in 0..<x.rows {
            y.doubles(row: row)[column] += vector_dot_doubles(x.doubles(row: row), line, length)
          }
        }
      } else {
        for k in 0..<matrix.rows {
          widen(rows: k..<k + 1, columns: columns)
          for row in 0..<x.rows {
            vector_add_scaled_doubles(
              y.doubles(row: row) + columns.lowerBound, line, length, x.doubles(row: row)[k])
          }
        }
      }
    }
  }
}
