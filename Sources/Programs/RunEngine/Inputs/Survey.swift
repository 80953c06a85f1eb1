import Decoders
import FilterSupport
import SparseAutoencoders
import SystemIO
import TensorStream
import Tokenization

/// Everything that is wrong with what a run is to read, said at once.
public struct Refusal: Error {
  public let failures: [Failure]
}

/// The layers that flags ask for.
public enum AskedLayers: Equatable, Sendable {
  case all
  case listed([Int])
  /// No flag did: the PyTorch scripts' 24.
  case scripts
}

/// What a run is to read, before any of it is read through.
public struct Survey: Sendable {
  /// With the layers that are analysed, and the autoencoders where they were found.
  public private(set) var study: Study
  /// Ascending.
  public private(set) var askedLayers: [Int] = []
  /// Layers without an autoencoder, and why.
  public private(set) var missing: [(layer: Int, why: String)] = []
  /// What a person should know, a sentence each.
  public private(set) var remarks: [String] = []
  private var findings = Findings(layerCount: 0)
  /// Names by which results know the files, and paths.
  private var files: [(kind: Kind, name: String, path: String)] = []

  private enum Kind: Equatable, Sendable {
    case text, tokenizer, model, program
    case autoencoder(Int)
  }

  /// - Parameters:
  ///   - study: its layers are set here; autoencoders that it does not name are searched below the current folder.
  ///   - keeps: whether anything is kept, for which texts are hashed: a pipe is none then.
  /// - Throws: `Refusal` that lists all that is missing, with the commands that bring it.
  public init(_ study: Study, _ asked: AskedLayers, keeps: Bool, programs: ProgramFolder = .own) throws {
    self.study = study
    var failures: [Failure] = []
    func trying(_ body: () throws -> Void) throws {
      do { try body() } catch let failure as Failure { failures.append(failure) }
    }
    if case .listed(let layers) = asked { askedLayers = layers } else { askedLayers = Array(0...23) }
    try trying {
      let (description, files) = try Checkpoint.survey(study.model)
      add(files, .model, below: folder(of: files[0]))
      findings = Findings(layerCount: description.layerCount)
      findings.headWeight = Self.headWeight(description)
      try trying { try setLayers(asked, description.layerCount) }
    }
    try trying { add(try Self.tokenizerFiles(study.tokenizer), .tokenizer) }
    for text in study.texts {
      try trying { try Self.checkText(text, mustBeFile: keeps) }
      add([text], .text)
    }
    if study.shards > 1, failures.isEmpty { try trying { try countSamples() } }
    self.study.layers = askedLayers
    if study.unit == .feature { try trying { try findAutoencoders() } }
    for name in ["wt-tokenize", "qwen-capture", study.unit.program, "grad-aggregate", "grad-plot"] {
      try trying { files.append((.program, name, try programs.path(of: name))) }
    }
    // The tokenizer is the model's, mostly: what brings the one brings the other.
    failures = failures.reduce(into: []) { kept, failure in
      if !kept.contains(where: {
        $0.description.split(separator: ":").last == failure.description.split(separator: ":").last
      }) {
        kept.append(failure)
      }
    }
    guard failures.isEmpty else { throw Refusal(failures: failures) }
  }

  /// What keys are made of.
  ///
  /// - Parameters:
  ///   - path: of a file that remembers hashes; files that it does not know are read.
  ///   - device: where the programs compute.
  ///   - reading: told how many files must be read, where some must.
  func findings(
    memory path: String? = nil, device: String, reading: (Int) -> Void = { _ in }
  ) throws -> Findings {
    var memory = try HashMemory(path: path)
    let found = try memory.find(files.map { ($0.name, $0.path) }, reading: reading)
    var findings = findings
    findings.device = device
    for ((kind, name, _), file) in zip(files, found) {
      switch kind {
      case .text: findings.texts.append(file)
      case .tokenizer: findings.tokenizer.append(file)
      case .model: findings.model.append(file)
      case .program: findings.programs[name] = file
      case .autoencoder(let layer): findings.autoencoders[layer, default: []].append(file)
      }
    }
    return findings
  }

