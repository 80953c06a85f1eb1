import QwenModel
import SystemIO
import TensorStream

/// Refuses results that are no numbers, and says what made them so.
public struct FiniteNumbers {
  private let model: QwenModel
  private let isWaived: Bool

  /// - Parameter isWaived: whether NaN and infinities may pass.
  public init(_ model: QwenModel, isWaived: Bool) {
    self.model = model
    self.isWaived = isWaived
  }

  /// - Parameter input: the record that `output` was made of.
  /// - Throws: `Failure` of kind malformed with tensor, sample, position and dimension, and the first tensor of the
  ///   input or of the model that has one, too.
  public func check(_ output: OutputRecord, madeOf input: Record) throws {
    guard !isWaived, let place = output.placeOfNonfinite() else { return }
    let cause: String
    if let tensor = try input.tensorWithNonfinite() {
      cause = "the input's tensor \(tensor) has one"
    } else if let weight = model.placeOfNonfinite() {
      cause = weight
    } else {
      cause = "from finite numbers: an overflow"
    }
    throw input.failure("\(place) (\(cause)); --allow-nonfinite goes on")
  }
}
