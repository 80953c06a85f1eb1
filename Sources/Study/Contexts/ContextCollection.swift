import SystemIO
import TensorStream

/// The contexts of one feature: the largest, and those drawn at random.
struct ContextCollection {
  let feature: FeatureName
  private let choices: ContextChoices
  private var largest: FirstContexts
  private var drawn: FirstContexts?
  private let seedOfFeature: UInt64
  /// Where one is enough, the largest of the sample at hand, and its row in the record.
  private var ofSample: (key: ContextKey, row: Int)?

  init(_ feature: FeatureName, _ choices: ContextChoices) {
    self.feature = feature
    self.choices = choices
    largest = FirstContexts(capacity: choices.count)
    drawn = choices.draw.map { FirstContexts(capacity: $0.sampleSize) }
    seedOfFeature = "\(feature.place):\(feature.index)".utf8.reduce(choices.draw?.seed ?? 0) { mixed($0, UInt64($1)) }
  }

  /// Takes note of a value that is not 0.
  ///
  /// - Parameter context: makes what is kept of it, which few are.
  mutating func offer(
    _ magnitude: Double, _ sample: Int64, _ position: Int32, row: Int, _ context: (Int) -> FeatureContext
  ) {
    let key = ContextKey.magnitude(magnitude, sample, position)
    if choices.repeatsSamples {
      if largest.admits(key) { largest.insert(context(row), key) }
    } else if ofSample.map({ key < $0.key }) ?? true {
      ofSample = (key, row)
    }
    guard drawn != nil else { return }
    let bits = mixed(mixed(seedOfFeature, UInt64(bitPattern: sample)), UInt64(position))
    // As many bits as a Double holds.
    let draw = ContextKey(key: Double(bits >> 11), sample: sample, position: position)
    if drawn!.admits(draw) { drawn!.insert(context(row), draw) }
  }

  /// Tells that nothing more comes of a sample.
  mutating func endSample(_ context: (Int) -> FeatureContext) {
    guard let (key, row) = ofSample else { return }
    if largest.admits(key) { largest.insert(context(row), key) }
    ofSample = nil
  }

  /// The largest in their order, and behind them those drawn, quantile by quantile.
  ///
  /// - Throws: `Failure` of kind malformed for a sample that came twice.
  func ranked() throws(Failure) -> [RankedContext] {
    let first = largest.sorted
    var seen: Set<[Int64]> = []
    for (key, _) in first {
      let isNew = seen.insert(choices.repeatsSamples ? [key.sample, Int64(key.position)] : [key.sample]).inserted
      guard isNew else {
        throw Failure(.malformed, "\(feature.place): sample \(key.sample) is there twice: is an input given twice?")
      }
    }
    let ranked = first.enumerated().map { RankedContext(rank: $0 + 1, quantile: nil, context: $1.context) }
    return ranked + (drawn.map { drawnByQuantile($0.sorted) } ?? [])
  }

  /// - Parameter sample: positions of all, drawn at random, in an order that is one of chance.
  private func drawnByQuantile(_ sample: [FirstContexts.Entry]) -> [RankedContext] {
    let draw = choices.draw!
    let byMagnitude = sample.indices.sorted { key(sample[$0].context) < key(sample[$1].context) }
    var usedSamples: Set<Int64> = []
    return (1...draw.quantiles).flatMap { quantile in
      let part = byMagnitude[
        byMagnitude.count * (quantile - 1) / draw.quantiles..<byMagnitude.count * quantile / draw.quantiles]
      var chosen: [Int] = []
      for index in part.sorted() where chosen.count < draw.perQuantile {
        let isNew = usedSamples.insert(sample[index].context.sample).inserted
        if isNew || choices.repeatsSamples { chosen.append(index) }
      }
      return chosen.sorted { key(sample[$0].context) < key(sample[$1].context) }.enumerated().map {
        RankedContext(rank: $0 + 1, quantile: quantile, context: sample[$1].context)
      }
    }
  }

  private func key(_ context: FeatureContext) -> ContextKey {
    .magnitude(choices.quantity.magnitude(context), context.sample, context.position)
  }
}

/// The next 64 bits of SplitMix64 behind both numbers.
private func mixed(_ state: UInt64, _ number: UInt64) -> UInt64 {
  var generator = SplitMix64(seed: state ^ number)
  return generator.next()
}
