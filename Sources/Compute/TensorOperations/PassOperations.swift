import CVectorMath
import SystemIO

/// What a device must supply for the model's passes: they are written once, against these operations.
///
/// Tensors may hold Float or Double; matrices of weights are in the types of their files.
///
/// Letters in shapes: N rows (tokens), D model width, H heads, V vocabulary. Outputs come first, then inputs. An
/// operation overwrites its outputs unless it says that it accumulates. Shapes are checked and a wrong one is a bug
/// that traps; numbers are not checked.
public protocol PassOperations: AnyObject {
  /// The device and how it is used, for people.
  var description: String { get }

  /// The most memory that was in use at a time, for people; nil where that is the process's own.
  var memoryReport: String? { get }

  /// Whether passes leave the processor to others, so that groups of samples are read and written beside them.
  var leavesProcessorFree: Bool { get }

  /// Rows of samples that a pass has at most, where samples are that short: as many as the products want for their
  /// full speed, fewer where the memory that is free now is less.
  ///
  /// - Parameter bytesPerRow: what each row of a pass takes of that memory.
  func passRows(bytesPerRow: Int) -> Int

  /// - Throws: `Failure` of kind unavailable where the device has no attention of that shape.
  func check(_ shape: AttentionShape) throws(Failure)

  /// Memory for `rows` × `columns` numbers that are not set.
  func makeTensor(rows: Int, columns: Int) -> Tensor

  /// A matrix in host memory, in f32, bf16 or f16, on the device. Its memory may go on being used.
  func makeMatrix(_ host: Matrix) -> Matrix

  /// Copies those rows of `source`, all where they are nil, from host memory into `destination`, one after another.
  /// `source` may change when this returns.
  func upload(_ destination: Tensor, from source: UnsafePointer<Float>, rows: [Int32]?)

  /// Copies `source` from host memory into `destination`, rounded where this has Float.
  func upload(_ destination: Tensor, from source: UnsafePointer<Double>)

  /// Copies `source` into host memory.
  func download(_ destination: UnsafeMutablePointer<Float>, from source: Tensor)

  /// Begins to copy those rows of `source`, all where they are nil, into host memory, one after another. They are there
  /// when `finishDownloads` returns; `source` may change before.
  func startDownload(_ destination: UnsafeMutablePointer<Float>, from source: Tensor, rows: [Int32]?)

  /// Waits for what was begun.
  func finishDownloads()

  /// destination = source
  func copy(_ destination: Tensor, from source: Tensor)

  /// y += x
  func add(_ y: Tensor, _ x: Tensor)

  /// y(N,out) = x(N,in) · M(in,out) + b, or y += x · M + b where `accumulate`.
  func product(y: Tensor, x: Tensor, matrix: Matrix, bias: Tensor?, accumulate: Bool)

  /// The products of several matrices with the same rows: for each of `maps` y(N,out) = x(N,in) · M(in,out) + b.
  func products(_ maps: [LinearMap], of x: Tensor)

  /// dx(N,in) = dy(N,out) · W(out,in), or dx += where `accumulate`.
  func linearBackward(dx: Tensor, dy: Tensor, weight: Matrix, accumulate: Bool)

  /// y = norm(x) row by row; keeps in `statistics`, a number a row, what the way back needs: the r that x, or its
  /// distance from the mean, is multiplied by. Rows of narrower heads are rows too: see `Tensor.rows(ofWidth:)`.
  ///
  /// - Parameter bias: a layer norm's, where it has one.
  func normalize(y: Tensor, statistics: Tensor, x: Tensor, weight: Tensor, bias: Tensor?, _ norm: Normalization)

  /// The norm's gradient in dx, or dx += where `accumulate`; dx may be dy.
  func normalizeBackward(
    dx: Tensor, dy: Tensor, statistics: Tensor, x: Tensor, weight: Tensor, _ norm: Normalization, accumulate: Bool)

  /// Turns each head of `x` (N, heads · headWidth) in place by its row's position, or turns the gradient back where
  /// `isBackward`: dimension i with dimension i + count, by the angle position · inverseFrequencies[i] rounded to Float,
  /// where count is how many frequencies there are. Dimensions from 2 · count on stay as they are.
  func rotate(x: Tensor, positions: [Int32], headWidth: Int, inverseFrequencies: [Double], isBackward: Bool)

