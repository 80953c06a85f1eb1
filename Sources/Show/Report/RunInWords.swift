import Aggregation
import JSON
import SystemIO
import Tables
import TensorStream

/// What a run was, by what its stream says, as terms and what is said of them.
struct RunInWords {
  /// HTML.
  private(set) var items: [(term: String, words: String)] = []
  private let provenance: [String: String]
  private let places: Set<Place>

  init(_ provenance: [String: String], _ places: [PlaceReport]) {
    self.provenance = provenance
    self.places = Set(places.map(\.place))
    add("Model", model)
    add("Text", text)
    add("Places", html("\(PlaceList(places.map(\.place)))") + (places[0].unit == .feature ? autoencoders : ""))
    add("Averages", averages)
    add("Standard errors", standardErrors)
    add("Ranking", Self.ranking(places))
    add("Commands", commands)
  }

  private mutating func add(_ term: String, _ words: String?) {
    if let words { items.append((term, words)) }
  }

  private func code(_ key: String) -> String? { provenance[key].map { "<code>\(html($0))</code>" } }

  private var model: String? {
    code("model").map { name in name + (provenance["model.weights.xxh64"].map { ", weights \(html($0))" } ?? "") }
  }

  private var text: String? {
    guard let samples = provenance["samples"] ?? provenance["text"].map({ _ in "some" }) else { return nil }
    var words = "\(html(samples)) samples"
    if let text = code("text") { words += " of \(text)" }
    switch provenance["samples.order"] {
    case "text": words += ", in the text's order"
    case let order?: words += ", order: \(html(order))"
    case nil: break
    }
    if let length = provenance["max_length"] { words += ", at most \(html(length)) tokens of each" }
    if let stride = provenance["stride"], stride != "1" { words += "; recorded at 1 position in \(html(stride))" }
    if let first = provenance["from_position"] { words += "; positions before \(html(first)) left out" }
    return words + "."
  }

  private var autoencoders: String {
    let known = provenance.compactMap { key, value -> (Place, JSON)? in
      let place = PlaceValue.basis.place(key) ?? PlaceValue.sae.place(key)
      return place.flatMap { place in (try? JSON(parsing: Array(value.utf8))).map { (place, $0) } }
    }.filter { places.contains($0.0) }.sorted { $0.0 < $1.0 }
    guard !known.isEmpty else { return "" }
    let lines = known.map { place, reference in
      let format = reference["format"]?.text.map { ", \(html($0))" } ?? ""
      return "<li>\(place): <code>\(html(reference["path"]?.text ?? "not named"))</code>\(format)</li>"
    }
    let list = "<ul>\(lines.joined())</ul>"
    return ", features of the sparse autoencoders"
      + (known.count > 4 ? "<details><summary>\(known.count) files</summary>\(list)</details>" : list)
  }

  private var averages: String? {
    guard let reduction = provenance["loss_reduction"] else { return nil }
    let loss =
      switch reduction {
      case "sum": "Of the loss summed over predictions, in nats"
      case "padded": "Of the loss divided by the predictions of a padded batch"
      case "sample": "Of each sample's mean loss"
      case "batch": "Of each batch's mean loss"
      default: "Loss reduction: \(html(reduction))"
      }
    let weighting =
      switch provenance["weighting"] {
      case "position": ", every position counts equally"
      case "sample": ", each sample alike"
      case "batch": ", each batch alike"
      case let other?: ", weighting: \(html(other))"
      case nil: ""
      }
    let pass =
      switch provenance["error_term"] {
      case "true": "; the autoencoder's error is held constant, and the forward pass is the model's own"
      case "false": "; where it is recorded, the autoencoder's reconstruction replaces the activation"
      default: ""
      }
    return "\(loss)\(weighting)\(pass)."
  }

  private var standardErrors: String? {
    provenance["standard_errors"].map { "Over \(html($0))s, which are treated as independent." }
  }

  private static func ranking(_ places: [PlaceReport]) -> String {
    let name = FeatureColumn.average(places[0].ranked.measure).title
    let known = places.compactMap { place in place.ranked.reliability.map { (place.place, $0) } }
    guard let worst = known.min(by: { $0.1.ofAll < $1.1.ofAll }), let best = known.max(by: { $0.1.ofAll < $1.1.ofAll })
    else { return "By the size of \(name). Its reliability is not known, because the averages came without sums." }
    let range =
      known.count == 1 || worst.1.ofAll == best.1.ofAll
      ? "its reliability is \(decimal(worst.1.ofAll, 2))"
      : "its reliability is from \(decimal(worst.1.ofAll, 2)) (\(worst.0)) to \(decimal(best.1.ofAll, 2)) (\(best.0))"
    let unreliable = known.filter { $0.1.ofAll < PlaceReport.unreliable }.map(\.0)
    return "By the size of \(name): \(range), where 1 says that another text would give the same ranking."
      + (unreliable.isEmpty
        ? "" : " <strong>Little is known of the ranking of \(PlaceList(unreliable)).</strong>")
  }

  private var commands: String? {
    let lines = Array((0...).lazy.map { provenance["history.\($0)"] }.prefix { $0 != nil }).compactMap { $0 }
    return lines.isEmpty ? nil : "<pre>\(lines.map { html($0) }.joined(separator: "\n"))</pre>"
  }

  /// A definition list, and all that is recorded.
  var markup: String {
    let list = items.map { "<dt>\($0.term)</dt><dd>\($0.words)</dd>\n" }.joined()
    let all = provenance.sorted { $0.key < $1.key }.map {
      "<tr><th scope=\"row\">\(html($0.key))</th><td class=\"words\">\(html($0.value))</td></tr>\n"
    }
    return "<dl>\n\(list)</dl>\n<details><summary>Everything that the stream says about its origin</summary>\n"
      + "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Provenance\"><table class=\"record\"><tbody>\n"
      + "\(all.joined())</tbody></table></div></details>\n"
  }
}
