import TensorStream

/// What a record has at a place, and what it adds to the sums there.
struct PlaceRows {
  /// (P, width); of factored gradients, what the decoder multiplies.
  let gradients: UnsafePointer<Float>
  let width: Int
  let activations: RecordedActivations?
  let factored: FactoredSums?

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
        add(active.row(row), gradients + row * width, isFirst: row == part.firstRow, part, to: &sums)
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

  private func add(
    _ active: ActiveRow, _ g: UnsafePointer<Float>, isFirst: Bool, _ part: SamplePart, to sums: inout PlaceSums
  ) {
    factored?.add(attributions: active, g: g, isFirst: isFirst, factor: part.factor, of: part.key, to: &sums)
    for i in sums.measures.indices {
      let measure = sums.measures[i].measure
      switch measure.quantity {
      case .attribution where factored == nil:
        sums.measures[i].add(active.features, isFirst: isFirst, of: part.key, factor: part.factor) {
          Double(active.values[$0]) * Double(g[Int(active.features[$0])])
        }
      case .activation:
        sums.measures[i].add(active.features, of: part.key, factor: part.weightOfRow) { Double(active.values[$0]) }
      // What is listed may be 0 all the same.
      case nil:
        sums.measures[i].add(active.features, of: part.key, factor: part.weightOfRow) {
          active.values[$0] == 0 ? 0 : 1
        }
      case .attribution, .gradient: break
      }
    }
  }
}
