import ArgumentParser
import FilterSupport
import HubCache
import SystemIO
import TensorStream
import Tokenization

@main
struct WtTokenize: Filter {
  static let configuration = CommandConfiguration(
    commandName: "wt-tokenize",
    abstract: "Turn lines of text into batches of a Qwen2 model's token ids.",
    discussion: """
      Reads text, writes a tokens stream. A sample is a line with more than --min-chars characters, not counting white \
      space at its ends; it is tokenized with its leading space and its line feed, without special tokens.

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
      "A folder with tokenizer.json, or with vocab.json and merges.txt; a tokenizer.json; or a hub id.",
      valueName: "path"), completion: .file())
  var tokenizer: String

  @Option(help: "The number of samples.")
  var numSamples = 500

  @Option(help: "Samples a batch.")
  var batchSize = 4

  @Option(help: "Tokens that a sample is cut to.")
  var maxLength = 128

  @Option(help: "Characters that a line must have more than.")
  var minChars = 50

  @Option(help: "Samples to pass over first.")
  var skip = 0

  @Flag(help: "Take the samples in random order. All of the text is read.")
  var shuffle = false

  @Option(help: "What the random order depends on. (default: 0)")
  var seed: UInt64?

  @Option(help: "Fill every sample with the padding token: none or max-length.")
  var padding: Padding = .none

  @Option(help: "The padding token's id. (default: of the tokenizer's pad_token, else of <|endoftext|>)")
  var padId: Int32?

  @OptionGroup var messages: MessageOptions

  @Argument(help: "Text files to read, one after another; standard input where none is given.", completion: .file())
  var files: [String] = []

  func validate() throws {
    for (flag, value, least) in [
      ("num-samples", numSamples, 1), ("batch-size", batchSize, 1), ("max-length", maxLength, 1),
      ("min-chars", minChars, 0), ("skip", skip, 0), ("pad-id", Int(padId ?? 0), 0),
    ] where value < least {
      throw ValidationError("--\(flag): expected a number of at least \(least), found \(value)")
    }
    if seed != nil, !shuffle { throw ValidationError("--seed: expected with --shuffle only") }
    if padId != nil, padding == .none { throw ValidationError("--pad-id: expected with --padding max-length only") }
  }

  func filter() throws {
    let path = HubCache.isFile(tokenizer) ? tokenizer : try HubCache.folder(tokenizer, what: "tokenizer")
    let tokenizer = try Tokenizer(path: path)
    let padID = padding == .none ? nil : try padId ?? tokenizer.padID()
    var batcher = try SampleBatcher(samplesPerBatch: batchSize, maximumLength: maxLength, padID: padID)
    let samples = SampleReader(
      try InputFile.standardInputOr(files),
      SampleSelection(
        count: numSamples, skip: skip, minimumCharacters: minChars, shuffleSeed: shuffle ? seed ?? 0 : nil))
    let output = try StreamWriter.toStandardOutput()

    // The programs behind this one can tell how long they will take where they know how much is to come.
    let total = try samples.remaining(readingAhead: 1 << 16)
    try output.begin(.tokens, provenance: provenance(of: tokenizer, sampleCount: total))
    let progress = Progress(unit: "samples", total: total, quiet: messages.quiet)
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
      try write(batcher.add(try tokenizer.encode(sample.line), index: sample.index))
      sampleCount += 1
      progress.advance(1)
    }
    try write(batcher.finish())
    try output.end()
    try output.finish()
    progress.finish(", \(tokenCount) tokens in \(batchCount) batches")
    if sampleCount < numSamples { complain("the text has \(sampleCount) samples, \(numSamples) were asked for") }
  }

  private func provenance(of tokenizer: Tokenizer, sampleCount: Int?) -> [String: String] {
    var own = [
      "tokenizer": self.tokenizer, "tokenizer.xxh64": tokenizer.contentHash, "max_length": String(maxLength),
      "batch_size": String(batchSize), "padding": padding.rawValue,
    ]
    if let sampleCount {
      own["samples"] = String(sampleCount)
      own["batches"] = String((sampleCount + batchSize - 1) / batchSize)
    }
    return Provenance.extending([:], with: own)
  }
}
