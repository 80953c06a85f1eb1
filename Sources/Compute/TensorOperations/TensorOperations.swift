/// What autoencoders and averages over features need of a device beside the model's passes. Letters in shapes: F features.
public protocol TensorOperations: PassOperations {
  /// A decoder (F,D) in host memory, in Float, on the device, in the order that `decode` reads. Its memory may go on
  /// being used.
  func makeDecoder(_ host: Matrix) -> Matrix

  /// x[:,j] *= factors[j]
  func scaleColumns(_ x: Tensor, by factors: Tensor)

  /// y[n] = x[rows[n]]
  func gatherRows(_ y: Tensor, from x: Tensor, rows: [Int32])

  /// y[rows[n]] = x[n]. No row may be named twice.
  func replaceRows(_ y: Tensor, rows: [Int32], by x: Tensor)

  /// s = normalise(x) − b row by row; keeps in `scalings` (N, `InputNormalization.Scaling.columns`) what each row was
  /// shifted and scaled by. s may be x.
  func normalizeInput(
    _ s: Tensor, scalings: Tensor, x: Tensor, _ normalization: InputNormalization, bias: Tensor?)

  /// y = y · output scale + shift, row by row
  func undoNormalization(_ y: Tensor, scalings: Tensor)

  /// y *= output scale, row by row
  func scaleRows(_ y: Tensor, scalings: Tensor)

  /// Adds in Double to `sums` (1, `ReconstructionSums.columns`) what rows of x and what was made of them come to.
  func addReconstruction(to sums: Tensor, x: Tensor, rebuilt: Tensor)

  /// The features that preactivations p (N,F) make active, until the next ones are found. p may change.
  func activate(_ p: Tensor, by rule: ActivationRule<Tensor>) -> any DeviceFeatures

  /// y(N,D) = (f ∘ factors)(N,F) · decoder(F,D) + b, the decoder in Float.
  func decode(y: Tensor, features: any DeviceFeatures, factors: Tensor?, decoder: Matrix, bias: Tensor)

  /// Begins to bring features into host memory. `take` gets them before `finishDownloads` returns, those that were begun
  /// first before the others.
  func startDownload(_ features: any DeviceFeatures, _ take: @escaping (ActiveFeatures) -> Void)

  /// M · v in Double, M in Float.
  func product(_ matrix: Matrix, _ vector: [Double]) -> [Double]

  /// sums[j] += Σ_n |(x · M)[n,j]| over the rows that are in parts, x (N,in) and M (in,out), in Double, without ever holding
  /// (N,out). Of each part the sums are shown by themselves, and behind the parts each further row of x · M as it is.
  ///
  /// - Parameters:
  ///   - sums: of `makeSums(out)`; nil where there are no parts.
  ///   - ends: where the parts end, which rise, at most to N.
  func addMagnitudes(
    ofProduct x: Tensor, matrix: Matrix, to sums: Tensor?, partsEndingAt ends: [Int], show: PartSums)
}

extension TensorOperations {
  /// Memory of the device for `count` Doubles, which are 0: a row of a tensor with twice as many columns.
  public func makeSums(_ count: Int) -> Tensor { makeRow(Array(repeating: 0, count: 2 * count)) }

  /// The Doubles of `makeSums`, which are 0 from here on.
  public func takeSums(_ sums: Tensor) -> [Double] {
    var values = [Double](repeating: 0, count: sums.columns / 2)
    values.withUnsafeMutableBytes {
      if let address = $0.baseAddress { download(address.assumingMemoryBound(to: Float.self), from: sums) }
    }
    upload(sums, from: Array(repeating: Float(0), count: sums.columns))
    return values
  }
}

/// What is shown of a part of a product's rows, or of a row behind the parts, which are counted on: some columns, and what
/// it comes to in each of them, which may be changed. Other columns may be shown on other threads at the same time, parts of
/// the same columns one after another.
public typealias PartSums = (_ part: Int, _ columns: Range<Int>, _ sums: UnsafeMutablePointer<Double>) -> Void

/// Active features of a tensor's rows where the device that found them has them.
public protocol DeviceFeatures {
  var rowCount: Int { get }
}

/// What is added up over rows x and what an autoencoder makes of them, x̂, each of D numbers.
public struct ReconstructionSums: Sendable {
  /// Σ‖x − x̂‖²
  public let squaredError: Double
  /// Σ‖x‖²
  public let squaredNorm: Double
  /// Σ x, [D]
  public let sum: [Double]

  /// A tensor that holds them, as Doubles in this order, where rows have `width` numbers.
  public static func columns(width: Int) -> Int { 2 * (2 + width) }

  /// - Parameter numbers: those of such a tensor.
  public init(_ numbers: [Double]) {
    (squaredError, squaredNorm, sum) = (numbers[0], numbers[1], Array(numbers[2...]))
  }
}
