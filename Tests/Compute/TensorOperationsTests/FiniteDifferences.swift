import TestSupport

/// ∂f/∂x by central differences, element by element. With h = 1e-5 and numbers near 1 their error is about 1e-10.
func finiteDifferences(at x: [Double], _ f: ([Double]) -> Double) -> [Double] {
  var x = x
  return x.indices.map { i in
    let original = x[i]
    let h = 1e-5 * max(abs(original), 1)
    defer { x[i] = original }
    x[i] = original + h
    let above = f(x)
    x[i] = original - h
    return (above - f(x)) / (2 * h)
  }
}

/// How far ⟨gradient, v⟩ is from the derivative of f along v by central differences, over several random v: the error
/// relative to ‖gradient‖·‖v‖. For shapes where element by element would take too long.
func directionalError(
  of gradient: [Float], at x: [Double], directions: Int = 4, seed: UInt64 = 99, _ f: ([Double]) -> Double
) -> Double {
  var numbers = SeededNumbers(seed: seed)
  let norm = dot(doubles(gradient), doubles(gradient)).squareRoot()
  return (0..<directions).map { _ in
    let v = doubles(numbers.floats(x.count))
    let h = 1e-5
    let above = f(zip(x, v).map { $0 + h * $1 })
    let below = f(zip(x, v).map { $0 - h * $1 })
    return abs(dot(doubles(gradient), v) - (above - below) / (2 * h)) / (norm * dot(v, v).squareRoot())
  }.max()!
}

func dot(_ a: some Sequence<Double>, _ b: some Sequence<Double>) -> Double { zip(a, b).reduce(0) { $0 + $1.0 * $1.1 } }
