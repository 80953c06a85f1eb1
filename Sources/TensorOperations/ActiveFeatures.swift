/// The features of some positions that are not 0.
public struct ActiveFeatures: Equatable, Sendable {
  /// For each position the indices of its active features, ascending, and their values.
  public var rows: [(indices: [Int32], values: [Float])]

  public init(rows: [(indices: [Int32], values: [Float])]) {
    self.rows = rows
  }

  /// values *= the factors of their features
  public mutating func scale(by factors: [Float]) {
    for row in rows.indices {
      for i in rows[row].indices.indices { rows[row].values[i] *= factors[Int(rows[row].indices[i])] }
    }
  }

  public var count: Int { rows.reduce(0) { $0 + $1.indices.count } }

  public static func == (a: ActiveFeatures, b: ActiveFeatures) -> Bool {
    a.rows.count == b.rows.count && zip(a.rows, b.rows).allSatisfy { $0 == $1 }
  }
}
