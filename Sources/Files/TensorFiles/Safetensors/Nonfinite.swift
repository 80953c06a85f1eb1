/// The place of the first NaN or infinity, at the speed of memory where there is none.
public func firstNonfinite(_ values: UnsafeBufferPointer<Float>) -> Int? {
  // 0·x is 0 but for what is not finite, which makes the sum NaN.
  var zeros = SIMD16<Float>.zero
  let whole = values.count / 16 * 16
  for i in stride(from: 0, to: whole, by: 16) {
    zeros += UnsafeRawPointer(values.baseAddress! + i).loadUnaligned(as: SIMD16<Float>.self) * Float(0)
  }
  guard zeros != .zero || values[whole...].contains(where: { !$0.isFinite }) else { return nil }
  return values.firstIndex { !$0.isFinite }
}
