/// What a segment's data records hold. The tensors of each kind are listed in docs/stream-format.md.
public enum StreamKind: String, Sendable, CaseIterable {
  case tokens, activations, gradients, aggregates
}
