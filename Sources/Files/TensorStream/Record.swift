import SystemIO
import TensorFiles

/// One record as it was read: its metadata and its tensors, valid until the next one is read.
public struct Record {
  /// Counted from 0 over the whole stream, begin and end records included.
  public let number: Int
  public let header: SafetensorsHeader
  /// The safetensors buffer; empty where the record was not read.
  public let bytes: UnsafeRawBufferPointer
  /// What a record that was not read is made of, and where its tensors stand in it.
  private let made: (record: OutputRecord, indices: [String: Int])?

  public var metadata: [String: String] { header.metadata }

  init(number: Int, parsing bytes: UnsafeRawBufferPointer) throws {
    self.number = number
    self.bytes = bytes
    made = nil
    do { header = try SafetensorsHeader(parsing: bytes, limit: StreamFormat.maximumHeader) } catch {
      throw Failure(.malformed, String(describing: error))
    }
  }

  /// What would be read where `record` was written, without a copy.
  public init(number: Int, handingOn record: OutputRecord, batch: Int) {
    self.number = number
    bytes = UnsafeRawBufferPointer(start: nil, count: 0)
    header = SafetensorsHeader(metadata: ["record": "data", "batch": String(batch)], layingOut: record.tensors)
    let names = record.tensors.enumerated().map { ($1.name, $0) }
    made = (record, Dictionary(uniqueKeysWithValues: names))
  }

  /// The batch's number, as its metadata has it.
  public var batch: Int {
    get throws {
      guard let batch = metadata["batch"].flatMap({ Int($0) }), batch >= 0 else {
        throw failure("expected a number batch, found \(metadata["batch"] ?? "none")")
      }
      return batch
    }
  }

  public func has(_ name: String) -> Bool { header[name] != nil }

  public func bytes(of tensor: TensorInfo) -> UnsafeRawBufferPointer {
    if let made { return made.record.contents[made.indices[tensor.name]!] }
    let start = header.dataOffset + tensor.byteRange.lowerBound
    return UnsafeRawBufferPointer(rebasing: bytes[start..<start + tensor.byteRange.count])
  }

  /// The tensor of that name, which must have the type of `Element` and, where `shape` gives a size, that size.
  public func tensor<Element: StreamElement>(_ name: String, shape: [Int?], of: Element.Type = Element.self) throws
    -> UnsafeBufferPointer<Element>
  {
    guard let tensor = header[name] else {
      throw failure("tensor \(name) is missing")
    }
    let wanted = shape.map { $0.map(String.init) ?? "any" }.joined(separator: ", ")
    guard tensor.type == Element.elementType, tensor.shape.count == shape.count,
      zip(tensor.shape, shape).allSatisfy({ found, wanted in wanted == nil || wanted == found })
    else {
      throw failure(
        "tensor \(name): expected \(Element.elementType.rawValue) [\(wanted)], "
          + "found \(tensor.type.rawValue) \(tensor.shape)")
    }
    let bytes = bytes(of: tensor)
    guard UInt(bitPattern: bytes.baseAddress) % UInt(MemoryLayout<Element>.alignment) == 0 else {
      throw failure("tensor \(name): expected data aligned to \(MemoryLayout<Element>.alignment) bytes")
    }
    return bytes.assumingMemoryBound(to: Element.self)
  }

  /// Runs `body` and says of this record what it throws.
  public func locating<T>(_ body: () throws -> T) throws -> T {
    do { return try body() } catch let failure as Failure { throw failure.at("record \(number)") }
  }

  /// A malformed-input failure that says it of this record.
  public func failure(_ message: String) -> Failure {
    Failure(.malformed, "record \(number): \(message)")
  }
}

/// The Swift types that tensors of a stream are read into.
public protocol StreamElement: BitwiseCopyable {
  static var elementType: ElementType { get }
}

extension Float: StreamElement { public static var elementType: ElementType { .f32 } }
extension Double: StreamElement { public static var elementType: ElementType { .f64 } }
extension Int32: StreamElement { public static var elementType: ElementType { .i32 } }
extension Int64: StreamElement { public static var elementType: ElementType { .i64 } }
