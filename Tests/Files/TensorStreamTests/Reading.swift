import SystemIO
import TensorStream
import TestSupport

/// What a stream held: of each segment the begin record and the data records with the bytes of their tensors.
struct Contents: Equatable {
  struct Tensor: Equatable {
    let name: String
    let type: String
    let shape: [Int]
    let bytes: [UInt8]
  }

  struct Data: Equatable {
    let number: Int
    let metadata: [String: String]
    let tensors: [Tensor]
  }

  struct Part: Equatable {
    let kind: StreamKind
    let provenance: [String: String]
    let records: [Data]
  }

  var parts: [Part] = []

  /// Reads a stream to its end.
  init(_ file: InputFile, kind: StreamKind? = nil) throws {
    let reader = StreamReader(file)
    while let segment = try reader.nextSegment(kind) {
      var records: [Data] = []
      while let record = try reader.nextRecord() {
        let tensors = record.header.tensors.map { tensor in
          Tensor(
            name: tensor.name, type: tensor.type.rawValue, shape: tensor.shape, bytes: Array(record.bytes(of: tensor)))
        }
        records.append(Data(number: record.number, metadata: record.metadata, tensors: tensors))
      }
      parts.append(Part(kind: segment.kind, provenance: segment.provenance, records: records))
    }
  }
}

func contents(_ bytes: [UInt8], kind: StreamKind? = nil) throws -> Contents {
  try Contents(ReusedFile().opened(with: bytes), kind: kind)
}

/// The refusal of a stream, without the file's name; nil where it is read to its end.
func refusal(_ bytes: [UInt8], kind: StreamKind? = nil) throws -> Failure? {
  let file = try ReusedFile().opened(with: bytes)
  do {
    _ = try Contents(file, kind: kind)
    return nil
  } catch let failure as Failure {
    let prefix = "\(file.name): "
    precondition(failure.description.hasPrefix(prefix), "no file named: \(failure)")
    return Failure(failure.kind, String(failure.description.dropFirst(prefix.count)))
  }
}

/// A tokens stream by hand from the records' buffers.
func handmade(_ records: [[UInt8]]) -> [UInt8] {
  records.flatMap { HandmadeFrame($0).bytes }
}

let begin = safetensors(["record": "begin", "format": "tensor-stream/2", "kind": "tokens"])
let emptyEnd = safetensors(["record": "end", "records": "0", "bytes": "0"])
