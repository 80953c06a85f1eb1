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
double vector_dot(const float *a, const float *b, size_t count) {
#pragma clang fp reassociate(on)
  double sum = 0;
  for (size_t i = 0; i < count; i++) sum += (double)a[i] * b[i];
  return sum;
}

FOR_EACH_PROCESSOR
double vector_dot3(const float *w, const float *dy, const float *x, size_t count) {
#pragma clang fp reassociate(on)
  double sum = 0;
  for (size_t i = 0; i < count; i++) sum += (double)(w[i] * dy[i]) * x[i];
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
void vector_swiglu(float *y, const float *gate, const float *up, size_t count) {
  for (size_t i = 0; i < count; i++) y[i] = gate[i] / (1.0f + exponential(-gate[i])) * up[i];
}

/// With s = σ(g): dg = dy·u·s·(1 + g·(1 - s)), du = dy·g·s.
FOR_EACH_PROCESSOR
void vector_swiglu_backward(float *d_gate, float *d_up, const float *dy, const float *gate, const float *up,
                            size_t count) {
  // Outputs may be the inputs themselves but never overlap them shifted, which the compiler has to be told.
#pragma clang loop vectorize(assume_safety)
  for (size_t i = 0; i < count; i++) {
    float g = gate[i], u = up[i], d = dy[i];
    float s = 1.0f / (1.0f + exponential(-g));
    d_gate[i] = d * u * (s * (1.0f + g * (1.0f - s)));
    d_up[i] = d * (g * s);
  }
}

FOR_EACH_PROCESSOR
void vector_softmax_backward(float *ds, const float *p, size_t count, float delta, float scale) {
  for (size_t i = 0; i < count; i++) ds[i] = p[i] * (ds[i] - delta) * scale;
}

FOR_EACH_PROCESSOR
void vector_rmsnorm(float *y, const float *x, const float *w, size_t count, float factor) {
  for (size_t i = 0; i < count; i++) y[i] = w[i] * (x[i] * factor);
}

FOR_EACH_PROCESSOR
void vector_rmsnorm_backward(float *dx, const float *dy, const float *w, const float *x, size_t count, float a,
                             float b) {
  for (size_t i = 0; i < count; i++) dx[i] += a * (w[i] * dy[i]) - b * x[i];
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
