import TensorOperations

/// A norm with its weights.
struct Norm {
  let weight: Tensor
  let bias: Tensor?
  let kind: Normalization

  /// y = norm(x) row by row, keeping in `statistics` what the way back needs.
  func apply(y: Tensor, statistics: Tensor, x: Tensor, _ operations: any PassOperations) {
    operations.normalize(y: y, statistics: statistics, x: x, weight: weight, bias: bias, kind)
  }

  func backward(
    dx: Tensor, dy: Tensor, statistics: Tensor, x: Tensor, _ operations: any PassOperations, accumulate: Bool = true
  ) {
    operations.normalizeBackward(
      dx: dx, dy: dy, statistics: statistics, x: x, weight: weight, kind, accumulate: accumulate)
  }

  /// The same of each head of a row; `statistics` is (N, heads).
  func applyToHeads(y: Tensor, statistics: Tensor, x: Tensor, _ operations: any PassOperations) {
    let width = weight.count
    apply(y: y.rows(ofWidth: width), statistics: statistics.rows(ofWidth: 1), x: x.rows(ofWidth: width), operations)
  }

  /// Overwrites dx, the gradient at the heads behind the norm, with that before it.
  func backwardOfHeads(dx: Tensor, statistics: Tensor, x: Tensor, _ operations: any PassOperations) {
    let (width, dx) = (weight.count, dx.rows(ofWidth: weight.count))
    backward(
      dx: dx, dy: dx, statistics: statistics.rows(ofWidth: 1), x: x.rows(ofWidth: width), operations, accumulate: false)
  }
}

/// A matrix (out, in), and a bias where it has one.
struct Linear {
  let weight: Matrix
  let bias: Tensor?

  /// y = x · Wᵀ + b
  func apply(y: Tensor, x: Tensor, _ operations: any PassOperations) {
    operations.linear(y: y, x: x, weight: weight, bias: bias)
  }

  /// y = x · Wᵀ + b for several maps of the same rows.
  static func apply(_ maps: [(map: Linear, y: Tensor)], x: Tensor, _ operations: any PassOperations) {
    operations.products(maps.map { LinearMap(y: $0.y, matrix: $0.map.weight.transposed, bias: $0.map.bias) }, of: x)
  }

  /// dx = dy · W, or dx += where `accumulate`.
  func backward(dx: Tensor, dy: Tensor, _ operations: any PassOperations, accumulate: Bool = false) {
    operations.linearBackward(dx: dx, dy: dy, weight: weight, accumulate: accumulate)
  }
}

extension WeightLoader {
  func linear(_ slot: WeightSlot, bias: WeightSlot, _ layer: Int) throws -> Linear {
    Linear(weight: try matrix(slot, layer), bias: try vectorIfThere(bias, layer))
  }

  /// - Parameter layer: of no meaning where the whole model has one.
  func norm(_ slot: WeightSlot, bias: WeightSlot, _ layer: Int = 0) throws -> Norm {
    Norm(
      weight: try vector(slot, layer), bias: try vectorIfThere(bias, layer), kind: checkpoint.description.norm)
  }

  /// One that has no bias; nil where the family has no such norm.
  func normIfThere(_ slot: WeightSlot, _ layer: Int) throws -> Norm? {
    try vectorIfThere(slot, layer).map { Norm(weight: $0, bias: nil, kind: checkpoint.description.norm) }
  }
}
