import ArgumentParser
import FilterSupport
import SystemIO
import TensorStream
import Tokenization

@main
struct WtTokenize: Filter {
  static let configuration = CommandConfiguration(
    commandName: "wt-tokenize",
    abstract: "Turn lines of text into batches of a language model's token ids.",
    discussion: """
      Reads text and writes a tokens stream. Each line with more than --min-chars characters, not counting white space \
      at its ends, is a sample. It is tokenized with its leading space and its line feed, as in the data set \
      wikitext-2-raw-v1, and with the special tokens that the tokenizer adds by default (none for Qwen2.5, BOS for \
      Llama and Gemma).

      \(exampleFiles)

      e.g.  wt-tokenize --tokenizer demo/model demo/sample.txt > tokens.ts
            head -n 40 demo/sample.txt |
              wt-tokenize --tokenizer demo/model --skip 2 --num-samples 8 > few.ts
      """,
    version: packageVersion)

  enum Padding: String, ExpressibleByArgument, CaseIterable {
    case none
    case maximumLength = "max-length"
  }

  @Option(
    help: ArgumentHelp(
      """
      The tokenizer: a folder with tokenizer.json, or with vocab.json and merges.txt; a tokenizer.json file; or a \
      hub id that is looked up in the local cache.
      """,
      valueName: "path"), completion: .file())
  var tokenizer: String

  @Option(help: "How many samples to take.")
  var numSamples = 500

  @Option(help: "Samples a batch.")
  var batchSize = 4

  @Option(help: "Cut samples to this many tokens, special tokens included.")
  var maxLength = 128

  @Option(help: "Take only lines with more characters than this.")
  var minChars = 50

  @Flag(help: "Samples end with a NUL byte instead of a line feed. It is not part of the sample.")
  var zeroTerminated = false

  @Option(
    help: ArgumentHelp("The text consists of JSON lines; this field of each line is a sample.", valueName: "name"))
  var jsonField: String?

  @Flag(help: "Do not add the special tokens, such as BOS, that the tokenizer adds to every text.")
  var noSpecialTokens = false

  @Option(help: "Skip this many samples first.")
  var skip = 0

  @Flag(help: "Take samples in random order. This reads the whole text.")
  var shuffle = false

  @Option(help: "Seed of the random order. (default: 0)")
  var seed: UInt64?

  @Option(help: "Pad every sample with the padding token up to --max-length, or do not pad.")
  var padding: Padding = .none

  @Option(help: "Id of the padding token. (default: that of the tokenizer's pad_token, otherwise of <|endoftext|>)")
  var padId: Int32?

  @OptionGroup var messages: MessageOptions

  @Argument(help: "Text files, read one after another. Without any, standard input is read.", completion: .file())
  var files: [String] = []

  func validate() throws {
    for (flag, value, least) in [
      ("num-samples", numSamples, 1), ("batch-size", batchSize, 1), ("max-length", maxLength, 1),
      ("min-chars", minChars, 0), ("skip", skip, 0), ("pad-id", Int(padId ?? 0), 0),
    ] where value < least {
      throw ValidationError("--\(flag): expected a number of at least \(least), found \(value)")
    }
    if seed != nil, !shuffle { throw ValidationError("--seed: requires --shuffle") }
    if padId != nil, padding == .none { throw ValidationError("--pad-id: requires --padding max-length") }
    if zeroTerminated, jsonField != nil {
      throw ValidationError("--zero-terminated: cannot be combined with --json-field")
    }
  }

  func filter() throws {
    let tokenizer = try Tokenizer(named: tokenizer)
    var warningCount = 0
    func countedWarning(_ message: String) {
      warn(message)
      warningCount += 1
    }
    tokenizer.warnings.forEach(countedWarning)
    try check(tokenizer)
    let padID = padding == .none ? nil : try padId ?? tokenizer.padID()
    var batcher = try SampleBatcher(
      samplesPerBatch: batchSize, maximumLength: maxLength, padID: padID, padsBefore: tokenizer.paddingIsBefore)
    let samples = SampleReader(
      try InputFile.standardInputOr(files),
      SampleSelection(
        count: numSamples, skip: skip, minimumCharacters: minChars, shuffleSeed: shuffle ? seed ?? 0 : nil, form: form),
      warn: countedWarning)
    let output = try StreamWriter.toStandardOutput()

    let text = try samples.textIdentity()
    // The programs behind this one can tell how long they will take where they know how much is to come.
    let total = try samples.remaining(readingAhead: 1 << 16)
    if let total, total < numSamples { sayFewer(total) }
    let progress = Progress(unit: "samples", total: total, messages)
    try output.begin(.tokens, provenance: provenance(of: tokenizer, text, sampleCount: total))
    var sampleCount = 0
    var tokenCount = 0
    var batchCount = 0
    func write(_ batch: TokenBatch?) throws {
      guard let batch else { return }
      var record = OutputRecord()
      batch.add(to: &record)
      try output.write(record, batch: batchCount)
      batchCount += 1
      tokenCount += batch.tokenCount
    }
    while let sample = try samples.next() {
      let ids = try tokenizer.encode(sample.text, cutTo: maxLength, addingSpecialTokens: !noSpecialTokens)
      try write(batcher.add(ids, index: sample.index, document: sample.document))
      sampleCount += 1
      progress.advance(1)
    }
    try write(batcher.finish())
    try output.end()
    try output.finish()
    let warnings = warningCount == 0 ? "" : "; warnings above: \(warningCount)"
    progress.finish(", \(counted(tokenCount, "token")) in \(batchCount) batch\(batchCount == 1 ? "" : "es")\(warnings)")
    if total == nil, sampleCount < numSamples { sayFewer(sampleCount) }
  }

  private func sayFewer(_ count: Int) {
    warn("the text has only \(counted(count, "sample")), \(numSamples) were asked for")
  }

  private var form: SampleForm {
    if let jsonField { return .jsonField(jsonField) }
    return zeroTerminated ? .zeroTerminated : .line
  }

  /// What, beside the length, decides which number a sample has.
  private var formName: String {
    switch form {
    case .line: "line"
    case .zeroTerminated: "zero-terminated"
    case .jsonField(let key): "json field \(key)"
    }
  }

  /// What the tokenizer asks for and the flags do not allow.
  private func check(_ tokenizer: Tokenizer) throws {
    if !noSpecialTokens, maxLength < tokenizer.specialTokenCount {
      throw Failure(
        .usage,
        "--max-length: expected at least \(tokenizer.specialTokenCount), for the special tokens that the tokenizer adds, "
          + "found \(maxLength)")
    }
  }

  private func provenance(of tokenizer: Tokenizer, _ text: TextIdentity, sampleCount: Int?) -> [String: String] {
    var own = [
      "tokenizer": self.tokenizer, "tokenizer.xxh64": tokenizer.contentHash, "max_length": String(maxLength),
      "batch_size": String(batchSize), "padding": padding.rawValue, "special_tokens": String(!noSpecialTokens),
      "samples.order": shuffle ? "shuffled" : "text", "samples.form": formName, "min_chars": String(minChars),
      "text": Provenance.joined(files.isEmpty ? ["-"] : files),
    ]
    own.merge(TextIdentity.provenance(of: [text])) { own, _ in own }
    if let sampleCount {
      own["samples"] = String(sampleCount)
      own["batches"] = String((sampleCount + batchSize - 1) / batchSize)
    }
    return Provenance.extending([:], with: own)
  }
}
