import JSON
import SystemIO

extension Gemma3 {
  /// The angles of one type of layers; `rope_scaling` is of those that see everything.
  ///
  /// HF: configuration_gemma3.py, convert_rope_params_to_dict.
  static func rotary(
    _ reader: ConfigurationReader, _ type: String, _ thetaEntry: String, default theta: Double, _ sizes: DecoderSizes
  ) throws(Failure) -> RotaryEmbedding {
    var members: [JSON.Member] = []
    if let parameters = reader.value("rope_parameters"), !parameters.isNull {
      let nested = reader.reader(of: parameters, at: "rope_parameters")
      guard parameters.members != nil else { throw reader.unsupported("rope_parameters", "an object") }
      try nested.checkNothingIsLeft(withoutEffect: ["full_attention", "sliding_attention"])
      if let own = nested.value(type), !own.isNull {
        guard let ownMembers = own.members else { throw nested.unsupported(type, "an object") }
        members = ownMembers
      }
    }
    let scaling = reader.value("rope_scaling")
    if type == "full_attention", let scaling, !scaling.isNull {
      guard let update = scaling.members else { throw reader.unsupported("rope_scaling", "an object") }
      // The newer name of the type is there by default, so that the older one says nothing.
      if members.isEmpty {
        members = [JSON.Member(key: Array("rope_type".utf8), value: .string(Array("default".utf8)))]
      }
      members = members.filter { member in !update.contains { $0.key == member.key } } + update
    }
    let rope = reader.reader(of: .object(members), at: "rope_parameters.\(type)")
    let top = try reader.positive(thetaEntry, default: theta)
    return try rope.rotaryOfWholeHeads(
      theta: try rope.positive("rope_theta", default: top), headWidth: sizes.headWidth!, reader,
      maximumPositions: 131_072)
  }
}
