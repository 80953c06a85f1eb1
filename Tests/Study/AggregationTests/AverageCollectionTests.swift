import Aggregation
import Glibc
import SystemIO
import TensorFiles
import TensorStream
import TestSupport
import Testing

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

@Suite struct AverageCollectionTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  @Test func readsTheAveragesOfAStream() throws {
    let stream = try folder.writeStream(
      "aggregates.ts", provenance: ["model": "demo"],
      records: [
        [("mean.mlp_out.2", [1, -2]), ("mean_abs.mlp_out.2", [1, 2])],
        [("mean_abs.mlp_out.10", [3, 4]), ("mean_abs.mlp_out.x", [0])],
      ])
    var collection = AverageCollection()
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
    var collection = AverageCollection()
    try collection.read(stream)
    let places = [Place(.mlpOut, 2), Place(.residPost, 2), Place(.attnZ, 10)]
    #expect(try collection.sorted().map(\.place) == places)
    #expect(try collection.sorted().map(\.values) == [[1], [0], [2]])
    #expect(try collection.sorted(layers: [2]).map(\.place) == Array(places[..<2]))
  }

  @Test func takesTheUnitFromTheStreamUnlessItIsGiven() throws {
    let stream = try folder.writeStream(
      "aggregates.ts", provenance: ["basis.mlp_out.2": "sae/ae.pt"], records: [[("mean.mlp_out.2", [1, -2])]])
    var collection = AverageCollection()
    try collection.read(stream)
    #expect(try collection.sorted().map(\.unit) == [.feature])
    var defaults = AverageCollection.Defaults()
    defaults.unit = .activation
    collection = AverageCollection(defaults)
    try collection.read(stream)
    #expect(try collection.sorted().map(\.unit) == [.activation])
  }

  @Test func refusesStreamsItCannotUse() throws {
    let cut = try folder.writeStream("aggregates.ts", records: [[("mean.mlp_out.2", [1])]], isWhole: false)
    var collection = AverageCollection()
    #expect(throws: Failure.self) { try collection.read(cut) }
    let gradients = try folder.writeStream("other.ts", kind: .gradients, records: [[("mean.mlp_out.2", [1])]])
    collection = AverageCollection()
    #expect(throws: Failure.self) { try collection.read(gradients) }
    let partial = try folder.writeStream("other.ts", records: [[("sum.mlp_out.2", [1])]])
    #expect(
      throws: Failure(
        .malformed,
        "\(partial): no finished averages: expected tensors such as mean.PLACE or mean_abs.PLACE, found none; of "
          + "sums that --partial wrote, grad-aggregate makes them")
    ) { try collection.read(partial) }
  }

  /// Layers of two models would share a page.
  @Test func refusesAveragesOfAnotherModel() throws {
    for key in ["model.config.xxh64", "model.weights.xxh64"] {
      let one = try folder.writeStream(
        "one.ts", provenance: [key: "1", "model": "a"], records: [[("mean.mlp_out.0", [1])]])
      let same = try folder.writeStream("same.ts", provenance: [key: "1"], records: [[("mean.mlp_out.1", [1])]])
      let other = try folder.writeStream(
        "other.ts", provenance: [key: "2", "model": "b"], records: [[("mean.mlp_out.2", [1])]])
      var collection = AverageCollection()
      for path in [one, same] { try collection.read(path) }
      let expected =
        "\(other): averages of another model: \(key): expected 1 (a) as before, found 2 (b): show one model at a "
        + "time"
      #expect(throws: Failure(.malformed, expected)) { try collection.read(other) }
    }
  }

  @Test func refusesAPlaceTwice() throws {
    let stream = try folder.writeStream(
      "aggregates.ts", records: [[("mean.mlp_out.2", [1])], [("mean.mlp_out.2", [2])]])
    var collection = AverageCollection()
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
    var collection = AverageCollection()
    for path in [stream, array] { try collection.read(path) }
    let failure = Failure(
      .malformed,
      "expected features or activations, found activations of \(stream) and features of \(array): show one at a "
        + "time; --unit says what arrays hold")
    #expect(throws: failure) { try collection.sorted() }
    var defaults = AverageCollection.Defaults()
    defaults.unit = .feature
    collection = AverageCollection(defaults)
    for path in [stream, array] { try? collection.read(path) }
    #expect(try collection.sorted().map(\.unit) == [.feature])
  }

  /// What a stream has beside its averages: standard errors, and how far the halves agree.
  @Test func readsWhatIsKnownOfTheAverages() throws {
    let file = folder.file("aggregates.ts")
    let writer = StreamWriter(try OutputFile(path: file))
    try writer.begin(.aggregates, provenance: ["unit": "feature"])
    var record = OutputRecord()
    record.add("attribution_mean_abs.mlp_out.2", [1, 2] as [Float])
    record.add("attribution_mean_abs_se.mlp_out.2", [0.5, 0.25] as [Float])
    record.add("attribution_mean_abs_halves.mlp_out.2", [0.5, 2.0 / 3, 7, 180] as [Double])
    record.add("firing.mlp_out.2", [0.5, 0] as [Float])
    record.add("units.mlp_out.2", [20, 10] as [Int64])
    try writer.write(record, batch: 0)
    try writer.end()
    try writer.finish()
    var collection = AverageCollection()
    try collection.read(file)
    let averages = try collection.sorted()
    #expect(averages.map(\.measure) == [.average(.attribution, .meanAbsolute), .firing])
    #expect(averages.map(\.standardErrors) == [[0.5, 0.25], nil])
    #expect(averages.map(\.reliability) == [Reliability(correlation: 0.5, overlap: 7, units: 20), nil])
  }

  @Test func standardErrorsOfArraysGoWithTheirAverages() throws {
    let names = ["layer_3_mean_attributions_se", "layer_3_mean_attributions", "layer_3_firing", "layer_3_firing_se"]
    var collection = AverageCollection()
    for (number, name) in names.enumerated() {
      let path = folder.file("\(name).npy")
      try NumPyWriter.write([Float(number), 2], to: path)
      try collection.read(path)
    }
    let averages = try collection.sorted()
    #expect(averages.map(\.measure) == [.average(.attribution, .mean), .firing])
    #expect(averages.map(\.values) == [[1, 2], [2, 2]] && averages.map(\.standardErrors) == [[0, 2], [3, 2]])
    // Alone, or of another size.
    let (errors, values) = (folder.file("layer_4_mean_gradients_se.npy"), folder.file("layer_4_mean_gradients.npy"))
    try NumPyWriter.write([1, 2] as [Float], to: errors)
    try NumPyWriter.write([1, 2, 3] as [Float], to: values)
    try collection.read(errors)
    let what = "\(errors): standard errors of mean at mlp_out.4: expected"
    #expect(throws: Failure(.malformed, "\(what) the averages as well, found none")) { try collection.sorted() }
    try collection.read(values)
    #expect(throws: Failure(.malformed, "\(what) 3 of them, found 2")) { try collection.sorted() }
  }

  @Test func choosesSites() throws {
    let stream = try folder.writeStream(
      "aggregates.ts", records: [[("mean.mlp_out.2", [1]), ("mean.resid_post.2", [2])]])
    var collection = AverageCollection()
    try collection.read(stream)
    #expect(try collection.sorted(sites: [.residPost]).map(\.values) == [[2]])
    #expect(
      throws: Failure(.usage, "--site: attn_z is not in the input, which has mlp_out.2,resid_post.2")
    ) { try collection.sorted(sites: [.attnZ]) }
  }

  @Test func takesArraysByTheirNames() throws {
    try NumPyWriter.write([1, 2] as [Float], to: "\(folder.path)/layer_3_gradients.npy")
    try NumPyWriter.write([1, -2] as [Float], to: "\(folder.path)/layer_4_gradients.npy")
    try NumPyWriter.write([1.0, 2], to: "\(folder.path)/layer_5_mean_gradients.npy")
    try NumPyWriter.write([1.0, 2], to: "\(folder.path)/array0.npy")
    try NumPyWriter.write([1.0, 2], to: "\(folder.path)/array1.npy")
    var defaults = AverageCollection.Defaults()
    defaults.nextLayer = 20
    var collection = AverageCollection(defaults)
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
