import Glibc
import TensorOperations

/// Products as exact as those of Float, by tensor cores, of rows of Float with matrices that half precision holds.
///
/// Half precision (binary16) has 11 bits, and tensor cores add up exact products of such numbers in Float. Scaled by a
/// power of two, a row's number is high + low / 2¹¹ with two of them, which makes 22 bits:
///
///     x · W = low · W / 2¹¹ + Σ over pieces of the inner dimension of high[piece] · W[piece]
///
/// bf16 has 8 bits, so that the weights of most checkpoints are exact in halves, but for those below 2⁻³² of a matrix's
/// largest. Tensor cores do not round a sum but cut it off, on Hopper after every 16 products, which shrinks a sum of 1,024
/// by 1e-6 of it. cuBLAS adds a product to what is there rounded to nearest, so the inner dimension is cut into pieces:
/// with 512 in each the error is that of a product in Float, 6e-7 (docs/cuda.md has the measurements).
///
/// Fasi, Higham, Lopez, Mary and Mikaitis, Matrix Multiplication in Multiword Arithmetic, SIAM J. Sci. Comput. 2023; Fasi,
/// Higham, Mikaitis and Pranesh, Numerical behavior of NVIDIA tensor cores, PeerJ Comput. Sci. 2021.
extension CUDAOperations {
  /// Products of the larger parts that are added up by the tensor cores before they are added to the rest in Float.
  static let mostInner = 512
  /// What pieces are a multiple of, but for the last: cuBLAS's fast kernels want it.
  private static let pieceUnit = 64
  /// The exponent of what the largest magnitude is scaled to: the largest half is 65,504, below 2^16.
  private static let largestExponent = 14

  /// A matrix in bf16 or f16 as scaled halves on the device.
  func makeHalves(_ host: Matrix) -> Matrix {
    let bytes = host.bytes
    let count = bytes.count / host.type.size
    let memory = DeviceMemory(device, bytes: bytes.count)
    uploadWeights(host, to: memory.address, asFloat: false)
    let isBFloat: Device.Argument = .int(host.type == .bf16 ? 1 : 0)
    let largest = clearedMagnitude()
    device.run(
      "largest_half", elements: count, .address(largest), .address(memory.address), isBFloat, .long(count))
    let magnitude = values(Float.self, count: 1, at: largest)[0]
    let exponent = magnitude > 0 ? Self.largestExponent - Int(magnitude.exponent) : 0
    device.run(
      "scale_halves", elements: count, .address(memory.address), isBFloat, .float(scalbnf(1, Int32(exponent))),
      .long(count))
    return Matrix(
      rows: host.rows, columns: host.columns, isColumnMajor: host.isColumnMajor,
      leadingDimension: host.leadingDimension, type: .f16,
      address: UnsafeRawPointer(bitPattern: UInt(memory.address))!,
      owner: ScaledHalves(memory: memory, unit: scalbnf(1, Int32(-exponent))))
  }

  /// Splits rows of any size into parts that come to x · 2^e, e such that the largest magnitude nears that of halves.
  func split(_ x: Tensor) -> SplitRows {
    let largest = clearedMagnitude()
    let blocks = min((x.count + Device.blockSize - 1) / Device.blockSize, 1024)
    device.run("largest_magnitude", rows: blocks, .address(largest), .address(x.device), .long(x.count))
    let (high, low) = halves("halves", x.count)
    let unit = scratch("unit of halves", bytes: MemoryLayout<Float>.stride)
    device.run(
      "split_halves", elements: x.count, .address(high), .address(low), .address(unit), .address(x.device),
      .address(largest), .long(x.count))
    return SplitRows(rows: x.rows, columns: x.columns, high: high, low: low, unit: unit)
  }

  /// Room for shares of a softmax, whose largest is at most 1.
  func sharesInHalves(rows: Int, columns: Int) -> SplitRows {
    let (high, low) = halves("halves of shares", rows * columns)
    return SplitRows(rows: rows, columns: columns, high: high, low: low, unit: constants.unitOfShares)
  }

  /// Both parts begin where cuBLAS's fast kernels can read them.
  private func halves(_ purpose: String, _ count: Int) -> (high: DevicePointer, low: DevicePointer) {
    let bytes = (count * MemoryLayout<UInt16>.stride + 255) / 256 * 256
    let high = scratch(purpose, bytes: 2 * bytes)
    return (high, high + DevicePointer(bytes))
  }

  private func clearedMagnitude() -> DevicePointer {
    let largest = scratch("largest magnitude", bytes: MemoryLayout<Float>.stride)
    device.clear(largest, bytes: MemoryLayout<Float>.stride)
    return largest
  }

