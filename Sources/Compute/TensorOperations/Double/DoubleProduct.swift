import CVectorMath

extension DoubleOperations {
  /// Each line of the matrix is widened once, for all rows of x. Threads take columns of the output.
  public func product(y: Tensor, x: Tensor, matrix: Matrix, bias: Tensor?, accumulate: Bool) {
    precondition(y.hasShape(x.rows, matrix.columns) && x.columns == matrix.rows)
    precondition(bias.map { $0.count == matrix.columns } ?? true)
    team.split(matrix.columns, multiple: 16, parts: threads) { columns in
      for row in 0..<y.rows {
        let y_t = y.doubles(row: row)
        for column in columns {
          y_t[column] = (accumulate ? y_t[column] : 0) + (bias.map { $0.doubles[column] } ?? 0)
        }
      }
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
}
