import Foundation
import SparseAutoencoders
import SystemIO
import TestSupport
import Testing

/// Which tensors too many or too few the libraries themselves refuse: load_state_dict of sae_lens 6.54.12 and
/// dictionary-learning 0.1.0, load_model of eai-sparsify 1.3.3. D = 4, F = 6.
@Suite struct StrictLoadingTests {
  private func refusal(_ folder: AutoencoderFolder) -> String? {
    do {
      _ = try folder.open()
      return nil
    } catch { return (error as? Failure)?.description }
  }

  private static let common: [String: WrittenTensor] = [
    "W_enc": .floats([4, 6]), "W_dec": .floats([6, 4]), "b_dec": .floats([4]),
  ]
  private static func vectors(_ names: [String]) -> [String: WrittenTensor] {
    Dictionary(uniqueKeysWithValues: names.map { ($0, .floats([6])) })
  }

  @Test(arguments: [
    ("standard", ["b_enc"]), ("topk", ["b_enc"]), ("abstopk", ["b_enc"]), ("jumprelu", ["b_enc", "threshold"]),
    ("gated", ["b_gate", "r_mag", "b_mag"]),
  ]) func saeLens(_ architecture: String, _ own: [String]) throws {
    let tensors = Self.common.merging(Self.vectors(own)) { _, own in own }
    func open(_ tensors: [String: WrittenTensor]) throws -> String? {
      refusal(
        try AutoencoderFolder(
          safetensors: tensors, named: "sae_weights.safetensors",
          configuration: """
            {"architecture": "\(architecture)", "d_in": 4, "d_sae": 6, "k": 2, "metadata": {"sae_lens_version": "6.54.12"}}
            """))
    }
    #expect(try open(tensors) == nil)
    for name in tensors.keys {
      #expect(try open(tensors.filter { $0.key != name })?.contains("expected a tensor \(name)") == true, "\(name)")
    }
    for name in ["b_enc", "threshold", "b_gate", "log_threshold", "topk_threshold", "W_skip", "foo"]
    where tensors[name] == nil {
      let found = try open(tensors.merging(Self.vectors([name])) { $1 })
      #expect(
        found?.contains("SAELens's \(architecture) does not use a tensor \(name)") == true, "\(name): \(found ?? "")")
    }
  }

  private static let linear: [String: WrittenTensor] = [
    "encoder.weight": .floats([6, 4]), "decoder.weight": .floats([4, 6]),
  ]

  @Test(arguments: [
    ("AutoEncoder", ["encoder.weight", "decoder.weight", "encoder.bias", "bias"]),
    ("AutoEncoderNew", ["encoder.weight", "decoder.weight", "encoder.bias", "decoder.bias"]),
    ("GatedAutoEncoder", ["encoder.weight", "decoder.weight", "decoder_bias", "r_mag", "gate_bias", "mag_bias"]),
    ("AutoEncoderTopK", ["encoder.weight", "decoder.weight", "encoder.bias", "b_dec", "k", "threshold"]),
    ("BatchTopKSAE", ["encoder.weight", "decoder.weight", "encoder.bias", "b_dec", "k", "threshold"]),
    ("MatryoshkaBatchTopKSAE", ["W_enc", "W_dec", "b_enc", "b_dec", "k", "threshold", "group_sizes"]),
    ("JumpReluAutoEncoder", ["W_enc", "W_dec", "b_enc", "b_dec", "threshold"]),
  ]) func dictionaryLearning(_ className: String, _ own: [String]) throws {
    let all: [String: WrittenTensor] = [
      "encoder.weight": .floats([6, 4]), "decoder.weight": .floats([4, 6]), "encoder.bias": .floats([6]),
      "bias": .floats([4]), "decoder.bias": .floats([4]), "decoder_bias": .floats([4]), "b_dec": .floats([4]),
      "r_mag": .floats([6]), "gate_bias": .floats([6]), "mag_bias": .floats([6]), "k": .integer(2),
      "threshold": className == "JumpReluAutoEncoder" ? .floats([6]) : .float(0.5), "W_enc": .floats([4, 6]),
      "W_dec": .floats([6, 4]), "b_enc": .floats([6]), "group_sizes": .floats([1]),
    ]
    let tensors = all.filter { own.contains($0.key) }
    func open(_ tensors: [String: WrittenTensor]) throws -> String? {
      refusal(
        try AutoencoderFolder(torch: tensors, trainer: "{\"dict_class\": \"\(className)\", \"k\": 2}"))
    }
    #expect(try open(tensors) == nil)
    // Older files had no k, no r_mag, and AutoEncoderTopK no threshold.
    let optional = Set(["k", "r_mag"] + (className == "AutoEncoderTopK" ? ["threshold"] : []))
    for name in own where !optional.contains(name) {
      #expect(try open(tensors.filter { $0.key != name }) != nil, "without \(name)")
    }
    for name in optional { #expect(try open(tensors.filter { $0.key != name }) == nil, "without \(name)") }
    for name in ["activation_mean", "k", "step", "W_skip"] where tensors[name] == nil {
      let found = try open(tensors.merging([name: all[name] ?? .floats([4])]) { $1 })
      #expect(found?.contains("\(className) does not use a tensor \(name)") == true, "\(name): \(found ?? "")")
    }
  }

  /// A number that stands where a tensor might is one; what is no tensor is named and left alone.
  @Test func whatIsNoTensor() throws {
    var values = Self.linear.merging(["encoder.bias": .floats([6]), "bias": .floats([4])]) { $1 }
      .mapValues { WrittenValue.tensor($0) }
    values["threshold"] = .float(0.5)
    #expect(
      refusal(try AutoencoderFolder(torch: values))?.contains("AutoEncoder does not use a tensor threshold") == true)
    values["threshold"] = nil
    values["step"] = .integer(7)
    values["settings"] = .dictionary([:])
    #expect(try AutoencoderFolder(torch: values).open().warnings.contains("not read: settings, step"))
  }

  @Test func sparsify() throws {
    let tensors: [String: WrittenTensor] = [
      "encoder.weight": .floats([6, 4]), "encoder.bias": .floats([6]), "W_dec": .floats([6, 4]), "b_dec": .floats([4]),
    ]
    func open(_ tensors: [String: WrittenTensor]) throws -> String? {
      refusal(
        try AutoencoderFolder(safetensors: tensors, named: "sae.safetensors", configuration: "{\"d_in\": 4, \"k\": 2}"))
    }
    #expect(try open(tensors) == nil)
    for name in tensors.keys where name != "encoder.weight" {
      #expect(try open(tensors.filter { $0.key != name })?.contains("expected a tensor \(name)") == true, "\(name)")
    }
    for name in ["threshold", "W_skip", "b_enc"] {
      let found = try open(tensors.merging([name: .floats([6])]) { $1 })
      #expect(found?.contains("without skip_connection does not use a tensor \(name)") == true, "\(name)")
    }
  }

  private static let wrong: [(String, String)] = [
    ("\"apply_b_dec_to_input\": \"false\"", "apply_b_dec_to_input: expected true or false, found \"false\""),
    ("\"apply_b_dec_to_input\": 0", "apply_b_dec_to_input: expected true or false, found 0"),
    ("\"normalize_activations\": 1", "normalize_activations: expected a string, found 1"),
    ("\"reshape_activations\": [\"hook_z\"]", "reshape_activations: expected a string, found a list"),
    ("\"architecture\": 3", "architecture: expected a string, found 3"),
    ("\"architecture\": \"topk\", \"k\": \"2\"", "k: expected a whole number, found \"2\""),
    ("\"architecture\": \"topk\", \"k\": 2.5", "k: expected a whole number, found 2.5"),
    ("\"architecture\": \"topk\", \"k\": 2, \"rescale_acts_by_decoder_norm\": \"yes\"", "expected true or false"),
    ("\"activation_fn_str\": \"tanh-relu\"", "activation_fn_str: expected relu or topk, found tanh-relu"),
    (
      "\"activation_fn\": \"topk\", \"activation_fn_kwargs\": {\"k\": 2, \"signed\": true}",
      "activation_fn_kwargs.signed: expected k alone"
    ),
    (
      "\"activation_fn\": \"topk\", \"architecture\": \"standard\", \"metadata\": {\"sae_lens_version\": \"6.0.0\"}",
      "activation_fn: expected none beside the architecture standard of SAELens 6"
    ),
    ("\"metadata\": {\"sae_lens_version\": \"6.0.0\"}", "architecture: expected one, as SAELens 6 writes it"),
    ("\"d_sae\": \"6\"", "d_sae: expected a whole number"),
  ]

  /// An entry of another type than the library's must not count as absent.
  @Test(arguments: wrong) func entriesOfSAELens(_ entries: String, _ expected: String) throws {
    let sizes = entries.contains("d_sae") ? "\"d_in\": 4" : "\"d_in\": 4, \"d_sae\": 6"
    let folder = try AutoencoderFolder(
      safetensors: Self.common.merging(Self.vectors(["b_enc"])) { $1 }, named: "sae_weights.safetensors",
      configuration: "{\(sizes), \(entries)}")
    let found = refusal(folder)
    #expect(found?.contains("cfg.json: ") == true && found?.contains(expected) == true, "\(found ?? "read")")
  }

  @Test(arguments: [
    ("\"k\": \"2\"", "trainer.k: expected a whole number, found \"2\""),
    ("\"dict_class\": 3", "trainer.dict_class: expected a string, found 3"),
    ("\"activation_dim\": 5", "trainer.activation_dim: expected 4, as the tensors have, found 5"),
  ]) func entriesOfDictionaryLearning(_ entry: String, _ expected: String) throws {
    let tensors = Self.linear.merging(
      ["encoder.bias": .floats([6]), "b_dec": .floats([4]), "k": .integer(2), "threshold": .float(1)]) { $1 }
    let own = entry.contains("dict_class") ? entry : "\"dict_class\": \"BatchTopKSAE\", \(entry)"
    let found = refusal(try AutoencoderFolder(torch: tensors, trainer: "{\(own)}"))
    #expect(found?.contains("config.json: \(expected)") == true, "\(found ?? "read")")
  }
}
