/// What SAELens's list of published autoencoders (6.54.12, pretrained_saes.yaml) says of some beyond what their own
/// files do, and its loader goes by.
struct PublishedCorrections {
  /// Whether TransformerLens's model, on which they were trained, had the mean taken out of its residual stream.
  var isCentred = false
  /// SAELens's `normalize_activations`.
  var normalization: String?
  /// What activations are multiplied by, by the name of the folder, where that is yet to be folded into the weights.
  var scales: [String: Double] = [:]

  /// Of the repository in a path, whatever the owner.
  static func inPath(_ path: String) -> PublishedCorrections? {
    repository(inPath: path).flatMap { byRepository[$0] }
  }

  /// The name of that repository.
  static func repository(inPath path: String) -> String? {
    ReleaseName.repository(inPath: path) { byRepository[$0] != nil }
  }

  private static let byRepository: [String: PublishedCorrections] = [
    "GPT2-Small-SAEs-Reformatted": PublishedCorrections(isCentred: true),
    "GPT2-Small-Feature-Splitting-Experiment-Layer-8": PublishedCorrections(isCentred: true),
    "gpt2-small-mlp-out-saes": PublishedCorrections(
      isCentred: true,
      scales: [
        "sae_group_gpt2_blocks.0.hook_mlp_out_24576:v1": 1.049317316132615,
        "sae_group_gpt2_blocks.1.hook_mlp_out_24576:v0": 2.3693984005104283,
        "sae_group_gpt2_blocks.2.hook_mlp_out_24576:v0": 1.6411934982190302,
        "sae_group_gpt2_blocks.3.hook_mlp_out_24576:v0": 1.8958522157897557,
        "sae_group_gpt2_blocks.4.hook_mlp_out_24576:v0": 1.81673478700627,
        "sae_group_gpt2_blocks.5.hook_mlp_out_24576:v0": 1.550234472245924,
        "sae_group_gpt2_blocks.6.hook_mlp_out_24576:v0": 1.3237742807210804,
        "sae_group_gpt2_blocks.7.hook_mlp_out_24576:v0": 1.1042905114723296,
        "sae_group_gpt2_blocks.8.hook_mlp_out_24576:v1": 0.9123762783479742,
        "sae_group_gpt2_blocks.9.hook_mlp_out_24576:v0": 0.6955335635232373,
        "sae_group_gpt2_blocks.10.hook_mlp_out_24576:v0": 0.3619728926727644,
        "sae_group_gpt2_blocks.11.hook_mlp_out_24576:v2": 0.2851548652550073,
      ]),
    "Gemma-2b-Residual-Stream-SAEs": PublishedCorrections(
      scales: ["gemma_2b_blocks.12.hook_resid_post_16384": 0.21381938399317255]),
    "Mistral-7B-Residual-Stream-SAEs": PublishedCorrections(normalization: "constant_norm_rescale"),
  ]
}
