import SystemIO

/// Sorts what a file of weights holds besides a model's tensors into what is harmless, what is worth a warning, and
/// what shows that these are not the weights of a whole model in plain numbers.
///
/// - Parameters:
///   - names: as the files have them.
///   - file: where most of them lie, for the message.
/// - Returns: warnings.
/// - Throws: `Failure` of kind malformed for quantised weights and for those of an adapter.
func checkUnused(
  _ names: [String], _ description: DecoderDescription, in file: String
) throws(Failure) -> [String] {
  let layerCount = description.layerCount
  let names = names.sorted()
  if let name = names.first(where: isQuantized) {
    throw Failure(
      .malformed,
      "\(file): tensor \(name): quantised weights are not supported: use the model that they were made from, "
        + "in f32, bf16 or f16")
  }
  if let name = names.first(where: isOfAdapter) {
    throw Failure(
      .malformed,
      "\(file): tensor \(name): an adapter's: expected a whole model, as peft's merge_and_unload makes it")
  }
  var warnings: [String] = []
  let weights = description.weights
  let layers = names.compactMap(weights.layer)
  if let last = layers.max(), last >= layerCount {
    warnings.append(
      "\(file): has \(last + 1) layers, config.json says \(layerCount): the first \(layerCount) are used"
    )
  }
  let others = names.filter {
    !isHarmless($0) && !weights.isWithoutEffect($0) && (weights.layer(of: $0) ?? 0) < layerCount
  }
  if let first = others.first {
    let more = others.count > 1 ? " and \(others.count - 1) more" : ""
    warnings.append("\(file): tensor \(first)\(more): not a part of \(description.family)'s computation, not used")
  }
  return warnings
}

/// GPTQ and AWQ, bitsandbytes, compressed-tensors, fp8, HQQ, MLX.
private let quantizedSuffixes = [
  "qweight", "qzeros", "scales", "g_idx", "weight_packed", "weight_scale", "weight_scale_inv", "weight_zero_point",
  "weight_shape", "SCB", "weight_format", "absmax", "quant_map", "W_q", "nested_absmax", "input_scale",
]

private func isQuantized(_ name: String) -> Bool {
  quantizedSuffixes.contains { name.hasSuffix(".\($0)") } || name.contains(".quant_state.")
}

private func isOfAdapter(_ name: String) -> Bool {
  [".lora_", ".base_layer.", ".modules_to_save.", "base_model.model."].contains { name.contains($0) }
}

/// Angles that older versions of transformers saved, and the heads of classifiers and reward models.
private func isHarmless(_ name: String) -> Bool {
  name.contains("rotary_emb.inv_freq")
    || ["score.", "v_head.", "classifier.", "qa_outputs."].contains { name.hasPrefix($0) }
}
