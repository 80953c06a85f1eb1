import Aggregation
import Decoders
import FilterSupport
import Glibc
import JSON
import Plotting
import SparseAutoencoders
import SystemIO
import TensorFiles
import TensorOperations
import TensorStream
import TestSupport
import Tokenization

extension Reader {
  /// Every reader of bytes that may come from a stranger.
  static let all: [String: Reader] = [
    "json": Reader(read: json, seeds: Seeds.json),
    "safetensors": Reader(read: safetensors, seeds: Seeds.safetensors),
    "frames": Reader(read: frames, seeds: Seeds.streams),
    "records": Reader(read: records, seeds: Seeds.records),
    "zip": Reader(read: archive, seeds: Seeds.zips),
    "pickle": Reader(read: pickle, seeds: Seeds.pickles),
    "torch": Reader(read: torch, seeds: Seeds.torchParts),
    "autoencoder": Reader(read: autoencoder, seeds: Seeds.autoencoders),
    "npy": Reader(read: npy, seeds: Seeds.arrays),
    "tokenizer": Reader(read: tokenizer, seeds: Seeds.tokenizers),
    "merges": Reader(read: merges, seeds: Seeds.merges),
    "text": Reader(read: text, seeds: Seeds.texts),
    "config": Reader(read: configuration, seeds: Seeds.configurations),
    "checkpoint": Reader(read: checkpoint, seeds: Seeds.checkpoints),
    "layers": Reader(read: layers, seeds: Seeds.layers),
    "facts": Reader(read: facts, seeds: Seeds.facts),
  ]

  // MARK: - Buffers

  private static func json(_ bytes: UnsafeRawBufferPointer) throws {
    let document = try JSON(parsing: bytes)
    // What was read can be written and read again.
    func visit(_ value: JSON) throws {
      if let text = value.text {
        let again = try JSON(parsing: Array(JSON.quote(text).utf8))
        precondition(again == value, "\(text) comes back as \(again)")
      }
      for element in value.elements ?? [] { try visit(element) }
      for member in value.members ?? [] { try visit(member.value) }
    }
    try visit(document)
  }

  private static func safetensors(_ bytes: UnsafeRawBufferPointer) throws {
    let header: SafetensorsHeader
    do { header = try SafetensorsHeader(parsing: bytes) } catch { return }
    var end = header.dataOffset
    for tensor in header.tensors {
      precondition(header.dataOffset + tensor.byteRange.lowerBound == end)
      precondition(tensor.shape.reduce(tensor.type.size, *) == tensor.byteRange.count)
      end = header.dataOffset + tensor.byteRange.upperBound
    }
    precondition(end == bytes.count)
    let layout = header.tensors.map { ($0.name, $0.type, $0.shape) }
    let written = SafetensorsHeader(metadata: header.metadata, layingOut: layout).encoded()
    let buffer = written + bytes[header.dataOffset...]
    let again = try buffer.withUnsafeBytes { try SafetensorsHeader(parsing: $0) }
    precondition(again.metadata == header.metadata && again.tensors == header.tensors)
  }

  private static func npy(_ bytes: UnsafeRawBufferPointer) throws {
    let vector = try NumPyVector(parsing: bytes)
    precondition(vector.count <= bytes.count)
  }

  private static func pickle(_ bytes: UnsafeRawBufferPointer) throws {
    let storage = Zeros()
    let value = try PickleReader.read(bytes) { _, _, byteCount throws(Failure) in
      guard byteCount == storage.count else { throw Failure(.malformed, "another size") }
      return storage
    }
    try visit(value)
  }

