import Glibc
import TensorOperations

/// Products as exact as those of Float, by tensor cores, of rows of Float with matrices.
///
/// Half precision (binary16) has 11 bits, and tensor cores add up exact products of such numbers in Float. Scaled by a
/// power of two, a row's number is high + low / 2¹¹ with two of them, which makes 22 bits:
///
///     x · W = low · W / 2¹¹ + Σ over pieces of the inner dimension of high[piece] · W[piece]
///
/// bf16 has 8 bits, so that the weights of most checkpoints are exact in halves, but for those below 2⁻³² of a matrix's
/// largest. A matrix of Float is split as rows are, and its own low part comes as one product more; that of both low
/// parts, 2⁻²² of the whole, is left out.
///
/// Tensor cores do not round a sum but cut it off, on Hopper after every 16 products, which shrinks it. cuBLAS adds a
/// product to what is there, rounded to nearest. So the inner dimension is cut into pieces, and the scale of each makes up
/// for what it shrinks by. With 512 products in each the error is that of a product in Float, 3e-7 (docs/cuda.md).
///
/// Fasi, Higham, Lopez, Mary and Mikaitis, Matrix Multiplication in Multiword Arithmetic, SIAM J. Sci. Comput. 2023; Fasi,
/// Higham, Mikaitis and Pranesh, Numerical behavior of NVIDIA tensor cores, PeerJ Comput. Sci. 2021.
extension CUDAOperations {
  /// The exponent of what the largest magnitude is scaled to: the largest half is 65,504, below 2^16.
  private static let largestExponent = 14

  /// A matrix as scaled halves on the device, one of Float in two parts.
  func makeHalves(_ host: Matrix) -> Matrix {
    host.type == .f32 ? makeTwoParts(host) : makeExactHalves(host)
  }

  private func makeTwoParts(_ host: Matrix) -> Matrix {
    let floats = makeFloats(host)
    let count = host.bytes.count / MemoryLayout<Float>.stride
    let lowDistance = Self.paddedHalves(count)
    let memory = DeviceMemory(device, bytes: 2 * lowDistance)
    let scales = split(
      floats.device, count, largest: findLargestMagnitude(floats.device, count), high: memory.address,
      low: memory.address + DevicePointer(lowDistance), units: [1], makesUp: 1)
    let owner = ScaledHalves(
      memory: memory, unit: values(Float.self, count: 1, at: scales)[0], lowDistance: lowDistance)
    return host.onDevice(type: .f16, address: memory.address, owner: owner)
  }

  private func makeExactHalves(_ host: Matrix) -> Matrix {
    let bytes = host.bytes
    let count = bytes.count / host.type.size
    let memory = DeviceMemory(device, bytes: bytes.count)
    uploadWeights(host, to: memory.address, asFloat: false)
    let isBFloat: Device.Argument = .int(host.type == .bf16 ? 1 : 0)
    let largest = scratch("largest half", bytes: MemoryLayout<Float>.stride)
    device.clear(largest, bytes: MemoryLayout<Float>.stride)
    device.run(
      "largest_half", elements: count, .address(largest), .address(memory.address), isBFloat, .long(count))
    let magnitude = values(Float.self, count: 1, at: largest)[0]
    let exponent = magnitude > 0 ? Self.largestExponent - Int(magnitude.exponent) : 0
    device.run(
      "scale_halves", elements: count, .address(memory.address), isBFloat, .float(scalbnf(1, Int32(exponent))),
      .long(count))
    let owner = ScaledHalves(memory: memory, unit: scalbnf(1, Int32(-exponent)), lowDistance: 0)
    return host.onDevice(type: .f16, address: memory.address, owner: owner)
  }