  // MARK: - Finding

  private mutating func add(_ paths: [String], _ kind: Kind, below folder: String? = nil) {
    for path in paths {
      let prefix = "\(folder ?? SystemIO.folder(of: path))/"
      var name = path.hasPrefix(prefix) ? String(path.dropFirst(prefix.count)) : path
      // What a release leaves to the names of its folders is a part of what its files are.
      if case .autoencoder = kind {
        let properties = SparseAutoencoder.properties(inPath: path)
        if !properties.isEmpty { name += "@" + properties.replacing(" ", with: "_") }
      }
      files.append((kind, name, path))
    }
  }

  private mutating func setLayers(_ asked: AskedLayers, _ count: Int) throws {
    switch asked {
    case .all: askedLayers = Array(0..<count)
    case .listed(let layers):
      guard let last = layers.last, last < count else {
        throw Failure(.usage, "--layers: layer \(layers.last ?? 0): the model's last layer is \(count - 1)")
      }
    case .scripts where count < askedLayers.count:
      askedLayers = Array(0..<count)
      throw Failure(
        .usage,
        "--layers: the default is 0-23, as in the PyTorch scripts, but this model has layers 0-\(count - 1): "
          + "use --layers all")
    case .scripts where count > askedLayers.count:
      remarks.append(
        "only layers 0-23 of \(count) are analysed, as in the PyTorch scripts: --layers all analyses all of them")
    case .scripts: break
    }
  }

  private static func tokenizerFiles(_ name: String) throws -> [String] {
    Tokenizer.files(isFile(name) ? name : try HubCache.folder(name, what: "tokenizer"))
  }

  private static func checkText(_ path: String, mustBeFile: Bool) throws {
    let found = kindOfFile(at: path)
    if found == "a file" {
      _ = try InputFile(path: path)
    } else if mustBeFile || found == "nothing" || found == "a folder" {
      throw Failure(
        .cannotOpen,
        "\(path): cannot open: expected a file of text, found \(found); pipelines/fetch text brings "
          + "WikiText-2, --text names another")
    }
  }

  /// A shard that the text does not suffice for is none.
  private mutating func countSamples() throws {
    let selection = SampleSelection(count: study.samples, skip: study.skip)
    let reader = SampleReader(try study.texts.map { try InputFile(path: $0) }, selection)
    var count = 0
    while try reader.next() != nil { count += 1 }
    if count < study.samples {
      remarks.append("the text has only \(counted(count, "sample")), \(study.samples) were asked for")
    }
    study.samples = count
  }

  private mutating func findAutoencoders() throws {
    if study.autoencoders.isEmpty {
      study.autoencoders = try AutoencoderSearch.pattern(layers: askedLayers)
      remarks.append("autoencoders: \(study.autoencoders)")
    }
    let pattern = study.autoencoders
    guard askedLayers.count == 1 || pattern.contains("{layer}") else {
      throw Failure(.usage, "--sae: expected {layer} in the path, since there are several layers, found '\(pattern)'")
    }
    for layer in askedLayers {
      do {
        add(
          try SparseAutoencoder.files(pattern.replacing("{site}", with: "\(Site.mlpOut.rawValue)"), layer: layer),
          .autoencoder(layer))
      } catch let failure as Failure {
        missing.append((layer, failure.description))
      }
    }
    let without = Set(missing.map(\.layer))
    study.layers = askedLayers.filter { !without.contains($0) }
    guard let first = missing.first, study.layers.isEmpty else { return }
    throw Failure(
      .cannotOpen,
      missing.count == 1 ? first.why : "no autoencoder for any of the layers \(LayerList(askedLayers)): \(first.why)")
  }

  private static func headWeight(_ model: DecoderDescription) -> Double {
    let attention = 2 * (model.attention.queryWidth + model.attention.keyValueWidth)
    return 1 + Double(model.vocabularySize) / Double(attention + 3 * model.mlp.width)
  }
}
