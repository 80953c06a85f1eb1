/// What autoencoders and averages over features need of a device beside the model's passes. Letters in shapes: F features.
public protocol TensorOperations: PassOperations {
  /// x[:,j] *= factors[j]
  func scaleColumns(_ x: Tensor, by factors: [Float])

  /// The features that preactivations p (N,F) make active.
  func activate(_ p: Tensor, by activation: Activation) -> ActiveFeatures

  /// y(N,D) = f(N,F) · decoder(F,D) + b, the decoder in Float.
  func decode(y: Tensor, features: ActiveFeatures, decoder: Matrix, bias: [Float])

  /// M · v in Double, M in Float.
  func product(_ matrix: Matrix, _ vector: [Double]) -> [Double]

  /// sums[j] += Σ_n |(x · M)[n,j]|, x (N,in) and M (in,out), in Double, without ever holding (N,out). Of each part of the
  /// rows the sums are shown by themselves.
  ///
  /// - Parameter ends: where the parts end, which rise to N.
  func addMagnitudes(
    ofProduct x: Tensor, matrix: Matrix, to sums: UnsafeMutableBufferPointer<Double>, partsEndingAt ends: [Int],
    show: PartSums)

  /// Shows x · M, x (N,in) and M (in,out), each row a part, without ever holding (N,out).
  func showProduct(_ x: Tensor, matrix: Matrix, show: PartSums)
}

/// What is shown of a part of a product's rows: some columns, and what the part comes to in each of them, which may be
/// changed. Other columns may be shown on other threads at the same time, parts of the same columns one after another.
public typealias PartSums = (_ part: Int, _ columns: Range<Int>, _ sums: UnsafeMutablePointer<Double>) -> Void