  /// Splits rows of any size into parts that come to x · 2^e, e such that the largest magnitude nears that of halves.
  ///
  /// - Returns: the same parts for a product with each of the matrices.
  func split(_ x: Tensor, for matrices: [Matrix], by sums: SumPieces = .usual) -> [SplitRows] {
    let (high, low) = halves("halves", x.count)
    let pieces = sums.pieces(of: x.columns)
    let largest = largestMagnitude(of: x)
    let scales = split(
      x.device, x.count, largest: largest, high: high, low: low, units: matrices.map(\.unit),
      makesUp: sums.scale(of: pieces))
    return matrices.indices.map { index in
      SplitRows(
        rows: x.rows, columns: x.columns, high: high, low: low, pieces: pieces,
        scales: scales + DevicePointer(2 * index * MemoryLayout<Float>.stride))
    }
  }

  /// - Returns: where for each unit stands what a product of high parts and one of a low part with numbers in that unit
  ///   come to.
  private func split(
    _ x: DevicePointer, _ count: Int, largest: DevicePointer, high: DevicePointer, low: DevicePointer, units: [Float],
    makesUp: Float
  ) -> DevicePointer {
    precondition(units.count <= Self.mostMatrices)
    let scales = scratch("scales of products", bytes: 2 * Self.mostMatrices * MemoryLayout<Float>.stride)
    guard count > 0 else { return scales }
    let unit = { units.indices.contains($0) ? Device.Argument.float(units[$0]) : .float(0) }
    device.run(
      "split_halves", foursOf: count, .address(high), .address(low), .address(scales), .source(x), .address(largest),
      .float(makesUp), unit(0), unit(1), unit(2), unit(3), .long(count))
    return scales
  }

  /// Those that rows are split for at a time.
  static let mostMatrices = 4

  /// Room for shares of a softmax, whose largest is at most 1.
  func sharesInHalves(rows: Int, columns: Int) -> (high: DevicePointer, low: DevicePointer) {
    halves("halves of shares", rows * columns)
  }

  /// Shares of words (rows, words) for their product with the words' weights.
  func shares(_ parts: (high: DevicePointer, low: DevicePointer), rows: Int, of words: Matrix) -> SplitRows {
    let pieces = SumPieces.shares.pieces(of: words.rows)
    let unit = words.unit / sharesScale
    return SplitRows(
      rows: rows, columns: words.rows, high: parts.high, low: parts.low, pieces: pieces,
      scales: constants.numbers([unit * SumPieces.shares.scale(of: pieces), unit / lowScale]))
  }

  /// Both parts begin where cuBLAS's fast kernels can read them.
  private func halves(_ purpose: String, _ count: Int) -> (high: DevicePointer, low: DevicePointer) {
    let bytes = Self.paddedHalves(count)
    let high = scratch(purpose, bytes: 2 * bytes)
    return (high, high + DevicePointer(bytes))
  }

  private static func paddedHalves(_ count: Int) -> Int { (count * MemoryLayout<UInt16>.stride + 255) / 256 * 256 }

  /// y(N,out) = x(N,in) · M(in,out), or y += where `accumulate`; the smaller parts first.
  ///
  /// - Parameter x: split for M.
  func multiply(_ x: SplitRows, _ matrix: Matrix, accumulate: Bool, into y: DevicePointer, distance: Int) {
    let scaleOfLow = x.scales + DevicePointer(MemoryLayout<Float>.stride)
    let one = constants.one
    func add(
      _ part: DevicePointer, _ inner: Range<Int>, _ alpha: DevicePointer, ofLow: Bool = false, accumulate: Bool
    ) {
      let halves = MemoryLayout<UInt16>.stride
      device.multiplyHalves(
        x.rows, matrix.columns, inner.count,
        CuBLAS.Operand(address: part + DevicePointer(inner.lowerBound * halves), distance: x.columns),
        CuBLAS.Operand(
          address: matrix.device
            + DevicePointer(inner.lowerBound * matrix.strides.row * halves + (ofLow ? matrix.lowDistance : 0)),
          distance: matrix.leadingDimension, isTransposed: matrix.isColumnMajor),
        alpha: alpha, accumulate: accumulate, one: one, into: y, distance: distance)
    }
    add(x.low, 0..<x.columns, scaleOfLow, accumulate: accumulate)
    if matrix.lowDistance > 0 { add(x.high, 0..<x.columns, scaleOfLow, ofLow: true, accumulate: true) }
    for piece in x.pieces { add(x.high, piece, x.scales, accumulate: true) }
  }
}

