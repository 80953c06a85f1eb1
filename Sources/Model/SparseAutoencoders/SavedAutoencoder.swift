import SystemIO

/// An autoencoder as it was saved, which a format's reader goes by.
struct SavedAutoencoder {
  let weights: Weights
  let files: AutoencoderFiles
  let options: SparseAutoencoder.Options

  /// The configuration of that name beside the tensors, which only the format's own reader knows: somebody else's file
  /// of another name may lie there as well.
  func configuration(named name: String) throws -> Configuration? {
    try files.configuration(named: name).map { try Configuration(path: $0) }
  }

  /// The configuration that a format cannot be read without.
  func requiredConfiguration(named name: String, of library: String) throws -> Configuration {
    if let configuration = try configuration(named: name) { return configuration }
    let other = name == "cfg.json" ? "config.json" : "cfg.json"
    let found = files.configuration(named: other) == nil ? "none" : "only a \(other), which \(library) does not read"
    throw Failure(.malformed, "expected a \(name) beside it, as \(library) writes it, found \(found)")
  }
}

/// What a format's reader finds out of an autoencoder.
struct AutoencoderDescription {
  let format: SparseAutoencoder.Format
  let className: String
  let parameters: AutoencoderParameters
  var k: Int?
  var usesGivenK = false
  var provenance = SparseAutoencoder.Provenance()
  var warnings: [String] = []
  var isTranscoder = false
  /// Whether training leaves the rows of the decoder with norms of 1, and no other are to be expected.
  var hasUnitDecoder = false
}
