import GradientPasses
import SparseAutoencoders
import TensorFiles
import TensorOperations
import Testing

/// What a library computed in float32: encode, decode of its own features, and autograd through decode.
struct Expectation {
  /// [positions][D]
  var inputs: [[Double]]
  var outputGradients: [[Double]]
  /// [positions][F]
  var features: [[Double]]
  var featureGradients: [[Double]]
  var decoded: [[Double]]

  /// Compares every number. The libraries round to float32 where the reference does not, so a feature within
  /// rounding of its threshold could be kept by one and dropped by the other: the inputs are required to leave a
  /// margin above it, rather than such a feature left out.
  func compare(
    with autoencoder: SparseAutoencoder, tolerance: Double = 2e-5, margin: Double = 2e-5,
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let reference = try ReferenceArithmetic(autoencoder.parameters)
    var worst = (features: 0.0, decoded: 0.0, gradients: 0.0)
    var smallestMargin = Double.infinity
    for (position, x) in inputs.enumerated() {
      smallestMargin = min(smallestMargin, reference.margin(x))
      worst.features = max(worst.features, distance(reference.encode(x), features[position]))
      worst.decoded = max(worst.decoded, distance(reference.decode(features[position], x), decoded[position]))
      let gradient = reference.featureGradient(outputGradients[position], x)
      worst.gradients = max(worst.gradients, distance(gradient, featureGradients[position]))
    }
    #expect(smallestMargin > margin, sourceLocation: sourceLocation)
    #expect(worst.features < tolerance, "features", sourceLocation: sourceLocation)
    #expect(worst.decoded < tolerance, "decoded", sourceLocation: sourceLocation)
    #expect(worst.gradients < tolerance, "gradients of the features", sourceLocation: sourceLocation)
    #expect(features.joined().contains { $0 != 0 }, sourceLocation: sourceLocation)
    try compareOperations(with: autoencoder, tolerance: tolerance, sourceLocation)
  }

  /// The same numbers by the tensor operations, as sae-grad and grad-aggregate compute them.
  private func compareOperations(
    with autoencoder: SparseAutoencoder, tolerance: Double, _ sourceLocation: SourceLocation
  ) throws {
    let operations = try AutoencoderOperations(autoencoder, memory: AutoencoderMemory(try CPUOperations(threads: 2)))
    let (D, F) = (autoencoder.width, autoencoder.features)
    let x = inputs.joined().map { Float($0) }
    var rebuilt = [Float](repeating: .nan, count: inputs.count * D)
    let device = operations.operations
    let scalings = device.makeTensor(rows: inputs.count, columns: InputNormalization.Scaling.columns)
    let active = operations.rebuild(&rebuilt, from: x, rows: inputs.count, scalings: scalings)
    var dense = [Double](repeating: 0, count: inputs.count * F)
    for row in 0..<active.rowCount {
      for i in active.range(ofRows: row..<row + 1) {
        dense[row * F + Int(active.indices[i])] = Double(active.values[i])
      }
    }
    #expect(active.count == features.joined().count { $0 != 0 }, sourceLocation: sourceLocation)
    #expect(
      distance(dense, Array(features.joined())) < tolerance, "active features", sourceLocation: sourceLocation)
    #expect(
      distance(rebuilt.map { Double($0) }, Array(decoded.joined())) < tolerance, "rebuilt",
      sourceLocation: sourceLocation)
    let reference = try ReferenceArithmetic(autoencoder.parameters)
    for (row, x) in inputs.enumerated() {
      var values = x
      operations.rebuildInDouble(&values, from: active.indices[active.range(ofRows: row..<row + 1)])
      let exact = reference.decode(reference.encode(x), x)
      #expect(
        distance(values, exact) < 1e-12 * exact.reduce(1) { max($0, abs($1)) }, "rebuilt in Double",
        sourceLocation: sourceLocation)
    }
    var g = outputGradients.joined().map { Float($0) }
    let scaled = device.makeTensor(rows: inputs.count, columns: D)
    device.upload(scaled, from: g)
    operations.scaleGradients(scaled, scalings: scalings)
    device.download(&g, from: scaled)
    var gradients = [Float](repeating: .nan, count: inputs.count * F)
    operations.featureGradients(&gradients, from: g, rows: inputs.count)
    device.finishDownloads()
    #expect(
      distance(gradients.map { Double($0) }, Array(featureGradients.joined())) < tolerance, "dense gradients",
      sourceLocation: sourceLocation)
  }

  /// The largest difference; NaN, which no tolerance lets pass, where there is one.
  private func distance(_ found: [Double], _ expected: [Double]) -> Double {
    guard found.count == expected.count else { return .nan }
    return zip(found, expected).reduce(0) { largest, pair in
      let difference = abs(pair.0 - pair.1)
      return difference.isNaN ? .nan : max(largest, difference)
    }
  }
}

extension Expectation {
  /// The `expected.safetensors` of a fixture.
  init(fixture name: String) throws {
    let file = try SafetensorsFile(path: "\(fixtures)/\(name)/expected.safetensors")
    func rows(_ tensor: String) throws -> [[Double]] {
      let info = try #require(file.header[tensor])
      let width = info.shape[1]
      let values = file.bytes(of: info).withMemoryRebound(to: Float.self) { $0.map(Double.init) }
      return stride(from: 0, to: values.count, by: width).map { Array(values[$0..<$0 + width]) }
    }
    self.init(
      inputs: try rows("inputs"), outputGradients: try rows("output_gradients"), features: try rows("features"),
      featureGradients: try rows("feature_gradients"), decoded: try rows("decoded"))
  }
}
