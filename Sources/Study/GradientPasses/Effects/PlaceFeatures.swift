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

  init(_ place: Place, width: Int, autoencoder: AutoencoderOperations?) {
    self.place = place
    self.width = width
    self.autoencoder = autoencoder
  }

  /// How many there are.
  var count: Int { autoencoder?.autoencoder.features ?? width }

  /// Shows each one that is not 0 at the recorded positions, position by position, and there in ascending order.
  func read(
    _ group: SampleGroup, _ positions: RecordedPositions,
    show: (_ position: Int, _ feature: Int, _ value: Float) -> Void
  ) {
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

  /// What a feature's direction is multiplied with beside its value, at a recorded position of the group that was read
  /// last.
  func scale(at position: Int) -> Double {
    guard let autoencoder, autoencoder.scalesGradients else { return 1 }
    return autoencoder.autoencoder.parameters.inputNormalization.scaling(
      of: UnsafeBufferPointer(rebasing: rows.values[position * width..<(position + 1) * width])
    ).outputScale
  }

  /// What a value of 1 adds to an activation whose scale is 1.
  func direction(of feature: Int) -> [Double] {
    if let autoencoder { return autoencoder.direction(of: feature).map(Double.init) }
    return (0..<width).map { $0 == feature ? 1 : 0 }
  }
}
