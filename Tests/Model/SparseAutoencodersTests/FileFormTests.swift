import Foundation
import SparseAutoencoders
import SystemIO
import TestSupport
import Testing

/// The same numbers in files that are written otherwise.
@Suite struct FileFormTests {
  private func numbers(_ autoencoder: SparseAutoencoder) throws -> [[Double]] {
    let parameters = autoencoder.parameters
    guard case .thresholds(let thresholds) = parameters.activation else { throw Unexpected() }
    return try rows(of: parameters.encoder) + rows(of: parameters.decoder)
      + [parameters.encoderBias ?? [], parameters.outputBias, thresholds].map { $0.map(Double.init) }
  }

  private struct Unexpected: Error {}

  @Test(arguments: [
    ("compressed", 0), ("compressed_fortran", 0), ("fortran", 0), ("float64", 0), ("big_endian", 0), ("lower_case", 0),
    ("extra", 0), ("float16", 0x1p-11),
  ]) func arraysOfNumPy(_ name: String, _ tolerance: Double) throws {
    let expected = try numbers(SparseAutoencoder("\(fixtures)/gemma_scope/params.npz"))
    let autoencoder = try SparseAutoencoder("\(fixtures)/numpy_forms/\(name).npz")
    let found = try numbers(autoencoder)
    for (row, other) in zip(found.joined(), expected.joined()) {
      #expect(abs(row - other) <= tolerance * max(1, abs(other)))
    }
    #expect(found.map(\.count) == expected.map(\.count) && autoencoder.warnings.isEmpty)
    #expect(autoencoder.parameters.decoder.rows == 12 && autoencoder.parameters.decoder.columns == 6)
  }

  @Test func aDamagedCompressedArrayIsRefused() throws {
    let folder = try TemporaryFolder()
    let whole = Array(try Data(contentsOf: URL(fileURLWithPath: "\(fixtures)/numpy_forms/compressed.npz")))
    for position in stride(from: 0, to: whole.count, by: 7) {
      var changed = whole
      changed[position] ^= 0x55
      try Data(changed).write(to: folder.url("params.npz"))
      do {
        _ = try numbers(SparseAutoencoder(folder.file("params.npz")))
      } catch {
        let message = try #require(error as? Failure).description
        #expect(message.hasPrefix(folder.file("params.npz")), "\(message)")
      }
    }
  }

  private static let batchTopK: [String: WrittenValue] = [
    "encoder.weight": .tensor(.floats([6, 4])), "encoder.bias": .tensor(.floats([6])),
    "decoder.weight": .tensor(.floats([4, 6])), "b_dec": .tensor(.floats([4])), "k": .tensor(.integer(2)),
    "threshold": .tensor(.float(0.5)),
  ]

  private func open(_ values: [String: WrittenValue]) throws -> SparseAutoencoder {
    try AutoencoderFolder(torch: values, trainer: #"{"dict_class": "BatchTopKSAE"}"#).open()
  }

  @Test(arguments: ["state_dict", "model_state_dict", "model", "sae"]) func wrappings(_ key: String) throws {
    let plain = try rows(of: open(Self.batchTopK).parameters.encoder)
    let wrapped = try open([key: .dictionary(Self.batchTopK), "epoch": .integer(3), "cfg": .dictionary([:])])
    #expect(try rows(of: wrapped.parameters.encoder) == plain && wrapped.className == "BatchTopKSAE")
    #expect(wrapped.warnings == ["read from its entry \(key); not read: cfg, epoch"])
    #expect(try open([key: .dictionary(Self.batchTopK)]).warnings.isEmpty)
  }

  @Test func severalInOneFile() throws {
    let two: [String: WrittenValue] = ["state_dict": .dictionary(Self.batchTopK), "sae": .dictionary(Self.batchTopK)]
    let failure = #expect(throws: Failure.self) { try open(two) }
    #expect(failure?.description.hasSuffix("found several: state_dict, sae") == true)
  }

  @Test(arguments: ["module.", "_orig_mod."]) func prefixes(_ prefix: String) throws {
    let named = Dictionary(uniqueKeysWithValues: Self.batchTopK.map { (prefix + $0.key, $0.value) })
    #expect(try open(named).k == 2)
    var some = named
    some["bias"] = .tensor(.floats([4]))
    #expect(throws: Failure.self) { try open(some) }
  }
}
