import TensorOperations

extension CUDAOperations {
  public func swiGLU(y: Tensor, gate: Tensor, up: Tensor) {
    precondition(y.hasShape(gate.rows, gate.columns) && up.hasShape(gate.rows, gate.columns))
    device.run(
      "swiglu", elements: y.count, .address(y.device), .address(gate.device), .address(up.device), .long(y.count))
  }

  public func swiGLUBackward(dGate: Tensor, dUp: Tensor, dy: Tensor, gate: Tensor, up: Tensor) {
    for tensor in [dGate, dUp, dy, up] { precondition(tensor.hasShape(gate.rows, gate.columns)) }
    device.run(
      "swiglu_backward", elements: dy.count, .address(dGate.device), .address(dUp.device), .address(dy.device),
      .address(gate.device), .address(up.device), .long(dy.count))
  }
}

/// HF: modeling_qwen2.py, Qwen2MLP.
let swiGLUKernels = #"""
  /// y = silu(g) ∘ u,  silu(g) = g·σ(g),  σ(g) = 1 / (1 + e^−g)
  extern "C" __global__ void swiglu(float *y, const float *gate, const float *up, long long count) {
    FOR_THIS_ELEMENT(i, count) y[i] = gate[i] / (1.0f + expf(-gate[i])) * up[i];
  }

  /// With s = σ(g): du = dy ∘ g·s,  dg = dy ∘ u ∘ s·(1 + g·(1 − s)). d_gate may be gate and d_up may be up.
  extern "C" __global__ void swiglu_backward(
      float *d_gate, float *d_up, const float *dy, const float *gate, const float *up, long long count) {
    FOR_THIS_ELEMENT(i, count) {
      float g = gate[i], u = up[i], d = dy[i];
      float s = 1.0f / (1.0f + expf(-g));
      d_gate[i] = d * u * (s * (1.0f + g * (1.0f - s)));
      d_up[i] = d * (g * s);
    }
  }
  """#
