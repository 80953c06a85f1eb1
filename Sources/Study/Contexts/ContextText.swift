import TensorStream
import Tokenization

/// A token as a line shows it.
public enum ShownToken: Equatable, Sendable {
  case id(Int32)
  case text(String)
  /// Nothing says which it is.
  case unknown
}

/// The tokens of a context and of the positions around it, as far as they belong to the sample.
public struct ContextText: Equatable, Sendable {
  public let token: ShownToken
  /// Those that end before the context's position.
  public let before: [ShownToken]
  public let after: [ShownToken]

  /// - Parameter tokens: those of the sample from its first position on, or from `first`.
  init(_ tokens: [ShownToken], first: Int = 0, around position: Int, window: Int) {
    let index = position - first
    token = tokens[index]
    before = Array(tokens[..<index].suffix(window))
    after = Array(tokens[(index + 1)...].prefix(window))
  }

  /// Of what the gradients record knows alone: the tokens of the positions that are recorded.
  ///
  /// - Throws: as `Tokenizer.texts` does.
  public init(_ context: FeatureContext, window: Int, _ tokenizer: Tokenizer?) throws {
    let position = Int(context.position)
    let first = max(0, position - window)
    var ids = [Int32?](repeating: nil, count: Int(context.lastKnownPosition) + 1 - first)
    ids[position - first] = context.token
    for neighbour in context.neighbours { ids[Int(neighbour.position) - first] = neighbour.token }
    var tokens: [ShownToken] = []
    while tokens.count < ids.count {
      let start = tokens.count
      let run = ids[start...].prefix { $0 != nil }.compactMap { $0 }
      tokens += try shown(run, tokenizer, areTextStart: first + start == 0)
      if tokens.count < ids.count { tokens.append(.unknown) }
    }
    self.init(tokens, first: first, around: position, window: window)
  }
}

/// Tokens that follow one another.
func shown(_ ids: [Int32], _ tokenizer: Tokenizer?, areTextStart: Bool = true) throws -> [ShownToken] {
  guard let tokenizer else { return ids.map { .id($0) } }
  return try tokenizer.texts(of: ids, areTextStart: areTextStart).map { .text($0) }
}
