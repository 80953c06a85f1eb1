import CUDAOperations
import Decoders
import Foundation
import TensorOperations
import TensorStream
import TestSupport
import Testing

/// The gradients of samples' first rows in Double, beside those of all other rows in Float.
@Suite struct MassiveActivationTests {
  /// Several samples, packed, from every place on: the first rows as a pass in Double over all rows has them, the others
  /// as the pass in Float.
  @Test(arguments: GoldenFile.families + ["f32"]) func firstRowsAreThoseOfDouble(name: String) throws {
    try compare(name, CPUOperations(threads: 2))
  }

  @Test(
    .enabled(if: StandInGPU.folder != nil, "\(StandInGPU.absence)"),
    arguments: ["families/llama", "families/gpt_neox", "families/gemma2"])
  func onAGPU(name: String) throws { try compare(name, CUDAOperations(folder: StandInGPU.folder)) }

  private func compare(_ name: String, _ operations: some PassOperations) throws {
    let golden = try GoldenFile(name)
    let plain = try loadModel(golden.model, arithmetic: .float32, operations: operations)
    let exact = try loadModel(golden.model, arithmetic: .float32, operations: DoubleOperations(threads: 1))
    let mixed = try loadModel(golden.model, operations: operations)
    let tokens = try golden.batches("plain")[0]
    // Of every second length, that of the first sample among them.
    let parity = tokens.rows(of: 0).count % 2
    let rule = { (lengths: [[Double]]) in lengths[0].count % 2 == parity ? min(3, lengths[0].count) : 0 }
    mixed.countInDouble = rule
    plain.countInDouble = rule
    let batch = try ModelInput(tokens, mixed.description)
    let first = (0..<tokens.sampleCount).flatMap { sample -> [Int] in
      let rows = tokens.rows(of: sample)
      return Array(rows.prefix(rule([Array(repeating: 0, count: rows.count)])))
    }
    #expect(!first.isEmpty && first.count < batch.rowCount)
    let places = PlaceList(sites: mixed.description.sites, layers: 0..<golden.layerCount).places
    for start in [places[0], Place(.attnZ, 0), Place(.attnOut, 0), Place(.mlpOut, 0)] {
      let wanted = places.filter { $0 >= start }
      func gradients(_ model: DecoderModel) throws -> [Place: [Float]] {
        var found: [Place: [Float]] = [:]
        // All from one and the same activation.
        let captured = try captured(plain, batch, at: start)
        _ = Captured(
          model: model, batch: batch, place: start, activation: captured.activation, rest: captured.rest
        ).gradients(wanted) { found[$0] = $1 }
        return found
      }
      let (float, double, found) = try (gradients(plain), gradients(exact), gradients(mixed))
      for place in wanted {
        let W = mixed.description.width(of: place.site)
        for row in 0..<batch.rowCount {
          let range = row * W..<(row + 1) * W
          if first.contains(row) {
            let error = relativeL2(Array(found[place]![range]), double[place]![range].map(Double.init))
            #expect(error < 5e-6, "\(place) from \(start), row \(row): \(error)")
          } else {
            #expect(found[place]![range] == float[place]![range], "\(place) from \(start), row \(row)")
          }
        }
      }
    }
    #expect(mixed.rowsInDouble == 4 * first.count)
    #expect(plain.rowsInDouble == 0, "it is left out where float32 was asked for")
  }

  /// Where all rows of a sample are computed so, nothing is left of Float but the last rounding; also where activations
  /// among them are replaced.
  @Test(arguments: ["families/llama", "families/gpt_neox", "families/gemma2"])
  func wholeSamples(name: String) throws {
    let golden = try GoldenFile(name)
    let exact = try loadModel(golden.model, arithmetic: .float32, operations: DoubleOperations(threads: 1))
    let mixed = try loadModel(golden.model)
    mixed.countInDouble = { $0[0].count }
    let batch = try ModelInput(try golden.batches("plain")[0], mixed.description)
    let start = Place(.residPre, 0)
    let own = try captured(exact, batch, at: start)
    let D = mixed.description.width
    let replaced = Array(stride(from: Int32(0), to: Int32(batch.rowCount), by: 3))
    var changed = own.activation
    for row in replaced { for i in 0..<D { changed[Int(row) * D + i] *= 1.5 } }
    for (activation, rows) in [(own.activation, []), (changed, replaced)] {
      func gradient(_ model: DecoderModel) -> [Float] {
        var found: [Float] = []
        _ = Captured(model: model, batch: batch, place: start, activation: activation, rest: nil, replaced: rows)
          .gradients([start]) { found = $1 }
        return found
      }
      #expect(relativeL2(gradient(mixed), gradient(exact).map(Double.init)) < 1e-7)
    }
  }

