import Aggregation
import Glibc
import Plotting
import SystemIO
import TensorFiles
import TensorStream
import TestSupport
import Testing

@Suite struct ArrayFileNameTests {
  @Test(arguments: [
    ("layer_11_mean_abs_gradients.npy", Place(.mlpOut, 11), AveragingMode.meanAbsolute),
    ("a/b/layer_0_mean_gradients.npy", Place(.mlpOut, 0), .mean),
    ("layer_7_gradients.npy", Place(.mlpOut, 7), nil),
    ("layer_7_attn_z_gradients.npy", Place(.attnZ, 7), nil),
    ("x/layer_9999_resid_post_mean_abs_gradients.npy", Place(.residPost, 9999), .meanAbsolute),
  ]) func tellsPlaceAndMode(path: String, place: Place, mode: AveragingMode?) {
    #expect(ArrayFileName(parsing: path) == ArrayFileName(place, mode))
    #expect(path.hasSuffix(ArrayFileName(place, mode).description))
  }

  @Test func everyNameIsReadAgain() {
    let places = Site.allCases.flatMap { site in [0, 11, 9999].map { Place(site, $0) } }
    let names = places.flatMap { place in ([nil] + AveragingMode.allCases).map { ArrayFileName(place, $0) } }
    #expect(Set(names.map(\.description)).count == names.count)
    for name in names { #expect(ArrayFileName(parsing: "\(name)") == name) }
  }

  /// Whose files are named without it.
  @Test func theDefaultSiteMayBeNamed() {
    #expect(ArrayFileName(parsing: "layer_2_mlp_out_mean_gradients.npy") == ArrayFileName(Place(.mlpOut, 2), .mean))
  }

  @Test(arguments: [
    "layer_gradients.npy", "layer_x_gradients.npy", "layer_1_median_gradients.npy", "layer_1mean_gradients.npy",
    "layer_1_resid_gradients.npy", "layer_1_resid_postmean_gradients.npy", "layer_1_mean_resid_post_gradients.npy",
    "layer_10000_gradients.npy", "layer_1_gradients.npz", "my_layer_1_gradients.npy",
    "layer_99999999999999999999_gradients.npy", "",
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
      record.add("weight.mlp_out.0", [1.0 as Double])
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
      records: [
        [("mean.mlp_out.2", [1, -2]), ("mean_abs.mlp_out.2", [1, 2])],
        [("mean_abs.mlp_out.10", [3, 4]), ("mean_abs.mlp_out.x", [0])],
      ])
    var collection = GradientCollection()
    try collection.read(stream)
    let gradients = try collection.sorted()
    #expect(gradients.map(\.place) == [Place(.mlpOut, 2), Place(.mlpOut, 2), Place(.mlpOut, 10)])
    #expect(gradients.map(\.mode) == [.mean, .meanAbsolute, .meanAbsolute])
    #expect(gradients.map(\.values) == [[1, -2], [1, 2], [3, 4]])
    #expect(gradients.allSatisfy { $0.unit == .activation && $0.areFloat32 })
    #expect(collection.provenance["model"] == "demo")
    #expect(try collection.sorted(layers: [10]).map(\.place) == [Place(.mlpOut, 10)])
    #expect(
      throws: Failure(.usage, "--layers: layer 11 is not in the input, whose last layer is 10")
    ) { try collection.sorted(layers: [2, 11]) }
  }

  /// One layer at two sites is two places; of several layers all sites are chosen.
  @Test func readsSeveralSites() throws {
    let names = ["mean.resid_post.2", "mean.mlp_out.2", "mean.attn_z.10", "mean.2", "mean.mlp.2"]
    let stream = try folder.writeStream("aggregates.ts", records: [names.enumerated().map { ($1, [Float($0)]) }])
    var collection = GradientCollection()
    try collection.read(stream)
    let places = [Place(.mlpOut, 2), Place(.residPost, 2), Place(.attnZ, 10)]
    #expect(try collection.sorted().map(\.place) == places)
    #expect(try collection.sorted().map(\.values) == [[1], [0], [2]])
    #expect(try collection.sorted(layers: [2]).map(\.place) == Array(places[..<2]))
  }

  @Test func takesTheUnitFromTheStreamUnlessItIsGiven() throws {
    let stream = try folder.writeStream(
      "aggregates.ts", provenance: ["basis.mlp_out.2": "sae/ae.pt"], records: [[("mean.mlp_out.2", [1, -2])]])
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
    let cut = try folder.writeStream("aggregates.ts", records: [[("mean.mlp_out.2", [1])]], isWhole: false)
    var collection = GradientCollection()
    #expect(throws: Failure.self) { try collection.read(cut) }
    let gradients = try folder.writeStream("other.ts", kind: .gradients, records: [[("mean.mlp_out.2", [1])]])
    collection = GradientCollection()
    #expect(throws: Failure.self) { try collection.read(gradients) }
    let partial = try folder.writeStream("other.ts", records: [[("sum.mlp_out.2", [1])]])
    #expect(
      throws: Failure(
        .malformed,
        "\(partial): no finished averages: expected tensors mean.PLACE or mean_abs.PLACE, found none; of sums that --partial "
          + "wrote, grad-aggregate makes them")
    ) { try collection.read(partial) }
  }

  /// Layers of two models would share a page.
  @Test func refusesGradientsOfAnotherModel() throws {
    for key in ["model.config.xxh64", "model.weights.xxh64"] {
      let one = try folder.writeStream(
        "one.ts", provenance: [key: "1", "model": "a"], records: [[("mean.mlp_out.0", [1])]])
      let same = try folder.writeStream("same.ts", provenance: [key: "1"], records: [[("mean.mlp_out.1", [1])]])
      let other = try folder.writeStream(
        "other.ts", provenance: [key: "2", "model": "b"], records: [[("mean.mlp_out.2", [1])]])
      var collection = GradientCollection()
      for path in [one, same] { try collection.read(path) }
      let expected =
        "\(other): gradients of another model: \(key): expected 1 (a) as before, found 2 (b): draw each model into a "
        + "folder of its own"
      #expect(throws: Failure(.malformed, expected)) { try collection.read(other) }
    }
  }

  @Test func refusesAPlaceTwice() throws {
    let stream = try folder.writeStream(
      "aggregates.ts", records: [[("mean.mlp_out.2", [1])], [("mean.mlp_out.2", [2])]])
    var collection = GradientCollection()
    #expect(
      throws: Failure(
        .malformed,
        "\(stream): mlp_out.2, mean was in \(stream) already; grad-aggregate merges partial aggregates of one place")
    ) { try collection.read(stream) }
  }

  @Test func tellsTwoUnitsApart() throws {
    let stream = try folder.writeStream("aggregates.ts", records: [[("mean.mlp_out.2", [1])]])
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
    #expect(gradients.map(\.place) == [3, 4, 5, 20, 21].map { Place(.mlpOut, $0) })
    // A negative value can only come from the signed mean.
    #expect(gradients.map(\.mode) == [.meanAbsolute, .mean, .mean, .meanAbsolute, .meanAbsolute])
    #expect(gradients.map(\.unit) == [GradientUnit](repeating: .feature, count: 5))
    #expect(gradients[0].areFloat32 && !gradients[2].areFloat32)
  }
}
