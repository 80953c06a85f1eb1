// What CUDA C has beyond C++, for kernels that a stand-in runs on the processor, one thread of a block at a time.
#include <math.h>
#include <string.h>

struct Index {
  unsigned x, y, z;
};

// The stand-in sets these before it lets a thread run.
extern "C" {
Index threadIdx, blockIdx, blockDim, gridDim;
void (*wait_for_block)();
}

#define __global__
#define __device__ static
#define __launch_bounds__(...)
// One block runs at a time.
#define __shared__ static

static void __syncthreads() { wait_for_block(); }

static unsigned atomicAdd(unsigned *sum, unsigned value) {
  unsigned before = *sum;
  *sum += value;
  return before;
}

static unsigned atomicMax(unsigned *largest, unsigned value) {
  unsigned before = *largest;
  if (value > before) *largest = value;
  return before;
}

static unsigned short narrowed_half(float x) {
  _Float16 half = (_Float16)x;
  unsigned short bits;
  memcpy(&bits, &half, sizeof bits);
  return bits;
}

static float __uint_as_float(unsigned bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

static unsigned __float_as_uint(float value) {
  unsigned bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

// What lies at a multiple of 16 bytes and is read at once.
struct alignas(16) float4 {
  float x, y, z, w;
};

static float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

static int min(int a, int b) { return a < b ? a : b; }
static int max(int a, int b) { return a > b ? a : b; }

// Device addresses are marked, so that the host cannot use them by mistake.
template <class T> T argument(void *place, T *) {
  T value;
  memcpy(&value, place, sizeof value);
  return value;
}

template <class T> T *argument(void *place, T **) {
  unsigned long long address;
  memcpy(&address, place, sizeof address);
  return (T *)(address & ~(1ull << 62));
}

template <int... I> struct Numbers {};
template <class T, T... I> using NumbersOf = Numbers<I...>;

template <class... P, int... I> void call(void (*kernel)(P...), void **arguments, Numbers<I...>) {
  kernel(argument(arguments[I], (P *)nullptr)...);
}

/// Calls a kernel with arguments as cuLaunchKernel has them.
template <class... P> void call(void (*kernel)(P...), void **arguments) {
  call(kernel, arguments, __make_integer_seq<NumbersOf, int, sizeof...(P)>());
}
