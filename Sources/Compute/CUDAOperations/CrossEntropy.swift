import TensorOperations

extension CUDAOperations {
  /// With z = x·Wᵀ and p = softmax(z):
  ///
  ///     loss[t] = log Σ_v e^z[t,v] − z[t,target]
  ///     dx[t]   = Σ_v p[t,v]·W[v] − W[target]
  ///
  /// Where there is a cap c, z = c·tanh(x·Wᵀ / c), and each W[v] of dx comes with z's derivative 1 − tanh²(x·W[v] / c).
  /// PyTorch: F.cross_entropy(reduction="sum") behind a bias-free head. One pass over the vocabulary by tiles, as on
  /// the processor: the logits never exist but for a tile. Prominent words are added up in a sum of their own, in Double.
  public func crossEntropy(dx: Tensor?, x: Tensor, head: Matrix, targets: [Int32], softCap: Float?) -> () -> [Double] {
    let (N, V, D) = (x.rows, head.rows, head.columns)
    precondition(dx?.hasShape(N, D) ?? true && x.columns == D && targets.count == N && !head.isColumnMajor)
    precondition(targets.allSatisfy { $0 < V })
    guard N > 0 else { return { [] } }
    let tile = heldColumns(of: V, rows: N)
    let floats = MemoryLayout<Float>.stride
    let logits = scratch("logits", bytes: N * tile * floats)
    let largest = scratch("largest logits", bytes: N * floats)
    let targetLogits = scratch("target logits", bytes: N * floats)
    let targetSlopes = scratch("target slopes", bytes: N * floats)
    let sums = scratch("softmax sums", bytes: N * MemoryLayout<Double>.stride)
    let losses = scratch("losses", bytes: N * MemoryLayout<Double>.stride)
    let prominent = dx.map { scratch("prominent words", bytes: $0.count * MemoryLayout<Double>.stride) } ?? 0
    let targetList = list("targets", targets)
    let parts = head.isHalf ? split(x, for: [head], by: .logits)[0] : nil
    let shares = head.isHalf && dx != nil ? sharesInHalves(rows: N, columns: tile) : nil
    for first in stride(from: 0, to: V, by: tile) {
      let words = min(tile, V - first)
      let w = head.selecting(rows: first..<first + words)
      // z(N,words) = x(N,D) · W(words,D)ᵀ
      if let parts {
        multiply(parts, w.transposed, accumulate: false, into: logits, distance: words)
      } else {
        device.multiply(N, words, D, x.operand, w.transposed.operand, into: logits, distance: words)
      }
      device.run(
        "cross_entropy_tile", rows: N, .address(logits), .address(largest), .address(sums), .address(targetLogits),
        .address(targetSlopes), .address(shares?.high ?? 0), .address(shares?.low ?? 0), .address(dx?.device ?? 0),
        .address(prominent), .address(targetList), w.weights[0], w.weights[1], w.weights[2],
        .int(head.leadingDimension), .int(words), .int(first), .int(D), .float(softCap ?? 0))
      guard let dx else { continue }
      // dx(N,D) += e^(z − largest)(N,words) · W(words,D)
      if let shares {
        multiply(
          self.shares(shares, rows: N, of: w), w, accumulate: first > 0, into: dx.device, distance: D)
      } else {
        device.multiply(
          N, D, words, CuBLAS.Operand(address: logits, distance: words), w.operand, accumulate: first > 0,
          into: dx.device, distance: D)
      }
    }
    device.run(
      "cross_entropy_end", rows: N, .address(losses), .address(dx?.device ?? 0), .address(prominent),
      .address(largest), .address(sums), .address(targetLogits), .address(targetSlopes), .address(targetList),
      head.weights[0], head.weights[1], head.weights[2], .int(head.leadingDimension), .int(D))
    var found: [Double] = []
    startedLossDownloads.start(from: losses, bytes: N * MemoryLayout<Double>.stride) {
      found = Array($0.bindMemory(to: Double.self))
    }
    return {
      self.startedLossDownloads.finish()
      return found
    }
  }
}

