import TensorOperations

extension CUDAOperations {
  public func rmsNorm(y: Tensor, inverseRMS: Tensor, x: Tensor, weight: Tensor, epsilon: Float) {
    precondition(y.hasShape(x.rows, x.columns) && inverseRMS.count == x.rows && weight.count == x.columns)
    device.run(
      "rms_norm", rows: x.rows, .address(y.device), .address(inverseRMS.device), .address(x.device),
      .address(weight.device), .int(x.columns), .float(epsilon))
  }

  public func rmsNormBackward(dx: Tensor, dy: Tensor, x: Tensor, weight: Tensor, inverseRMS: Tensor) {
    precondition(dx.hasShape(x.rows, x.columns) && dy.hasShape(x.rows, x.columns))
    precondition(inverseRMS.count == x.rows && weight.count == x.columns)
    device.run(
      "rms_norm_backward", rows: x.rows, .address(dx.device), .address(dy.device), .address(x.device),
      .address(weight.device), .address(inverseRMS.device), .int(x.columns))
  }
}

/// HF: modeling_qwen2.py, Qwen2RMSNorm.
let rmsNormKernels = #"""
  /// y[t,i] = w[i]·x[t,i]·r[t],  r[t] = 1 / sqrt(Σ_i x[t,i]² / D + ε). One block a row.
  extern "C" __global__ void rms_norm(float *y, float *r, const float *x, const float *w, int D, float epsilon) {
    const float *x_t = x + (long long)blockIdx.x * D;
    float *y_t = y + (long long)blockIdx.x * D;
    double sum = 0;
    for (int i = threadIdx.x; i < D; i += blockDim.x) sum += (double)x_t[i] * x_t[i];
    float factor = (float)(1 / sqrt(block_sum(sum) / D + (double)epsilon));
    if (threadIdx.x == 0) r[blockIdx.x] = factor;
    for (int i = threadIdx.x; i < D; i += blockDim.x) y_t[i] = w[i] * (x_t[i] * factor);
  }

  /// dx[t,k] += r·w[k]·dy[t,k] − x[t,k]·(r³/D)·Σ_i w[i]·dy[t,i]·x[t,i]
  extern "C" __global__ void rms_norm_backward(
      float *dx, const float *dy, const float *x, const float *w, const float *r, int D) {
    long long row = (long long)blockIdx.x * D;
    double sum = 0;
    for (int i = threadIdx.x; i < D; i += blockDim.x) sum += (double)(w[i] * dy[row + i]) * x[row + i];
    float factor = r[blockIdx.x];
    float c = (float)((double)factor * factor * factor / D * block_sum(sum));
    for (int i = threadIdx.x; i < D; i += blockDim.x)
      dx[row + i] += factor * (w[i] * dy[row + i]) - c * x[row + i];
  }
  """#
