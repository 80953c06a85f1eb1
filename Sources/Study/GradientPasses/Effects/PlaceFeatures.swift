import SparseAutoencoders
import TensorOperations
import TensorStream

/// What is numbered at a place: the features of its autoencoder or, without one, the dimensions of the activation.
/// Either is so much of a direction that is added to the activation.
final class PlaceFeatures {
  let place: Place
  private let width: Int
  private let autoencoder: AutoencoderOperations?
  /// A group's recorded activations, and what the autoencoder makes of them.
  private let rows = HostTensor()
  private let rebuilt = HostTensor()
  /// The same activations in Double, by recorded position, where the group's passes go on from such.
  private var exactRow: (_ position: Int) -> UnsafeBufferPointer<Double>? = { _ in nil }

  init(_ place: Place, width: Int, autoencoder: AutoencoderOperations?) {
    self.place = place
    self.width = width
    self.autoencoder = autoencoder
  }

  /// How many there are.
  var count: Int { autoencoder?.autoencoder.features ?? width }

  /// Shows each one that is not 0 at the recorded positions, position by position, and there in ascending order.
  ///
  /// - Parameter starts: what passes go on from, where there are any.
  func read(
    _ group: SampleGroup, _ positions: RecordedPositions, _ starts: GroupStarts? = nil,
    show: (_ position: Int, _ feature: Int, _ value: Float) -> Void
  ) {
    exactRow = { [place] in starts?.row(positions.rows[$0], at: place) }
    let (activations, W) = (group.activation(place), width)
    let recorded = rows.resize(positions.rows.count * W)
    for (index, row) in positions.rows.enumerated() {
      (recorded + index * W).update(from: activations + row * W, count: W)
    }
    guard let autoencoder else {
      for index in positions.rows.indices {
        for i in 0..<W where recorded[index * W + i] != 0 { show(index, i, recorded[index * W + i]) }
      }
      return
    }
    let features = autoencoder.rebuild(
      rebuilt.resize(positions.rows.count * W), from: recorded, rows: positions.rows.count)
    for index in positions.rows.indices {
      for entry in features.range(ofRows: index..<index + 1) where features.values[entry] != 0 {
        show(index, Int(features.indices[entry]), features.values[entry])
      }
    }
  }

  /// What a feature is in Double at a recorded position of the group that was read last, where it was shown as `value`.
  func exact(_ value: Float, of feature: Int, at position: Int) -> Double {
    guard let x = exactRow(position) else { return Double(value) }
    return autoencoder?.valueInDouble(of: feature, at: x) ?? x[feature]
  }

  /// What a feature's direction is multiplied with beside its value, at a recorded position of the group that was read
  /// last.
  func scale(at position: Int) -> Double {
    guard let autoencoder, autoencoder.scalesGradients else { return 1 }
    let normalization = autoencoder.autoencoder.parameters.inputNormalization
    let row = UnsafeBufferPointer(rebasing: rows.values[position * width..<(position + 1) * width])
    return (exactRow(position).map { normalization.scaling(of: $0) } ?? normalization.scaling(of: row)).outputScale
  }

  /// What a value of 1 adds to an activation whose scale is 1.
  func direction(of feature: Int) -> [Double] {
    if let autoencoder { return autoencoder.direction(of: feature) }
    return (0..<width).map { $0 == feature ? 1 : 0 }
  }
}
