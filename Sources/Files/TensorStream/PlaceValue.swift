import SystemIO

/// What a tensor of a stream, or an entry of its provenance, has of a place: its name is `grad.mlp_out.11`.
public struct PlaceValue: RawRepresentable, Hashable, Sendable {
  /// What stands before the place.
  public let rawValue: String

  public init(rawValue: String) {
    precondition(!rawValue.contains("."))
    self.rawValue = rawValue
  }

  public func name(_ place: Place) -> String { "\(rawValue).\(place)" }

  /// The place of a name of this kind; nil for any other name.
  public func place(_ name: String) -> Place? {
    begins(name) ? Place(name.dropFirst(rawValue.count + 1)) : nil
  }

  private func begins(_ name: String) -> Bool { name.hasPrefix("\(rawValue).") }

  /// The places of those names that are of this kind, in the order in which a model computes them.
  ///
  /// - Throws: `Failure` of kind malformed that names one which begins like this kind's and does not end in a place.
  func places(in names: some Sequence<String>) throws(Failure) -> [Place] {
    var places: [Place] = []
    for name in names where begins(name) {
      guard let place = place(name) else {
        throw Failure(.malformed, "\(name): expected a place such as \(Place(.mlpOut, 11)) after \(rawValue).")
      }
      places.append(place)
    }
    return places.sorted()
  }
}

extension PlaceValue {
  /// The activation.
  public static let activation = PlaceValue(rawValue: "act")
  /// What the residual stream is without the activation.
  public static let rest = PlaceValue(rawValue: "rest")
  public static let gradient = PlaceValue(rawValue: "grad")
  /// The active features of an autoencoder at each position, a sparse matrix by rows: where each row begins, the
  /// features' numbers and their values.
  public static let activeOffsets = PlaceValue(rawValue: "cu_active")
  public static let feature = PlaceValue(rawValue: "feature")
  public static let featureValue = PlaceValue(rawValue: "value")
  /// Each sample's loss with the activation replaced.
  public static let loss = PlaceValue(rawValue: "loss")
  /// The decoder that multiplies the gradient.
  public static let basis = PlaceValue(rawValue: "basis")
  /// The autoencoder whose features' gradients were written in full.
  public static let sae = PlaceValue(rawValue: "sae")

  // Of aggregates, beside the sums and the averages themselves.
  /// Σ w
  public static let weight = PlaceValue(rawValue: "weight")
  /// The sample indices that went in, as ranges, and the number of each range's text.
  public static let samples = PlaceValue(rawValue: "samples")
  public static let texts = PlaceValue(rawValue: "texts")
  public static let positions = PlaceValue(rawValue: "positions")
  /// The predictions that the summed loss sums over.
  public static let predictions = PlaceValue(rawValue: "predictions")
}

extension Record {
  /// The places of the tensors of that kind.
  ///
  /// - Throws: `Failure` of kind malformed that names a tensor whose name ends in no place.
  public func places(of value: PlaceValue) throws(Failure) -> [Place] {
    do { return try value.places(in: header.tensors.map(\.name)) } catch { throw failure("tensor \(error)") }
  }
}

extension Segment {
  /// The places of the provenance's entries of that kind.
  ///
  /// - Throws: `Failure` of kind malformed that names an entry whose name ends in no place.
  public func places(of value: PlaceValue) throws(Failure) -> [Place] {
    do { return try value.places(in: provenance.keys) } catch { throw error.at("begin record") }
  }

  /// The places whose values the data records hold, by the provenance.
  ///
  /// - Throws: `Failure` of kind malformed where it has no list of places.
  public func places() throws(Failure) -> PlaceList {
    let text = provenance["places"]
    guard let text, let list = PlaceList(text) else {
      throw Failure(
        .malformed,
        "begin record: places: expected a list such as mlp_out.0-23, found \(text.map(Self.beginning) ?? "none")")
    }
    return list
  }

  private static func beginning(_ text: String) -> String {
    printable(String(text.prefix(80))) + (text.count > 80 ? "…" : "")
  }
}