/// A softmax over the vocabulary that runs along with its tiles.
let crossEntropyKernels = #"""
  /// Whether a word is left out of the Float sum, which would lose what thousands of words with shares of 1e-8 add to
  /// one that holds it: an eighth of the largest share so far, and 1/64 of the sum so far, which only 64 words can have.
  #define MOST_PROMINENT 64
  #define SHARES_SCALE 16384.0f
  __device__ bool is_prominent(float share, double sum) {
    return share >= 0.125f && (double)share * MOST_PROMINENT >= sum;
  }

  /// e^(z − m), z capped where there is a cap: then with the cap's derivative.
  __device__ float share_of(float z, float m, float cap, float *logit, float *slope) {
    *logit = cap > 0 ? soft_cap(z, cap, slope) : z;
    return expf(*logit - m);
  }

  /// Takes one tile of a row's logits into its running softmax: e^(z − m) replaces z, m being the largest logit so far.
  /// What was summed before shrinks where m has grown. Where there is a cap, z comes capped, and with its derivative
  /// when it is summed with the words. The target's own share is left out, and so are the prominent words, which
  /// `prominent` (rows, D) takes. Where there is `high`, the shares are written there and to `low`, split into halves,
  /// times SHARES_SCALE, and the logits stay. One block a row.
  extern "C" __global__ void cross_entropy_tile(
      float *logits, float *largest, double *sums, float *targetLogits, float *targetSlopes, unsigned short *high,
      unsigned short *low, float *weighted, double *prominent, const int *targets, const void *W, float unit,
      long long lowDistance, int distance, int words, int firstWord, int D, float cap) {
    __shared__ int foundWords[MOST_PROMINENT];
    __shared__ float foundShares[MOST_PROMINENT];
    float *z = logits + (long long)blockIdx.x * words;
    float m = -__uint_as_float(0x7f800000u);
    #pragma unroll 4
    for (int v = threadIdx.x; v < words; v += blockDim.x) m = fmaxf(m, z[v]);
    m = block_maximum(m);
    float slope = 1, logit;
    // The cap keeps the order.
    if (cap > 0) m = soft_cap(m, cap, &slope);
    float before = firstWord > 0 ? largest[blockIdx.x] : m;
    m = fmaxf(m, before);
    float shrink = firstWord > 0 ? expf(before - m) : 0;
    double sumBefore = firstWord > 0 ? sums[blockIdx.x] * shrink : 0;
    int target = targets[blockIdx.x] - firstWord;
    double sum = 0;
    bool mayHaveProminent = false;
    #pragma unroll 4
    for (int v = threadIdx.x; v < words; v += blockDim.x) {
      float share = share_of(z[v], m, cap, &logit, &slope);
      if (v == target) {
        targetLogits[blockIdx.x] = logit;
        targetSlopes[blockIdx.x] = slope;
        share = 0;
      }
      sum += share;
      mayHaveProminent |= is_prominent(share * slope, sumBefore);
      if (high) {
        long long at = (long long)blockIdx.x * words + v;
        split_in_halves(high + at, low + at, share * slope * SHARES_SCALE);
      } else {
        z[v] = share * slope;
      }
    }
    sum = sumBefore + block_sum(sum);
    if (threadIdx.x == 0) {
      largest[blockIdx.x] = m;
      sums[blockIdx.x] = sum;
    }
    if (!weighted) return;
    int count = 0, found;
    for (int v = threadIdx.x; mayHaveProminent && v < words; v += blockDim.x) {
      float share = high ? share_of(z[v], m, cap, &logit, &slope) * slope : z[v];
      count += v != target && is_prominent(share, sum);
    }
    int place = block_sum_before(count, &found);
    for (int v = threadIdx.x; count > 0 && v < words; v += blockDim.x) {
      float share = high ? share_of(z[v], m, cap, &logit, &slope) * slope : z[v];
      if (v == target || !is_prominent(share, sum)) continue;
      foundWords[place] = v;
      foundShares[place++] = share;
      if (high) {
        long long at = (long long)blockIdx.x * words + v;
        high[at] = low[at] = 0;
      } else {
        z[v] = 0;
      }
    }
    __syncthreads();
    if (firstWord > 0 && found == 0 && shrink == 1) return;
    for (int i = threadIdx.x; i < D; i += blockDim.x) {
      long long at = (long long)blockIdx.x * D + i;
      double added = firstWord > 0 ? prominent[at] * shrink : 0;
      for (int f = 0; f < found; f++)
        added += (double)foundShares[f] * weight_at(W, (long long)foundWords[f] * distance + i, unit, lowDistance);
      prominent[at] = added;
      if (firstWord > 0 && shrink != 1) weighted[at] *= shrink;
    }
  }

  /// loss = log Σ_v e^z[v] − z[target];  dx = Σ_{v ≠ target} p[v]·W[v] − (1 − p[target])·W[target]. 1 − p[target] is the
  /// others' sum: where the target is all but certain, the difference of the two would have no digits left. Without a
  /// target both are 0. One block a row.
  extern "C" __global__ void cross_entropy_end(
      double *losses, float *dx, const double *prominent, const float *largest, const double *sums,
      const float *targetLogits, const float *targetSlopes, const int *targets, const void *W, float unit,
      long long lowDistance, int distance, int D) {
    int row = blockIdx.x, target = targets[row];
    double others = sums[row], own = target < 0 ? 0 : exp((double)targetLogits[row] - largest[row]), sum = others + own;
    if (threadIdx.x == 0)
      losses[row] = target < 0     ? 0
                    : own > others ? log1p(others / own)
                                   : (double)largest[row] + log(sum) - (double)targetLogits[row];
    if (!dx) return;
    for (int i = threadIdx.x; i < D; i += blockDim.x) {
      long long at = (long long)row * D + i;
      dx[at] = target < 0 ? 0
                          : (float)((dx[at] + prominent[at]) / sum
                                    - targetSlopes[row] * (others / sum)
                                        * weight_at(W, (long long)target * distance + i, unit, lowDistance));
    }
  }
  """#
