import Aggregation
import ArgumentParser
import Contexts
import FilterSupport
import SystemIO
import TensorStream
import Tokenization

@main
struct GradContexts: Filter {
  static let configuration = CommandConfiguration(
    commandName: "grad-contexts",
    abstract: "Find the tokens, in context, at which features or dimensions count most.",
    discussion: """
      Reads gradients once and writes a line of JSON for each context. For each feature that is named, or ranks \
      highest in --aggregates, it finds the positions at which the magnitude of its attribution is largest, at most \
      one per sample, and writes the largest first. Equal values are ordered by sample and position. Positions at \
      which the value is 0 are never written.

      A line contains the feature, sample and position; the token and the tokens around it (see --tokens, and \
      --tokenizer for text instead of ids); activation, gradient and attribution; and the feature's activations at the \
      surrounding positions that are recorded.

      \(exampleFiles)

      e.g.  wt-tokenize --tokenizer demo/model demo/sample.txt > tokens.ts
            qwen-capture --model demo/model --layers 2 < tokens.ts |
              sae-grad --model demo/model --stride 1 \\
              --sae 'demo/saes/mlp_out_layer_{layer}/trainer_0' > grads.ts
            grad-aggregate --quantity attribution grads.ts > averages.ts
            grad-contexts --aggregates averages.ts --top 5 --tokens tokens.ts \\
              --tokenizer demo/model grads.ts > contexts.jsonl
            grad-contexts --features 2:300,2:17 --by activation --contexts 4 \\
              --quantiles 5 < grads.ts > more.jsonl
      """,
    version: packageVersion)

  @OptionGroup var choice: FeatureChoiceOptions

  @Option(help: "How many contexts to write for each feature.")
  var contexts = 10

  @Option(
    help: ArgumentHelp(
      """
      The quantity whose magnitude ranks the positions. A gradient exists at every recorded position, whether the \
      feature is active or not.
      """, valueName: "quantity"))
  var by = Quantity.attribution

  @Flag(name: .customLong("repeat"), help: "Allow several contexts from the same sample.")
  var repeatsSamples = false

  @Option(help: ArgumentHelp("How many tokens to show before and after the position.", valueName: "tokens"))
  var window = 12

  @Option(
    help: ArgumentHelp(
      "The tokens stream of the run, for the tokens between recorded positions.",
      valueName: "path"), completion: .file())
  var tokens: String?

  @Option(
    help: ArgumentHelp(
      """
      Write tokens as text instead of ids. The value is a folder, a tokenizer.json file or a hub id.
      """, valueName: "path"),
    completion: .file())
  var tokenizer: String?

  @Option(
    help: ArgumentHelp(
      "Also write contexts drawn at random from this many quantiles of the values that are not 0.",
      valueName: "parts"))
  var quantiles: Int?

  @Option(help: ArgumentHelp("How many contexts to draw from each quantile. (default: 2)", valueName: "contexts"))
  var perQuantile: Int?

  @Option(help: "Seed of --quantiles. (default: 0)")
  var seed: UInt64?

  @Option(
    help: ArgumentHelp(
      "Where the autoencoders lie now, if not where the stream says; {layer} is replaced by each layer.",
      valueName: "path"), completion: .file())
  var sae: String?

  @OptionGroup var messages: MessageOptions

  @Argument(help: "Streams of gradients. Without any, standard input is read.", completion: .file())
  var files: [String] = []

  func validate() throws {
    for (flag, value, range) in [
      ("--contexts", contexts, 1...100_000), ("--window", window, 0...100_000), ("--quantiles", quantiles, 1...1000),
      ("--per-quantile", perQuantile, 1...1000),
    ] {
      guard let value, !range.contains(value) else { continue }
      throw ValidationError(
        "\(flag): expected a number from \(range.lowerBound) to \(range.upperBound), found \(value)")
    }
    for (flag, isGiven) in [("--per-quantile", perQuantile != nil), ("--seed", seed != nil)] {
      guard isGiven, quantiles == nil else { continue }
      throw ValidationError("\(flag): requires --quantiles")
    }
    if tokens == "-", files.isEmpty || files.contains("-") {
      throw ValidationError("--tokens: expected a file, as standard input is read for the gradients")
    }
  }

