import SystemIO

/// What a gradients record says of its rows: P recorded positions of B samples.
public struct GradientBatch: Equatable, Sendable {
  /// [B+1]: sample i has the rows from `cuPositions[i]` up to `cuPositions[i + 1]`.
  public var cuPositions: [Int32]
  /// [P]: each row's position in its sample, counted from 0.
  public var position: [Int32]
  /// [P]: the id of the token at each row's position.
  public var token: [Int32]
  /// [B]
  public var sampleIndex: [Int64]
  /// [B]: the number of the document that each sample is part of.
  public var document: [Int64]
  /// [B]: the predictions that a sample's loss sums over.
  public var predictions: [Int32]
  /// [B]: the loss of the unmodified model in nats, summed over the predictions, where it was computed.
  public var loss: [Double]?

  /// - Parameter document: where it is nil, each sample is a document of its own.
  public init(
    cuPositions: [Int32], position: [Int32], token: [Int32], sampleIndex: [Int64], document: [Int64]? = nil,
    predictions: [Int32], loss: [Double]? = nil
  ) {
    self.cuPositions = cuPositions
    self.position = position
    self.token = token
    self.sampleIndex = sampleIndex
    self.document = document ?? sampleIndex
    self.predictions = predictions
    self.loss = loss
  }

  public var sampleCount: Int { sampleIndex.count }
  public var positionCount: Int { position.count }

  /// The rows of sample `sample`.
  public func rows(of sample: Int) -> Range<Int> {
    Int(cuPositions[sample])..<Int(cuPositions[sample + 1])
  }

  /// Reads and checks the tensors of a data record that describe its rows.
  public init(_ record: Record) throws {
    let position = try record.tensor("position", shape: [nil], of: Int32.self)
    let token = try record.tensor("token", shape: [position.count], of: Int32.self)
    let (samples, documents) = try record.sampleAndDocumentNumbers()
    let predictions = try record.tensor("predictions", shape: [samples.count], of: Int32.self)
    if let negative = predictions.first(where: { $0 < 0 }) {
      throw record.failure("predictions: expected no negative number, found \(negative)")
    }
    self.init(
      cuPositions: try record.cumulativeLengths("cu_positions", samples: samples.count, total: position.count),
      position: Array(position), token: Array(token), sampleIndex: samples, document: documents,
      predictions: Array(predictions))
    if record.has("loss") { loss = Array(try record.tensor("loss", shape: [samples.count], of: Double.self)) }
  }

  public func add(to record: inout OutputRecord) {
    record.add("cu_positions", cuPositions)
    record.add("position", position)
    record.add("token", token)
    record.add("sample_index", sampleIndex)
    record.add("document", document)
    record.add("predictions", predictions)
    if let loss { record.add("loss", loss) }
  }
}