  private final class Zeros: TensorStorage, @unchecked Sendable {
    let count = 64
    private let buffer = AlignedBuffer(capacity: 64)
    init() { buffer.address.initializeMemory(as: UInt8.self, repeating: 0, count: 64) }
    func bytes() -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: buffer.address, count: count) }
  }

  private static func visit(_ value: PickleValue) throws {
    if let tensor = value.tensor { _ = try? tensor.doubles() }
    for entry in value.entries ?? [] { try visit(entry.value) }
  }

  private static func layers(_ bytes: UnsafeRawBufferPointer) throws {
    guard let list = try? LayerList(String(decoding: bytes, as: UTF8.self)) else { return }
    precondition((try? LayerList(list.description)) == list)
  }

  private static func facts(_ bytes: UnsafeRawBufferPointer) throws {
    guard let (program, fact) = Fact.read(bytes) else { return }
    // Compared as text, as NaN is not equal to itself.
    let line = fact.line(program: program)
    let again = Fact.read(line.utf8)
    precondition(again?.fact.line(program: again!.program) == line, line)
  }

  private static func configuration(_ bytes: UnsafeRawBufferPointer) throws {
    _ = try DecoderDescription(JSON(parsing: bytes, allowsNonfinite: true))
  }

  // MARK: - Streams

  private static let scratch = try! ScratchFiles()

  private static func frames(_ bytes: UnsafeRawBufferPointer) throws {
    try read(StreamReader(try InputFile(path: scratch.file("stream", bytes)), isThreaded: false))
  }

  /// Records in frames that are as they should be.
  private static func records(_ bytes: UnsafeRawBufferPointer) throws {
    var contents = parts(bytes)
    let hasEnd = contents.last?.isEmpty == true
    if hasEnd {
      contents.removeLast()
      let data = contents.dropFirst()
      contents.append(
        TestSupport.safetensors([
          "record": "end", "records": "\(data.count)", "bytes": "\(data.reduce(0) { $0 + $1.count })",
        ]))
    }
    let stream = contents.flatMap { HandmadeFrame($0).bytes }
    try stream.withUnsafeBytes {
      try read(StreamReader(try InputFile(path: scratch.file("stream", $0)), isThreaded: false))
    }
  }

  /// All that the programs make of a stream's records.
  private static func read(_ reader: StreamReader) throws {
    while let segment = try reader.nextSegment() {
      if let list = try? segment.places() { precondition(PlaceList(list.description) == list, "\(list)") }
      for place in (try? segment.places(of: .basis)) ?? [] {
        _ = try? BasisReference(parsing: segment.provenance[PlaceValue.basis.name(place)]!)
      }
      let texts = (try? TextIdentity.texts(of: segment.provenance)) ?? [.unknown]
      var agreement = ProvenanceAgreement()
      _ = try? agreement.add(
        segment.provenance, .init(modes: [.mean], lossReduction: .sum, weighting: .position))
      let sums = GradientSums(
        .init(modes: [.mean, .meanAbsolute], lossReduction: .batch, weighting: .sample))
      let table = GradientSums(
        .init(quantities: [.gradient, .attribution], modes: [.mean], lossReduction: .sum, weighting: .batch),
        allowsNonfinite: true)
      let products = GradientSums(
        .init(
          quantities: [.gradient, .attribution, .activation], modes: [.mean, .meanAbsolute], lossReduction: .sum,
          weighting: .position), allowsNonfinite: true)
      products.use(basis, for: Place(.mlpOut, 0), operations: operations, team: ThreadTeam(size: 1))
      var isWhole = true
      while let record = try reader.nextRecord() {
        _ = try record.batch
        switch segment.kind {
        case .tokens, .activations:
          let tokens = try TokenBatch(record)
          precondition(tokens.rows(of: tokens.sampleCount - 1).upperBound == tokens.tokenCount)
        case .gradients:
          try? sums.add(gradients: record)
          if (try? products.add(gradients: record)) == nil { isWhole = false }
          try table.add(gradients: record)
        case .aggregates:
          try sums.merge(partial: record, of: texts)
          _ = sums.places.values.map(\.samples.count)
        }
      }
      if isWhole { products.finish() }
    }
  }

  /// A decoder of five features for the gradients of three dimensions that the seeds have.
  nonisolated(unsafe) private static let basis = {
    let tensor = operations.makeTensor(rows: 5, columns: 3)
    operations.upload(tensor, from: (0..<15).map { Float($0) - 7 })
    return Basis(decoder: Matrix(tensor), hostDecoder: Matrix(tensor))
  }()

  // MARK: - Files

  private static func archive(_ bytes: UnsafeRawBufferPointer) throws {
    let archive = try ZipArchive(path: scratch.file("archive", bytes))
    for entry in archive.entries {
      let payload = archive.uncheckedBytes(of: entry)
      precondition(payload.count == entry.byteRange.count && entry.byteRange.upperBound <= bytes.count)
      _ = try archive.bytes(of: entry).reduce(0) { $0 ^ $1 }
    }
  }

  /// A pickle and its storages in an archive that is as it should be.
  private static func torch(_ bytes: UnsafeRawBufferPointer) throws {
    let parts = parts(bytes)
    guard let pickle = parts.first else { return }
    let archive = ZipBuilder(
      [.init("ae/data.pkl", pickle)] + parts.dropFirst().enumerated().map { .init("ae/data/\($0)", $1) }
    ).build()
    let path = try archive.withUnsafeBytes { try scratch.file("ae.pt", $0) }
    try visit(try TorchFile(path: path).value)
    try open(path)
  }

  /// A configuration and a file of tensors.
  private static func autoencoder(_ bytes: UnsafeRawBufferPointer) throws {
    let parts = parts(bytes)
    guard parts.count >= 2 else { return }
    let configuration = try parts[0].withUnsafeBytes { try scratch.file("cfg.json", $0) }
    let weights = try parts[1].withUnsafeBytes { try scratch.file("weights", $0) }
    defer { unlink(configuration) }
    try open(weights)
  }

  private static func open(_ path: String) throws {
    var options = SparseAutoencoder.Options()
    options.k = 2
    options.acceptsTranscoders = true
    let autoencoder = try SparseAutoencoder(path, layer: 0, options: options)
    _ = try? autoencoder.check(width: autoencoder.width, modelName: "model")
    _ = autoencoder.misplacement(at: Place(.mlpOut, 0))
    for matrix in [autoencoder.parameters.encoder, autoencoder.parameters.decoder] {
      let matrix = try Matrix(matrix, asFloat: true)
      let (lines, length) =
        matrix.isColumnMajor ? (matrix.columns, matrix.rows) : (matrix.rows, matrix.columns)
      var sum: Float = 0
      for line in 0..<lines { for i in 0..<length { sum += matrix.floats[line * matrix.leadingDimension + i] } }
      precondition(sum != -1.25e-30)
    }
  }

  private static func tokenizer(_ bytes: UnsafeRawBufferPointer) throws {
    let tokenizer = try Tokenizer(path: scratch.file("tokenizer.json", bytes))
    _ = try? tokenizer.padID()
    for text in ["Hello, world! <word> <left> 123", "\u{e9}\u{0301}\u{1F600}\r\n  \t x's"] {
      let ids = try tokenizer.encode(Array(text.utf8))
      _ = try tokenizer.decode(ids, skippingSpecialTokens: true)
      for id in ids { _ = try tokenizer.piece(of: id)?.shown }
    }
  }

  /// merges.txt, tokenizer_config.json and a text, with a vocabulary of single bytes and some pairs.
  private static func merges(_ bytes: UnsafeRawBufferPointer) throws {
    let parts = parts(bytes)
    guard parts.count == 3 else { return }
    _ = try Seeds.vocabulary.withUnsafeBytes { try scratch.file("words/vocab.json", $0) }
    _ = try parts[0].withUnsafeBytes { try scratch.file("words/merges.txt", $0) }
    let configuration = try parts[1].withUnsafeBytes { try scratch.file("words/tokenizer_config.json", $0) }
    if parts[1].isEmpty { unlink(configuration) }
    let tokenizer = try Tokenizer(path: scratch.folder + "/words")
    _ = try? tokenizer.padID()
    _ = try tokenizer.encode(parts[2])
  }

  nonisolated(unsafe) private static let words = Result {
    try Tokenizer(path: "\(packageRoot)/Tests/Model/TokenizationTests/Fixtures/strings/tokenizer.json")
  }

  private static func text(_ bytes: UnsafeRawBufferPointer) throws {
    let tokenizer = try words.get()
    let choices: [(UInt64?, Int, SampleForm)] = [
      (nil, 0, .line), (7, 3, .zeroTerminated), (nil, 0, .jsonField("text")),
    ]
    for (seed, minimum, form) in choices {
      let samples = SampleReader(
        [try InputFile(path: scratch.file("text", bytes))],
        SampleSelection(count: 20, minimumCharacters: minimum, shuffleSeed: seed, form: form))
      _ = try samples.textIdentity()
      var batcher = try SampleBatcher(samplesPerBatch: 3, maximumLength: 40, padID: nil)
      while let sample = try samples.next() {
        let ids = try tokenizer.encode(sample.text, cutTo: 40, addingSpecialTokens: true)
        _ = try batcher.add(ids, index: sample.index, document: sample.document)
      }
      _ = batcher.finish()
    }
  }

  /// config.json, the index and two files of tensors, the first of which is a whole model where there is no index.
  private static func checkpoint(_ bytes: UnsafeRawBufferPointer) throws {
    let parts = parts(bytes)
    let isWhole = parts.count > 1 && parts[1].isEmpty
    let first = isWhole ? "model.safetensors" : "b.safetensors"
    let names = ["config.json", "model.safetensors.index.json", first, "a.safetensors"]
    unlink("\(scratch.folder)/model/model.safetensors")
    for (name, part) in zip(names, parts) { _ = try part.withUnsafeBytes { try scratch.file("model/\(name)", $0) } }
    guard parts.count == names.count else { return }
    if parts[1].isEmpty { unlink("\(scratch.folder)/model/\(names[1])") }
    let checkpoint = try Checkpoint("\(scratch.folder)/model")
    // Sizes that no file of this size has are refused before memory is taken for them.
    let layers = min(checkpoint.description.layerCount, 2)
    _ = try DecoderModel(checkpoint, layers: 0..<layers, includingHead: true, operations: operations)
  }

  nonisolated(unsafe) private static let operations = try! CPUOperations(threads: 1)
}

/// Files in memory whose contents are replaced again and again.
final class ScratchFiles: @unchecked Sendable {
  let folder: String

  init() throws {
    folder = "/dev/shm/fuzz-\(getpid())"
    for name in ["", "/words", "/model"] { try makeFolder(folder + name) }
    atexit {
      for name in ["/words", "/model", ""] {
        guard let directory = opendir("/dev/shm/fuzz-\(getpid())\(name)") else { continue }
        while let entry = readdir(directory) {
          let file = withUnsafePointer(to: &entry.pointee.d_name) {
            $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
          }
          unlink("/dev/shm/fuzz-\(getpid())\(name)/\(file)")
        }
        closedir(directory)
        rmdir("/dev/shm/fuzz-\(getpid())\(name)")
      }
    }
  }

  /// The path of the file, which holds `bytes` now.
  func file(_ name: String, _ bytes: UnsafeRawBufferPointer) throws -> String {
    let path = "\(folder)/\(name)"
    let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
    precondition(descriptor >= 0 && (bytes.isEmpty || write(descriptor, bytes.baseAddress, bytes.count) == bytes.count))
    close(descriptor)
    return path
  }
}
