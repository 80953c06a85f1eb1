import JSON
import SystemIO

extension DecoderDescription {
  /// The families by their `model_type`. A new one is a file in this folder and a line here.
  private static let families: [String: @Sendable (ConfigurationReader) throws(Failure) -> DecoderDescription] = [
    "gemma": Gemma.description, "gemma2": Gemma2.description, "gemma3": Gemma3.description,
    "gemma3_text": Gemma3.textDescription, "gpt2": GPT2.description, "gpt_neox": GPTNeoX.description,
    "llama": Llama.description, "mistral": Mistral.description, "qwen2": Qwen2.description, "qwen3": Qwen3.description,
  ]

  /// Reads a model's config.json by the family that its `model_type` names.
  ///
  /// - Throws: `Failure` of kind malformed that names the entry this code does not implement or does not know.
  public init(_ json: JSON) throws(Failure) {
    let reader = ConfigurationReader(json)
    guard json.members != nil, let type = reader.value("model_type")?.text, let family = Self.families[type] else {
      let known = Self.families.keys.sorted().map { JSON.quote($0) }.joined(separator: ", ")
      throw reader.unsupported("model_type", "one of \(known)")
    }
    self = try family(reader)
  }
}
