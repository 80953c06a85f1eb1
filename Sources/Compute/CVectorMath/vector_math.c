#include "vector_math.h"

#include <string.h>

// The choice among clones is made before the thread sanitizer is there, which instruments it.
#if defined(__x86_64__) && !__has_feature(thread_sanitizer)
#define FOR_EACH_PROCESSOR __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define FOR_EACH_PROCESSOR
#endif
#define INLINED static inline __attribute__((always_inline))

/// e^x with x = n·ln 2 + r, |r| <= ln 2 / 2, and Cephes' polynomial (expf.c) for e^r.
INLINED float exponential(float x) {
  float clamped = x < -87.3f ? -87.3f : x;
  clamped = clamped > 88.3f ? 88.3f : clamped;
  // Adding 1.5·2^23 rounds to the nearest integer and leaves it in the low bits.
  float shifted = clamped * 1.44269504088896341f + 12582912.0f;
  float n = shifted - 12582912.0f;
  float r = (clamped - n * 0.693359375f) - n * -2.12194440e-4f;
  float p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  uint32_t bits;
  memcpy(&bits, &shifted, sizeof bits);
  bits = (bits + 127) << 23;
  float power;
  memcpy(&power, &bits, sizeof power);
  // A NaN passes the comparisons above and comes out of the polynomial as NaN.
  return ((p * r) * r + r + 1.0f) * power;
}

FOR_EACH_PROCESSOR
double vector_exponentiate(float *x, size_t count, float shift) {
  for (size_t i = 0; i < count; i++) x[i] = exponential(x[i] - shift);
  double sum = 0;
  {
#pragma clang fp reassociate(on)
    for (size_t i = 0; i < count; i++) sum += x[i];
  }
  return sum;
}

FOR_EACH_PROCESSOR
float vector_maximum(const float *x, size_t count) {
  enum { LANES = 16 };
  float largest[LANES];
  // A NaN is larger than nothing, but it must be seen.
  uint32_t odd = 0;
  for (int lane = 0; lane < LANES; lane++) largest[lane] = -__builtin_inff();
  size_t i = 0;
  for (; i + LANES <= count; i += LANES)
    for (int lane = 0; lane < LANES; lane++) largest[lane] = x[i + lane] > largest[lane] ? x[i + lane] : largest[lane];
  for (; i < count; i++) largest[0] = x[i] > largest[0] ? x[i] : largest[0];
  for (i = 0; i < count; i++) odd |= x[i] != x[i];
  if (odd) return __builtin_nanf("");
  for (int lane = 1; lane < LANES; lane++) largest[0] = largest[lane] > largest[0] ? largest[lane] : largest[0];
  return largest[0];
}

FOR_EACH_PROCESSOR
double vector_exponentiate_doubles(float *y, const double *x, size_t count, float shift) {
  for (size_t i = 0; i < count; i++) y[i] = exponential((float)(x[i] - shift));
  double sum = 0;
  {
#pragma clang fp reassociate(on)
    for (size_t i = 0; i < count; i++) sum += y[i];
  }
  return sum;
}

FOR_EACH_PROCESSOR
void vector_narrow_double(float *y, const double *x, size_t count) {
  for (size_t i = 0; i < count; i++) y[i] = (float)x[i];
}

FOR_EACH_PROCESSOR
double vector_dot(const float *a, const float *b, size_t count) {
#pragma clang fp reassociate(on)
  double sum = 0;
  for (size_t i = 0; i < count; i++) sum += (double)a[i] * b[i];
  return sum;
}

typedef double doubles_8 __attribute__((vector_size(64)));
typedef float floats_8 __attribute__((vector_size(32), aligned(4), may_alias));

// Not a function: what it would return is passed differently from processor to processor.
#define WIDENED(x) __builtin_convertvector(*(const floats_8 *)(x), doubles_8)

