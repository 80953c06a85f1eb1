import Decoders
import SystemIO
import TensorStream

/// Refuses results that are no numbers, and says what made them so.
public struct FiniteNumbers {
  private let model: DecoderModel
  private let isWaived: Bool

  /// - Parameter isWaived: whether NaN and infinities may pass.
  public init(_ model: DecoderModel, isWaived: Bool) {
    self.model = model
    self.isWaived = isWaived
  }

  /// - Parameters:
  ///   - records: what was made of each of the group's members.
  /// - Throws: `Failure` of kind malformed with batch, tensor, sample, position and dimension, and the first tensor of
  ///   the input or of the model that has such a number, too.
  public func check(_ records: [OutputRecord], of group: SampleGroup) throws {
    guard !isWaived else { return }
    for (record, member) in zip(records, group.records) {
      guard let place = record.placeOfNonfinite() else { continue }
      throw Failure(
        .malformed, "batch \(member.batch): \(place) (\(cause(in: group))); --allow-nonfinite continues anyway")
    }
  }

  /// The same of a single number, of which `what` tells what it is.
  func check(_ value: Double, _ what: String, of group: SampleGroup) throws {
    guard !isWaived, !value.isFinite else { return }
    throw Failure(.malformed, "\(what): \(value) (\(cause(in: group))); --allow-nonfinite continues anyway")
  }

  private func cause(in group: SampleGroup) -> String {
    if let tensor = group.tensorWithNonfinite() { return "the input's tensor \(tensor) has one" }
    return model.placeOfNonfinite() ?? "from finite numbers: an overflow"
  }
}
