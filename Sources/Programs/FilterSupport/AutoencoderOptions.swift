import ArgumentParser
import Decoders
import GradientPasses
import SparseAutoencoders
import SystemIO
import TensorOperations
import TensorStream

/// The flags that name autoencoders.
public struct AutoencoderOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      """
      The autoencoders: a folder, a file, or a hub id followed by a path within the repository. {layer} and {site} \
      are replaced by each layer and site. * stands for any characters, if exactly one name matches, as in \
      layer_{layer}/average_l0_*.
      """, valueName: "path"),
    completion: .file())
  public var sae: String?

  @Flag(
    help: "Use a dictionary_learning AutoEncoder as it is stored, without normalising the rows of its decoder.")
  public var keepDecoderNorms = false

  @Option(help: "The k of a top-k autoencoder whose files do not contain it.")
  public var saeK: Int?

  @Flag(help: "Use an autoencoder even if its own files say that it was trained at another site or layer.")
  public var ignoreSaePlace = false

  public init() {}

  public func validate() throws {
    if let saeK, saeK < 1 { throw ValidationError("--sae-k: expected a number of at least 1, found \(saeK)") }
  }

  /// The autoencoders of these places, none where no `--sae` was given.
  ///
  /// - Parameters:
  ///   - model: as the command line names it.
  ///   - isEmbedded: whether the stream is to carry the decoders themselves.
  public func load(
    _ places: PlaceList, of checkpoint: Checkpoint, model: String, _ operations: any TensorOperations,
    _ compute: ComputeOptions, _ messages: MessageOptions, isEmbedded: Bool = false
  ) throws -> LoadedAutoencoders {
    var loaded = LoadedAutoencoders()
    guard let sae else { return loaded }
    try PlaceOptions.check("--sae", sae, for: places)
    // Opening reads them from end to end: checksums, the content hash, numbers that are none.
    let team = ThreadTeam(size: min(compute.threadCount, places.places.count))
    let opened = try team.map(places.places) { place in
      let width = checkpoint.description.width(of: place.site)
      let (autoencoder, warnings) = try open(sae, place, width: width, model: model, compute)
      let reference = try BasisReference(autoencoder, keepsDecoderNorms: keepDecoderNorms, isEmbedded: isEmbedded)
      return (autoencoder: autoencoder, reference: reference, warnings: warnings)
    }
    if sae.contains("*"), !messages.quiet {
      for (place, (autoencoder, _, _)) in zip(places.places, opened) { complain("\(place): \(autoencoder.path)") }
    }
    opened.flatMap(\.warnings).forEach(warn)
    let memory = AutoencoderMemory(operations)
    for (place, (autoencoder, reference, _)) in zip(places.places, opened) {
      loaded.operations[place] = try AutoencoderOperations(autoencoder, memory: memory)
      loaded.references[place] = reference
    }
    return loaded
  }

  /// One place's autoencoder, which must fit there.
  private func open(
    _ sae: String, _ place: Place, width: Int, model: String, _ compute: ComputeOptions
  ) throws -> (SparseAutoencoder, warnings: [String]) {
    var options = SparseAutoencoder.Options()
    options.normalizesDecoder = !keepDecoderNorms
    options.k = saeK
    let autoencoder = try SparseAutoencoder(place.substituted(in: sae), options: options)
    var warnings = try autoencoder.check(width: width, modelName: model)
    if let misplacement = autoencoder.misplacement(at: place) {
      guard ignoreSaePlace else { throw Failure(.malformed, "\(misplacement); --ignore-sae-place uses it anyway") }
      warnings.append(misplacement)
    }
    if let saeK, !autoencoder.usesGivenK {
      let own = autoencoder.k.map { ", whose files say k \($0)" } ?? ""
      throw Failure(
        .usage, "--sae-k: \(saeK) is not used by the \(autoencoder.className) in \(autoencoder.path)\(own)")
    }
    // A feature with a NaN in its encoder would just never be active.
    if !compute.allowNonfinite, let place = try autoencoder.placeOfNonfinite() {
      throw Failure(.malformed, "\(autoencoder.path): \(place); --allow-nonfinite continues anyway")
    }
    return (autoencoder, warnings)
  }
}

/// By place.
public struct LoadedAutoencoders {
  public fileprivate(set) var operations: [Place: AutoencoderOperations] = [:]
  public fileprivate(set) var references: [Place: BasisReference] = [:]
}

extension StrideScope: ExpressibleByArgument {}
