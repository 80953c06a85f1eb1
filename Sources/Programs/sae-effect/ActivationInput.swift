import Decoders
import FilterSupport
import GradientPasses
import SystemIO
import TensorStream

/// Activations streams that are read from end to end as often as it takes.
final class ActivationInput {
  /// What every record must have captured.
  let places: PlaceList
  private let files: [InputFile]
  private let checkpoint: Checkpoint
  /// The first file, as long as nothing but its beginning has been read.
  private var opened: (reader: StreamReader, segment: Segment)?

  /// - Throws: `Failure` where the first segment is of another model, or without one of the places.
  init(_ files: [InputFile], _ checkpoint: Checkpoint, places: PlaceList) throws {
    (self.files, self.checkpoint, self.places) = (files, checkpoint, places)
    let reader = StreamReader(files[0])
    opened = try segment(reader, files[0]).map { (reader, $0) }
  }

  var canRewind: Bool { files.allSatisfy(\.canRewind) }

  /// Shows all groups of samples, those of the first call and those of every later one the same.
  ///
  /// - Parameter begin: is told of each segment.
  /// - Throws: `Failure` also for a segment of another model, or without one of the places.
  func read(passRows: Int, begin: (Segment) -> Void, _ body: (SampleGroup) throws -> Void) throws {
    let first = opened
    opened = nil
    for (index, file) in files.enumerated() {
      if first == nil { try file.rewind() }
      let reader = index == 0 ? first?.reader ?? StreamReader(file) : StreamReader(file)
      var segment = index == 0 && first != nil ? first!.segment : try segment(reader, file)
      while let current = segment {
        begin(current)
        let groups = SampleGroupReader(reader, checkpoint.description, places: places.places, passRows: passRows)
        while let group = try groups.next() { try body(group) }
        segment = try self.segment(reader, file)
      }
    }
  }

  /// The reader's next segment.
  private func segment(_ reader: StreamReader, _ file: InputFile) throws -> Segment? {
    guard let segment = try reader.nextSegment(.activations) else { return nil }
    try segment.check(identity: checkpoint.identity)
    let captured = try segment.places(of: checkpoint.description)
    if let missing = places.places.first(where: { !captured.places.contains($0) }) {
      throw Failure(.malformed, "\(file.name): expected \(missing) captured, found \(captured)")
    }
    return segment
  }
}
