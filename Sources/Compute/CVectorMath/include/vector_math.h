#pragma once
#include <stddef.h>
#include <stdint.h>

// The element-wise loops of the model's passes. They are C because Swift cannot compile one function for several
// instruction sets: here each is compiled for AVX-512, for AVX2 and for any processor, and the loader picks.
// Pointers need no alignment. The order in which a sum adds its terms depends on the processor, as in OpenBLAS.

/// Replaces x[i] by e^(x[i] - shift), to 2 ulp for arguments from -87 to 88 and the value at the end of that range
/// beyond it (NaN stays NaN), and returns the sum of the results.
double vector_exponentiate(float *x, size_t count, float shift);

/// The largest of x[0..<count], -infinity of none; NaN where there is one.
float vector_maximum(const float *x, size_t count);

/// The sum of a[i]·b[i], each product and the sum in double.
double vector_dot(const float *a, const float *b, size_t count);

/// x[i] *= factor
void vector_scale(float *x, size_t count, float factor);

/// y[i] += x[i]
void vector_add(float *y, const float *x, size_t count);

/// y[i] += factor · x[i]
void vector_add_scaled(float *y, const float *x, size_t count, float factor);

/// y[i] = silu(gate[i]) · up[i]
void vector_swiglu(float *y, const float *gate, const float *up, size_t count);

/// d_gate and d_up of vector_swiglu; d_gate may be gate and d_up may be up.
void vector_swiglu_backward(float *d_gate, float *d_up, const float *dy, const float *gate, const float *up,
                            size_t count);

/// ds[i] = p[i] · (ds[i] - delta) · scale
void vector_softmax_backward(float *ds, const float *p, size_t count, float delta, float scale);

/// y[i] = w[i] · (x[i] · factor)
void vector_rmsnorm(float *y, const float *x, const float *w, size_t count, float factor);

/// dx[i] += a · w[i] · dy[i] - b · x[i]
void vector_rmsnorm_backward(float *dx, const float *dy, const float *w, const float *x, size_t count, float a,
                             float b);

/// The sum of w[i]·dy[i]·x[i] in double.
double vector_dot3(const float *w, const float *dy, const float *x, size_t count);

/// Writes the indices of those p[i] that are larger than thresholds[i], ascending, and returns how many they are. A NaN
/// is larger than every threshold: it must be seen.
size_t vector_indices_above(int32_t *indices, const float *p, const float *thresholds, size_t count);

/// bfloat16, or IEEE binary16, as float, exactly.
void vector_widen_bfloat16(float *y, const uint8_t *x, size_t count);
void vector_widen_float16(float *y, const uint8_t *x, size_t count);

/// sums[i] += factor · x[i] in double.
void vector_accumulate(double *sums, const float *x, size_t count, double factor);

/// sums[i] += factor · |x[i]| in double.
void vector_accumulate_magnitude(double *sums, const float *x, size_t count, double factor);
