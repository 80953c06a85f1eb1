/// The features of some positions that are not 0.
public struct ActiveFeatures: Equatable, Sendable {
  /// For each position the indices of its active features, ascending, and their values.
  public var rows: [(indices: [Int32], values: [Float])]

  public init(rows: [(indices: [Int32], values: [Float])]) {
    self.rows = rows
  }

  public var count: Int { rows.reduce(0) { $0 + $1.indices.count } }

  public static func == (a: ActiveFeatures, b: ActiveFeatures) -> Bool {
    a.rows.count == b.rows.count && zip(a.rows, b.rows).allSatisfy { $0 == $1 }
  }
}
