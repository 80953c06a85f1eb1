import SystemIO
import TensorStream

/// `0-23`, `0,5,10` or a mix.
public struct LayerList: CustomStringConvertible, Equatable, Sendable {
  /// Ascending, without duplicates.
  public let layers: [Int]

  public init(_ layers: some Sequence<Int>) {
    self.layers = Set(layers).sorted()
  }

  /// What `--layers` asks for; nil for `all`, as where the flag is not given.
  @Sendable public static func asked(_ text: String) throws -> LayerList? {
    text.trimmed == "all" ? nil : try LayerList(text)
  }

  /// White space around commas and dashes is allowed.
  ///
  /// - Throws: `Failure` of kind usage that tells what a list looks like, what was found, and what is wrong with it.
  public init(_ text: String) throws {
    func failure(_ why: String) -> Failure {
      Failure(.usage, "expected layers such as 0-23, 0,5,10 or all, found '\(text)'\(why)")
    }
    if text.trimmed.isEmpty { throw failure("") }
    var isListed = [Bool](repeating: false, count: Place.layers.count)
    for part in text.split(separator: ",", omittingEmptySubsequences: false).map(\.trimmed) {
      let ends = part.split(separator: "-", omittingEmptySubsequences: false).map(\.trimmed)
      guard let first = ends.first, let last = ends.last, !part.isEmpty else {
        throw failure(": a layer is missing beside a comma")
      }
      switch (ends.count, Self.number(first), Self.number(last)) {
      case (1...2, let first?, let last?) where first <= last:
        for layer in first...last { isListed[layer] = true }
      case (2, let first?, let last?): throw failure(": the first layer of \(first)-\(last) is larger than the last")
      case (2, nil, _?) where first.isEmpty: throw failure(": layers are counted from 0, so \(part) is not a layer")
      case (2, _?, nil) where last.isEmpty: throw failure(": the last layer of \(part) is missing")
      case (1...2, _, _) where ends.allSatisfy({ !$0.isEmpty && $0.allSatisfy(\.isWholeNumber) }):
        throw failure(": layers go up to 9999")
      default: throw failure(": '\(part)' is neither a layer nor a range of layers")
      }
    }
    self.init(isListed.indices.filter { isListed[$0] })
  }

  /// At most 4 digits: no model has more layers, and a range must not exhaust memory.
  private static func number(_ text: Substring) -> Int? {
    guard (1...4).contains(text.utf8.count), text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
    return Int(text)
  }

  /// The list as flags spell it, ranges where there are some: `0-3,7`.
  public var description: String {
    consecutiveRuns(layers).map { $0.count > 1 ? "\($0.lowerBound)-\($0.upperBound)" : "\($0.lowerBound)" }
      .joined(separator: ",")
  }
}

extension StringProtocol where SubSequence == Substring {
  fileprivate var trimmed: Substring {
    var rest = self[...]
    while rest.first?.isWhitespace == true { rest = rest.dropFirst() }
    while rest.last?.isWhitespace == true { rest = rest.dropLast() }
    return rest
  }
}
