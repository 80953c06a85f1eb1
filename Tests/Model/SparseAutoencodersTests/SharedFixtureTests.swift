import Foundation
import SparseAutoencoders
import SystemIO
import TestSupport
import Testing

private let folder = sharedData + "/sae"

/// Files that the libraries wrote after real training runs, with what the libraries compute from them.
@Suite(.enabled(if: exists(folder), "\(folder) is not there"))
struct SharedFixtureTests {
  private static let cases: [String] =
    ["dictionary_learning", "saelens", "sparsify"].flatMap { format in
      ((try? FileManager.default.contentsOfDirectory(atPath: "\(folder)/\(format)")) ?? []).sorted()
        .map { format == "sparsify" ? "\(format)/\($0)/layers.3.mlp" : "\(format)/\($0)" }
    }.filter { exists("\(folder)/\($0)/features.npy") } + ["gemma_scope", "qwen_scope"]

  private func array(_ name: String) throws -> [[Double]] {
    let array = try NumPyArray(path: "\(folder)/\(name).npy")
    return stride(from: 0, to: array.values.count, by: array.shape[1]).map {
      Array(array.values[$0..<$0 + array.shape[1]])
    }
  }

  private func expectation(_ name: String, suffix: String = "") throws -> Expectation {
    Expectation(
      inputs: try array("inputs"), outputGradients: try array("grad_out"),
      features: try array("\(name)/features\(suffix)"),
      featureGradients: try array("\(name)/grad_features\(suffix)"), decoded: try array("\(name)/decoded\(suffix)"))
  }

  private func options(_ name: String) -> SparseAutoencoder.Options {
    var options = SparseAutoencoder.Options()
    options.acceptsTranscoders = name.contains("transcode")
    if name == "qwen_scope" { options.k = 4 }
    return options
  }

  @Test(arguments: cases)
  func asTheLibraryComputesIt(_ name: String) throws {
    let autoencoder = try SparseAutoencoder("\(folder)/\(name)", options: options(name))
    #expect(autoencoder.features == 64 && autoencoder.width == 16)
    // sparsify computes in bfloat16 where the weights are: its largest feature here is 8.9, where one rounding alone
    // is up to 1/32.
    let isRounded = name.contains("topk_bfloat16")
    try expectation(name).compare(
      with: autoencoder, tolerance: isRounded ? 4e-2 : 2e-5, margin: isRounded ? 4e-2 : 2e-5)
  }

  @Test func thereAreManyCases() { #expect(Self.cases.count == 33, "\(Self.cases)") }

  @Test(arguments: ["standard", "april_update"])
  func anAutoEncoderAsItIsStored(_ name: String) throws {
    var options = SparseAutoencoder.Options()
    options.normalizesDecoder = false
    let path = "dictionary_learning/\(name)"
    let autoencoder = try SparseAutoencoder("\(folder)/\(path)", options: options)
    #expect(autoencoder.parameters.decoderFactors == nil)
    try expectation(path, suffix: "_raw").compare(with: autoencoder)
  }

  @Test(arguments: ["skip_transcoder", "jumprelu_transcoder"])
  func transcodersAreRefusedByName(_ name: String) throws {
    let failure = #expect(throws: Failure.self) { try SparseAutoencoder("\(folder)/saelens/\(name)") }
    #expect(failure?.description.contains("transcoder (\(name))") == true)
  }

  /// SAELens folds the decoder's norms into what it saves for inference; a training checkpoint has both apart.
  @Test func aTrainingCheckpointComputesWhatIsSavedForInference() throws {
    let autoencoder = try SparseAutoencoder("\(folder)/saelens/batchtopk_training_checkpoint")
    try expectation("saelens/batchtopk_saved_for_inference").compare(with: autoencoder)
  }

  @Test func aCheckpointFindsItsConfigurationOneFolderAbove() throws {
    let path = "\(folder)/dictionary_learning/batchtopk/checkpoints/ae_300.pt"
    #expect(try SparseAutoencoder(path).className == "BatchTopKSAE")
  }
}
