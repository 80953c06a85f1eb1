/// The shape of grouped-query attention, where consecutive query heads share one key and value head, and what it does
/// with scores.
public struct AttentionShape: Equatable, Sendable {
  public let heads: Int
  public let keyValueHeads: Int
  /// The width of one head.
  public let headWidth: Int
  /// A row's score of a key is scale · q·k.
  public let scale: Float
  /// Where there is one, softCap · tanh(score / softCap) takes the score's place, which no score exceeds.
  public let softCap: Float?
  /// How many keys a row sees at most, the last of them its own. All before it where this is nil.
  public let window: Int?

  /// - Parameter scale: 1/√headWidth where none is given.
  public init(
    heads: Int, keyValueHeads: Int, headWidth: Int, scale: Float? = nil, softCap: Float? = nil, window: Int? = nil
  ) {
    precondition(keyValueHeads > 0 && heads % keyValueHeads == 0 && headWidth > 0)
    precondition(softCap.map { $0 > 0 } ?? true && window.map { $0 > 0 } ?? true)
    self.heads = heads
    self.keyValueHeads = keyValueHeads
    self.headWidth = headWidth
    self.scale = scale ?? Float(1 / Double(headWidth).squareRoot())
    self.softCap = softCap
    self.window = window
  }

  public var queryWidth: Int { heads * headWidth }
  public var keyValueWidth: Int { keyValueHeads * headWidth }

  /// The first key that a sample's row t sees.
  func firstKey(of t: Int) -> Int { window.map { max(0, t - $0 + 1) } ?? 0 }

  /// Those of `count` keys, the first of which is the sample's key `first`, that row t sees, counted from `first`.
  @inline(__always)
  func keys(of t: Int, first: Int, count: Int) -> Range<Int> {
    let end = min(max(t + 1 - first, 0), count)
    return min(max(firstKey(of: t) - first, 0), end)..<end
  }
}
