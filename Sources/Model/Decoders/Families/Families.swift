import JSON
import SystemIO

extension DecoderDescription {
  /// The families by their `model_type`. A new one is a file in this folder and a line here.
  private static let families: [String: @Sendable (ConfigurationReader) throws(Failure) -> DecoderDescription] = [
    "qwen2": Qwen2.description
  ]

  /// Reads a model's config.json by the family that its `model_type` names.
  ///
  /// - Throws: `Failure` of kind malformed that names the entry this code does not implement or does not know.
  public init(_ json: JSON) throws(Failure) {
    let reader = ConfigurationReader(json)
    guard json.members != nil, let type = reader.value("model_type")?.text, let family = Self.families[type] else {
      let known = Self.families.keys.sorted().map { JSON.quote($0) }.joined(separator: " or ")
      throw reader.unsupported("model_type", known)
    }
    self = try family(reader)
  }
}
