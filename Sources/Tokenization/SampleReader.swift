import SystemIO

/// Which lines of a text become samples.
public struct SampleSelection: Equatable, Sendable {
  /// At most so many samples.
  public var count: Int
  /// So many candidate lines are passed over first.
  public var skip: Int
  /// A candidate line has more Unicode scalars than this, white space at both ends not counted.
  public var minimumCharacters: Int
  /// The seed of the order in which candidate lines come; nil for the order of the text.
  public var shuffleSeed: UInt64?

  public init(count: Int = 500, skip: Int = 0, minimumCharacters: Int = 50, shuffleSeed: UInt64? = nil) {
    precondition(count > 0 && skip >= 0 && minimumCharacters >= 0)
    self.count = count
    self.skip = skip
    self.minimumCharacters = minimumCharacters
    self.shuffleSeed = shuffleSeed
  }

  /// Whether `line` is a candidate: its leading and trailing white space, by Python's `str.strip`, does not count.
  func admits(_ line: borrowing UTF8Span) -> Bool {
    line.span.withUnsafeBytes { bytes in
      var start = 0
      while start < bytes.count {
        let (scalar, length) = decodeScalar(at: start, of: bytes)
        guard scalar.isPythonSpace else { break }
        start += length
      }
      var end = bytes.count
      while end > start, let last = scalarEnding(at: end, of: bytes), last.scalar.isPythonSpace { end = last.start }
      var scalars = 0
      for byte in bytes[start..<end] where byte & 0xc0 != 0x80 { scalars += 1 }
      return scalars > minimumCharacters
    }
  }
}

/// A line that was selected.
public struct Sample: Equatable, Sendable {
  /// Its number among the candidate lines of the whole text, in their shuffled order where they are shuffled, counted
  /// from 0: parts made with different `skip` of the same text share no number.
  public let index: Int64
  /// UTF-8, with its leading white space and the line feed that ends it.
  public let line: [UInt8]
}

/// Reads samples from text files, one file after another. Where lines are not shuffled, it reads no further than it
/// has to; where they are, it holds all candidate lines of the text.
public final class SampleReader {
  private let selection: SampleSelection
  private let files: [TextLines]
  /// The file that is being read.
  private var fileNumber = 0
  private var lineCount = 0
  private var candidateCount = 0
  private var sampleCount = 0
  /// No sample is left to be read; some may still be ahead.
  private var isExhausted = false
  /// The samples that are left in shuffled order, the first one last; nil before the text was read.
  private var shuffled: [Sample]?
  /// Samples that were read before they were asked for, the first one last.
  private var ahead: [Sample] = []

  public init(_ files: [InputFile], _ selection: SampleSelection) {
    self.files = files.map(TextLines.init)
    self.selection = selection
  }

  /// The next sample; nil when there were as many as asked for, or when the text has no more.
  ///
  /// - Throws: `Failure` of kind malformed for a line that is not UTF-8 (with file, line and byte, which count from
  ///   1), and where the whole text has no sample.
  public func next() throws -> Sample? {
    try ahead.popLast() ?? read()
  }

  /// How many samples are to come, where that shows when at most `limit` of them are read ahead.
  public func remaining(readingAhead limit: Int) throws -> Int? {
    var samples = Array(ahead.reversed())
    while samples.count < limit, let sample = try read() { samples.append(sample) }
    ahead = samples.reversed()
    return isExhausted ? ahead.count : nil
  }

  private func read() throws -> Sample? {
    if isExhausted { return nil }
    if let seed = selection.shuffleSeed {
      if shuffled == nil { shuffled = try readShuffled(seed) }
      defer { isExhausted = shuffled?.isEmpty ?? true }
      return shuffled?.popLast()
    }
    while let line = try nextCandidate() {
      guard candidateCount > selection.skip else { continue }
      sampleCount += 1
      isExhausted = sampleCount == selection.count
      return Sample(index: Int64(candidateCount - 1), line: line)
    }
    isExhausted = true
    if sampleCount == 0 { throw noSample }
    return nil
  }

  private func readShuffled(_ seed: UInt64) throws -> [Sample] {
    var lines: [[UInt8]] = []
    while let line = try nextCandidate() { lines.append(line) }
    let (end, overflow) = selection.skip.addingReportingOverflow(selection.count)
    let order = shuffledPrefix(overflow ? .max : end, of: lines.count, seed: seed)
    guard order.count > selection.skip else { throw noSample }
    return order.indices.dropFirst(selection.skip).reversed().map { Sample(index: Int64($0), line: lines[order[$0]]) }
  }

  private func nextCandidate() throws -> [UInt8]? {
    while fileNumber < files.count {
      let file = files[fileNumber]
      guard let line = try file.next() else {
        fileNumber += 1
        continue
      }
      lineCount += 1
      let isCandidate: Bool
      do { isCandidate = selection.admits(try UTF8Span(validating: line.span)) } catch {
        throw Failure(.malformed, "\(file.name): line \(file.number): not UTF-8: \(describe(error, in: line))")
      }
      if isCandidate {
        candidateCount += 1
        return line
      }
    }
    return nil
  }

  private var noSample: Failure {
    let wanted = "lines of more than \(selection.minimumCharacters) characters"
    guard candidateCount > 0 else {
      return Failure(.malformed, "no sample: expected \(wanted), found none in \(lineCount) lines")
    }
    return Failure(
      .malformed, "no sample: expected more \(wanted) than the \(selection.skip) to skip, found \(candidateCount)")
  }
}