/// How long sums of products of the larger parts are that tensor cores take.
struct SumPieces {
  /// Products in a piece, at most.
  let most: Int
  /// What a sum shrinks by, of it and for each product.
  let shrinkage: Float

  static let usual = SumPieces(most: 512, shrinkage: 0x1p-30)
  /// Errors of logits count for less than those of the rest.
  static let logits = SumPieces(most: 1024, shrinkage: 0x1p-30)
  /// Shares of a softmax with their words' weights. What these have in common adds up with one sign, which shrinks five
  /// times as much, and is subtracted again with the target's weights: errors of it count for more.
  static let shares = SumPieces(most: 512, shrinkage: 0x5p-30)

  /// What a piece is a multiple of, but for the last: cuBLAS's fast kernels want it.
  private static let unit = 64

  /// Of about the same size.
  func pieces(of inner: Int) -> [Range<Int>] {
    let count = max((inner + most - 1) / most, 1)
    let size = ((inner + count - 1) / count + Self.unit - 1) / Self.unit * Self.unit
    return stride(from: 0, to: inner, by: max(size, 1)).map { $0..<min($0 + size, inner) }
  }

  /// What makes up for the shrinking of a sum whose pieces are as much of it as they are long.
  func scale(of pieces: [Range<Int>]) -> Float {
    let (count, squares) = pieces.reduce((0, 0)) { ($0.0 + $1.count, $0.1 + $1.count * $1.count) }
    return 1 + shrinkage * Float(squares) / Float(max(count, 1))
  }
}

/// Rows as high + low / 2¹¹ in half precision, in units of a power of two, for a product with a matrix.
struct SplitRows {
  let rows: Int
  let columns: Int
  let high: DevicePointer
  let low: DevicePointer
  /// Of the inner dimension, that high parts are multiplied by.
  let pieces: [Range<Int>]
  /// Where it stands what a product of the high parts comes to, which makes up for their sum's shrinking, and one of a
  /// low part behind it.
  let scales: DevicePointer
}

/// Numbers that products of halves want in the device's memory.
final class SplitConstants {
  private let device: Device
  private var known: [[Float]: DeviceMemory] = [:]
  /// Two halves of places for largest magnitudes; the one is cleared when all places of the other are taken.
  private let magnitudes: DeviceMemory
  private static let placesOfHalf = 128
  private var (half, taken) = (0, placesOfHalf)

  init(_ device: Device) {
    self.device = device
    magnitudes = DeviceMemory(device, bytes: 2 * Self.placesOfHalf * MemoryLayout<Float>.stride)
  }

  /// 1, and 0 behind it.
  private(set) lazy var one = numbers([1, 0])

  /// Where these few numbers stand; they stay there.
  func numbers(_ values: [Float]) -> DevicePointer {
    if let memory = known[values] { return memory.address }
    let bytes = values.count * MemoryLayout<Float>.stride
    let memory = DeviceMemory(device, bytes: bytes)
    device.copy(to: memory.address, from: values, bytes: bytes)
    known[values] = memory
    return memory.address
  }

  /// Where `count` largest magnitudes are going to be, one behind the other, all of them 0 now.
  func magnitudePlaces(_ count: Int) -> DevicePointer {
    let bytes = Self.placesOfHalf * MemoryLayout<Float>.stride
    if taken + count > Self.placesOfHalf {
      (half, taken) = (1 - half, 0)
      let start = magnitudes.address + DevicePointer(half * bytes)
      device.magnitudes.forget(placedIn: start..<start + DevicePointer(bytes))
      device.clear(start, bytes: bytes)
    }
    defer { taken += count }
    return magnitudes.address + DevicePointer(half * bytes + taken * MemoryLayout<Float>.stride)
  }
}