/// In the same order whatever the number of rows.
INLINED void dot_rows(
    double *sums, const float *a, const float *b, const int32_t *rows, int row_count, size_t count) {
  // One partial sum a row: with two, AVX2 has not enough registers for four rows.
  enum { MOST = 4 };
  doubles_8 partial[MOST];
  const float *row[MOST];
  for (int r = 0; r < row_count; r++) {
    partial[r] = (doubles_8){0};
    row[r] = b + (size_t)rows[r] * count;
  }
  size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    doubles_8 widened = WIDENED(a + i);
    for (int r = 0; r < row_count; r++) partial[r] += widened * WIDENED(row[r] + i);
  }
  for (int r = 0; r < row_count; r++) {
    doubles_8 s = partial[r];
    double sum = ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]));
    for (size_t j = i; j < count; j++) sum += (double)a[j] * row[r][j];
    sums[r] = sum;
  }
}

FOR_EACH_PROCESSOR
void vector_dot_rows(
    double *sums, const float *a, const float *b, const int32_t *rows, size_t row_count, size_t count) {
  // Several rows at a time keep more reads under way, and what is read of a serves all of them.
  size_t r = 0;
  for (; r + 4 <= row_count; r += 4) dot_rows(sums + r, a, b, rows + r, 4, count);
  if (r + 2 <= row_count) {
    dot_rows(sums + r, a, b, rows + r, 2, count);
    r += 2;
  }
  if (r < row_count) dot_rows(sums + r, a, b, rows + r, 1, count);
}

#define SHUFFLED(x, y, ...) __builtin_shufflevector(x, y, __VA_ARGS__)

