import TensorOperations

extension CUDAOperations {
  public func normalize(
    y: Tensor, statistics: Tensor, x: Tensor, weight: Tensor, bias: Tensor?, _ norm: Normalization
  ) {
    precondition(y.hasShape(x.rows, x.columns) && statistics.count == x.rows && weight.count == x.columns)
    precondition(bias.map { $0.count == x.columns } ?? true)
    let tensors: [Device.Argument] = [y, statistics, x, weight].map { .address($0.device) }
    making([y]) { largest in
      switch norm {
      case .rms(let epsilon, let offset):
        precondition(bias == nil)
        device.run("rms_norm", rows: x.rows, largest + tensors + [.int(x.columns), .float(epsilon), .float(offset)])
      case .layer(let epsilon):
        let bias = Device.Argument.address(bias?.device ?? 0)
        device.run("layer_norm", rows: x.rows, largest + tensors + [bias, .int(x.columns), .float(epsilon)])
      }
    }
  }

  public func normalizeBackward(
    dx: Tensor, dy: Tensor, statistics: Tensor, x: Tensor, weight: Tensor, _ norm: Normalization, accumulate: Bool
  ) {
    precondition(dx.hasShape(x.rows, x.columns) && dy.hasShape(x.rows, x.columns))
    precondition(statistics.count == x.rows && weight.count == x.columns)
    let tensors: [Device.Argument] = [dx, dy, x, weight, statistics].map { .address($0.device) }
    let rest: [Device.Argument] = [.int(x.columns), .int(accumulate ? 1 : 0)]
    making([dx]) { largest in
      switch norm {
      case .rms(_, let offset):
        device.run("rms_norm_backward", rows: x.rows, largest + tensors + rest + [.float(offset)])
      case .layer: device.run("layer_norm_backward", rows: x.rows, largest + tensors + rest)
      }
    }
  }
}

/// HF: modeling_qwen2.py, Qwen2RMSNorm; modeling_gemma.py, GemmaRMSNorm. PyTorch: F.layer_norm.
let normKernels = #"""
  /// y[t,i] = (w[i] + offset)·x[t,i]·r[t],  r[t] = 1 / sqrt(Σ_i x[t,i]² / D + ε). One block a row.
  extern "C" __global__ void rms_norm(
      unsigned *largest, float *y, float *r, const float *x, const float *w, int D, float epsilon, float offset) {
    const float *x_t = x + (long long)blockIdx.x * D;
    float *y_t = y + (long long)blockIdx.x * D;
    double sum = 0;
    for (int i = threadIdx.x; i < D; i += blockDim.x) sum += (double)x_t[i] * x_t[i];
    float factor = (float)(1 / sqrt(block_sum(sum) / D + (double)epsilon));
    if (threadIdx.x == 0) r[blockIdx.x] = factor;
    unsigned own = 0;
    for (int i = threadIdx.x; i < D; i += blockDim.x) {
      float value = (w[i] + offset) * (x_t[i] * factor);
      y_t[i] = value;
      own = larger_magnitude(own, value);
    }
    if (largest) raise_magnitude(largest, own);
  }

  /// With g = (w + offset) ∘ dy:  dx[t,k] = r·g[t,k] − x[t,k]·(r³/D)·Σ_i g[t,i]·x[t,i]. dx may be dy.
  extern "C" __global__ void rms_norm_backward(
      unsigned *largest, float *dx, const float *dy, const float *x, const float *w, const float *r, int D,
      int accumulate, float offset) {
    long long row = (long long)blockIdx.x * D;
    double sum = 0;
    for (int i = threadIdx.x; i < D; i += blockDim.x)
      sum += (double)((w[i] + offset) * dy[row + i]) * x[row + i];
    float factor = r[blockIdx.x];
    float c = (float)((double)factor * factor * factor / D * block_sum(sum));
    unsigned own = 0;
    for (int i = threadIdx.x; i < D; i += blockDim.x) {
      float change = factor * ((w[i] + offset) * dy[row + i]) - c * x[row + i];
      float value = accumulate ? dx[row + i] + change : change;
      dx[row + i] = value;
      own = larger_magnitude(own, value);
    }
    if (largest) raise_magnitude(largest, own);
  }

  /// The mean of a row, in all threads of its block.
  __device__ double mean_of_row(const float *x, int D) {
    double sum = 0;
    for (int i = threadIdx.x; i < D; i += blockDim.x) sum += x[i];
    return block_sum(sum) / D;
  }

  /// y[t,i] = w[i]·(x[t,i] − μ[t])·r[t] + b[i],  r[t] = 1 / sqrt(Σ_i (x[t,i] − μ[t])² / D + ε), μ the row's mean. One
  /// block a row.
  extern "C" __global__ void layer_norm(
      unsigned *largest, float *y, float *r, const float *x, const float *w, const float *bias, int D, float epsilon) {
    const float *x_t = x + (long long)blockIdx.x * D;
    float *y_t = y + (long long)blockIdx.x * D;
    double mean = mean_of_row(x_t, D), sum = 0;
    for (int i = threadIdx.x; i < D; i += blockDim.x) sum += (x_t[i] - mean) * (x_t[i] - mean);
    double factor = 1 / sqrt(block_sum(sum) / D + (double)epsilon);
    if (threadIdx.x == 0) r[blockIdx.x] = (float)factor;
    unsigned own = 0;
    for (int i = threadIdx.x; i < D; i += blockDim.x) {
      float value = w[i] * (float)((x_t[i] - mean) * factor) + (bias ? bias[i] : 0);
      y_t[i] = value;
      own = larger_magnitude(own, value);
    }
    if (largest) raise_magnitude(largest, own);
  }

  /// With g = w ∘ dy:
  ///
  ///     dx[t,k] = r·(g[t,k] − Σ_i g[t,i] / D) − (x[t,k] − μ)·(r³/D)·Σ_i g[t,i]·(x[t,i] − μ)
  ///
  /// dx may be dy.
  extern "C" __global__ void layer_norm_backward(
      unsigned *largest, float *dx, const float *dy, const float *x, const float *w, const float *r, int D,
      int accumulate) {
    long long row = (long long)blockIdx.x * D;
    double mean = mean_of_row(x + row, D), sum = 0, along = 0;
    for (int i = threadIdx.x; i < D; i += blockDim.x) {
      double g = w[i] * dy[row + i];
      sum += g;
      along += g * (x[row + i] - mean);
    }
    double factor = r[blockIdx.x];
    double a = block_sum(sum) / D, c = factor * factor * factor / D * block_sum(along);
    unsigned own = 0;
    for (int i = threadIdx.x; i < D; i += blockDim.x) {
      float change = (float)(factor * ((double)(w[i] * dy[row + i]) - a) - (x[row + i] - mean) * c);
      float value = accumulate ? dx[row + i] + change : change;
      dx[row + i] = value;
      own = larger_magnitude(own, value);
    }
    if (largest) raise_magnitude(largest, own);
  }
  """#
