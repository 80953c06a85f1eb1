import SystemIO
import TensorFiles

/// The keys under which training scripts put a model's `state_dict()` beside other things.
private let stateDictKeys = [
  "state_dict", "model_state_dict", "sae_state_dict", "autoencoder_state_dict", "model", "sae", "autoencoder", "module",
  "weights", "params",
]

/// The dict of tensors within what a torch file holds, and what is to be said of that.
///
/// A dict that holds tensors itself is one, and so is dictionary_learning's backup, which its reader knows.
func unwrapped(_ value: PickleValue, at path: String) throws(Failure) -> (state: PickleValue, warnings: [String]) {
  let entries = value.entries ?? []
  guard !entries.contains(where: { $0.value.tensor != nil }), value["ae"] == nil else { return (value, []) }
  let candidates = stateDictKeys.filter { key in
    value[key]?.entries?.contains { $0.value.tensor != nil } == true
  }
  guard let key = candidates.first, let state = value[key] else { return (value, []) }
  guard candidates.count == 1 else {
    throw Failure(
      .malformed, "\(path): expected one dict of tensors, found several: \(candidates.joined(separator: ", "))")
  }
  let others = entries.map { "\($0.key)" }.filter { $0 != key }
  guard !others.isEmpty else { return (state, []) }
  return (state, ["read from its entry \(key); not read: \(others.prefix(8).joined(separator: ", "))"])
}

/// What DataParallel and torch.compile put before the name of every tensor.
func modulePrefix(_ names: [String]) -> String {
  for prefix in ["module.", "_orig_mod."] where !names.isEmpty && names.allSatisfy({ $0.hasPrefix(prefix) }) {
    return prefix
  }
  return ""
}
