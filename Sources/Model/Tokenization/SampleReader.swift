import JSON
import SystemIO
import TensorStream

/// What of a text is a candidate for a sample.
public enum SampleForm: Equatable, Sendable {
  /// A line, with the line feed that ends it.
  case line
  /// What stands before a NUL, or behind the last one.
  case zeroTerminated
  /// A string of the JSON object that each line holds, by its key.
  case jsonField(String)
}

/// Which parts of a text become samples.
public struct SampleSelection: Equatable, Sendable {
  public var form = SampleForm.line
  /// At most so many samples.
  public var count: Int
  /// So many candidates are passed over first.
  public var skip: Int
  /// A candidate has more Unicode scalars than this, white space at both ends not counted.
  public var minimumCharacters: Int
  /// The seed of the order in which candidates come; nil for the order of the text.
  public var shuffleSeed: UInt64?

  public init(
    count: Int = 500, skip: Int = 0, minimumCharacters: Int = 50, shuffleSeed: UInt64? = nil, form: SampleForm = .line
  ) {
    self.form = form
    precondition(count > 0 && skip >= 0 && minimumCharacters >= 0)
    self.count = count
    self.skip = skip
    self.minimumCharacters = minimumCharacters
    self.shuffleSeed = shuffleSeed
  }

  /// Whether `text` is long enough: its leading and trailing white space, by Python's `str.strip`, does not count.
  func admits(_ text: borrowing UTF8Span) -> Bool {
    text.span.withUnsafeBytes { bytes in
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

/// A part of a text that was selected.
public struct Sample: Equatable, Sendable {
  /// Its number among the candidates of the whole text, counted from 0 in the order of the text, whatever order they
  /// are taken in: the same number is the same sample.
  public let index: Int64
  /// The number of the document that it is part of, counted in the same way.
  public let document: Int64
  /// UTF-8, as it stands in the file: of a line the leading white space and the line feed that ends it are part.
  public let text: [UInt8]
}

/// Reads samples from text files, one file after another. Where they are not shuffled, it reads no further than it
/// has to; where they are, it holds all candidates of the text.
public final class SampleReader {
  private let selection: SampleSelection
  private let files: [TextLines]
  /// The file that is being read.
  private var fileNumber = 0
  /// Lines, or what else the form has.
  private var pieceCount = 0
  private var candidateCount = 0
  private var documents: DocumentCounter
  private var sampleCount = 0
  /// No sample is left to be read; some may still be ahead.
  private var isExhausted = false
  /// The samples that are left in shuffled order, the first one last; nil before the text was read.
  private var shuffled: [Sample]?
  /// Samples that were read before they were asked for, the first one last.
  private var ahead: [Sample] = []

  /// - Parameter warn: is told of what a person may not have meant, with the file's name before it.
  public init(_ files: [InputFile], _ selection: SampleSelection, warn: @escaping (String) -> Void = { _ in }) {
    self.selection = selection
    documents = DocumentCounter(selection.form)
    let terminator = selection.form == .zeroTerminated ? 0 : UInt8(ascii: "\n")
    self.files = files.map { file in
      // Several pieces of a file may be shown, the first of them twice.
      var isSeen = false
      return TextLines(file, endingIn: terminator) { [name = file.name] start in
        guard !isSeen else { return }
        isSeen = true
        try of(name) { try checkIsText(start) }
        if selection.form == .line, let warning = warningOfText(start) { warn("\(name): \(warning)") }
      }
    }
  }

  /// The hash of the whole text, or of its start alone where a part of it is no regular file; to be asked for before
  /// the first sample. It reads all regular files, and of others at most the start of the text.
  ///
  /// - Throws: `Failure` of kind malformed for what is no text.
  public func textIdentity() throws -> TextIdentity {
    var (whole, start) = (ContentHash(), ContentHash())
    // How much of the start of the text is still to come.
    var startRoom = TextLines.startLength
    func add(_ bytes: UnsafeRawBufferPointer) {
      whole.update(bytes)
      let part = UnsafeRawBufferPointer(rebasing: bytes.prefix(startRoom))
      start.update(part)
      startRoom -= part.count
    }
    var isWhole = true
    for file in files {
      let isRegular = try readRegularFile(file.name) { bytes in
        try file.inspect(UnsafeRawBufferPointer(rebasing: bytes.prefix(TextLines.startLength)))
        add(bytes)
      }
      if isRegular { continue }
      isWhole = false
      if startRoom > 0 { try file.start().withUnsafeBytes { add($0) } }
    }
    return TextIdentity(whole: isWhole ? whole.hexadecimal : nil, start: start.hexadecimal)
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
    while let text = try nextCandidate() {
      guard candidateCount > selection.skip else { continue }
      sampleCount += 1
      isExhausted = sampleCount == selection.count
      return Sample(index: Int64(candidateCount - 1), document: documents.number, text: text)
    }
    isExhausted = true
    if sampleCount == 0 { throw noSample }
    return nil
  }

  private func readShuffled(_ seed: UInt64) throws -> [Sample] {
    var candidates: [(text: [UInt8], document: Int64)] = []
    while let text = try nextCandidate() { candidates.append((text, documents.number)) }
    let (end, overflow) = selection.skip.addingReportingOverflow(selection.count)
    let order = shuffledPrefix(overflow ? .max : end, of: candidates.count, seed: seed)
    guard order.count > selection.skip else { throw noSample }
    return order.dropFirst(selection.skip).reversed().map {
      Sample(index: Int64($0), document: candidates[$0].document, text: candidates[$0].text)
    }
  }

  private func nextCandidate() throws -> [UInt8]? {
    while fileNumber < files.count {
      let file = files[fileNumber]
      guard let piece = try file.next() else {
        fileNumber += 1
        continue
      }
      pieceCount += 1
      if file.number == 1 { documents.beginFile() }
      documents.add(piece)
      guard let text = try of("\(file.name): \(pieceName) \(file.number)", { try candidate(piece) }) else { continue }
      candidateCount += 1
      return text
    }
    return nil
  }

  private var pieceName: String { selection.form == .zeroTerminated ? "sample" : "line" }

  /// What of a piece of the text could become a sample; nil where it is too short.
  private func candidate(_ piece: [UInt8]) throws -> [UInt8]? {
    var text = piece
    switch selection.form {
    case .line: break
    case .zeroTerminated: if text.last == 0 { text.removeLast() }
    case .jsonField(let key):
      // Such files often end in a blank line.
      if piece.allSatisfy({ [0x20, 0x09, 0x0a, 0x0d].contains($0) }) { return nil }
      let json = try JSON(parsing: piece)
      guard json.members != nil else { throw unexpected(json, at: "not a row of JSON lines", "an object") }
      guard let string = json[key]?.utf8 else {
        throw unexpected(json[key], at: "field \(JSON.quote(key))", "a string")
      }
      text = string
    }
    do { return selection.admits(try UTF8Span(validating: text.span)) ? text : nil } catch {
      throw Failure(.malformed, "not UTF-8: \(describe(error, in: text))")
    }
  }

  private var noSample: Failure {
    let wanted =
      "\(selection.form == .line ? "lines" : "samples") of more than \(selection.minimumCharacters) characters"
    if pieceCount == 0 { return Failure(.malformed, "no sample: the text is empty: expected \(wanted)") }
    guard candidateCount > 0 else {
      let limit = selection.minimumCharacters > 0 ? "; --min-chars sets how many" : ""
      return Failure(
        .malformed, "no sample: expected \(wanted), found none in \(counted(pieceCount, pieceName))\(limit)")
    }
    return Failure(
      .malformed, "no sample: expected more \(wanted) than the \(selection.skip) to skip, found \(candidateCount)")
  }
}
