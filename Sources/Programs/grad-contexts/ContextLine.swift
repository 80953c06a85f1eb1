import Aggregation
import Contexts
import JSON
import TensorStream

/// What is written of a context.
struct ContextLine {
  let feature: FeatureName
  let ranked: RankedContext
  let text: ContextText
  let quantity: Quantity

  var json: String {
    let context = ranked.context
    let position = Int(context.position)
    let activations = Dictionary(
      uniqueKeysWithValues: context.neighbours.map { (Int($0.position), $0.activation.map(Double.init)) })
    func activation(_ position: Int) -> String { number(activations[position] ?? nil) }
    var members = [("place", JSON.quote("\(feature.place)")), ("feature", "\(feature.index)")]
    if let quantile = ranked.quantile { members.append(("quantile", "\(quantile)")) }
    members += [
      ("rank", "\(ranked.rank)"), ("by", JSON.quote(quantity.rawValue)), ("sample", "\(context.sample)"),
      ("position", "\(position)"), ("token", text.token.json), ("before", JSON.array(text.before.map(\.json))),
      ("after", JSON.array(text.after.map(\.json))), ("activation", number(context.activation.map(Double.init))),
      ("gradient", number(context.gradient)), ("attribution", number(context.attribution)),
      ("activations_before", JSON.array((position - text.before.count..<position).map(activation))),
      ("activations_after", JSON.array((position + 1..<position + 1 + text.after.count).map(activation))),
    ]
    return JSON.object(members)
  }
}

extension ShownToken {
  fileprivate var json: String {
    switch self {
    case .id(let id): "\(id)"
    case .text(let text): JSON.quote(text)
    case .unknown: "null"
    }
  }
}

/// The digits that give the same float32 again, unless it has no room for the number.
private func number(_ value: Double?) -> String {
  guard let value, value != 0, Float(value).isNormal else { return JSON.number(value) }
  return "\(Float(value))"
}
