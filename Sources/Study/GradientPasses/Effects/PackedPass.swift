import Decoders
import SystemIO
import TensorOperations
import TensorStream

/// Samples of a group side by side in one pass from a place on, the same one several times where it is to be seen with
/// different activations: products of many rows are what makes passes fast.
final class PackedPass {
  private let place: Place
  private let activations: PackedRows
  private let rests: PackedRows
  private var tokens = PackedPass.nothing

  private static let nothing = TokenBatch(inputIDs: [], cuSeqlens: [0], sampleIndex: [])

  /// - Parameter isDouble: whether groups' starts are in Double.
  init(_ place: Place, _ description: DecoderDescription, isDouble: Bool) {
    self.place = place
    activations = PackedRows(columns: description.width(of: place.site), isDouble: isDouble)
    rests = PackedRows(columns: description.width, isDouble: isDouble)
  }

  var rows: Int { tokens.tokenCount }

  /// Puts a sample behind those that are there.
  ///
  /// - Returns: the first of its rows in the pass.
  func append(_ sample: Int, of group: SampleGroup, _ starts: GroupStarts) -> Int {
    let (before, count) = (rows, group.tokens.rows(of: sample).count)
    let start = starts.start(at: place, sample..<sample + 1)
    activations.append(start.activation, count, after: before)
    if let rest = start.rest { rests.append(rest, count, after: before) }
    tokens.inputIDs += group.tokens.inputIDs[group.tokens.rows(of: sample)]
    tokens.cuSeqlens.append(Int32(tokens.tokenCount))
    tokens.sampleIndex.append(group.tokens.sampleIndex[sample])
    if let lengths = group.tokens.validLengths { tokens.validLengths = (tokens.validLengths ?? []) + [lengths[sample]] }
    if let starts = group.tokens.validStarts { tokens.validStarts = (tokens.validStarts ?? []) + [starts[sample]] }
    return before
  }

  /// Adds change · direction to a row of the activation.
  func add(_ change: Double, _ direction: [Double], row: Int) { activations.add(change, direction, row: row) }

  /// Goes on from the place to each sample's summed loss in nats, and leaves no sample behind.
  func run(_ model: DecoderModel) -> [Double] {
    defer { tokens = Self.nothing }
    guard rows > 0 else { return [] }
    return model.losses(
      ModelInput(tokens, samples: 0..<tokens.sampleCount),
      from: DecoderModel.Start(
        place, activation: activations.rows, rest: place.site.isStream ? nil : rests.rows))
  }
}

/// Rows that are gathered, in Float or in Double.
private final class PackedRows {
  private let columns: Int
  private let isDouble: Bool
  private let buffer = AlignedBuffer(capacity: 0)

  init(columns: Int, isDouble: Bool) { (self.columns, self.isDouble) = (columns, isDouble) }

  private var floats: UnsafeMutablePointer<Float> { buffer.address.assumingMemoryBound(to: Float.self) }
  private var doubles: UnsafeMutablePointer<Double> { buffer.address.assumingMemoryBound(to: Double.self) }

  var rows: HostRows { isDouble ? .doubles(doubles) : .floats(floats) }

  /// Puts rows of the same type behind the first `kept` ones.
  func append(_ rows: HostRows, _ count: Int, after kept: Int) {
    let rowBytes = columns * (isDouble ? MemoryLayout<Double>.stride : MemoryLayout<Float>.stride)
    let bytes = (kept + count) * rowBytes
    // Doubled, so that many small samples are not moved for each of them.
    if bytes > buffer.capacity { buffer.reserve(max(2 * kept * rowBytes, bytes), preserving: kept * rowBytes) }
    switch rows {
    case .floats(let first):
      precondition(!isDouble)
      (floats + kept * columns).update(from: first, count: count * columns)
    case .doubles(let first):
      precondition(isDouble)
      (doubles + kept * columns).update(from: first, count: count * columns)
    }
  }

  func add(_ change: Double, _ direction: [Double], row: Int) {
    precondition(direction.count == columns)
    let first = row * columns
    for i in direction.indices {
      if isDouble {
        doubles[first + i] += change * direction[i]
      } else {
        floats[first + i] = Float(Double(floats[first + i]) + change * direction[i])
      }
    }
  }
}
