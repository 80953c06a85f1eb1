import TensorOperations

extension CUDAOperations {
  public func activate(y: Tensor, gate: Tensor, up: Tensor?, by function: ActivationFunction) {
    precondition(y.hasShape(gate.rows, gate.columns) && up?.hasShape(gate.rows, gate.columns) ?? true)
    making([y]) { largest in
      device.run(
        "activate", foursOf: y.count, largest[0], .address(y.device), .address(gate.device),
        .address(up?.device ?? 0), .int(Int(function.rawValue)), .long(y.count))
    }
  }

  public func activateBackward(
    dGate: Tensor, dUp: Tensor?, dy: Tensor, gate: Tensor, up: Tensor?, by function: ActivationFunction
  ) {
    for tensor in [dGate, dUp, dy, up] { precondition(tensor?.hasShape(gate.rows, gate.columns) ?? true) }
    precondition((dUp == nil) == (up == nil))
    making([dGate, dUp]) { largest in
      device.run(
        "activate_backward", foursOf: dy.count, largest[0], largest[1], .address(dGate.device),
        .address(dUp?.device ?? 0), .address(dy.device), .address(gate.device), .address(up?.device ?? 0),
        .int(Int(function.rawValue)), .long(dy.count))
    }
  }
}

/// HF: modeling_qwen2.py, Qwen2MLP; modeling_gpt2.py, GPT2MLP.
let mlpActivationKernels = #"""
  /// An activation function, numbered as ActivationFunction does, and its derivative in `slope`.
  __device__ float activation(float x, int function, float *slope) {
    switch (function) {
      case 0: {  // x·s with s = σ(x); s·(1 + x·(1 − s))
        float s = 1.0f / (1.0f + expf(-x));
        *slope = s * (1.0f + x * (1.0f - s));
        return x * s;
      }
      case 1: {  // x·Φ(x); Φ(x) + x·φ(x)
        float probability = 0.5f * erfcf(-0.70710678f * x);
        float density = fabsf(x) < 14.0f ? 0.39894228f * expf(-0.5f * x * x) : 0.0f;
        *slope = probability + x * density;
        return x * probability;
      }
      case 2: {  // x·σ(z) with z = 2·√(2/π)·(x + 0.044715·x³); at ±10 σ is 0 or 1
        float c = x < -10.0f ? -10.0f : x > 10.0f ? 10.0f : x;
        float e = expf(-c * (1.5957691216f + 0.071354812828f * c * c)), s = 1.0f / (1.0f + e);
        float inner = c * (s * (e * s)) * (1.5957691216f + 0.21406443848f * c * c);
        *slope = s + inner;
        return x * s;
      }
      default:  // max(x, 0)
        *slope = x > 0 ? 1 : x <= 0 ? 0 : x;
        return x < 0 ? 0 : x;
    }
  }

  /// y = f(g) ∘ u, or f(g) without u.
  extern "C" __global__ void activate(
      unsigned *largest, float *y, const float *gate, const float *up, int function, long long count) {
    unsigned own = 0;
    FOR_THESE_FOUR(i, count) {
      float g[4], u[4] = {1, 1, 1, 1};
      load_four(g, gate, i, count);
      if (up) load_four(u, up, i, count);
      #pragma unroll
      for (int k = 0; k < 4; k++) {
        float slope;
        u[k] *= activation(g[k], function, &slope);
        own = larger_magnitude(own, u[k]);
      }
      store_four(y, u, i, count);
    }
    if (largest) raise_magnitude(largest, own);
  }

  /// du = dy ∘ f(g),  dg = dy ∘ u ∘ f'(g), or dy ∘ f'(g) without u. d_gate may be gate or dy, and d_up may be up.
  extern "C" __global__ void activate_backward(
      unsigned *largest_gate, unsigned *largest_up, float *d_gate, float *d_up, const float *dy, const float *gate,
      const float *up, int function, long long count) {
    unsigned own_gate = 0, own_up = 0;
    FOR_THESE_FOUR(i, count) {
      float g[4], d[4], u[4] = {1, 1, 1, 1};
      load_four(g, gate, i, count);
      load_four(d, dy, i, count);
      if (up) load_four(u, up, i, count);
      #pragma unroll
      for (int k = 0; k < 4; k++) {
        float slope, value = activation(g[k], function, &slope);
        g[k] = d[k] * u[k] * slope;
        u[k] = d[k] * value;
        own_gate = larger_magnitude(own_gate, g[k]);
        own_up = larger_magnitude(own_up, u[k]);
      }
      store_four(d_gate, g, i, count);
      if (d_up) store_four(d_up, u, i, count);
    }
    if (largest_gate) raise_magnitude(largest_gate, own_gate);
    if (largest_up) raise_magnitude(largest_up, own_up);
  }
  """#
