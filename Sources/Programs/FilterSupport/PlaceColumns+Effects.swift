import SystemIO
import Tables
import TensorStream

extension [PlaceColumns] {
  /// Adds what sae-effect wrote into a file; a warning names the places in it that are not among these.
  ///
  /// - Throws: `Failure` of kind malformed for lines that are none of sae-effect's, and for features that these places
  ///   cannot have.
  public mutating func add(effects path: String) throws {
    let ablations = try EffectLine.read(path).map { line in
      (
        place: line.name.place, feature: line.name.index,
        ablation: Ablation(
          effect: line.effect, effectError: line.effectError, predicted: line.predicted,
          predictedError: line.predictedError, differenceError: line.differenceError)
      )
    }
    let others: [Place]
    do { others = try add(ablations) } catch let failure as Failure { throw failure.at(path) }
    if !others.isEmpty { warn("\(path): left out, as the averages have no such places: \(PlaceList(others))") }
  }
}
