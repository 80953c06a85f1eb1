import SparseAutoencoders
import SystemIO
import TensorFiles
import TensorOperations
import TensorStream
import TestSupport
import Testing

let fixtures = packageRoot + "/Tests/Model/SparseAutoencodersTests/Fixtures"

/// The files of make_fixtures.py: what each library wrote, and what it computes from it.
@Suite struct FixtureTests {
  typealias Format = SparseAutoencoder.Format

  @Test(
    arguments: [
      ("dictionary_learning_auto_encoder", Format.dictionaryLearning, "AutoEncoder", nil),
      ("dictionary_learning_auto_encoder_new", .dictionaryLearning, "AutoEncoderNew", nil),
      ("dictionary_learning_gated", .dictionaryLearning, "GatedAutoEncoder", nil),
      ("dictionary_learning_top_k", .dictionaryLearning, "AutoEncoderTopK", 3),
      ("dictionary_learning_batch_top_k", .dictionaryLearning, "BatchTopKSAE", 3),
      ("dictionary_learning_matryoshka", .dictionaryLearning, "MatryoshkaBatchTopKSAE", 3),
      ("dictionary_learning_jump_relu", .dictionaryLearning, "JumpReluAutoEncoder", nil),
      ("saelens_standard", .saeLens, "standard", nil),
      ("saelens_standard_bfloat16", .saeLens, "standard", nil),
      ("saelens_standard_layer_norm", .saeLens, "standard", nil),
      ("saelens_standard_constant_norm", .saeLens, "standard", nil),
      ("saelens_gated", .saeLens, "gated", nil),
      ("saelens_jumprelu", .saeLens, "jumprelu", nil),
      ("saelens_topk", .saeLens, "topk", 3),
      ("saelens_abstopk", .saeLens, "abstopk", 3),
      ("sparsify_topk/layers.3.mlp", .sparsify, "SparseCoder", 3),
      ("sparsify_groupmax/layers.3.mlp", .sparsify, "SparseCoder", 3),
      ("gemma_scope/params.npz", .gemmaScope, "Gemma Scope", nil),
      ("qwen_scope-L0_3/layer0.sae.pt", .qwenScope, "TopK", 3),
    ] as [(String, Format, String, Int?)])
  func asTheLibraryComputesIt(_ name: String, _ format: Format, _ className: String, _ k: Int?) throws {
    let autoencoder = try SparseAutoencoder("\(fixtures)/\(name)")
    #expect(autoencoder.format == format && autoencoder.className == className && autoencoder.k == k)
    #expect(autoencoder.width == 6 && autoencoder.features == 12 && !autoencoder.isTranscoder)
    try Expectation(fixture: String(name.split(separator: "/")[0])).compare(with: autoencoder)
  }

  /// The matrices of the libraries' float32 files are those pages themselves, in the order that torch left them in.
  @Test(arguments: [
    ("dictionary_learning_auto_encoder", false, true),
    ("dictionary_learning_batch_top_k", false, true),
    ("dictionary_learning_matryoshka", true, false),
    ("dictionary_learning_jump_relu", true, false),
    ("saelens_standard", false, false),
    ("sparsify_topk/layers.3.mlp", true, false),
    ("qwen_scope-L0_3/layer0.sae.pt", true, true),
  ])
  func nothingIsCopied(_ name: String, encoderByColumns: Bool, decoderByColumns: Bool) throws {
    let parameters = try SparseAutoencoder("\(fixtures)/\(name)").parameters
    for (stored, byColumns) in [(parameters.encoder, encoderByColumns), (parameters.decoder, decoderByColumns)] {
      let matrix = try Matrix(stored, asFloat: true)
      #expect(matrix.isColumnMajor == byColumns)
      #expect(matrix.leadingDimension == (byColumns ? stored.rows : stored.columns))
      #expect(try matrix.address == stored.bytes().baseAddress)
    }
  }

  /// numpy.savez does not align what it stores.
  @Test func whatIsNotAlignedIsCopied() throws {
    let encoder = try SparseAutoencoder("\(fixtures)/gemma_scope/params.npz").parameters.encoder
    let isAligned = try UInt(bitPattern: encoder.bytes().baseAddress) % 4 == 0
    let matrix = try Matrix(encoder, asFloat: true)
    #expect(try (matrix.address == encoder.bytes().baseAddress) == isAligned)
    #expect(!matrix.isColumnMajor && matrix.leadingDimension == 12)
  }

  @Test func whereItWasTrained() throws {
    let batchTopK = try SparseAutoencoder("\(fixtures)/dictionary_learning_batch_top_k")
    #expect(batchTopK.provenance == .init(modelName: "Qwen/Qwen2.5-0.5B", layer: 3, site: "mlp_out_layer_3"))
    #expect(batchTopK.warnings.isEmpty)
    let standard = try SparseAutoencoder("\(fixtures)/saelens_standard")
    #expect(standard.provenance == .init(modelName: "Qwen/Qwen2.5-0.5B", layer: nil, site: "blocks.3.hook_mlp_out"))
    let sparsify = try SparseAutoencoder("\(fixtures)/sparsify_topk/layers.3.mlp")
    #expect(sparsify.provenance.site == "layers.3.mlp")
  }

  @Test func itsHashIsThatOfTheFile() throws {
    let autoencoder = try SparseAutoencoder("\(fixtures)/dictionary_learning_top_k")
    #expect(autoencoder.path.hasSuffix("/dictionary_learning_top_k/ae.pt"))
    #expect(try autoencoder.contentHash().count == 16)
    #expect(try autoencoder.contentHash() != SparseAutoencoder("\(fixtures)/saelens_topk").contentHash())
    let bytes = try InputFile(path: autoencoder.path).readAll(limit: 1 << 20)
    #expect(try autoencoder.contentHash() == bytes.withUnsafeBytes { ContentHash.of($0) })
  }

  @Test func whatSpeaksAgainstAPairing() throws {
    let autoencoder = try SparseAutoencoder("\(fixtures)/dictionary_learning_batch_top_k")
    #expect(try autoencoder.check(width: 6, modelName: "/models/Qwen2.5-0.5B/").isEmpty)
    #expect(try autoencoder.check(width: 6).isEmpty && autoencoder.misplacement(at: Place(.mlpOut, 3)) == nil)
    let other = try autoencoder.check(width: 6, modelName: "Qwen/Qwen2.5-1.5B")
    #expect(
      other == ["\(autoencoder.path): trained on Qwen/Qwen2.5-0.5B, used with Qwen/Qwen2.5-1.5B"])
    #expect(
      autoencoder.misplacement(at: Place(.mlpOut, 5))
        == "\(autoencoder.path): made for layer 3 (mlp_out_layer_3), used at the MLP output of layer 5")
    let failure = #expect(throws: Failure.self) { try autoencoder.check(width: 896) }
    #expect(failure?.description.hasSuffix("expected the activations' width of 896, found 6") == true)
    #expect(failure?.kind == .malformed)
    // The gradients of this class are nothing that a decoder of other norms would not give: no warning.
    #expect(try SparseAutoencoder("\(fixtures)/saelens_standard").check(width: 6).isEmpty)
  }
}
