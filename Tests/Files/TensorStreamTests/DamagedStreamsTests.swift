import Foundation
import SystemIO
import TensorStream
import TestSupport
import Testing

/// The table that the Python reader goes through too (make_damaged_streams.py makes it, without either reader's code).
@Suite struct DamagedStreamsTests {
  struct Entry: Decodable {
    let name: String
    /// What is said behind the file's name, up to a … where the rest is a library's; nil of whole streams.
    let refusal: String?
    let stream: Data
  }

  private static let entries: [Entry] = {
    let path = packageRoot + "/Tests/Files/TensorStreamTests/damaged-streams.json"
    return try! JSONDecoder().decode([Entry].self, from: Data(contentsOf: URL(fileURLWithPath: path)))
  }()

  /// Reads a stream as programs do, with the tensors that every record of its kind must have.
  private func refusal(_ stream: Data) throws -> Failure? {
    let file = try ReusedFile().opened(with: Array(stream))
    let reader = StreamReader(file)
    do {
      while let segment = try reader.nextSegment() {
        while let record = try reader.nextRecord() {
          _ = try record.batch
          switch segment.kind {
          case .tokens, .activations: _ = try TokenBatch(record)
          case .gradients:
            let batch = try GradientBatch(record)
            let place = Place(.mlpOut, 1)
            if record.has("cu_active.mlp_out.1") {
              _ = try ActiveRows(record, at: place, positions: batch.positionCount, width: 8)
            }
          case .aggregates: break
          }
        }
      }
      return nil
    } catch let failure as Failure {
      let prefix = "\(file.name): "
      let text = failure.description
      return Failure(failure.kind, text.hasPrefix(prefix) ? String(text.dropFirst(prefix.count)) : text)
    }
  }

  @Test func eachIsRefusedAsTheTableSays() throws {
    try #require(Self.entries.count > 100)
    for entry in Self.entries {
      let found = try refusal(entry.stream)
      #expect(found == nil || found?.kind == .malformed, "\(entry.name)")
      if let expected = entry.refusal, expected.hasSuffix("…") {
        let text = found?.description ?? "no refusal"
        #expect(text.hasPrefix(expected.dropLast()), "\(entry.name): \(text)")
      } else {
        #expect(found?.description == entry.refusal, "\(entry.name)")
      }
    }
  }
}
