import Glibc
import GradientSources
import GradientStatistics
import NumPyFiles
import SystemIO
import TensorStream
import TestSupport
import Testing

@Suite struct ArrayFileNameTests {
  @Test(arguments: [
    ("layer_11_mean_abs_gradients.npy", 11, AveragingMode.meanAbsolute),
    ("a/b/layer_0_mean_gradients.npy", 0, .mean),
    ("layer_7_gradients.npy", 7, nil),
  ]) func tellsLayerAndMode(path: String, layer: Int, mode: AveragingMode?) {
    #expect(ArrayFileName(parsing: path) == ArrayFileName(layer: layer, mode: mode))
    #expect(path.hasSuffix(ArrayFileName(layer: layer, mode: mode).description))
  }

  @Test(arguments: [
    "layer_gradients.npy", "layer_x_gradients.npy", "layer_1_median_gradients.npy", "layer_1mean_gradients.npy",
    "layer_1_gradients.npz", "my_layer_1_gradients.npy", "layer_99999999999999999999_gradients.npy", "",
  ]) func isNilForOtherNames(path: String) {
    #expect(ArrayFileName(parsing: path) == nil)
  }
}

extension TemporaryFolder {
  func writeStream(
    _ name: String, kind: StreamKind = .aggregates, provenance: [String: String] = [:],
    records: [[(name: String, values: [Float])]], isWhole: Bool = true
  ) throws -> String {
    let file = "\(path)/\(name)"
    let writer = StreamWriter(try OutputFile(path: file))
    try writer.begin(kind, provenance: provenance)
    for (batch, tensors) in records.enumerated() {
      var record = OutputRecord()
      record.add("weight.0", [1.0 as Double])
      for tensor in tensors { record.add(tensor.name, tensor.values) }
      try writer.write(record, batch: batch)
    }
    try writer.end()
    try writer.finish()
    if !isWhole {
      var status = stat()
      stat(file, &status)
      truncate(file, status.st_size - 1)
    }
    return file
  }
}

