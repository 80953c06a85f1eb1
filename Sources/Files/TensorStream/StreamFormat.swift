/// The fixed words of the format.
enum StreamFormat {
  /// Readers refuse another one. It changes only with the structure of a stream, not with new metadata.
  static let version = "tensor-stream/2"
  /// The version of earlier programs, whose names of tensors and metadata had a layer where a place is now.
  static let formerVersion = "tensor-stream/1"
  static let beginKeys: Set<String> = ["record", "format", "kind"]
  /// The longest header of a record. JSON takes up to forty times its own size in memory while it is read, and a
  /// frame of a kilobyte can hold megabytes of it.
  static let maximumHeader = 1 << 20
}
