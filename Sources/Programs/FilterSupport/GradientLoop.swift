import Decoders
import GradientPasses
import SystemIO
import TensorOperations
import TensorStream

/// What a program that turns activations into gradients does with one segment of its input.
public struct GradientSegment {
  let pass: any GradientPass
  let model: DecoderModel
  /// What is added to the segment's provenance.
  let provenance: [String: String]
  /// Written before the gradients.
  let firstRecords: any Sequence<OutputRecord>
  let report: () -> Report

  /// What is said at the end.
  public struct Report {
    let facts: [Fact]
    let lines: [String]
    let closing: String

    /// - Parameters:
    ///   - lines: lines of their own.
    ///   - closing: what is added to the closing line.
    public init(_ facts: [Fact], lines: [String] = [], closing: String = "") {
      (self.facts, self.lines, self.closing) = (facts, lines, closing)
    }
  }

  public init(
    _ pass: any GradientPass, of model: DecoderModel, provenance: [String: String],
    firstRecords: any Sequence<OutputRecord> = EmptyCollection<OutputRecord>(),
    report: @escaping () -> Report
  ) {
    (self.pass, self.model, self.provenance) = (pass, model, provenance)
    (self.firstRecords, self.report) = (firstRecords, report)
  }
}

/// Reads activations from standard input and writes gradients, or sums of them, to standard output.
///
/// - Parameter open: says what is done with a segment, of which it is given the captured places.
public func writeGradients(
  of modelName: String, _ sumsOptions: SumsOptions, _ compute: ComputeOptions, _ messages: MessageOptions,
  open: (Checkpoint, PlaceList, any TensorOperations) throws -> GradientSegment
) throws {
  let checkpoint = try Checkpoint(modelName)
  checkpoint.warnings.forEach(warn)
  let output = try StreamWriter.toStandardOutput()
  let operations = try compute.makeOperations(messages)
  let reader = StreamReader(try .standardInput())
  let sums = sumsOptions.sums ? SegmentSums(sumsOptions.aggregation, compute) { operations } : nil
  while let segment = try reader.nextSegment(.activations) {
    try segment.check(identity: checkpoint.identity)
    let captured = try segment.places(of: checkpoint.description)
    let work = try open(checkpoint, captured, operations)
    let own = checkpoint.identity.merging(compute.provenance) { $1 }.merging(work.provenance) { $1 }
    let progress = Progress(unit: "samples", total: segment.count("samples"), messages)
    if let sums {
      try sums.begin(Segment(kind: .gradients, provenance: segment.provenance.merging(own) { $1 }))
    } else {
      try output.begin(.gradients, provenance: Provenance.extending(segment.provenance, with: own))
      for record in work.firstRecords { try output.write(record, batch: nil) }
    }
    let finiteNumbers = FiniteNumbers(work.model, isWaived: compute.allowNonfinite)
    let groups = SampleGroupReader(
      reader, checkpoint.description, places: work.pass.neededPlaces, passRows: work.pass.passRows,
      isAhead: operations.leavesProcessorFree)
    // Sums use the device, which one thread may do at a time.
    let written = WorkBehind(isThreaded: operations.leavesProcessorFree && sums == nil) {
      (records: [OutputRecord], members: [SampleGroup.Member]) in
      try Trace.span("write") {
        if let sums { try sums.add(records, of: members) } else { try output.write(records, of: members) }
      }
    }
    while let group = try groups.next() {
      let records = Trace.span("passes") { work.pass.records(group) }
      try Trace.span("check") { try finiteNumbers.check(records, of: group) }
      try written.put((records, group.records))
      progress.advance(group.tokens.sampleCount, tokens: group.tokens.tokenCount)
    }
    try written.finish()
    if sums == nil { try output.end() }
    let report = work.report()
    report.facts.forEach(FactWriter.write)
    report.lines.forEach(messages.note)
    progress.finish(report.closing)
  }
  if let sums { try sums.write(sums.finish().record, to: output) } else { try output.finish() }
  try compute.finish(operations, messages)
}

extension SegmentSums {
  /// Adds what was made of each of a group's records, as it would be read.
  fileprivate func add(_ records: [OutputRecord], of members: [SampleGroup.Member]) throws {
    for (record, source) in zip(records, members) {
      try add(Record(number: source.batch + 1, handingOn: record, batch: source.batch))
    }
  }
}

extension DecoderModel {
  /// For the end of a line: how many positions were computed in Double, where there were any.
  public var noteOnDouble: String {
    rowsInDouble == 0 ? "" : ", \(rowsInDouble) positions in float64 (massive activations)"
  }
}
