import JSON
import SystemIO

/// Which of transformers' classes reads a tokenizer's folder (`AutoTokenizer.from_pretrained`). Two are known here:
/// Qwen2Tokenizer, which takes from `tokenizer.json` the vocabulary, the merges and the post-processor, and the one
/// that takes all of `tokenizer.json`.
enum TokenizerClass {
  /// Models whose tokenizer is Qwen2Tokenizer where their folder names no class.
  private static let models = [
    "qwen2", "qwen2_5_omni", "qwen2_5_vl", "qwen2_audio", "qwen2_moe", "qwen2_vl", "qwen3", "qwen3_asr", "qwen3_moe",
    "qwen3_next", "qwen3_omni_moe", "qwen3_vl", "qwen3_vl_moe",
  ]
  /// Classes that take `tokenizer.json` as it is. (Llama's does where that is of the byte-level kind.)
  private static let plain = ["PreTrainedTokenizer", "TokenizersBackend", "LlamaTokenizer"]

  /// - Throws: `Failure` of kind malformed where it is another class, which would give other ids.
  static func isQwen2(folder: String, configuration: JSON, hasTokenizerJSON: Bool) throws -> Bool {
    let modelFile = folder + "config.json"
    let model = try optionalJSON(modelFile)
    let modelType = model?["model_type"]?.text
    // Folders of this model name wrong classes often, so transformers does not ask.
    if modelType == "qwen2" { return true }
    let isNamedHere = configuration["tokenizer_class"].map { !$0.isNull } ?? false
    let (source, value) =
      isNamedHere
      ? (folder + "tokenizer_config.json", configuration["tokenizer_class"]) : (modelFile, model?["tokenizer_class"])
    guard let value, !value.isNull else {
      guard let modelType else { return !hasTokenizerJSON }
      guard models.contains(modelType) else {
        throw Failure(
          .malformed,
          "\(modelFile): model_type: expected one with Qwen2's tokenizer, such as \"qwen2\", found \(JSON.quote(modelType))"
        )
      }
      return true
    }
    let name = value.text ?? ""
    let root = name.hasSuffix("Fast") ? String(name.dropLast(4)) : name
    if root == "Qwen2Tokenizer" { return true }
    guard hasTokenizerJSON, plain.contains(root) else {
      let others = hasTokenizerJSON ? ", \"PreTrainedTokenizerFast\", \"TokenizersBackend\"" : ""
      throw unexpected(value, at: "tokenizer_class", "\"Qwen2Tokenizer\"\(others) or none").at(source)
    }
    return false
  }
}