  func filter() throws {
    var identity: [String: String] = [:]
    let (features, references) = try choice.choose { segment in
      identity.merge(segment.provenance.filter { $0.key == "model" || $0.key.hasPrefix("model.") }) { first, _ in first
      }
    }
    let inputs = try InputFile.standardInputOr(files)
    let tokenizer = try tokenizer.map { try Tokenizer(named: $0) }
    tokenizer?.warnings.forEach(warn)
    let source = try tokens.map { try TokenSource(InputFile.standardInputOr([$0])[0]) }
    let draw = quantiles.map { ContextChoices.Draw(quantiles: $0, perQuantile: perQuantile ?? 2, seed: seed ?? 0) }
    let search = ContextSearch(
      features,
      ContextChoices(by, count: contexts, repeatsSamples: repeatsSamples, window: window, draw: draw), sae: sae,
      threads: availableCores())
    let output = OutputFile.standardOutput()
    let progress = Progress(unit: "records", total: inputs.count == 1 ? 0 : nil, messages)
    try readSegments(of: inputs) { segment in
      guard segment.kind == .gradients else {
        throw Failure(.malformed, "expected a stream of gradients, found \(segment.kind.rawValue)")
      }
      try segment.check(identity: identity)
      try choice.check(references, against: segment.autoencoders())
      try check(tokenizer, for: segment)
      try source?.check(for: segment)
      try search.begin(segment)
      progress.expect(segment.count("batches"))
    } _: { record in
      if try search.add(record) { progress.advance(1) }
    }
    let found = try search.finish()
    try tellOfEmpty(found.filter { $0.contexts.isEmpty }.map(\.feature), of: found.count)
    let lines = try write(found, source, tokenizer, to: output)
    progress.finish(", \(counted(lines, "context")) of \(counted(found.count, "feature"))")
  }

  private func check(_ tokenizer: Tokenizer?, for segment: Segment) throws {
    guard let tokenizer, let expected = segment.provenance["tokenizer.xxh64"], expected != tokenizer.contentHash else {
      return
    }
    throw Failure(
      .malformed,
      "--tokenizer: not the tokenizer of the gradients: expected XXH64 \(expected) "
        + "(\(segment.provenance["tokenizer"] ?? "unnamed")), found \(tokenizer.contentHash) (\(tokenizer.path))")
  }

  /// Says which features have no context.
  ///
  /// - Throws: `Failure` of kind malformed where none has one.
  private func tellOfEmpty(_ empty: [FeatureName], of count: Int) throws {
    guard !empty.isEmpty else { return }
    let shown = empty.prefix(20).map(\.description).joined(separator: ", ")
    let names = empty.count > 20 ? "\(shown) and \(empty.count - 20) more" : shown
    guard empty.count < count else {
      throw Failure(.malformed, "\(names): expected positions whose \(by.rawValue) is not 0, found none")
    }
    messages.note("no contexts, as the \(by.rawValue) is 0 at every recorded position: \(names)")
  }

  /// Says which tokens the lines do not show as text, and what adds it.
  private func tellOfTokens(_ texts: [ContextText], _ tokenizer: Tokenizer?) {
    var words: [String] = []
    let unknown = texts.reduce(0) { $0 + ($1.before + $1.after).count { $0 == .unknown } }
    if unknown > 0 {
      let all = texts.reduce(0) { $0 + $1.before.count + 1 + $1.after.count }
      words.append(
        "\(unknown) of \(counted(all, "token")) are null, as gradients have the tokens of recorded positions alone: add "
          + "--tokens with the run's tokens stream")
    }
    if tokenizer == nil { words.append("tokens are ids: add --tokenizer for their text") }
    if !words.isEmpty { messages.note(words.joined(separator: "; ")) }
  }

  /// - Returns: how many lines.
  private func write(
    _ found: [(feature: FeatureName, contexts: [RankedContext])], _ source: TokenSource?, _ tokenizer: Tokenizer?,
    to output: OutputFile
  ) throws -> Int {
    let all = found.flatMap(\.contexts).map(\.context)
    let texts =
      try source?.texts(around: all, window: window, tokenizer)
      ?? all.map { try ContextText($0, window: window, tokenizer) }
    tellOfTokens(texts, tokenizer)
    var rest = texts[...]
    for (feature, contexts) in found {
      let lines = contexts.map {
        ContextLine(feature: feature, ranked: $0, text: rest.removeFirst(), quantity: by).json + "\n"
      }
      try output.write(lines.joined())
    }
    try output.finish()
    return all.count
  }
}

extension Quantity: ExpressibleByArgument {}
