/// What a norm makes of a row x of D numbers, with a weight w and perhaps a bias b of D numbers.
public enum Normalization: Equatable, Sendable {
  /// y = (w + offset) ∘ x / √(Σ x² / D + ε), without a bias.
  case rms(epsilon: Float, offset: Float)
  /// y = w ∘ (x − mean) / √(Σ (x − mean)² / D + ε) + b
  case layer(epsilon: Float)
}