  /// Causal attention within each sample, 0 for a row that sees no key; keeps log Σ exp of the scores in `logSumExp`
  /// (N, heads · 2), each as the largest score and what the sum has above it.
  func attention(
    output: Tensor, logSumExp: Tensor, query: Tensor, key: Tensor, value: Tensor, samples: PackedSamples,
    shape: AttentionShape)

  func attentionBackward(
    dQuery: Tensor, dKey: Tensor, dValue: Tensor, dOutput: Tensor, output: Tensor, logSumExp: Tensor, query: Tensor,
    key: Tensor, value: Tensor, samples: PackedSamples, shape: AttentionShape)

  /// y = f(gate) ∘ up, or f(gate) where there is no up.
  func activate(y: Tensor, gate: Tensor, up: Tensor?, by function: ActivationFunction)

  /// dGate may be gate or dy, and dUp may be up. dUp is nil where up is.
  func activateBackward(
    dGate: Tensor, dUp: Tensor?, dy: Tensor, gate: Tensor, up: Tensor?, by function: ActivationFunction)

  /// Each row's loss in nats, −log softmax(z)[target], and dx (N,D), the gradient of their sum. z = x · Wᵀ, or
  /// softCap · tanh(x · Wᵀ / softCap) where there is a cap. A target of −1 makes no prediction: its loss and gradient
  /// are 0. Without dx, half the work.
  ///
  /// - Returns: what waits for the losses and gives them, to be asked before the next ones are computed. So a device has
  ///   work to do until then.
  func crossEntropy(dx: Tensor?, x: Tensor, head: Matrix, targets: [Int32], softCap: Float?) -> () -> [Double]

  /// The same operations in Double on the processor, for few rows.
  func makeDoubleOperations() -> DoubleOperations
}

/// A product's output, its matrix (in,out) and, where it has one, its bias (1,out).
public struct LinearMap {
  public let y: Tensor
  public let matrix: Matrix
  public let bias: Tensor?

  public init(y: Tensor, matrix: Matrix, bias: Tensor?) {
    self.y = y
    self.matrix = matrix
    self.bias = bias
  }
}

extension PassOperations {
  /// Copies `source` from host memory into `destination`.
  public func upload(_ destination: Tensor, from source: UnsafePointer<Float>) {
    upload(destination, from: source, rows: nil)
  }

  public func upload(_ destination: Tensor, from source: UnsafePointer<Double>) {
    let rounded = [Float](unsafeUninitializedCapacity: destination.count) { values, count in
      count = destination.count
      if let address = values.baseAddress { vector_narrow_double(address, source, count) }
    }
    upload(destination, from: rounded)
  }

  /// A tensor of one row.
  public func makeRow(_ values: [Float]) -> Tensor {
    let tensor = makeTensor(rows: 1, columns: values.count)
    upload(tensor, from: values)
    return tensor
  }

  public func products(_ maps: [LinearMap], of x: Tensor) {
    for map in maps { product(y: map.y, x: x, matrix: map.matrix, bias: map.bias, accumulate: false) }
  }

  /// y(N,out) = x(N,in) · W(out,in)ᵀ + b. PyTorch: F.linear.
  public func linear(y: Tensor, x: Tensor, weight: Matrix, bias: Tensor? = nil) {
    product(y: y, x: x, matrix: weight.transposed, bias: bias, accumulate: false)
  }

  public func linearBackward(dx: Tensor, dy: Tensor, weight: Matrix, accumulate: Bool) {
    product(y: dx, x: dy, matrix: weight, bias: nil, accumulate: accumulate)
  }

  public func linearBackward(dx: Tensor, dy: Tensor, weight: Matrix) {
    linearBackward(dx: dx, dy: dy, weight: weight, accumulate: false)
  }

  /// Turns each head of `x` (N, heads · headWidth) in place by its row's position.
  public func rotate(x: Tensor, positions: [Int32], headWidth: Int, inverseFrequencies: [Double]) {
    rotate(
      x: x, positions: positions, headWidth: headWidth, inverseFrequencies: inverseFrequencies, isBackward: false)
  }

  /// Turns the gradient back: a rotation's transpose turns the other way.
  public func rotateBackward(dx: Tensor, positions: [Int32], headWidth: Int, inverseFrequencies: [Double]) {
    rotate(
      x: dx, positions: positions, headWidth: headWidth, inverseFrequencies: inverseFrequencies, isBackward: true)
  }
}