/// What low parts are multiplied with.
private let lowScale: Float = 0x1p11

/// What a softmax's shares are multiplied with before they are split.
private let sharesScale: Float = 0x1p14

/// Memory of a device with halves, each of which comes to `unit` times what it says.
private final class ScaledHalves {
  let memory: DeviceMemory
  let unit: Float
  let lowDistance: Int

  init(memory: DeviceMemory, unit: Float, lowDistance: Int) {
    self.memory = memory
    self.unit = unit
    self.lowDistance = lowDistance
  }
}

extension Matrix {
  var isHalf: Bool { type == .f16 }
  /// What a half's 1 comes to; 0 for a matrix of Float.
  var unit: Float { (owner as? ScaledHalves)?.unit ?? 0 }
  /// Bytes from a half to its low part, which comes to 1/2¹¹ of that; 0 where halves are exact.
  var lowDistance: Int { (owner as? ScaledHalves)?.lowDistance ?? 0 }
  /// What `weight_at` reads an element of it by.
  var weights: [Device.Argument] {
    [.address(device), .float(unit), .long(lowDistance / MemoryLayout<UInt16>.stride)]
  }
}

let splitKernels = #"""
  /// 2^14 over the power of two that is at or below `largest`; for what is smaller than 2^-86 as for that.
  __device__ float scale_to_halves(float largest) {
    int exponent = (int)(__float_as_uint(fmaxf(largest, 1.2924697e-26f)) >> 23) - 127;
    return __uint_as_float((unsigned)(14 - exponent + 127) << 23);
  }

  /// The largest finite magnitude.
  extern "C" __global__ void largest_magnitude(unsigned *largest, const float *x, long long count) {
    unsigned own = 0;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < count;
         i += (long long)gridDim.x * blockDim.x)
      own = larger_magnitude(own, x[i]);
    raise_magnitude(largest, own);
  }

  /// The same of bf16 or f16.
  extern "C" __global__ void largest_half(unsigned *largest, const unsigned short *x, int isBFloat, long long count) {
    FOR_THIS_ELEMENT(i, count) {
      unsigned bits = __float_as_uint(isBFloat ? __uint_as_float((unsigned)x[i] << 16) : widened_half(x[i]));
      bits &= 0x7fffffffu;
      if (is_finite_bits(bits) && bits > *(volatile unsigned *)largest) atomicMax(largest, bits);
    }
  }

  /// From bf16 or f16 to f16, times a power of two, in place.
  extern "C" __global__ void scale_halves(unsigned short *x, int isBFloat, float scale, long long count) {
    FOR_THIS_ELEMENT(i, count) {
      float value = isBFloat ? __uint_as_float((unsigned)x[i] << 16) : widened_half(x[i]);
      x[i] = narrowed_half(value * scale);
    }
  }

  /// x = (high + low / 2^11)·unit, but for what is below 2^-51 of the largest magnitude. For products with matrices in
  /// units of their own: what one of high parts comes to, times what makes up for its sums' shrinking, and one of a low
  /// part.
  extern "C" __global__ void split_halves(
      unsigned short *high, unsigned short *low, float *scales, const float *x, const float *largest, float makesUp,
      float unit0, float unit1, float unit2, float unit3, long long count) {
    float scale = scale_to_halves(*largest);
    FOR_THESE_FOUR(i, count) {
      float v[4];
      unsigned short highs[4], lows[4];
      load_four(v, x, i, count);
      #pragma unroll
      for (int k = 0; k < 4; k++) split_in_halves(highs + k, lows + k, v[k] * scale);
      store_four_halves(high, highs, i, count);
      store_four_halves(low, lows, i, count);
      if (i > 0) return;
      const float units[4] = {unit0, unit1, unit2, unit3};
      #pragma unroll
      for (int k = 0; k < 4; k++) {
        float unit = 1 / scale * units[k];
        scales[2 * k] = unit * makesUp;
        scales[2 * k + 1] = unit / 2048.0f;
      }
    }
  }
  """#