  /// The pass in Double reads the layers before the place too, from the checkpoint's file, of which no more stays in memory
  /// than the pass in Float keeps there.
  @Test func readWeightsAreLetGoOf() throws {
    #expect(try mappedBytesBehindThePass(CPUOperations(threads: 2)) < 2 * Self.layerBytes)
  }

  @Test(.enabled(if: StandInGPU.folder != nil, "\(StandInGPU.absence)"))
  func readWeightsAreLetGoOfBesideAGPU() throws {
    #expect(try mappedBytesBehindThePass(CUDAOperations(folder: StandInGPU.folder)) < Self.layerBytes)
  }

  private static let (width, mlpWidth) = (84, 8192)
  /// Of the MLP's matrices of one layer.
  private static let layerBytes = 3 * 4 * width * mlpWidth

  /// How much of a model's file this process has in memory once it went from the last of three layers to the loss and back.
  private func mappedBytesBehindThePass(_ operations: some PassOperations) throws -> Int {
    let folder = try ModelFolder("f32")
    try folder.setEntry("intermediate_size", "\(Self.mlpWidth)")
    for layer in 0..<3 {
      for (name, shape) in [
        ("gate", [Self.mlpWidth, Self.width]), ("up", [Self.mlpWidth, Self.width]),
        ("down", [Self.width, Self.mlpWidth]),
      ] {
        folder.tensors["model.layers.\(layer).mlp.\(name)_proj.weight"] = .init(
          type: .f32, shape: shape, bytes: Array(repeating: 0x3c, count: Self.layerBytes / 3))
      }
    }
    try folder.write()
    let checkpoint = try Checkpoint(folder.path)
    let start = Place(.residPost, 1)
    let model = try DecoderModel(
      checkpoint, layers: DecoderModel.layers(from: start, of: checkpoint.description), includingHead: true,
      operations: operations)
    model.countInDouble = { min(2, $0[0].count) }
    let batch = try ModelInput(try GoldenFile("f32").batches("plain")[0], model.description)
    let activation = (0..<batch.rowCount * Self.width).map { Float($0 % 7) }
    _ = Captured(model: model, batch: batch, place: start, activation: activation, rest: nil).gradients([start]) {
      _, _ in
    }
    #expect(model.rowsInDouble > 0)
    // A mapping's header ends with the file's path, and one of the lines behind it is its size in memory.
    // To its end: Foundation takes the first piece alone for the whole of a file whose size is 0.
    let map = try #require(FileHandle(forReadingAtPath: "/proc/self/smaps")).readDataToEndOfFile()
    let lines = String(decoding: map, as: UTF8.self).split(separator: "\n")
    let header = try #require(lines.firstIndex { $0.hasSuffix(folder.temporary.file("model.safetensors")) })
    let size = try #require(lines[header...].first { $0.hasPrefix("Rss:") }?.split(separator: " ")[1])
    return try withExtendedLifetime(model) { try #require(Int(size)) << 10 }
  }

  @Test func whichRowsAreOnTheirWay() {
    let others = Array(repeating: 100.0, count: 20)
    func prefix(_ layers: [Double]...) -> Int { MassiveActivations.prefix(lengths: layers) }
    #expect(prefix(others) == 0)
    // Settled ones alone.
    #expect(prefix([22_000] + others) == 0)
    #expect(prefix([22_000, 19_000] + others) == 0)
    // One between them and the others, in any layer, and all before it.
    #expect(prefix([22_000, 1_800] + others) == 2)
    #expect(prefix([22_000] + others, [22_000, 90, 5_000] + others, others) == 3)
    // Where none is settled, nothing is on its way.
    #expect(prefix([6_000, 1_800] + others) == 0)
    #expect(prefix([100]) == 0)
    #expect(prefix([22_000, 1_800, 100]) == 2)
  }
}
