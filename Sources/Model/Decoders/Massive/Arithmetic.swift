/// What the passes are computed in.
public enum Arithmetic: String, CaseIterable, Sendable {
  /// Float, and Double for the first positions of samples in which a massive activation is on its way there.
  case mixed
  /// Float throughout but for sums.
  case float32
  /// Double throughout, on the processor, from the tokens on.
  case float64
}
