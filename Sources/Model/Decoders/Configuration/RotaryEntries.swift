import Glibc
import JSON
import SystemIO

/// What is said of the rotary embedding.
extension ConfigurationReader {
  /// The angles of a family that names the entries as most do, and turns whole heads.
  ///
  /// HF: modeling_rope_utils.py, RotaryEmbeddingConfigMixin.convert_rope_params_to_dict: `rope_scaling` counts where it
  /// is not empty, else `rope_parameters`; the top level only gives what the chosen one does not have.
  ///
  /// - Parameter maximumPositions: the family's `max_position_embeddings`, where config.json has none.
  func rotary(headWidth: Int, maximumPositions: Int) throws(Failure) -> RotaryEmbedding {
    let rope = try rotaryEntries()
    let theta =
      try rope?.value("rope_theta") == nil
      ? positive("rope_theta", default: defaultRotaryBase) : rope!.positive("rope_theta", default: defaultRotaryBase)
    for entry in ["rope_theta", "partial_rotary_factor"] { _ = value(entry) }
    guard let rope else { return .halves(RotaryFrequencies(theta: theta, dimensions: headWidth).values) }
    return try rope.rotaryOfWholeHeads(theta: theta, headWidth: headWidth, self, maximumPositions: maximumPositions)
  }

  /// As the next, of a family that turns whole heads: transformers' code of the plain type then never reads
  /// `partial_rotary_factor`, that of the others would turn a part of each.
  func rotaryOfWholeHeads(
    theta: Double, headWidth: Int, _ top: ConfigurationReader, maximumPositions: Int
  ) throws(Failure) -> RotaryEmbedding {
    if try rotaryType() != "default" {
      for reader in [top, self] { try reader.require("partial_rotary_factor", toBe: 1) }
    }
    return try rotary(theta: theta, dimensions: headWidth, top, maximumPositions: maximumPositions)
  }

  /// The object that says how angles are made; nil where there is none.
  func rotaryEntries() throws(Failure) -> ConfigurationReader? {
    let (scaling, parameters) = (value("rope_scaling"), value("rope_parameters"))
    let name = Self.isEmpty(scaling) ? "rope_parameters" : "rope_scaling"
    guard let chosen = Self.isEmpty(scaling) ? parameters : scaling, !chosen.isNull else { return nil }
    guard chosen.members != nil else { throw unsupported(name, "an object") }
    return reader(of: chosen, at: name)
  }

  /// The angles of a type, this being the object that names it.
  ///
  /// HF: modeling_rope_utils.py, _compute_linear_scaling_rope_parameters and _compute_llama3_parameters.
  ///
  /// - Parameters:
  ///   - dimensions: how many of a head are turned.
  ///   - top: the whole of config.json, which is asked for the length that a scaled model was first trained on.
  func rotary(
    theta: Double, dimensions: Int, _ top: ConfigurationReader, maximumPositions: Int
  ) throws(Failure) -> RotaryEmbedding {
    var frequencies = RotaryFrequencies(theta: theta, dimensions: dimensions)
    switch try rotaryType() {
    case "default": break
    case "linear": frequencies.divide(by: try required("factor"))
    case "llama3":
      let original =
        if let own = top.value("original_max_position_embeddings"), !own.isNull {
          try top.required("original_max_position_embeddings")
        } else if value("original_max_position_embeddings") != nil {
          try required("original_max_position_embeddings")
        } else {
          try top.positive("max_position_embeddings", default: Double(maximumPositions))
        }
      frequencies.divideLowOnes(
        by: try required("factor"), lowFactor: try required("low_freq_factor"),
        highFactor: try required("high_freq_factor"), originalPositions: original)
    default:
      throw unsupported(value("rope_type") == nil ? "type" : "rope_type", "\"default\", \"linear\" or \"llama3\"")
    }
    try checkNothingIsLeft(withoutEffect: Self.entriesOfOtherRotaryTypes)
    return .halves(frequencies.values)
  }

  /// `type` is the older name, which counts where the newer one is not there.
  private func rotaryType() throws(Failure) -> String {
    let (type, older) = (value("rope_type"), value("type"))
    guard let kind = type ?? older else { return "default" }
    guard let text = kind.text else { throw unsupported(type == nil ? "type" : "rope_type", "a name") }
    return text
  }

  private func required(_ entry: String) throws(Failure) -> Double {
    guard value(entry) != nil else { throw unsupported(entry, "a positive number") }
    return try positive(entry, default: 0)
  }

  /// HF: modeling_rope_utils.py, RotaryEmbeddingConfigMixin.default_theta.
  private var defaultRotaryBase: Double { 10_000 }

  /// What the types that are implemented do not read.
  private static let entriesOfOtherRotaryTypes: Set<String> = [
    "rope_theta", "factor", "partial_rotary_factor", "original_max_position_embeddings", "attention_factor",
    "beta_fast", "beta_slow", "mscale", "mscale_all_dim", "short_factor", "long_factor", "low_freq_factor",
    "high_freq_factor", "truncate", "mrope_section",
  ]

  /// What Python takes for false.
  private static func isEmpty(_ value: JSON?) -> Bool {
    switch value {
    case nil, .null, .bool(false), .integer(0): true
    case .array(let elements): elements.isEmpty
    case .object(let members): members.isEmpty
    case .string(let bytes): bytes.isEmpty
    case .double(let number): number == 0
    default: false
    }
  }
}

/// The angle of a pair of dimensions from one position to the next, for every pair, rounded to Float at each step as
/// transformers does in a model of any type.
struct RotaryFrequencies {
  private var frequencies: [Float]

  /// θ^(−2i/dimensions). Of an odd number of dimensions, one more is turned.
  init(theta: Double, dimensions: Int) {
    frequencies = stride(from: 0, to: dimensions, by: 2).map {
      1 / Float(pow(theta, Double(Float($0) / Float(dimensions))))
    }
  }

  var values: [Double] { frequencies.map(Double.init) }

  mutating func divide(by factor: Double) {
    for i in frequencies.indices { frequencies[i] /= Float(factor) }
  }

  /// Divides the frequencies whose waves are longer than originalPositions / lowFactor, leaves those whose waves are
  /// shorter than originalPositions / highFactor, and goes from one to the other between.
  mutating func divideLowOnes(by factor: Double, lowFactor: Double, highFactor: Double, originalPositions: Double) {
    for i in frequencies.indices {
      let frequency = frequencies[i]
      let wave = 1 / frequency * Float(2 * Double.pi)
      if wave > Float(originalPositions / lowFactor) {
        frequencies[i] = frequency / Float(factor)
      } else if wave >= Float(originalPositions / highFactor) {
        let share = (1 / wave * Float(originalPositions) - Float(lowFactor)) / Float(highFactor - lowFactor)
        frequencies[i] = (1 - share) * frequency / Float(factor) + share * frequency
      }
    }
  }
}
