import FilterSupport
import SystemIO

/// What is to be computed: the command lines and the keys of a plan are made from this.
public struct Study: Equatable, Sendable {
  public enum Unit: String, Sendable {
    /// Features of sparse autoencoders.
    case feature
    /// The MLP's outputs themselves.
    case activation

    /// The program that makes gradients of activations.
    public var program: String { self == .feature ? "sae-grad" : "act-grad" }
  }

  public var unit: Unit
  /// A folder or a hub id; so is the tokenizer, which may also be a file.
  public var model: String
  public var tokenizer: String
  public var texts: [String]
  public var samples = 500
  public var batchSize = 4
  /// Candidates of the text that are passed over first.
  public var skip = 0
  /// Further flags of wt-tokenize.
  public var tokenFlags: [String] = []
  /// Ascending, at least one.
  public var layers: [Int]
  /// The autoencoders, with {layer} in it where there are several; of features only.
  public var autoencoders = ""
  /// Flags of sae-grad that determine its numbers, and those that only say what it is not to refuse.
  public var featureFlags: [String] = []
  public var featureWaivers: [String] = []
  /// One pass for all layers of features, too.
  public var usesErrorTerm = false
  /// Flags of grad-aggregate that determine its sums.
  public var averageFlags: [String] = []
  /// Where to compute, as flags have it.
  public var device = "auto"
  public var precision = "auto"
  public var arithmetic = "mixed"
  /// Numbers that are NaN or infinite stop no program.
  public var allowsNonfinite = false
  /// Further flags of grad-plot.
  public var pictureFlags: [String] = []
  /// Parts that samples are cut into: each of whole batches, so that the parts' sums are those of one run.
  public var shards = 1
  /// Parts that layers are cut into where one pass serves several.
  public var groups = 1
  /// Gradients of every position are kept, so that other averages of them can be made.
  public var keepsGradients = true

  public init(_ unit: Unit, model: String, texts: [String], layers: [Int]) {
    (self.unit, self.model, self.texts, self.layers) = (unit, model, texts, layers)
    tokenizer = model
  }

  /// Whether every layer has a pass of its own, and can be worked on apart.
  public var isByLayer: Bool { unit == .feature && !usesErrorTerm }

  /// Layers that are worked on together.
  public var layerGroups: [[Int]] { isByLayer ? layers.map { [$0] } : Self.cut(layers, into: groups) }

  /// The samples of each shard: so many candidates passed over, and at most so many samples.
  public var sampleShards: [(skip: Int, count: Int)] {
    let batches = (samples + batchSize - 1) / batchSize
    let perShard = (batches + shards - 1) / max(shards, 1) * batchSize
    return stride(from: 0, to: samples, by: max(perShard, 1)).map { (skip + $0, min(perShard, samples - $0)) }
  }

  /// Parts of nearly the same length, at least one.
  static func cut<Item>(_ items: [Item], into count: Int) -> [[Item]] {
    let count = max(1, min(count, items.count))
    return (0..<count).map { Array(items[($0 * items.count / count)..<(($0 + 1) * items.count / count)]) }
  }
}

// MARK: - Command lines

extension Study {
  func tokenize(_ shard: (skip: Int, count: Int)) -> Command {
    let skip = shard.skip > 0 ? ["--skip", "\(shard.skip)"] : []
    return Command(
      "wt-tokenize",
      option("--tokenizer", tokenizer) + ["--num-samples", "\(shard.count)", "--batch-size", "\(batchSize)"]
        + tokenFlags
        + skip + texts.map(fileArgument))
  }

  /// - Parameter computesLoss: of all samples the unmodified model's loss, which sae-grad would otherwise have to find
  ///   once for every layer that it works on alone.
  func capture(_ layers: [Int], computesLoss: Bool) -> Command {
    Command(
      "qwen-capture",
      option("--model", model) + ["--layers", "\(LayerList(layers))"] + compute + (computesLoss ? ["--loss"] : []))
  }

  func gradients(_ layers: [Int]) -> Command {
    let own = unit == .feature ? option("--sae", autoencoders) + featureFlags + featureWaivers : []
    let errorTerm = usesErrorTerm ? ["--use-error-term"] : []
    return Command(
      unit.program,
      option("--model", model) + ["--layers", "\(LayerList(layers))"] + compute + arithmeticFlags + own + errorTerm)
  }

  /// - Parameter files: streams to be averaged; none: standard input.
  func averages(_ flags: [String], files: [String] = []) -> Command {
    let own = unit == .feature ? option("--sae", autoencoders) : []
    return Command("grad-aggregate", averageFlags + compute + own + flags + files.map(fileArgument))
  }

  func pictures(in folder: String) -> Command {
    Command("grad-plot", option("--output", folder) + pictureFlags)
  }

  private var arithmeticFlags: [String] { arithmetic == "mixed" ? [] : ["--arithmetic", arithmetic] }

  private var compute: [String] {
    ["--device", device] + (precision == "auto" ? [] : ["--precision", precision])
      + (allowsNonfinite ? ["--allow-nonfinite"] : [])
  }
}

/// A flag and its value, which is never taken for a flag itself.
func option(_ flag: String, _ value: String) -> [String] {
  value.hasPrefix("-") ? ["\(flag)=\(value)"] : [flag, value]
}

/// A path as the argument of a program, which is never taken for a flag.
public func fileArgument(_ path: String) -> String { path.hasPrefix("-") ? "./\(path)" : path }

extension Command {
  /// The same with so many threads, where the program computes with several.
  func with(threads: Int?) -> Command {
    guard let threads, program != "wt-tokenize" else { return self }
    return Command(program, ["--threads", "\(threads)"] + arguments)
  }

  /// As a shell reads it.
  public var text: String { ([program] + arguments).map(shellQuoted).joined(separator: " ") }
}
