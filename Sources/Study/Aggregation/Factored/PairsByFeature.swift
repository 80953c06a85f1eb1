/// Pairs of an active feature and a position, in the order of their features, those of one feature in their own.
struct PairsByFeature {
  /// Those that are in any pair, ascending.
  private(set) var features: [Int32] = []
  /// Where the pairs of each of them begin, and where those of the last end.
  private var starts: [Int] = []
  /// The pairs' numbers, and the positions of the same pairs.
  let numbers: [Int32]
  let positions: [Int32]

  /// Of the feature of that place among `features`, where its pairs are.
  func range(_ feature: Int) -> Range<Int> { starts[feature]..<starts[feature + 1] }

  /// From a pair of that feature on, those at positions before that one.
  func range(_ first: Int, of feature: Int, before position: Int) -> Range<Int> {
    let end = starts[feature + 1]
    return first..<(positions[first..<end].firstIndex { $0 >= position } ?? end)
  }

  /// - Parameters:
  ///   - features: each pair's feature, of so many that there are.
  ///   - positions: each pair's position.
  init(_ features: [Int32], of count: Int, at positions: [Int32]) {
    precondition(features.count == positions.count && features.count <= Int(Int32.max))
    // Where the next pair of each feature goes.
    var next = [Int32](repeating: 0, count: count)
    for feature in features { next[Int(feature)] += 1 }
    var start: Int32 = 0
    for feature in 0..<count where next[feature] > 0 {
      self.features.append(Int32(feature))
      starts.append(Int(start))
      (next[feature], start) = (start, start + next[feature])
    }
    starts.append(Int(start))
    var ordered = [Int32](repeating: 0, count: features.count)
    numbers = [Int32](unsafeUninitializedCapacity: features.count) { numbers, initialized in
      for (number, feature) in features.enumerated() {
        let place = Int(next[Int(feature)])
        next[Int(feature)] += 1
        numbers[place] = Int32(number)
        ordered[place] = positions[number]
      }
      initialized = features.count
    }
    self.positions = ordered
  }
}
