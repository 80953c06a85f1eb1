#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// The element-wise loops of the model's passes. They are C because Swift cannot compile one function for several
// instruction sets: here each is compiled for AVX-512, for AVX2 and for any processor, and the loader picks.
// Pointers need no alignment. The order in which a sum adds its terms depends on the processor, as in OpenBLAS.

/// Replaces x[i] by e^(x[i] - shift), to 2 ulp for arguments from -87 to 88 and the value at the end of that range
/// beyond it (NaN stays NaN), and returns the sum of the results.
double vector_exponentiate(float *x, size_t count, float shift);

/// y[i] = e^(x[i] - shift), the difference in double, as exactly otherwise; returns the sum of the results.
double vector_exponentiate_doubles(float *y, const double *x, size_t count, float shift);

/// y[i] = x[i], rounded.
void vector_narrow_double(float *y, const double *x, size_t count);

/// The largest of x[0..<count], -infinity of none; NaN where there is one.
float vector_maximum(const float *x, size_t count);

/// The sum of a[i]·b[i], each product and the sum in double.
double vector_dot(const float *a, const float *b, size_t count);

/// Of rows of b, (…, count), with a[0..<count]: sums[r] is the sum of a[i]·b[rows[r]·count + i], each product and the sum
/// in double. What comes of a row does not depend on the others.
void vector_dot_rows(
    double *sums, const float *a, const float *b, const int32_t *rows, size_t row_count, size_t count);

/// Of a matrix that lies by columns, stride numbers apart: y[r·columns + j] = x[j·stride + rows[r]]. Rows that ascend are
/// read fastest, and eight that follow one another faster still.
void vector_copy_rows(
    float *y, const float *x, size_t stride, const int32_t *rows, size_t row_count, size_t columns);

/// x[i] *= factor
void vector_scale(float *x, size_t count, float factor);

/// y[i] += x[i]
void vector_add(float *y, const float *x, size_t count);

/// y[i] += factor · x[i]
void vector_add_scaled(float *y, const float *x, size_t count, float factor);

/// y[i] *= x[i]
void vector_multiply(float *y, const float *x, size_t count);

/// y[i] = f(gate[i]) · up[i], or f(gate[i]) where up is null. `function` numbers them as ActivationFunction does.
void vector_activate(float *y, const float *gate, const float *up, size_t count, uint32_t function);

/// d_gate and d_up of vector_activate; d_gate may be gate or dy, and d_up may be up. Without up there is no d_up.
void vector_activate_backward(float *d_gate, float *d_up, const float *dy, const float *gate, const float *up,
                              size_t count, uint32_t function);

/// x[i] = cap · tanh(x[i] / cap), and that function's derivative in slopes[i], where slopes is not null.
void vector_soft_cap(float *x, float *slopes, size_t count, float cap);

/// ds[i] = p[i] · (ds[i] - delta) · scale
void vector_softmax_backward(float *ds, const float *p, size_t count, float delta, float scale);

/// The sum of x[i] in double.
double vector_sum(const float *x, size_t count);

/// The sum of (x[i] - center)² in double.
double vector_square_distance(const float *x, size_t count, double center);

/// The sum of (w[i] + offset)·dy[i]·(x[i] - center) in double.
double vector_dot3(const float *w, float offset, const float *dy, const float *x, double center, size_t count);

/// y[i] = (w[i] + offset) · (x[i] · factor), in double, rounded once.
void vector_rmsnorm(float *y, const float *x, const float *w, float offset, size_t count, double factor);

/// dx[i] = a · (w[i] + offset) · dy[i] - b · x[i], or dx[i] += where `accumulate`; dx may be dy.
void vector_rmsnorm_backward(float *dx, const float *dy, const float *w, float offset, const float *x, size_t count,
                             float a, float b, bool accumulate);

/// y[i] = w[i] · (x[i] - mean) · factor + bias[i], without the bias where it is null; in double, rounded once.
void vector_layernorm(float *y, const float *x, const float *w, const float *bias, size_t count, double mean,
                      double factor);

/// dx[i] = factor · (w[i] · dy[i] - a) - (x[i] - mean) · b, or dx[i] += where `accumulate`; dx may be dy.
void vector_layernorm_backward(float *dx, const float *dy, const float *w, const float *x, size_t count, double mean,
                               double factor, double a, double b, bool accumulate);

/// Turns the pairs (low[i], high[i]) by angles, back where `direction` is -1 and not 1; in double, rounded once.
void vector_rotate(float *low, float *high, const float *cosines, const float *sines, size_t count, double direction);

/// Writes the indices of those p[i] that are larger than thresholds[i], ascending, and returns how many they are. A NaN
/// is larger than every threshold: it must be seen.
size_t vector_indices_above(int32_t *indices, const float *p, const float *thresholds, size_t count);

/// bfloat16, or IEEE binary16, as float, exactly.
void vector_widen_bfloat16(float *y, const uint8_t *x, size_t count);
void vector_widen_float16(float *y, const uint8_t *x, size_t count);

/// float as double.
void vector_widen_float(double *y, const float *x, size_t count);

/// Σ a[i] · b[i], and y[i] += factor · x[i].
double vector_dot_doubles(const double *a, const double *b, size_t count);
void vector_add_scaled_doubles(double *y, const double *x, size_t count, double factor);

/// sums[i] += factor · x[i] in double.
void vector_accumulate(double *sums, const float *x, size_t count, double factor);

/// sums[i] += factor · |x[i]| in double.
void vector_accumulate_magnitude(double *sums, const float *x, size_t count, double factor);

/// sums[i] += factor · (x[i]·a[i]), or of its magnitude, in double.
void vector_accumulate_product(double *sums, const float *x, const float *a, size_t count, double factor);
void vector_accumulate_product_magnitude(double *sums, const float *x, const float *a, size_t count, double factor);

/// Of the totals y of a unit of weight b: even[i] += y[i], where even is not null, squares[i] += y[i]² and
/// products[i] += y[i]·b.
void vector_add_unit(double *even, double *squares, double *products, const double *y, size_t count, double b);
