import SystemIO
import TensorStream

/// What a gradients record has of the activations at a place, valid as long as the record is.
public enum RecordedActivations {
  /// (P, width)
  case dense(UnsafeBufferPointer<Float>)
  /// Of the features of an autoencoder.
  case active(ActiveRows)

  var areOfFeatures: Bool { if case .active = self { true } else { false } }

  /// nil where the record has none.
  ///
  /// - Parameters:
  ///   - width: the number of dimensions or features.
  ///   - areFactored: whether a decoder multiplies the place's gradients, which then are those of features.
  public init?(_ record: Record, at place: Place, positions: Int, width: Int, areFactored: Bool) throws {
    let name = PlaceValue.activation.name(place)
    if !areFactored, record.has(name) {
      self = .dense(try record.tensor(name, shape: [positions, width], of: Float.self))
    } else if record.has(PlaceValue.activeOffsets.name(place)) {
      self = .active(try ActiveRows(record, at: place, positions: positions, width: width))
    } else {
      return nil
    }
  }
}

extension Record {
  /// The tensor `grad.PLACE`, (P, width): gradients, or of factored ones what the decoder multiplies.
  ///
  /// - Parameter decoderWidth: the columns of the decoder that multiplies them; nil where none does.
  public func gradientRows(
    at place: Place, positions: Int, decoderWidth: Int?
  ) throws -> (values: UnsafeBufferPointer<Float>, width: Int) {
    let name = PlaceValue.gradient.name(place)
    let rows = try tensor(name, shape: [positions, nil], of: Float.self)
    let width = header[name]!.shape[1]
    guard width > 0 else { throw failure("tensor \(name): expected at least one column, found none") }
    // Without rows the data does not bear the width out, and memory is taken for it.
    guard positions > 0 || width <= 1 << 20 else {
      throw failure("tensor \(name): expected at most \(1 << 20) columns without rows, found \(width)")
    }
    if let decoderWidth, decoderWidth != width {
      throw failure("tensor \(name): expected \(decoderWidth) columns, as the decoder has, found \(width)")
    }
    return (rows, width)
  }

  /// - Parameter flag: what asks for activations, with its value.
  public func missingActivations(_ flag: String, at place: Place) -> Failure {
    failure(
      "\(flag): expected the activations at \(place), which sae-grad writes, and act-grad --with-activations, found none"
    )
  }
}
