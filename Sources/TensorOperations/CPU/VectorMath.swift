/// Sixteen numbers at a time: one AVX-512 register, two of AVX, four of SSE or NEON. The width is fixed, so sums do
/// not depend on the machine.
typealias Lanes = SIMD16<Float>

@inline(__always)
func load(_ pointer: UnsafePointer<Float>) -> Lanes {
  UnsafeRawPointer(pointer).loadUnaligned(as: Lanes.self)
}

@inline(__always)
func store(_ lanes: Lanes, _ pointer: UnsafeMutablePointer<Float>) {
  UnsafeMutableRawPointer(pointer).storeBytes(of: lanes, as: Lanes.self)
}

/// The first `count` < 16 numbers, 0 in the other lanes.
@inline(__always)
func load(_ pointer: UnsafePointer<Float>, first count: Int) -> Lanes {
  var lanes = Lanes.zero
  for lane in 0..<count { lanes[lane] = pointer[lane] }
  return lanes
}

@inline(__always)
func store(_ lanes: Lanes, _ pointer: UnsafeMutablePointer<Float>, first count: Int) {
  for lane in 0..<count { pointer[lane] = lanes[lane] }
}

/// eˣ to 2 ulp from −87 to 88; beyond, the value at the end of the range. NaN stays NaN.
///
/// x = n·ln 2 + r with |r| ≤ ln 2 / 2, and Cephes' polynomial (expf.c) for eʳ.
@inline(__always)
func exp(_ x: Lanes) -> Lanes {
  let clamped = x.clamped(lowerBound: Lanes(repeating: -87.3), upperBound: Lanes(repeating: 88.3))
  // Adding 1.5·2²³ rounds to the nearest integer and leaves it in the low bits.
  let shifter = Lanes(repeating: 12_582_912)
  let shifted = clamped * Float(1.442_695_040_888_963_4) + shifter
  let n = shifted - shifter
  let r = (clamped - n * Float(0.693_359_375)) - n * Float(-2.121_944_4e-4)
  var p = r * Float(1.987_569_15e-4) + Float(1.398_199_950_7e-3)
  p = p * r + Float(8.333_451_907_3e-3)
  p = p * r + Float(4.166_579_589_4e-2)
  p = p * r + Float(1.666_666_545_9e-1)
  p = p * r + Float(5.000_000_120_1e-1)
  let power = unsafeBitCast((unsafeBitCast(shifted, to: SIMD16<UInt32>.self) &+ 127) &<< 23, to: Lanes.self)
  let result = ((p * r) * r + r + Float(1)) * power
  return result.replacing(with: x, where: x .!= x)
}

/// Σ a[i]·b[i], each product and the sum in Double.
@inline(__always)
func dot(_ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, _ count: Int) -> Double {
  var sums = SIMD8<Double>.zero
  var i = 0
  while i + 8 <= count {
    let x = UnsafeRawPointer(a + i).loadUnaligned(as: SIMD8<Float>.self)
    let y = UnsafeRawPointer(b + i).loadUnaligned(as: SIMD8<Float>.self)
    sums += SIMD8<Double>(x) * SIMD8<Double>(y)
    i += 8
  }
  var sum = sums.sum()
  while i < count {
    sum += Double(a[i]) * Double(b[i])
    i += 1
  }
  return sum
}

/// Replaces x[i] by e^(x[i] − shift) and returns their sum.
@inline(__always)
func exponentiate(_ x: UnsafeMutablePointer<Float>, _ count: Int, minus shift: Float) -> Double {
  var sums = SIMD8<Double>.zero
  var i = 0
  while i + 16 <= count {
    let y = exp(load(x + i) - shift)
    store(y, x + i)
    sums += SIMD8<Double>(y.lowHalf) + SIMD8<Double>(y.highHalf)
    i += 16
  }
  var sum = sums.sum()
  if i < count {
    let y = exp(load(x + i, first: count - i) - shift)
    store(y, x + i, first: count - i)
    for lane in 0..<count - i { sum += Double(y[lane]) }
  }
  return sum
}

/// The largest of x[0..<count], NaN where there is one.
@inline(__always)
func maximum(_ x: UnsafePointer<Float>, _ count: Int) -> Float {
  var largest = Lanes(repeating: -.infinity)
  var nan = SIMDMask<Lanes.MaskStorage>(repeating: false)
  var i = 0
  while i + 16 <= count {
    let y = load(x + i)
    largest.replace(with: y, where: y .> largest)
    nan .|= y .!= y
    i += 16
  }
  if any(nan) { return .nan }
  var result = largest.max()
  while i < count {
    if x[i].isNaN { return .nan }
    result = max(result, x[i])
    i += 1
  }
  return result
}

/// x[i] *= factor
@inline(__always)
func scaleRow(_ x: UnsafeMutablePointer<Float>, _ count: Int, by factor: Float) {
  for i in 0..<count { x[i] *= factor }
}