@Suite struct GradientCollectionTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  @Test func readsTheAveragesOfAStream() throws {
    let stream = try folder.writeStream(
      "aggregates.ts", provenance: ["model": "demo"],
      records: [[("mean.2", [1, -2]), ("mean_abs.2", [1, 2])], [("mean_abs.10", [3, 4]), ("mean_abs.x", [0])]])
    var collection = GradientCollection()
    try collection.read(stream)
    let gradients = try collection.sorted()
    #expect(gradients.map(\.layer) == [2, 2, 10])
    #expect(gradients.map(\.mode) == [.mean, .meanAbsolute, .meanAbsolute])
    #expect(gradients.map(\.values) == [[1, -2], [1, 2], [3, 4]])
    #expect(gradients.allSatisfy { $0.unit == .activation && $0.precision == .single })
    #expect(collection.provenance["model"] == "demo")
    #expect(try collection.sorted(layers: [10]).map(\.layer) == [10])
    #expect(
      throws: Failure(.usage, "--layers: layer 11 is not in the input, whose last layer is 10")
    ) { try collection.sorted(layers: [2, 11]) }
  }

  @Test func takesTheUnitFromTheStreamUnlessItIsGiven() throws {
    let stream = try folder.writeStream(
      "aggregates.ts", provenance: ["basis.2": "sae/ae.pt"], records: [[("mean.2", [1, -2])]])
    var collection = GradientCollection()
    try collection.read(stream)
    #expect(collection.all.map(\.unit) == [.feature])
    var defaults = GradientCollection.Defaults()
    defaults.unit = .activation
    collection = GradientCollection(defaults)
    try collection.read(stream)
    #expect(collection.all.map(\.unit) == [.activation])
  }

  @Test func refusesStreamsItCannotUse() throws {
    let cut = try folder.writeStream("aggregates.ts", records: [[("mean.2", [1])]], isWhole: false)
    var collection = GradientCollection()
    #expect(throws: Failure.self) { try collection.read(cut) }
    let gradients = try folder.writeStream("other.ts", kind: .gradients, records: [[("mean.2", [1])]])
    collection = GradientCollection()
    #expect(throws: Failure.self) { try collection.read(gradients) }
    let partial = try folder.writeStream("other.ts", records: [[("sum.2", [1])]])
    #expect(
      throws: Failure(
        .malformed,
        "\(partial): no finished averages: expected tensors mean.L or mean_abs.L, found none; of sums that --partial "
          + "wrote, grad-aggregate makes them")
    ) { try collection.read(partial) }
  }

  /// Layers of two models would share a page.
  @Test func refusesGradientsOfAnotherModel() throws {
    for key in ["model.config.xxh64", "model.weights.xxh64"] {
      let one = try folder.writeStream(
        "one.ts", provenance: [key: "1", "model": "a"], records: [[("mean.0", [1])]])
      let same = try folder.writeStream("same.ts", provenance: [key: "1"], records: [[("mean.1", [1])]])
      let other = try folder.writeStream(
        "other.ts", provenance: [key: "2", "model": "b"], records: [[("mean.2", [1])]])
      var collection = GradientCollection()
      for path in [one, same] { try collection.read(path) }
      let expected =
        "\(other): gradients of another model: \(key): expected 1 (a) as before, found 2 (b): draw each model into a "
        + "folder of its own"
      #expect(throws: Failure(.malformed, expected)) { try collection.read(other) }
    }
  }

  @Test func refusesALayerTwice() throws {
    let stream = try folder.writeStream("aggregates.ts", records: [[("mean.2", [1])], [("mean.2", [2])]])
    var collection = GradientCollection()
    #expect(throws: Failure.self) { try collection.read(stream) }
  }

  @Test func tellsTwoUnitsApart() throws {
    let stream = try folder.writeStream("aggregates.ts", records: [[("mean.2", [1])]])
    let array = "\(folder.path)/layer_2_mean_gradients.npy"
    try NumPyWriter.write([3, 4] as [Float], to: array)
    var collection = GradientCollection()
    for path in [stream, array] { try collection.read(path) }
    let both = try collection.sorted()
    #expect(both.map(\.unit) == [.activation, .feature])
    let failure = Failure(
      .malformed,
      "expected features or activations, found activations of \(stream) and features of \(array): draw them one after "
        + "the other, into a folder each; --unit says what arrays hold")
    #expect(throws: failure) { try collection.checkUnit(of: both) }
    for one in both { try collection.checkUnit(of: [one]) }
    try collection.checkUnit(of: [])
  }

  @Test func takesArraysByTheirNames() throws {
    try NumPyWriter.write([1, 2] as [Float], to: "\(folder.path)/layer_3_gradients.npy")
    try NumPyWriter.write([1, -2] as [Float], to: "\(folder.path)/layer_4_gradients.npy")
    try NumPyWriter.write([1.0, 2], to: "\(folder.path)/layer_5_mean_gradients.npy")
    try NumPyWriter.write([1.0, 2], to: "\(folder.path)/array0.npy")
    try NumPyWriter.write([1.0, 2], to: "\(folder.path)/array1.npy")
    var defaults = GradientCollection.Defaults()
    defaults.nextLayer = 20
    var collection = GradientCollection(defaults)
    for name in ["array0", "layer_3_gradients", "layer_4_gradients", "layer_5_mean_gradients", "array1"] {
      try collection.read("\(folder.path)/\(name).npy")
    }
    let gradients = try collection.sorted()
    #expect(gradients.map(\.layer) == [3, 4, 5, 20, 21])
    // A negative value can only come from the signed mean.
    #expect(gradients.map(\.mode) == [.meanAbsolute, .mean, .mean, .meanAbsolute, .meanAbsolute])
    #expect(gradients.map(\.unit) == [GradientUnit](repeating: .feature, count: 5))
    #expect(gradients[0].precision == .single && gradients[2].precision == .double)
  }
}