  /// y(N,out) = x(N,in) · M(in,out), or y += where `accumulate`; the smaller parts first.
  func multiply(
    _ x: SplitRows, _ matrix: Matrix, accumulate: Bool, into y: DevicePointer, distance: Int
  ) {
    let alpha = scratch("scales of a product", bytes: 2 * MemoryLayout<Float>.stride)
    device.run("scales_of_product", elements: 1, .address(alpha), .address(x.unit), .float(matrix.unit), .long(1))
    let alphaOfLow = alpha + DevicePointer(MemoryLayout<Float>.stride)
    let one = constants.one
    func add(_ part: DevicePointer, _ inner: Range<Int>, _ alpha: DevicePointer, accumulate: Bool) {
      let halves = MemoryLayout<UInt16>.stride
      device.multiplyHalves(
        x.rows, matrix.columns, inner.count,
        CuBLAS.Operand(address: part + DevicePointer(inner.lowerBound * halves), distance: x.columns),
        CuBLAS.Operand(
          address: matrix.device + DevicePointer(inner.lowerBound * matrix.strides.row * halves),
          distance: matrix.leadingDimension, isTransposed: matrix.isColumnMajor),
        alpha: alpha, accumulate: accumulate, one: one, into: y, distance: distance)
    }
    add(x.low, 0..<x.columns, alphaOfLow, accumulate: accumulate)
    for piece in Self.pieces(of: x.columns) { add(x.high, piece, alpha, accumulate: true) }
  }

  /// Of about the same size, at most `mostInner`.
  static func pieces(of inner: Int) -> [Range<Int>] {
    let count = max((inner + mostInner - 1) / mostInner, 1)
    let size = ((inner + count - 1) / count + pieceUnit - 1) / pieceUnit * pieceUnit
    return stride(from: 0, to: inner, by: max(size, 1)).map { $0..<min($0 + size, inner) }
  }
}

/// Rows as high + low / 2¹¹ in half precision, in units of a power of two.
struct SplitRows {
  let rows: Int
  let columns: Int
  let high: DevicePointer
  let low: DevicePointer
  /// Where it stands: what a 1 of `high` comes to.
  let unit: DevicePointer

  /// The same memory for rows of fewer columns.
  func narrowed(to columns: Int) -> SplitRows {
    precondition(columns <= self.columns)
    return SplitRows(rows: rows, columns: columns, high: high, low: low, unit: unit)
  }
}

/// Numbers that products of halves want in the device's memory.
struct SplitConstants {
  private let memory: DeviceMemory

  init(_ device: Device) {
    let numbers: [Float] = [1, 0, 1 / sharesScale]
    let bytes = numbers.count * MemoryLayout<Float>.stride
    memory = DeviceMemory(device, bytes: bytes)
    device.copy(to: memory.address, from: numbers, bytes: bytes)
  }

  /// 1, and 0 behind it.
  var one: DevicePointer { memory.address }
  var unitOfShares: DevicePointer { memory.address + DevicePointer(2 * MemoryLayout<Float>.stride) }
}

/// What a softmax's shares are multiplied with before they are split.
private let sharesScale: Float = 0x1p14

/// Memory of a device with halves, each of which comes to `unit` times what it says.
private final class ScaledHalves {
  let memory: DeviceMemory
  let unit: Float

  init(memory: DeviceMemory, unit: Float) {
    self.memory = memory
    self.unit = unit
  }
}

extension Matrix {
  var isHalf: Bool { type == .f16 }
  /// What a half's 1 comes to; 0 for a matrix of Float.
  var unit: Float { (owner as? ScaledHalves)?.unit ?? 0 }
}

let splitKernels = #"""
  /// 2^14 over the power of two that is at or below `largest`; for what is smaller than 2^-86 as for that.
  __device__ float scale_to_halves(float largest) {
    int exponent = (int)(__float_as_uint(fmaxf(largest, 1.2924697e-26f)) >> 23) - 127;
    return __uint_as_float((unsigned)(14 - exponent + 127) << 23);
  }

  __device__ bool is_finite_bits(unsigned bits) { return (bits & 0x7f800000u) != 0x7f800000u; }

  /// The largest finite magnitude. Numbers that are not negative are in the order of their bits.
  extern "C" __global__ void largest_magnitude(unsigned *largest, const float *x, long long count) {
    unsigned own = 0;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < count;
         i += (long long)gridDim.x * blockDim.x) {
      unsigned bits = __float_as_uint(x[i]) & 0x7fffffffu;
      if (is_finite_bits(bits) && bits > own) own = bits;
    }
    own = __float_as_uint(block_maximum(__uint_as_float(own)));
    if (threadIdx.x == 0) atomicMax(largest, own);
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

  /// x = (high + low / 2^11)·unit, but for what is below 2^-51 of the largest magnitude.
  extern "C" __global__ void split_halves(
      unsigned short *high, unsigned short *low, float *unit, const float *x, const float *largest, long long count) {
    float scale = scale_to_halves(*largest);
    FOR_THIS_ELEMENT(i, count) {
      split_in_halves(high + i, low + i, x[i] * scale);
      if (i == 0) *unit = 1 / scale;
    }
  }

  /// What products of both parts come to.
  extern "C" __global__ void scales_of_product(float *alpha, const float *unitOfRows, float unitOfMatrix, long long count) {
    FOR_THIS_ELEMENT(i, count) {
      alpha[0] = *unitOfRows * unitOfMatrix;
      alpha[1] = alpha[0] / 2048.0f;
    }
  }
  """#
