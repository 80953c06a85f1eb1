import JSON
import SystemIO

/// What the begin record of factored gradients says of the decoder that multiplies them: which file, and what tells it
/// from another.
public struct BasisReference: Equatable, Sendable {
  /// Absolute, so that the stream can be aggregated from another folder.
  public let path: String
  public let format: String
  public let features: Int
  public let width: Int
  /// XXH64 of the file.
  public let hash: String
  /// Whether an AutoEncoder's decoder is used as it is stored.
  public let keepsDecoderNorms: Bool
  /// Whether the stream carries the decoder itself.
  public let isEmbedded: Bool

  public init(_ autoencoder: SparseAutoencoder, keepsDecoderNorms: Bool, isEmbedded: Bool) throws {
    // Of the folder alone: in the hub's cache the file is a link to where it has neither its name nor its configuration.
    let parts = autoencoder.path.split(separator: "/", omittingEmptySubsequences: false)
    let folder = parts.dropLast().joined(separator: "/")
    let name = String(parts.last!)
    path = "\(absolutePath(parts.count == 1 ? "." : folder.isEmpty ? "/" : folder))/\(name)"
    format = autoencoder.format.rawValue
    features = autoencoder.features
    width = autoencoder.width
    hash = try autoencoder.contentHash()
    self.keepsDecoderNorms = keepsDecoderNorms
    self.isEmbedded = isEmbedded
  }

  /// Whether gradients over either decoder are over the same features: copies of one file at different paths are one
  /// decoder.
  public func isSameDecoder(as other: BasisReference) -> Bool {
    !hash.isEmpty && (hash, features, width) == (other.hash, other.features, other.width)
      && keepsDecoderNorms == other.keepsDecoderNorms
  }

  /// JSON with sorted keys.
  public var text: String {
    "{\"embedded\":\(isEmbedded),\"features\":\(features),\"format\":\(JSON.quote(format)),"
      + "\"keeps_decoder_norms\":\(keepsDecoderNorms),\"path\":\(JSON.quote(path)),"
      + "\"width\":\(width),\"xxh64\":\(JSON.quote(hash))}"
  }

  /// Reads what `text` writes.
  public init(parsing text: String) throws(Failure) {
    let json = try JSON(parsing: Array(text.utf8))
    guard let path = json["path"]?.text, let features = json["features"]?.int, let width = json["width"]?.int,
      features > 0, width > 0, features <= 1 << 28, width <= 1 << 20
    else { throw Failure(.malformed, "expected path, features and width of an autoencoder, found \(text)") }
    self.path = path
    self.features = features
    self.width = width
    format = json["format"]?.text ?? ""
    hash = json["xxh64"]?.text ?? ""
    keepsDecoderNorms = json["keeps_decoder_norms"]?.boolean ?? false
    isEmbedded = json["embedded"]?.boolean ?? false
  }
}
