/// All kernels, as NVRTC compiles them.
///
/// Each family's text stands beside the operations that launch it.
public let kernelSource = [
  blockKernels, magnitudeKernels, elementwiseKernels, normKernels, rotaryEmbeddingKernels, attentionKernels,
  mlpActivationKernels, crossEntropyKernels, sparseFeatureKernels, rebuiltRowKernels, splitKernels,
].joined(separator: "\n")

/// What all threads of a block find together.
let blockKernels = #"""
  #define MOST_THREADS 256

  /// The sum of every thread's value, in all threads. The order of addition is always the same.
  __device__ double block_sum(double value) {
    __shared__ double parts[MOST_THREADS];
    int thread = threadIdx.x;
    __syncthreads();
    parts[thread] = value;
    for (int half = blockDim.x / 2; half > 0; half /= 2) {
      __syncthreads();
      if (thread < half) parts[thread] += parts[thread + half];
    }
    __syncthreads();
    return parts[0];
  }

  /// The largest of every thread's value, in all threads. A NaN counts as smaller than any number.
  __device__ float block_maximum(float value) {
    __shared__ float parts[MOST_THREADS];
    int thread = threadIdx.x;
    __syncthreads();
    parts[thread] = value;
    for (int half = blockDim.x / 2; half > 0; half /= 2) {
      __syncthreads();
      if (thread < half) parts[thread] = fmaxf(parts[thread], parts[thread + half]);
    }
    __syncthreads();
    return parts[0];
  }

  /// The sum of the values of all threads before this one; the sum of all of them in `total`.
  __device__ int block_sum_before(int value, int *total) {
    __shared__ int parts[MOST_THREADS];
    int thread = threadIdx.x;
    __syncthreads();
    parts[thread] = value;
    for (int distance = 1; distance < blockDim.x; distance *= 2) {
      __syncthreads();
      int before = thread >= distance ? parts[thread - distance] : 0;
      __syncthreads();
      parts[thread] += before;
    }
    __syncthreads();
    *total = parts[blockDim.x - 1];
    return parts[thread] - value;
  }
  """#

/// One thread an element, or four of them: more loads are under way at a time.
let elementwiseKernels = #"""
  /// cap·tanh(x / cap), and its derivative 1 − tanh²(x / cap) in `slope`, which is 4e / (1 + e)² with e = e^(−2|x / cap|).
  __device__ float soft_cap(float x, float cap, float *slope) {
    float e = expf(-2.0f * fabsf(x / cap));
    *slope = 4.0f * e / ((1.0f + e) * (1.0f + e));
    return cap * tanhf(x / cap);
  }

  #define FOR_THIS_ELEMENT(i, count) \
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; \
    if (i < count)

  #define FOR_THESE_FOUR(i, count) \
    long long i = 4 * ((long long)blockIdx.x * blockDim.x + threadIdx.x); \
    if (i < count)

  /// The numbers from i on, up to four of `count`, and zeros. i is a multiple of 4.
  __device__ void load_four(float v[4], const float *x, long long i, long long count) {
    if (i + 4 <= count && (unsigned long long)x % sizeof(float4) == 0) {
      float4 four = *(const float4 *)(x + i);
      v[0] = four.x, v[1] = four.y, v[2] = four.z, v[3] = four.w;
    } else {
      #pragma unroll
      for (int k = 0; k < 4; k++) v[k] = i + k < count ? x[i + k] : 0;
    }
  }

  __device__ void store_four(float *y, const float v[4], long long i, long long count) {
    if (i + 4 <= count && (unsigned long long)y % sizeof(float4) == 0) {
      *(float4 *)(y + i) = make_float4(v[0], v[1], v[2], v[3]);
    } else {
      #pragma unroll
      for (int k = 0; k < 4; k++)
        if (i + k < count) y[i + k] = v[k];
    }
  }

  __device__ void store_four_halves(unsigned short *y, const unsigned short v[4], long long i, long long count) {
    if (i + 4 <= count && (unsigned long long)y % sizeof(unsigned long long) == 0) {
      *(unsigned long long *)(y + i) =
          v[0] | (unsigned long long)v[1] << 16 | (unsigned long long)v[2] << 32 | (unsigned long long)v[3] << 48;
    } else {
      #pragma unroll
      for (int k = 0; k < 4; k++)
        if (i + k < count) y[i + k] = v[k];
    }
  }

  extern "C" __global__ void add(float *y, const float *x, long long count) {
    FOR_THIS_ELEMENT(i, count) y[i] += x[i];
  }

  extern "C" __global__ void scale_columns(float *x, const float *factors, int columns, long long count) {
    FOR_THIS_ELEMENT(i, count) x[i] *= factors[i % columns];
  }

  /// y[n,j] = bias[j]
  extern "C" __global__ void repeat_row(float *y, const float *bias, int columns, long long count) {
    FOR_THIS_ELEMENT(i, count) y[i] = bias[i % columns];
  }

  /// y[n,j] += bias[j]
  extern "C" __global__ void add_row(float *y, const float *bias, int columns, long long count) {
    FOR_THIS_ELEMENT(i, count) y[i] += bias[i % columns];
  }

  /// y[n] = x[rows[n]]
  extern "C" __global__ void gather_rows(float *y, const float *x, const int *rows, int columns, long long count) {
    FOR_THIS_ELEMENT(i, count) y[i] = x[(long long)rows[i / columns] * columns + i % columns];
  }

  /// To the nearest bfloat16, of two that are as near the even one; a NaN stays one. Rows of x and y at distances of
  /// their own.
  extern "C" __global__ void round_to_bfloat16(
      unsigned short *y, const float *x, int columns, int distance, int distanceOfX, long long count) {
    FOR_THIS_ELEMENT(i, count) {
      unsigned bits = __float_as_uint(x[i / columns * distanceOfX + i % columns]);
      bool isNaN = (bits & 0x7fffffffu) > 0x7f800000u;
      y[i / columns * distance + i % columns] = isNaN ? bits >> 16 | 64 : (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    }
  }

  extern "C" __global__ void widen_bfloat16(float *y, const unsigned short *x, long long count) {
    FOR_THIS_ELEMENT(i, count) y[i] = __uint_as_float((unsigned)x[i] << 16);
  }

  /// IEEE binary16, exactly. The exponent's bias moves from 15 to 127; times 2^112, subnormal numbers are normal.
  __device__ float widened_half(unsigned short x) {
    unsigned rest = (unsigned)(x & 0x7fff) << 13;
    unsigned bits = __float_as_uint(__uint_as_float(rest) * 5192296858534827628530496329220096.0f);
    // Infinity and NaN keep the bits of their fraction.
    if (rest >= 0x0f800000u) bits = rest | 0x7f800000u;
    return __uint_as_float(bits | (unsigned)(x & 0x8000) << 16);
  }

  extern "C" __global__ void widen_float16(float *y, const unsigned short *x, long long count) {
    FOR_THIS_ELEMENT(i, count) y[i] = widened_half(x[i]);
  }

  #ifdef __CUDACC_RTC__
  /// The nearest half, of two the even one.
  __device__ unsigned short narrowed_half(float x) {
    unsigned short bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(x));
    return bits;
  }
  #endif

  /// x = high + low / 2^11, to 22 bits down to 2^-13, and to 2^-36 below.
  __device__ void split_in_halves(unsigned short *high, unsigned short *low, float x) {
    *high = narrowed_half(x);
    *low = narrowed_half((x - widened_half(*high)) * 2048.0f);
  }

  /// An element of a matrix of Float or, where `unit` is not 0, of halves that come to `unit` times what they say. Their
  /// low parts, where there are any, lie `lowDistance` elements behind them.
  __device__ float weight_at(const void *W, long long i, float unit, long long lowDistance) {
    if (unit == 0) return ((const float *)W)[i];
    const unsigned short *halves = (const unsigned short *)W;
    float value = widened_half(halves[i]);
    if (lowDistance > 0) value += widened_half(halves[i + lowDistance]) / 2048.0f;
    return unit * value;
  }
  """#
