import Aggregation
import FilterSupport
import SystemIO
import TensorFiles
import TensorStream

/// The averages at every place, and what becomes of them.
struct FinishedAverages {
  private let places: [(place: Place, estimates: [Estimate])]
  private let choices: AggregationChoices

  /// - Throws: `Failure` of kind malformed that names the first average which is no number.
  init(_ sums: GradientSums, allowsNonfinite: Bool) throws {
    choices = sums.choices
    places = try sums.places.sorted { $0.key < $1.key }.map { place, sums in
      let estimates = sums.measures.map { sums.estimate($0.measure) }
      for estimate in estimates where !allowsNonfinite {
        guard let index = estimate.average.firstIndex(where: { !Float($0).isFinite }) else { continue }
        throw Failure(
          .malformed,
          "\(place), \(estimate.measure.name): \(Float(estimate.average[index])) at dimension \(index), from finite "
            + "numbers: look at the decoder; --allow-nonfinite continues anyway")
      }
      return (place, estimates)
    }
  }

  /// As tensors of an aggregates record.
  func write(to record: inout OutputRecord) {
    for (place, estimates) in places {
      for estimate in estimates { estimate.write(to: &record, at: place) }
    }
  }

  func save(into folder: String, standardErrors: Bool) throws {
    try makeFolder(folder)
    var arrays: [(path: String, values: [Double])] = []
    for (place, estimates) in places {
      for estimate in estimates {
        arrays.append(("\(folder)/\(ArrayFileName(place, estimate.measure))", estimate.average))
        guard standardErrors, let errors = estimate.standardError else { continue }
        arrays.append(("\(folder)/\(ArrayFileName(place, estimate.measure, isStandardError: true))", errors))
      }
    }
    for array in arrays { try OutputFile.checkName(array.path) }
    for array in arrays { try NumPyWriter.write(array.values.map { Float($0) }, to: array.path) }
  }

  /// Says what they are, and how sure.
  func report(_ messages: MessageOptions) {
    for (place, estimates) in places {
      let all = estimates.map {
        (measure: $0.measure, numbers: Statistics($0.average.map { Float($0) }), certainty: Certainty($0))
      }
      if !messages.quiet { say(all, of: place) }
      for (measure, numbers, certainty) in all {
        FactWriter.write(.statistics(place, measure, numbers, certainty))
      }
    }
    if choices.firstPosition > 0 { messages.note("positions before \(choices.firstPosition) are left out") }
    let (units, name) = (places.flatMap(\.estimates).map(\.units).min()!, choices.unit.rawValue)
    if units < 2 {
      let remedy = choices.unit == .document ? "; --unit sample treats samples as independent" : ""
      messages.note("no standard errors: expected at least 2 \(name)s, found \(units)\(remedy)")
    } else if units < Certainty.enoughUnits {
      messages.note(
        "standard errors of \(units) \(name)s: fewer than \(Certainty.enoughUnits), so they are only rough estimates")
    }
  }

  private func say(_ all: [(measure: Measure, numbers: Statistics, certainty: Certainty)], of place: Place) {
    for quantity in Quantity.allCases.map(Optional.some) + [nil] {
      let some = all.filter { $0.measure.quantity == quantity }
      guard let first = some.first else { continue }
      if let quantity {
        let byMode = Dictionary(uniqueKeysWithValues: some.map { ($0.measure.mode, $0.numbers) })
        writeLine(PlaceSummary.text(place, byMode, quantity))
      } else {
        writeLine(PlaceSummary.text(place, firing: first.numbers))
      }
      for (measure, _, certainty) in some {
        PlaceSummary.text(measure, certainty, choices.unit).map(writeLine)
      }
    }
  }
}
