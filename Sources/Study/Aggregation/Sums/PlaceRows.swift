import TensorStream

/// What a record has at a place, and what it adds to the sums there.
struct PlaceRows {
  /// (P, width); of factored gradients, what the decoder multiplies.
  let gradients: UnsafePointer<Float>
  let width: Int
  let activations: RecordedActivations?
  let factored: FactoredSums?
  /// Where the activations are those of active features.
  let activeSums: ActiveSums?

  /// Adds these rows of the part.
  func add(_ rows: Range<Int>, _ part: SamplePart, to sums: inout PlaceSums) {
    let g = gradients + rows.lowerBound * width
    if let factored {
      factored.add(g, rows: rows.count, factor: part.factor, of: part.key, to: &sums)
    } else {
      sums.add(gradients: g, rows: rows.count, factor: part.factor, of: part.key)
    }
    switch activations {
    case nil: break
    case .dense(let all):
      let first = part.firstRow.flatMap { rows.contains($0) ? $0 - rows.lowerBound : nil }
      add(all.baseAddress! + rows.lowerBound * width, g, rows: rows.count, first: first, part, to: &sums)
    case .active(let active):
      for row in rows {
        activeSums!.add(
          active.row(row), g: gradients + row * width, isFirst: row == part.firstRow, of: part, to: &sums)
      }
    }
  }

  private func add(
    _ a: UnsafePointer<Float>, _ g: UnsafePointer<Float>, rows: Int, first: Int?, _ part: SamplePart,
    to sums: inout PlaceSums
  ) {
    for i in sums.measures.indices {
      switch sums.measures[i].measure.quantity {
      case .attribution:
        sums.measures[i].add(g, times: a, rows: rows, first: first, factor: part.factor, of: part.key)
      case .activation: sums.measures[i].add(a, rows: rows, factor: part.weightOfRow, of: part.key)
      case .gradient, nil: break
      }
    }
  }
}
