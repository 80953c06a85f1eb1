/// The names that a pickle may mention, each a token with one fixed meaning here: nothing is looked up. They are those
/// that `torch.load(weights_only=True)` allows (torch/_weights_only_unpickler.py), but for sparse, quantized, nested
/// and meta tensors and tensors of other devices, which nothing here computes with.
enum PickleGlobal {
  case call(PickleCall)
  /// A class of storages whose elements are of one type.
  case storage(StorageType)
  /// `torch.storage.UntypedStorage`, which counts bytes: the type stands with the tensor.
  case untypedStorage
  /// A value of `torch.dtype`.
  case elementType(StorageType)
  /// A class of tensors, which `_rebuild_from_type_v2` is told.
  case tensorClass

  init?(module: String, name: String) {
    // Python 2's name of it is what protocol 2 writes.
    let module = module == "__builtin__" ? "builtins" : module
    if let call = PickleCall(rawValue: "\(module) \(name)") {
      self = .call(call)
    } else if module == "torch.storage", name == "UntypedStorage" {
      self = .untypedStorage
    } else if ["torch Tensor", "torch.nn.parameter Parameter", "torch.nn.parameter Buffer"].contains(
      "\(module) \(name)")
    {
      self = .tensorClass
    } else if module == "torch", let type = StorageType.ofStorages[name] {
      self = .storage(type)
    } else if module == "torch", let type = StorageType.all[name] {
      self = .elementType(type)
    } else {
      return nil
    }
  }

  /// For messages.
  var description: String {
    switch self {
    case .call(let call): call.rawValue
    case .storage(let type): "torch \(StorageType.ofStorages.first { $0.value == type }!.key)"
    case .untypedStorage: "torch.storage UntypedStorage"
    case .elementType(let type): "torch \(type.name)"
    case .tensorClass: "a class of tensors"
    }
  }
}

/// What REDUCE may call, all of it without effect outside the values that are read.
enum PickleCall: String {
  case orderedDict = "collections OrderedDict"
  case counter = "collections Counter"
  case rebuildTensor = "torch._utils _rebuild_tensor_v2"
  case rebuildTensorOfType = "torch._utils _rebuild_tensor_v3"
  case rebuildParameter = "torch._utils _rebuild_parameter"
  case rebuildParameterWithState = "torch._utils _rebuild_parameter_with_state"
  case rebuildFromType = "torch._tensor _rebuild_from_type_v2"
  case size = "torch Size"
  // What these make is nothing that a reader has a use for.
  case device = "torch device"
  case layout = "torch.serialization _get_layout"
  case set = "builtins set"
  case complex = "builtins complex"
  case byteArray = "builtins bytearray"
  case encode = "_codecs encode"
}

/// What the elements of a storage are, by torch's name of the type.
package struct StorageType: Equatable, Sendable {
  let name: String
  /// Bytes of one element.
  let size: Int
  /// nil for types that nothing here computes with.
  let elementType: ElementType?

  /// The name that safetensors has for it, where it has one.
  var description: String { elementType?.rawValue ?? name }

  static let all: [String: StorageType] = {
    let known: [(String, ElementType)] = [
      ("float64", .f64), ("float32", .f32), ("float16", .f16), ("bfloat16", .bf16), ("int64", .i64), ("int32", .i32),
      ("int16", .i16), ("int8", .i8), ("uint64", .u64), ("uint32", .u32), ("uint16", .u16), ("uint8", .u8),
      ("bool", .bool), ("float8_e4m3fn", .f8e4m3), ("float8_e5m2", .f8e5m2),
    ]
    let others = [
      ("complex32", 4), ("complex64", 8), ("complex128", 16), ("float8_e4m3fnuz", 1), ("float8_e5m2fnuz", 1),
      ("float8_e8m0fnu", 1), ("float4_e2m1fn_x2", 1),
    ]
    let types =
      known.map { StorageType(name: $0, size: $1.size, elementType: $1) }
      + others.map { StorageType(name: $0, size: $1, elementType: nil) }
    return Dictionary(uniqueKeysWithValues: types.map { ($0.name, $0) })
  }()

  static let ofStorages: [String: StorageType] = [
    "DoubleStorage": "float64", "FloatStorage": "float32", "HalfStorage": "float16", "BFloat16Storage": "bfloat16",
    "LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16", "CharStorage": "int8",
    "ByteStorage": "uint8", "BoolStorage": "bool", "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
  ].mapValues { all[$0]! }
}
