import TensorOperations

extension CUDAOperations {
  public func gatherRows(_ y: Tensor, from x: Tensor, rows: [Int32]) {
    precondition(y.hasShape(rows.count, x.columns) && rows.allSatisfy { $0 >= 0 && $0 < x.rows })
    device.run(
      "gather_rows", elements: y.count, .address(y.device), .source(x.device), .address(rowList(rows)),
      .int(x.columns), .long(y.count))
  }

  public func replaceRows(_ y: Tensor, rows: [Int32], by x: Tensor) {
    precondition(x.hasShape(rows.count, y.columns) && rows.allSatisfy { $0 >= 0 && $0 < y.rows })
    device.run(
      "replace_rows", elements: x.count, .address(y.device), .address(x.device), .address(rowList(rows)),
      .int(x.columns), .long(x.count))
  }

  public func normalizeInput(
    _ s: Tensor, scalings: Tensor, x: Tensor, _ normalization: InputNormalization, bias: Tensor?
  ) {
    precondition(s.hasShape(x.rows, x.columns) && scalings.hasShape(x.rows, InputNormalization.Scaling.columns))
    precondition(bias.map { $0.count == x.columns } ?? true)
    let (rule, scale): (Int, Double) =
      switch normalization {
      case .none: (0, 1)
      case .layerNorm: (1, 1)
      case .constantNorm: (2, 1)
      case .fixed(let scale, let isCentred): (isCentred ? 3 : 0, scale)
      }
    making([s]) { largest in
      device.run(
        "normalize_input", rows: x.rows, largest[0], .address(s.device), .address(scalings.device), .address(x.device),
        .address(bias?.device ?? 0), .int(rule), .double(scale), .int(x.columns))
    }
  }

  public func undoNormalization(_ y: Tensor, scalings: Tensor) { scale(y, scalings, isShifted: true) }

  public func scaleRows(_ y: Tensor, scalings: Tensor) { scale(y, scalings, isShifted: false) }

  private func scale(_ y: Tensor, _ scalings: Tensor, isShifted: Bool) {
    precondition(scalings.hasShape(y.rows, InputNormalization.Scaling.columns))
    device.run(
      "scale_rows", elements: y.count, .address(y.device), .address(scalings.device), .int(isShifted ? 1 : 0),
      .int(y.columns), .long(y.count))
  }

  public func addReconstruction(to sums: Tensor, x: Tensor, rebuilt: Tensor) {
    let (N, D) = (x.rows, x.columns)
    precondition(rebuilt.hasShape(N, D) && sums.hasShape(1, ReconstructionSums.columns(width: D)))
    let parts = (N + 31) / 32
    let ofParts = scratch("reconstruction", bytes: parts * 3 * D * MemoryLayout<Double>.stride)
    device.run(
      "reconstruction_parts", blocks: ((D + Device.blockSize - 1) / Device.blockSize, parts),
      threads: Device.blockSize,
      [.address(ofParts), .address(x.device), .address(rebuilt.device), .int(N), .int(D)])
    device.run("add_reconstruction", rows: 1, .address(sums.device), .address(ofParts), .int(parts), .int(D))
  }
}

/// Rows around an autoencoder. A row's scaling is its shift, its input scale and its output scale.
let rebuiltRowKernels = #"""
  /// y[rows[n]] = x[n]
  extern "C" __global__ void replace_rows(float *y, const float *x, const int *rows, int columns, long long count) {
    FOR_THIS_ELEMENT(i, count) y[(long long)rows[i / columns] * columns + i % columns] = x[i];
  }

  /// s = (x − shift)·input scale − bias. By rule: 0 a given scale; 1 the mean and the standard deviation; 2 a norm of √D;
  /// 3 the mean and a given scale. s may be x. One block a row.
  extern "C" __global__ void normalize_input(
      unsigned *largest, float *s, double *scalings, const float *x, const float *bias, int rule, double scale,
      int D) {
    const float *x_t = x + (long long)blockIdx.x * D;
    float *s_t = s + (long long)blockIdx.x * D;
    double shift = 0, inputScale = scale, outputScale = 1 / scale;
    if (rule == 1 || rule == 3) {
      double sum = 0;
      for (int i = threadIdx.x; i < D; i += blockDim.x) sum += x_t[i];
      shift = block_sum(sum) / D;
    }
    if (rule == 1 || rule == 2) {
      double sum = 0;
      for (int i = threadIdx.x; i < D; i += blockDim.x) sum += (x_t[i] - shift) * (x_t[i] - shift);
      sum = block_sum(sum);
      if (rule == 1) {
        outputScale = sqrt(sum / (D - 1));
        inputScale = 1 / (outputScale + 1e-5);
      } else {
        outputScale = sqrt(sum) / sqrt((double)D);
        inputScale = sqrt((double)D) / sqrt(sum);
      }
    }
    if (threadIdx.x == 0) {
      double *kept = scalings + (long long)blockIdx.x * 3;
      kept[0] = shift;
      kept[1] = inputScale;
      kept[2] = outputScale;
    }
    unsigned own = 0;
    for (int i = threadIdx.x; i < D; i += blockDim.x) {
      float normalized = (float)((x_t[i] - shift) * inputScale);
      float value = bias ? normalized - bias[i] : normalized;
      s_t[i] = value;
      own = larger_magnitude(own, value);
    }
    if (largest) raise_magnitude(largest, own);
  }

  /// y = y·output scale + shift, or y·output scale
  extern "C" __global__ void scale_rows(float *y, const double *scalings, int isShifted, int D, long long count) {
    FOR_THIS_ELEMENT(i, count) {
      const double *scaling = scalings + i / D * 3;
      y[i] = (float)(y[i] * scaling[2] + (isShifted ? scaling[0] : 0));
    }
  }

  /// Of 32 rows of each column Σ (x − y)², Σ x² and Σ x: [parts, 3, D]. A block a part and 256 columns.
  extern "C" __global__ void reconstruction_parts(double *parts, const float *x, const float *y, int rows, int D) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= D) return;
    double error = 0, norm = 0, sum = 0;
    int end = min((int)blockIdx.y * 32 + 32, rows);
    for (int row = blockIdx.y * 32; row < end; row++) {
      float value = x[(long long)row * D + i], difference = value - y[(long long)row * D + i];
      error += (double)difference * difference;
      norm += (double)value * value;
      sum += value;
    }
    double *own = parts + (long long)blockIdx.y * 3 * D + i;
    own[0] = error;
    own[D] = norm;
    own[2 * D] = sum;
  }

  /// Adds the parts to Σ‖x − y‖², Σ‖x‖² and Σ x. One block.
  extern "C" __global__ void add_reconstruction(double *sums, const double *parts, int count, int D) {
    double error = 0, norm = 0;
    for (int i = threadIdx.x; i < D; i += blockDim.x) {
      double sum = 0;
      for (int part = 0; part < count; part++) {
        const double *own = parts + (long long)part * 3 * D + i;
        error += own[0];
        norm += own[D];
        sum += own[2 * D];
      }
      sums[2 + i] += sum;
    }
    error = block_sum(error);
    norm = block_sum(norm);
    if (threadIdx.x == 0) {
      sums[0] += error;
      sums[1] += norm;
    }
  }
  """#
