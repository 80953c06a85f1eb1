import TensorStream

/// What turns groups of captured samples into records of a gradients stream.
public protocol GradientPass: AnyObject {
  /// The captured places that every record must bring.
  var neededPlaces: [Place] { get }

  /// Rows of samples that a pass has at most, where samples are that short.
  var passRows: Int { get }

  /// The gradients record of each of the group's members, valid as long as an `OutputTensor` keeps them.
  func records(_ group: SampleGroup) -> [OutputRecord]
}