/// y[r·columns + j] = x[j·stride + r] of eight by eight.
INLINED void transpose_8x8(float *y, size_t columns, const float *x, size_t stride) {
  floats_8 a[8], b[8];
  for (int i = 0; i < 8; i++) a[i] = *(const floats_8 *)(x + i * stride);
  for (int i = 0; i < 8; i += 2) {
    b[i] = SHUFFLED(a[i], a[i + 1], 0, 8, 2, 10, 4, 12, 6, 14);
    b[i + 1] = SHUFFLED(a[i], a[i + 1], 1, 9, 3, 11, 5, 13, 7, 15);
  }
  for (int i = 0; i < 8; i += 4)
    for (int j = i; j < i + 2; j++) {
      a[j] = SHUFFLED(b[j], b[j + 2], 0, 1, 8, 9, 4, 5, 12, 13);
      a[j + 2] = SHUFFLED(b[j], b[j + 2], 2, 3, 10, 11, 6, 7, 14, 15);
    }
  for (int i = 0; i < 4; i++) {
    *(floats_8 *)(y + i * columns) = SHUFFLED(a[i], a[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
    *(floats_8 *)(y + (i + 4) * columns) = SHUFFLED(a[i], a[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
  }
}

FOR_EACH_PROCESSOR
void vector_copy_rows(
    float *y, const float *x, size_t stride, const int32_t *rows, size_t row_count, size_t columns) {
  // As many columns at a time as a cache has places for lines that lie a power of two apart, as columns do whose length is
  // one; and as many rows, where several of them are to be copied.
  enum { AT_A_TIME = 8, SEVERAL = 3 };
  int32_t last = 0;
  for (size_t r = 0; r < row_count; r++) last = rows[r] > last ? rows[r] : last;
  size_t first = 0;
  for (; first + AT_A_TIME <= columns; first += AT_A_TIME) {
    const float *from = x + first * stride;
    for (size_t r = 0, end; r < row_count; r = end) {
      int32_t begin = rows[r];
      for (end = r + 1; end < row_count && rows[end] >= begin && rows[end] < begin + AT_A_TIME;) end++;
      float *to = y + r * columns + first;
      if (end - r >= SEVERAL && begin + AT_A_TIME - 1 <= last) {
        float block[AT_A_TIME * AT_A_TIME];
        transpose_8x8(block, AT_A_TIME, from + begin, stride);
        for (size_t k = r; k < end; k++, to += columns)
          memcpy(to, block + (rows[k] - begin) * AT_A_TIME, AT_A_TIME * sizeof(float));
      } else {
        for (size_t k = r; k < end; k++, to += columns)
          for (size_t j = 0; j < AT_A_TIME; j++) to[j] = from[j * stride + rows[k]];
      }
    }
  }
  for (; first < columns; first++)
    for (size_t r = 0; r < row_count; r++) y[r * columns + first] = x[first * stride + rows[r]];
}

FOR_EACH_PROCESSOR
double vector_sum(const float *x, size_t count) {
#pragma clang fp reassociate(on)
  double sum = 0;
  for (size_t i = 0; i < count; i++) sum += x[i];
  return sum;
}

FOR_EACH_PROCESSOR
double vector_square_distance(const float *x, size_t count, double center) {
#pragma clang fp reassociate(on)
  double sum = 0;
  for (size_t i = 0; i < count; i++) sum += (x[i] - center) * (x[i] - center);
  return sum;
}

FOR_EACH_PROCESSOR
double vector_dot3(const float *w, float offset, const float *dy, const float *x, double center, size_t count) {
#pragma clang fp reassociate(on)
  double sum = 0;
  for (size_t i = 0; i < count; i++) sum += (double)((w[i] + offset) * dy[i]) * (x[i] - center);
  return sum;
}

FOR_EACH_PROCESSOR
void vector_scale(float *x, size_t count, float factor) {
  for (size_t i = 0; i < count; i++) x[i] *= factor;
}

FOR_EACH_PROCESSOR
void vector_add(float *y, const float *x, size_t count) {
  for (size_t i = 0; i < count; i++) y[i] += x[i];
}

FOR_EACH_PROCESSOR
void vector_add_scaled(float *y, const float *x, size_t count, float factor) {
  for (size_t i = 0; i < count; i++) y[i] += factor * x[i];
}

FOR_EACH_PROCESSOR
void vector_multiply(float *y, const float *x, size_t count) {
  for (size_t i = 0; i < count; i++) y[i] *= x[i];
}

/// A function's value and its derivative.
struct value_and_slope {
  float value, slope;
};

INLINED float silu(float x) { return x / (1.0f + exponential(-x)); }

/// With s = σ(x): x·s, and s·(1 + x·(1 - s)).
INLINED struct value_and_slope silu_slope(float x) {
  float s = 1.0f / (1.0f + exponential(-x));
  return (struct value_and_slope){x * s, s * (1.0f + x * (1.0f - s))};
}

/// Φ(x), the normal distribution, from e = e^(-x²/2), to 8e-8: within ±1 as 1/2 and an odd polynomial, beyond by
/// Φ(-|x|) = e·t·P(t) with t = 1 / (1 + 0.27·|x|). Both polynomials are Chebyshev's, fitted to 3e-8.
INLINED float normal_distribution(float x, float e) {
  float v = x * x;
  float near = v * -7.660538e-6f + 1.135023e-4f;
  near = near * v - 1.186344e-3f;
  near = near * v + 9.973329e-3f;
  near = near * v - 6.649036e-2f;
  near = near * v + 3.989423e-1f;
  float u = __builtin_fabsf(x), t = 1.0f / (1.0f + 0.27f * u);
  float p = t * 2.910702862e-2f - 1.272421181e-1f;
  p = p * t + 1.714446843e-1f;
  p = p * t - 7.121394411e-2f;
  p = p * t + 1.092772037e-1f;
  p = p * t + 7.140605897e-2f;
  p = p * t + 1.019803658e-1f;
  p = p * t + 1.075186059e-1f;
  p = p * t + 1.077220961e-1f;
  float beyond = e * t * p;
  return u < 1.0f ? 0.5f + x * near : x < 0 ? beyond : 1.0f - beyond;
}

INLINED float gelu(float x) { return x * normal_distribution(x, exponential(-0.5f * x * x)); }

/// x·Φ(x), and Φ(x) + x·φ(x), φ(x) = e^(-x²/2) / √(2π); beyond 14 the exponential is at the end of its range.
INLINED struct value_and_slope gelu_slope(float x) {
  float e = exponential(-0.5f * x * x), probability = normal_distribution(x, e);
  float density = __builtin_fabsf(x) < 14.0f ? 3.9894228e-1f * e : 0.0f;
  return (struct value_and_slope){x * probability, probability + x * density};
}

/// e^-z with z = 2·√(2/π)·(x + 0.044715·x³), since (1 + tanh(z/2)) / 2 = σ(z), and z's derivative. At ±10 σ is 0 or 1.
INLINED float gelu_tanh_exponential(float x, float *slope) {
  float c = x < -10.0f ? -10.0f : x;
  c = c > 10.0f ? 10.0f : c;
  *slope = 1.5957691216f + 2.1406443848e-1f * c * c;
  return exponential(-c * (1.5957691216f + 7.1354812828e-2f * c * c));
}

INLINED float gelu_tanh(float x) {
  float slope;
  return x / (1.0f + gelu_tanh_exponential(x, &slope));
}

/// With s = σ(z): x·s, and s + x·s·(1 - s)·z'.
INLINED struct value_and_slope gelu_tanh_slope(float x) {
  float slope, e = gelu_tanh_exponential(x, &slope), s = 1.0f / (1.0f + e);
  // Beyond ±10 the product below is 0 but for x's size.
  float inner = __builtin_fabsf(x) < 10.0f ? x * (s * (e * s)) * slope : 0.0f;
  return (struct value_and_slope){x * s, s + inner};
}

INLINED float relu(float x) { return x < 0 ? 0 : x; }

/// The derivative at 0 is 0, as PyTorch has it; a NaN's is NaN.
INLINED struct value_and_slope relu_slope(float x) {
  return (struct value_and_slope){relu(x), x > 0 ? 1 : x <= 0 ? 0 : x};
}

// Outputs may be the inputs themselves but never overlap them shifted, which the compiler has to be told.
#define FOR_EACH_ELEMENT(i, count) _Pragma("clang loop vectorize(assume_safety)") for (size_t i = 0; i < count; i++)

FOR_EACH_PROCESSOR
void vector_activate(float *y, const float *gate, const float *up, size_t count, uint32_t function) {
#define ACTIVATE(f)                                              \
  if (up) {                                                      \
    FOR_EACH_ELEMENT(i, count) y[i] = f(gate[i]) * up[i];        \
  } else {                                                       \
    FOR_EACH_ELEMENT(i, count) y[i] = f(gate[i]);                \
  }                                                              \
  break;
  switch (function) {
    case 0: ACTIVATE(silu)
    case 1: ACTIVATE(gelu)
    case 2: ACTIVATE(gelu_tanh)
    case 3: ACTIVATE(relu)
  }
}

FOR_EACH_PROCESSOR
void vector_activate_backward(float *d_gate, float *d_up, const float *dy, const float *gate, const float *up,
                              size_t count, uint32_t function) {
#define ACTIVATE_BACKWARD(f)                                     \
  if (up) {                                                      \
    FOR_EACH_ELEMENT(i, count) {                                 \
      struct value_and_slope at = f(gate[i]);                    \
      float d = dy[i], u = up[i];                                \
      d_gate[i] = d * u * at.slope;                              \
      d_up[i] = d * at.value;                                    \
    }                                                            \
  } else {                                                       \
    FOR_EACH_ELEMENT(i, count) d_gate[i] = dy[i] * f(gate[i]).slope; \
  }                                                              \
  break;
  switch (function) {
    case 0: ACTIVATE_BACKWARD(silu_slope)
    case 1: ACTIVATE_BACKWARD(gelu_slope)
    case 2: ACTIVATE_BACKWARD(gelu_tanh_slope)
    case 3: ACTIVATE_BACKWARD(relu_slope)
  }
}

/// tanh(x), within ±0.625 by Cephes' polynomial (tanhf.c), and 1 - tanh²(x), without cancellation: with e = e^(-2|x|)
/// they are ±(1 - e) / (1 + e) and 4e / (1 + e)².
INLINED struct value_and_slope hyperbolic_tangent(float x) {
  float u = __builtin_fabsf(x), e = exponential(-2.0f * u), r = 1.0f / (1.0f + e);
  float v = x * x;
  float p = v * -5.70498872745e-3f + 2.06390887954e-2f;
  p = p * v - 5.37397155531e-2f;
  p = p * v + 1.33314422036e-1f;
  p = p * v - 3.33332819422e-1f;
  float near = x + x * v * p, beyond = __builtin_copysignf((1.0f - e) * r, x);
  return (struct value_and_slope){u < 0.625f ? near : beyond, 4.0f * e * r * r};
}

FOR_EACH_PROCESSOR
void vector_soft_cap(float *x, float *slopes, size_t count, float cap) {
  if (slopes) {
    FOR_EACH_ELEMENT(i, count) {
      struct value_and_slope at = hyperbolic_tangent(x[i] / cap);
      x[i] = cap * at.value;
      slopes[i] = at.slope;
    }
  } else {
    FOR_EACH_ELEMENT(i, count) x[i] = cap * hyperbolic_tangent(x[i] / cap).value;
  }
}

FOR_EACH_PROCESSOR
void vector_softmax_backward(float *ds, const float *p, size_t count, float delta, float scale) {
  for (size_t i = 0; i < count; i++) ds[i] = p[i] * (ds[i] - delta) * scale;
}

FOR_EACH_PROCESSOR
void vector_rmsnorm(float *y, const float *x, const float *w, float offset, size_t count, double factor) {
  for (size_t i = 0; i < count; i++) y[i] = (float)(((double)w[i] + offset) * (x[i] * factor));
}

FOR_EACH_PROCESSOR
void vector_rmsnorm_backward(float *dx, const float *dy, const float *w, float offset, const float *x, size_t count,
                             float a, float b, bool accumulate) {
  FOR_EACH_ELEMENT(i, count) {
    float change = a * ((w[i] + offset) * dy[i]) - b * x[i];
    dx[i] = (accumulate ? dx[i] : 0.0f) + change;
  }
}

FOR_EACH_PROCESSOR
void vector_layernorm(float *y, const float *x, const float *w, const float *bias, size_t count, double mean,
                      double factor) {
  for (size_t i = 0; i < count; i++) y[i] = (float)(w[i] * ((x[i] - mean) * factor) + (bias ? bias[i] : 0));
}

FOR_EACH_PROCESSOR
void vector_layernorm_backward(float *dx, const float *dy, const float *w, const float *x, size_t count, double mean,
                               double factor, double a, double b, bool accumulate) {
  FOR_EACH_ELEMENT(i, count) {
    float change = (float)(factor * ((double)(w[i] * dy[i]) - a) - (x[i] - mean) * b);
    dx[i] = (accumulate ? dx[i] : 0.0f) + change;
  }
}

FOR_EACH_PROCESSOR
void vector_rotate(float *low, float *high, const float *cosines, const float *sines, size_t count, double direction) {
  FOR_EACH_ELEMENT(i, count) {
    double a = low[i], b = high[i], cosine = cosines[i], sine = direction * sines[i];
    low[i] = (float)(a * cosine - b * sine);
    high[i] = (float)(b * cosine + a * sine);
  }
}

FOR_EACH_PROCESSOR
size_t vector_indices_above(int32_t *indices, const float *p, const float *thresholds, size_t count) {
  // Few are: a block without any is passed over by comparisons that vectorise.
  enum { BLOCK = 64 };
  size_t found = 0;
  for (size_t start = 0; start < count; start += BLOCK) {
    size_t end = count - start < BLOCK ? count : start + BLOCK;
    uint32_t any = 0;
    for (size_t i = start; i < end; i++) any |= !(p[i] <= thresholds[i]);
    if (!any) continue;
    for (size_t i = start; i < end; i++)
      if (!(p[i] <= thresholds[i])) indices[found++] = (int32_t)i;
  }
  return found;
}

FOR_EACH_PROCESSOR
void vector_widen_bfloat16(float *y, const uint8_t *x, size_t count) {
  for (size_t i = 0; i < count; i++) {
    uint16_t half;
    memcpy(&half, x + 2 * i, sizeof half);
    uint32_t bits = (uint32_t)half << 16;
    memcpy(y + i, &bits, sizeof bits);
  }
}

// IEEE binary16, exactly. The exponent's bias moves from 15 to 127; multiplying by 2^112 makes subnormal numbers normal.
FOR_EACH_PROCESSOR
void vector_widen_float16(float *y, const uint8_t *x, size_t count) {
  for (size_t i = 0; i < count; i++) {
    uint16_t half;
    memcpy(&half, x + 2 * i, sizeof half);
    uint32_t rest = (uint32_t)(half & 0x7fff) << 13;
    float magnitude;
    memcpy(&magnitude, &rest, sizeof magnitude);
    magnitude *= 0x1p112f;
    uint32_t bits;
    memcpy(&bits, &magnitude, sizeof bits);
    // Infinity and NaN keep the bits of their fraction.
    if (rest >= 0x0f800000) bits = rest | 0x7f800000;
    bits |= (uint32_t)(half & 0x8000) << 16;
    memcpy(y + i, &bits, sizeof bits);
  }
}

FOR_EACH_PROCESSOR
void vector_accumulate(double *sums, const float *x, size_t count, double factor) {
  for (size_t i = 0; i < count; i++) sums[i] += factor * x[i];
}

FOR_EACH_PROCESSOR
void vector_accumulate_magnitude(double *sums, const float *x, size_t count, double factor) {
  for (size_t i = 0; i < count; i++) sums[i] += factor * __builtin_fabsf(x[i]);
}

FOR_EACH_PROCESSOR
void vector_accumulate_product(double *sums, const float *x, const float *a, size_t count, double factor) {
  for (size_t i = 0; i < count; i++) sums[i] += factor * ((double)x[i] * a[i]);
}

FOR_EACH_PROCESSOR
void vector_accumulate_product_magnitude(double *sums, const float *x, const float *a, size_t count, double factor) {
  for (size_t i = 0; i < count; i++) sums[i] += factor * __builtin_fabs((double)x[i] * a[i]);
}

FOR_EACH_PROCESSOR
void vector_add_unit(double *even, double *squares, double *products, const double *y, size_t count, double b) {
  if (even)
    for (size_t i = 0; i < count; i++) even[i] += y[i];
  for (size_t i = 0; i < count; i++) {
    squares[i] += y[i] * y[i];
    products[i] += y[i] * b;
  }
}

FOR_EACH_PROCESSOR
void vector_widen_float(double *y, const float *x, size_t count) {
  for (size_t i = 0; i < count; i++) y[i] = x[i];
}

FOR_EACH_PROCESSOR
double vector_dot_doubles(const double *a, const double *b, size_t count) {
#pragma clang fp reassociate(on)
  double sum = 0;
  for (size_t i = 0; i < count; i++) sum += a[i] * b[i];
  return sum;
}

FOR_EACH_PROCESSOR
void vector_add_scaled_doubles(double *y, const double *x, size_t count, double factor) {
  for (size_t i = 0; i < count; i++) y[i] += factor * x[i];
}
