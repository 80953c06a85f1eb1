/// Attention's kernels for heads of at most `part` columns; a wider one has a block for each part of so many columns of
/// its results, which computes the scores of the whole head.
///
/// HF: modeling_gemma2.py, `eager_attention_forward`; the order of summation is that of FlashAttention.
func attentionText(part: Int) -> String {
  #"""
  namespace part_\#(part) {
  constexpr int PART = \#(part), PIECES = PART / TILE;
  // Blocks of queries on the way back that a multiprocessor has at a time: two have 255 registers a thread, three 168. Only
  // the shared memory of 8.0, 9.0, 10.x and 11.0 holds three.
  #if __CUDA_ARCH__ >= 800 && __CUDA_ARCH__ < 1200 && __CUDA_ARCH__ / 10 % 10 == 0
  constexpr int BLOCKS = PIECES == 1 ? 3 : 2;
  #else
  constexpr int BLOCKS = 2;
  #endif

  /// For each sample and head, with the keys j ≤ t of row t's window that are real tokens:
  ///
  ///     S[t,j] = scale · q_t · k_j, or cap · tanh of it / cap,   L[t] = log Σ_j e^S[t,j],   o_t = Σ_j e^(S[t,j] − L[t])·v_j
  ///
  /// with a running maximum and sum over tiles of keys (FlashAttention, Dao et al. 2022). L is kept as the largest
  /// score and the logarithm of the sum above it. One block a tile of rows, head and part of its columns.
  extern "C" __global__ void __launch_bounds__(128, PIECES == 1 ? 4 : 2) attention_\#(part)(
      unsigned *magnitude, float *output, float *logSumExp, const float *query, const float *key, const float *value,
      const int *tiles, int H, int K, int W, float scale, float cap, int window) {
    // Scores take the place of the queries, and values that of the keys.
    __shared__ float4 a[TILE * PITCH], b[TILE * PITCH];
    __shared__ double sums[TILE_THREADS];
    __shared__ float maxima[TILE_THREADS], correction[TILE];
    const float infinity = __uint_as_float(0x7f800000u);
    __builtin_assume(PIECES > 1 || W <= TILE);
    __shared__ Work work;
    find_work<PART>(&work, tiles, W);
    int rows = min(TILE, work.length - work.start), keys = min(work.start + rows, work.tokens);

    float4 o[PIECES][ROWS][HALVES] = {};
    // Of the row that this thread takes the exponentials of, beside another thread, every second four of its scores:
    // the largest score, and Σ e^(S − largest) of its own.
    int row = threadIdx.x % TILE, half = threadIdx.x / TILE;
    float largest = -infinity;
    double sum = 0;
    for (int j0 = max(0, work.start - window + 1); j0 < keys; j0 += TILE) {
      int count = min(TILE, keys - j0);
      Range seen = seen_keys(thread_strip(), work.start, rows, j0, count, window);
      float s[ROWS][COLUMNS];
      multiply_heads(
          s, a, b, query + head_of_row(work, work.start, H, W), rows, H * W, key + head_of_key(work, j0, H, K, W),
          count, K * W, W, seen);
      __syncthreads();
      store_strips(a, s, seen);
      load_tile(b, value + head_of_key(work, j0, H, K, W) + work.part, count, K * W, min(TILE, work.width));
      __syncthreads();
      int t = work.start + row;
      Range fours = seen_keys(row / STRIP * STRIP, work.start, rows, j0, count, window);
      int end = min(max(t + 1 - j0, 0), count), from = max(t + 1 - window - j0, 0);
      float4 *p_t = a + row * PITCH;
      float m = largest;
      for (int j = fours.from + 4 * half; j < fours.to; j += 8) {
        float4 product = p_t[j / 4];
        float scores[4], slope;
        #pragma unroll
        for (int k = 0; k < 4; k++) {
          scores[k] = scale * component(product, k);
          if (cap > 0) scores[k] = soft_cap(scores[k], cap, &slope);
          if (from <= j + k && j + k < end) m = fmaxf(m, scores[k]);
        }
        p_t[j / 4] = make_float4(scores[0], scores[1], scores[2], scores[3]);
      }
      maxima[threadIdx.x] = m;
      __syncthreads();
      m = fmaxf(maxima[row], maxima[row + TILE]);
      float shrink = largest > -infinity ? expf(largest - m) : 0;
      double added = 0;
      for (int j = fours.from + 4 * half; j < fours.to; j += 8) {
        float4 scores = p_t[j / 4];
        float e[4];
        #pragma unroll
        for (int k = 0; k < 4; k++) {
          // No branch around the exponential, so that all four are on their way together.
          bool isSeen = from <= j + k && j + k < end;
          e[k] = expf(isSeen ? component(scores, k) - m : 0);
          if (!isSeen) e[k] = 0;
        }
        added += ((double)e[0] + e[1]) + ((double)e[2] + e[3]);
        p_t[j / 4] = make_float4(e[0], e[1], e[2], e[3]);
      }
      sum = sum * shrink + added;
      largest = m;
      if (half == 0) correction[row] = shrink;
      __syncthreads();
      scale_results<PIECES>(o, correction);
      add_pieces<PIECES>(
          o, a, b, value + head_of_key(work, j0, H, K, W) + work.part, count, K * W, work.width, seen, true);
    }
    sums[threadIdx.x] = sum;
    __syncthreads();
    if (half == 0) {
      sum += sums[row + TILE];
      // A row that sees no key has an output of 0.
      correction[row] = sum > 0 ? (float)(1 / sum) : 0;
      if (row < rows && work.part == 0) {
        float *L = logSumExp + ((long long)(work.first + work.start + row) * H + work.head) * 2;
        L[0] = sum != 0 ? largest : 0;
        L[1] = sum > 0 ? (float)log(sum) : 0;
      }
    }
    __syncthreads();
    scale_results<PIECES>(o, correction);
    unsigned own = store_pieces<PIECES>(
        output + head_of_row(work, work.start, H, W) + work.part, o, rows, H * W, work.width);
    if (magnitude) raise_magnitude(magnitude, own);
  }

  /// dq_t = Σ_j dS[t,j]·k_j, with P computed again from L. One block a tile of rows, head and part of its columns.
  extern "C" __global__ void __launch_bounds__(128, BLOCKS) attention_backward_query_\#(part)(
      float *dQuery, const float *dOutput, const float *logSumExp, const float *delta, const float *query,
      const float *key, const float *value, const int *tiles, int H, int K, int W, float scale, float cap,
      int window) {
    __shared__ float4 a[TILE * PITCH], b[TILE * PITCH];
    __shared__ Looks looks;
    __builtin_assume(PIECES > 1 || W <= TILE);
    __shared__ Work work;
    find_work<PART>(&work, tiles, W);
    int rows = min(TILE, work.length - work.start), keys = min(work.start + rows, work.tokens);

    float4 dq[PIECES][ROWS][HALVES] = {};
    load_looks(&looks, logSumExp, delta, work.first + work.start, rows, H, work.head);
    for (int j0 = max(0, work.start - window + 1); j0 < keys; j0 += TILE) {
      int count = min(TILE, keys - j0);
      Range seen = seen_keys(thread_strip(), work.start, rows, j0, count, window);
      float s[ROWS][COLUMNS], dP[ROWS][COLUMNS];
      multiply_heads(
          dP, a, b, dOutput + head_of_row(work, work.start, H, W), rows, H * W,
          value + head_of_key(work, j0, H, K, W), count, K * W, W, seen);
      multiply_heads(
          s, a, b, query + head_of_row(work, work.start, H, W), rows, H * W, key + head_of_key(work, j0, H, K, W),
          count, K * W, W, seen);
      softmax_backward<false>(s, dP, &looks, work.start, rows, j0, count, seen, scale, cap, window);
      __syncthreads();
      store_strips(a, dP, seen);
      __syncthreads();
      add_pieces<PIECES>(
          dq, a, b, key + head_of_key(work, j0, H, K, W) + work.part, count, K * W, work.width, seen, W <= TILE);
    }
    store_pieces<PIECES>(
        dQuery + head_of_row(work, work.start, H, W) + work.part, dq, rows, H * W, work.width);
  }

  /// dk_j = Σ_t dS[t,j]·q_t and dv_j = Σ_t P[t,j]·do_t over the rows t ≥ j that see key j, for each query head by itself
  /// (rows, H · W). One block a tile of keys, query head and part of its columns.
  extern "C" __global__ void __launch_bounds__(128, 2) attention_backward_key_\#(part)(
      float *dKey, float *dValue, const float *dOutput, const float *logSumExp, const float *delta, const float *query,
      const float *key, const float *value, const int *tiles, int H, int K, int W, float scale, float cap,
      int window) {
    __shared__ float4 a[TILE * PITCH], b[TILE * PITCH];
    __shared__ Looks looks;
    __builtin_assume(PIECES > 1 || W <= TILE);
    __shared__ Work work;
    find_work<PART>(&work, tiles, W);
    int keys = min(TILE, work.length - work.start), count = min(keys, work.tokens - work.start);

    float4 dk[PIECES][ROWS][HALVES] = {}, dv[PIECES][ROWS][HALVES] = {};
    // Padding is looked at by no row: its gradients are 0.
    int end = count > 0 ? min(work.length, work.start + count - 1 + window) : 0;
    for (int start = work.start; start < end; start += TILE) {
      int rows = min(TILE, end - start);
      Range seen = rows_that_see(thread_strip(), work.start, count, start, rows, window);
      // Keys are the rows of these, and rows the columns.
      float s[ROWS][COLUMNS], dP[ROWS][COLUMNS];
      load_looks(&looks, logSumExp, delta, work.first + start, rows, H, work.head);
      multiply_heads(
          s, a, b, key + head_of_key(work, work.start, H, K, W), count, K * W, query + head_of_row(work, start, H, W),
          rows, H * W, W, seen);
      multiply_heads(
          dP, a, b, value + head_of_key(work, work.start, H, K, W), count, K * W,
          dOutput + head_of_row(work, start, H, W), rows, H * W, W, seen);
      softmax_backward<true>(s, dP, &looks, start, rows, work.start, count, seen, scale, cap, window);
      __syncthreads();
      store_strips(a, s, seen);
      __syncthreads();
      add_pieces<PIECES>(
          dv, a, b, dOutput + head_of_row(work, start, H, W) + work.part, rows, H * W, work.width, seen, W <= TILE);
      __syncthreads();
      store_strips(a, dP, seen);
      load_tile(b, query + head_of_row(work, start, H, W) + work.part, rows, H * W, min(TILE, work.width));
      __syncthreads();
      add_pieces<PIECES>(
          dk, a, b, query + head_of_row(work, start, H, W) + work.part, rows, H * W, work.width, seen, true);
    }
    long long out = head_of_row(work, work.start, H, W) + work.part;
    store_pieces<PIECES>(dKey + out, dk, keys, H * W, work.width);
    store_pieces<PIECES>(dValue + out, dv, keys, H * W, work.width);
  }
  }  // namespace
  using namespace part_\#(part);
  """#
}
