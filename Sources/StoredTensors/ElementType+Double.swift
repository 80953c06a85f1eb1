import Safetensors

extension ElementType {
  /// The element at `address`, which need not be aligned. Not for the 8-bit floating-point types.
  func element(at address: UnsafeRawPointer) -> Double {
    switch self {
    case .bool: address.load(as: UInt8.self) == 0 ? 0 : 1
    case .u8: Double(address.load(as: UInt8.self))
    case .i8: Double(address.load(as: Int8.self))
    case .i16: Double(address.loadUnaligned(as: Int16.self))
    case .u16: Double(address.loadUnaligned(as: UInt16.self))
    case .i32: Double(address.loadUnaligned(as: Int32.self))
    case .u32: Double(address.loadUnaligned(as: UInt32.self))
    case .i64: Double(address.loadUnaligned(as: Int64.self))
    case .u64: Double(address.loadUnaligned(as: UInt64.self))
    case .f16: Self.double(half: address.loadUnaligned(as: UInt16.self))
    case .bf16: Double(Float(bitPattern: UInt32(address.loadUnaligned(as: UInt16.self)) << 16))
    case .f32: Double(address.loadUnaligned(as: Float.self))
    case .f64: address.loadUnaligned(as: Double.self)
    case .f8e4m3, .f8e5m2: preconditionFailure("\(self) has no reader")
    }
  }

  /// IEEE binary16: 1 bit of sign, 5 of exponent with bias 15, 10 of fraction.
  private static func double(half bits: UInt16) -> Double {
    let exponent = Int(bits >> 10 & 0x1f)
    let fraction = Double(bits & 0x3ff)
    let magnitude =
      switch exponent {
      case 0: Double(sign: .plus, exponent: -24, significand: fraction)
      case 0x1f: fraction == 0 ? Double.infinity : Double.nan
      default: Double(sign: .plus, exponent: exponent - 25, significand: 1024 + fraction)
      }
    return bits & 0x8000 == 0 ? magnitude : -magnitude
  }
}
