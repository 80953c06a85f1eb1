import Foundation
import SparseAutoencoders
import SystemIO
import TestSupport
import Testing

/// Which of two configurations counts: the one of the format that the tensors have.
@Suite struct ConfigurationChoiceTests {
  /// Somebody else's, as the hub, other tools and mistakes leave them.
  private static let foreign = [
    "{}", #"{"library_name": "saelens", "model_type": "sae"}"#,
    #"{"architecture": "gated", "d_in": 9, "k": 1, "normalize_activations": "layer_norm", "trainer": {"k": 1}}"#,
  ]

  /// The fixture in a folder of the same name, and a file beside it.
  private func copy(_ fixture: String, adding name: String, _ text: String) throws -> (
    folder: TemporaryFolder, sae: String
  ) {
    let folder = try TemporaryFolder()
    let sae = folder.file(String(fixture.split(separator: "/").last!))
    try FileManager.default.copyItem(atPath: "\(fixtures)/\(fixture)", toPath: sae)
    try Data(text.utf8).write(to: URL(fileURLWithPath: "\(sae)/\(name)"))
    return (folder, sae)
  }

  @Test(arguments: [
    ("saelens_jumprelu", "config.json"), ("saelens_topk", "config.json"),
    ("saelens_standard_layer_norm", "config.json"), ("sparsify_topk/layers.3.mlp", "config.json"),
    ("dictionary_learning_batch_top_k", "cfg.json"), ("dictionary_learning_gated", "cfg.json"),
  ]) func anotherOneBesideIt(_ fixture: String, _ name: String) throws {
    let alone = try SparseAutoencoder("\(fixtures)/\(fixture)")
    for text in Self.foreign + ["no JSON at all"] {
      let (folder, sae) = try copy(fixture, adding: name, text)
      let found = try withExtendedLifetime(folder) { try SparseAutoencoder(sae) }
      #expect(found.className == alone.className && found.k == alone.k && found.warnings == alone.warnings)
      #expect("\(found.parameters.inputNormalization)" == "\(alone.parameters.inputNormalization)")
      #expect(found.parameters.inputBias == alone.parameters.inputBias && found.provenance == alone.provenance)
    }
  }

  @Test func onlyAnotherOne() throws {
    for (fixture, own, other, library) in [
      ("saelens_topk", "cfg.json", "config.json", "SAELens"),
      ("sparsify_topk/layers.3.mlp", "cfg.json", "config.json", "sparsify"),
    ] {
      let (folder, sae) = try copy(fixture, adding: other, "{}")
      try FileManager.default.removeItem(atPath: "\(sae)/\(own)")
      let failure = #expect(throws: Failure.self) { try withExtendedLifetime(folder) { try SparseAutoencoder(sae) } }
      #expect(
        failure?.description.hasSuffix(
          "expected a cfg.json beside it, as \(library) writes it, found only a config.json, which \(library) does not read"
        )
          == true)
    }
    let (folder, sae) = try copy("dictionary_learning_batch_top_k", adding: "config.json", Self.foreign[1])
    let failure = #expect(throws: Failure.self) { try withExtendedLifetime(folder) { try SparseAutoencoder(sae) } }
    #expect(
      failure?.description.hasSuffix(
        "found one without a trainer, of another program: library_name, model_type") == true)
  }

  @Test(arguments: [
    ("saelens_standard", "{}", "d_in: expected it, as SAELens writes it, found none"),
    ("saelens_standard", #"{"d_in": 6, "k": 3, "num_latents": 12}"#, "d_sae: expected it, as SAELens writes it"),
    ("sparsify_topk/layers.3.mlp", "{}", "d_in: expected the width, as sparsify writes it"),
    ("sparsify_topk/layers.3.mlp", "[]", "expected an object, found a list"),
  ]) func anotherProgramsUnderItsName(_ fixture: String, _ text: String, _ expected: String) throws {
    let (folder, sae) = try copy(fixture, adding: "cfg.json", text)
    let failure = #expect(throws: Failure.self) { try withExtendedLifetime(folder) { try SparseAutoencoder(sae) } }
    #expect(failure?.description.contains("cfg.json: \(expected)") == true, "\(failure?.description ?? "")")
  }

  /// Python's json writes them where a trainer's setting is not a number.
  @Test func notANumber() throws {
    let text = #"{"trainer": {"dict_class": "BatchTopKSAE", "k": 3, "l1_penalty": NaN, "lr": Infinity}}"#
    let (folder, sae) = try copy("dictionary_learning_batch_top_k", adding: "config.json", text)
    #expect(try withExtendedLifetime(folder) { try SparseAutoencoder(sae) }.className == "BatchTopKSAE")
  }
}
