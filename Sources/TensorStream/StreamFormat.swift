/// The fixed words of the format.
enum StreamFormat {
  /// Readers refuse another one. It changes only with the structure of a stream, not with new metadata.
  static let version = "tensor-stream/1"
  static let beginKeys: Set<String> = ["record", "format", "kind"]
}
