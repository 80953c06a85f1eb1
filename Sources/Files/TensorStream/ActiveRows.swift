import SystemIO

/// A position's active features, ascending, and the value of each.
public typealias ActiveRow = (features: UnsafeBufferPointer<Int32>, values: UnsafeBufferPointer<Float>)

/// The active features of a record's positions at one place: a sparse matrix by rows, valid as long as the record is.
public struct ActiveRows {
  /// [P+1]
  private let offsets: UnsafeBufferPointer<Int64>
  private let features: UnsafeBufferPointer<Int32>
  private let values: UnsafeBufferPointer<Float>

  /// Reads and checks the tensors `cu_active.PLACE`, `feature.PLACE` and `value.PLACE`.
  ///
  /// - Parameter width: how many features there are.
  public init(_ record: Record, at place: Place, positions: Int, width: Int) throws {
    let names = [PlaceValue.activeOffsets, .feature, .featureValue].map { $0.name(place) }
    offsets = try record.tensor(names[0], shape: [positions + 1], of: Int64.self)
    features = try record.tensor(names[1], shape: [nil], of: Int32.self)
    values = try record.tensor(names[2], shape: [features.count], of: Float.self)
    guard offsets[0] == 0, Int(offsets[positions]) == features.count,
      zip(offsets, offsets.dropFirst()).allSatisfy({ $0 <= $1 })
    else {
      throw record.failure(
        "\(names[0]): expected numbers that rise from 0 to \(features.count), found \(offsets[0]) to "
          + "\(offsets[positions])")
    }
    for row in 0..<positions {
      var last: Int32 = -1
      for feature in self.row(row).features {
        guard last < feature, Int(feature) < width else {
          throw record.failure(
            "\(names[1]): row \(row): expected numbers that rise, from 0 to \(width - 1), found \(feature)"
              + (last >= 0 ? " behind \(last)" : ""))
        }
        last = feature
      }
    }
  }

  public func row(_ row: Int) -> ActiveRow {
    let range = Int(offsets[row])..<Int(offsets[row + 1])
    return (UnsafeBufferPointer(rebasing: features[range]), UnsafeBufferPointer(rebasing: values[range]))
  }

  /// Where the first value that is NaN or infinite stands.
  public var firstNonfinite: (row: Int, feature: Int32, value: Float)? {
    guard let index = values.firstIndex(where: { !$0.isFinite }) else { return nil }
    return (offsets.lastIndex { Int($0) <= index }!, features[index], values[index])
  }
}
