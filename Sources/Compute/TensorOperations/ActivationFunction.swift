/// The function inside an MLP, element by element. The numbers are those that the loops in C and the kernels know.
public enum ActivationFunction: UInt32, CaseIterable, Sendable {
  /// x·σ(x). PyTorch: F.silu.
  case silu = 0
  /// x·Φ(x), Φ the normal distribution. PyTorch: F.gelu.
  case gelu = 1
  /// x·(1 + tanh(√(2/π)·(x + 0.044715·x³))) / 2. PyTorch: F.gelu(approximate="tanh").
  case geluTanh = 2
  /// max(x, 0)
  case relu = 3
}
