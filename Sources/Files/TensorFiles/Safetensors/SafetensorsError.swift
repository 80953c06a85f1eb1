/// Every reason to refuse a safetensors buffer, named as in the Rust crate's `SafeTensorError`.
public enum SafetensorsError: Error, Equatable, CustomStringConvertible {
  case headerTooSmall(bytes: Int)
  case headerTooLarge(length: UInt64, limit: Int)
  case invalidHeaderLength(length: UInt64, available: Int)
  case invalidHeaderStart
  case invalidHeader(reason: String)
  case invalidMetadata
  case unknownElementType(tensor: String, found: String)
  case invalidTensorInfo(tensor: String)
  case validationOverflow(tensor: String)
  case sizeMismatch(tensor: String, expected: Int, found: Int)
  case invalidOffset(tensor: String, expected: Int, found: Int)
  case incompleteBuffer(expected: Int, found: Int)

  public var description: String {
    switch self {
    case .headerTooSmall(let bytes):
      "safetensors header too small: expected at least 8 bytes, found \(bytes)"
    case .headerTooLarge(let length, let limit):
      "safetensors header too large: expected at most \(limit) bytes, found \(length)"
    case .invalidHeaderLength(let length, let available):
      "safetensors header length: expected \(length) bytes of header, found \(available)"
    case .invalidHeaderStart:
      "safetensors header start: expected '{'"
    case .invalidHeader(let reason):
      "safetensors header: \(reason)"
    case .invalidMetadata:
      "safetensors __metadata__: expected an object of strings"
    case .unknownElementType(let tensor, let found):
      "tensor \(tensor): unknown dtype \(found)"
    case .invalidTensorInfo(let tensor):
      "tensor \(tensor): expected dtype, shape and data_offsets"
    case .validationOverflow(let tensor):
      "tensor \(tensor): the size overflows"
    case .sizeMismatch(let tensor, let expected, let found):
      "tensor \(tensor): shape and dtype make \(expected) bytes, data_offsets \(found)"
    case .invalidOffset(let tensor, let expected, let found):
      "tensor \(tensor): data_offsets not contiguous: expected start \(expected), found \(found)"
    case .incompleteBuffer(let expected, let found):
      "safetensors data: expected \(expected) bytes, found \(found)"
    }
  }
}
