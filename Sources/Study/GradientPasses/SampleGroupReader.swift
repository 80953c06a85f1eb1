import Decoders
import SystemIO
import TensorStream

/// Reads the data records of a segment as groups of samples, the next group while the passes are at the one before where that is
/// asked for.
public final class SampleGroupReader {
  private typealias Memory = [HostTensor]

  private let maker: SampleGroupMaker
  /// That of the group that came last.
  private var inUse: Memory
  private let free = Handover<Memory>(capacity: 2)
  private let made = Handover<(memory: Memory, group: Result<SampleGroup?, any Error>)>(capacity: 2)
  private var thread: WorkThread?

  /// - Parameters:
  ///   - places: what every record must have captured.
  ///   - passRows: the rows that a pass has at most, unless a single sample has more.
  ///   - isAhead: whether to read the next group on a thread of its own, which takes memory for two. The first group is
  ///     a small one then, so that the passes begin before so many rows have come.
  public init(
    _ reader: StreamReader, _ description: DecoderDescription, places: [Place] = [], passRows: Int,
    isAhead: Bool = false
  ) {
    maker = SampleGroupMaker(
      reader, description, places: places, passRows: passRows, firstRows: isAhead ? passRows / 4 : passRows)
    inUse = maker.memory()
    guard isAhead else { return }
    free.put(maker.memory())
    thread = WorkThread.start { [maker, free, made] in
      while let memory = free.take() {
        let group = Result { try Trace.span("read") { try maker.next(in: memory) } }
        guard made.put((memory, group)), case .success(.some) = group else { return made.close() }
      }
    }
  }

  deinit {
    free.cancel()
    made.cancel()
  }

  /// The next group, whose tensors are valid until the one after it is asked for; nil at the end of the segment.
  ///
  /// - Throws: `Failure` that names the record which lacks a tensor or has a token that the model does not know.
  public func next() throws -> SampleGroup? {
    guard thread != nil else { return try Trace.span("read") { try maker.next(in: inUse) } }
    // What was handed out last is free now, or has not been used yet.
    free.put(inUse)
    return try Trace.span("wait for a group") {
      guard let (memory, group) = made.take() else { return nil }
      inUse = memory
      return try group.get()
    }
  }
}

/// Joins the data records of a segment to groups of samples.
final class SampleGroupMaker {
  private let reader: StreamReader
  private let description: DecoderDescription
  /// In the order in which a missing one is named.
  private let tensors: [(name: String, width: Int)]
  private let passRows: Int
  /// The rows that the next group has at most.
  private var mostRows: Int
  /// A record that was read and did not fit into the group before it.
  private var held: (record: Record, tokens: TokenBatch)?
  private var isOver = false

  init(_ reader: StreamReader, _ description: DecoderDescription, places: [Place], passRows: Int, firstRows: Int) {
    self.reader = reader
    (self.passRows, mostRows) = (passRows, firstRows)
    self.description = description
    tensors = places.flatMap { place in
      let activation = (PlaceValue.activation.name(place), description.width(of: place.site))
      let rest = (PlaceValue.rest.name(place), description.width)
      return place.site.isStream ? [activation] : [rest, activation]
    }
  }

  /// Memory for the tensors of a group.
  func memory() -> [HostTensor] { tensors.map { _ in HostTensor() } }

  /// The next group, nil at the end of the segment.
  ///
  /// - Parameter memory: what its tensors are put into.
  func next(in memory: [HostTensor]) throws -> SampleGroup? {
    var parts: [(batch: Int, tokens: TokenBatch, losses: [Double]?)] = []
    var rows = 0
    while let (record, tokens) = try held ?? read() {
      held = nil
      if rows > 0, rows + tokens.tokenCount > mostRows {
        held = (record, tokens)
        break
      }
      for ((name, width), joined) in zip(tensors, memory) {
        let values = try record.tensor(name, shape: [tokens.tokenCount, width], of: Float.self)
        joined.append(values, after: rows * width)
      }
      let losses =
        record.has("loss") ? Array(try record.tensor("loss", shape: [tokens.sampleCount], of: Double.self)) : nil
      parts.append((try record.batch, tokens, losses))
      rows += tokens.tokenCount
    }
    mostRows = passRows
    return parts.isEmpty
      ? nil
      : SampleGroup(
        parts, tensors: Dictionary(uniqueKeysWithValues: zip(tensors.map(\.name), memory)), description,
        passRows: passRows)
  }

  private func read() throws -> (Record, TokenBatch)? {
    guard !isOver, let record = try reader.nextRecord() else {
      isOver = true
      return nil
    }
    let tokens = try TokenBatch(record)
    try record.locating { try description.check(tokens) }
    return (record, tokens)
  }
}
