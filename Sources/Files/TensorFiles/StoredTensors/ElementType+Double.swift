extension ElementType {
  /// The element at `address`, which need not be aligned.
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
    case .f8e4m3: Self.double(e4m3: address.load(as: UInt8.self))
    // The upper byte of binary16.
    case .f8e5m2: Self.double(half: UInt16(address.load(as: UInt8.self)) << 8)
    }
  }

  /// 1 bit of sign, 4 of exponent with bias 7, 3 of fraction; no infinity (https://arxiv.org/abs/2209.05433).
  private static func double(e4m3 bits: UInt8) -> Double {
    let exponent = Int(bits >> 3 & 0xf)
    let fraction = Double(bits & 7)
    let magnitude =
      switch (exponent, bits & 7) {
      case (0, _): Double(sign: .plus, exponent: -9, significand: fraction)
      case (0xf, 7): Double.nan
      default: Double(sign: .plus, exponent: exponent - 10, significand: 8 + fraction)
      }
    return bits & 0x80 == 0 ? magnitude : -magnitude
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
