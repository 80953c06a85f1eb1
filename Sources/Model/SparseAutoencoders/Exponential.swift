import Glibc

/// e to each, rounded once.
func exponentials(_ values: [Float]) -> [Float] {
  values.map { Float(exp(Double($0))) }
}
