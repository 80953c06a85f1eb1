import TensorOperations

extension CUDAOperations {
  /// With z = x·Wᵀ and p = softmax(z):
  ///
  ///     loss[t] = log Σ_v e^z[t,v] − z[t,target]
  ///     dx[t]   = Σ_v p[t,v]·W[v] − W[target]
  ///
  /// Where there is a cap c, z = c·tanh(x·Wᵀ / c), and each W[v] of dx comes with z's derivative 1 − tanh²(x·W[v] / c).
  /// PyTorch: F.cross_entropy(reduction="sum") behind a bias-free head. One pass over the vocabulary by tiles, as on
  /// the processor: the logits never exist but for a tile.
  public func crossEntropy(dx: Tensor?, x: Tensor, head: Matrix, targets: [Int32], softCap: Float?) -> [Double] {
    let (N, V, D) = (x.rows, head.rows, head.columns)
    precondition(dx?.hasShape(N, D) ?? true && x.columns == D && targets.count == N && !head.isColumnMajor)
    precondition(targets.allSatisfy { $0 < V })
    guard N > 0 else { return [] }
    let tile = heldColumns(of: V, rows: N)
    let floats = MemoryLayout<Float>.stride
    let logits = scratch("logits", bytes: N * tile * floats)
    let largest = scratch("largest logits", bytes: N * floats)
    let targetLogits = scratch("target logits", bytes: N * floats)
    let targetSlopes = scratch("target slopes", bytes: N * floats)
    let sums = scratch("softmax sums", bytes: N * MemoryLayout<Double>.stride)
    let losses = scratch("losses", bytes: N * MemoryLayout<Double>.stride)
    let targetList = list("targets", targets)
    for first in stride(from: 0, to: V, by: tile) {
      let words = min(tile, V - first)
      let w = head.device + DevicePointer(first * head.leadingDimension * floats)
      // z(N,words) = x(N,D) · W(words,D)ᵀ
      device.multiply(
        N, words, D, x.operand, CuBLAS.Operand(address: w, distance: head.leadingDimension, isTransposed: true),
        into: logits, distance: words)
      device.run(
        "cross_entropy_tile", rows: N, .address(logits), .address(largest), .address(sums), .address(targetLogits),
        .address(targetSlopes), .address(dx?.device ?? 0), .address(targetList), .int(words), .int(first), .int(D),
        .float(softCap ?? 0))
      guard let dx else { continue }
      // dx(N,D) += e^(z − largest)(N,words) · W(words,D)
      device.multiply(
        N, D, words, CuBLAS.Operand(address: logits, distance: words),
        CuBLAS.Operand(address: w, distance: head.leadingDimension), accumulate: first > 0, into: dx.device,
        distance: D)
    }
    device.run(
      "cross_entropy_end", rows: N, .address(losses), .address(dx?.device ?? 0), .address(largest), .address(sums),
      .address(targetLogits), .address(targetSlopes), .address(targetList), .address(head.device),
      .int(head.leadingDimension), .int(D))
    return values(Double.self, count: N, at: losses)
  }
}

/// A softmax over the vocabulary that runs along with its tiles.
let crossEntropyKernels = #"""
  /// Takes one tile of a row's logits into its running softmax: e^(z − m) replaces z, m being the largest logit so far.
  /// What was summed before shrinks where m has grown. Where there is a cap, z comes capped, and with its derivative
  /// when it is summed with the words. One block a row.
  extern "C" __global__ void cross_entropy_tile(
      float *logits, float *largest, double *sums, float *targetLogits, float *targetSlopes, float *weighted,
      const int *targets, int words, int firstWord, int D, float cap) {
    float *z = logits + (long long)blockIdx.x * words;
    float m = -__uint_as_float(0x7f800000u);
    for (int v = threadIdx.x; v < words; v += blockDim.x) m = fmaxf(m, z[v]);
    m = block_maximum(m);
    float slope = 1;
    // The cap keeps the order.
    if (cap > 0) m = soft_cap(m, cap, &slope);
    float before = firstWord > 0 ? largest[blockIdx.x] : m;
    m = fmaxf(m, before);
    float shrink = firstWord > 0 ? expf(before - m) : 0;
    int target = targets[blockIdx.x] - firstWord;
    double sum = 0;
    for (int v = threadIdx.x; v < words; v += blockDim.x) {
      float logit = cap > 0 ? soft_cap(z[v], cap, &slope) : z[v], share = expf(logit - m);
      if (v == target) {
        targetLogits[blockIdx.x] = logit;
        targetSlopes[blockIdx.x] = slope;
      }
      sum += share;
      z[v] = share * slope;
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) {
      largest[blockIdx.x] = m;
      sums[blockIdx.x] = firstWord > 0 ? sums[blockIdx.x] * shrink + sum : sum;
    }
    if (weighted && firstWord > 0 && shrink != 1)
      for (int i = threadIdx.x; i < D; i += blockDim.x) weighted[(long long)blockIdx.x * D + i] *= shrink;
  }

  /// loss = log Σ_v e^z[v] − z[target];  dx = Σ_v p[v]·W[v] − W[target]. Without a target both are 0. One block a row.
  extern "C" __global__ void cross_entropy_end(
      double *losses, float *dx, const float *largest, const double *sums, const float *targetLogits,
      const float *targetSlopes, const int *targets, const float *W, int distance, int D) {
    int row = blockIdx.x, target = targets[row];
    if (threadIdx.x == 0)
      losses[row] = target < 0 ? 0 : (double)largest[row] + log(sums[row]) - (double)targetLogits[row];
    if (!dx) return;
    float share = (float)(1 / sums[row]);
    for (int i = threadIdx.x; i < D; i += blockDim.x) {
      float *place = dx + (long long)row * D + i;
      *place = target < 0 ? 0 : *place * share - targetSlopes[row] * W[(long long)target * distance + i];
    }
  }
  """#
