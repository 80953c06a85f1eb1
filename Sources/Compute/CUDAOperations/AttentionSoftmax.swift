/// Which rows see which keys, and the softmax's way back.
let softmaxKernels = #"""
  /// What a block computes: up to a tile's rows, or keys, of one head, and a part of their columns. It lies in shared
  /// memory and is read again behind every barrier, so that it takes no registers between them.
  struct Work {
    /// The sample's first row, how many it has, and how many of them are tokens; the first that the block computes.
    int first, length, tokens, start;
    int head, part, width;
  };

  template <int PART>
  __device__ void find_work(Work *work, const int *tiles, int W) {
    const int *tile = tiles + 4 * blockIdx.x;
    int parts = PART > TILE ? (W + PART - 1) / PART : 1, part = blockIdx.y % parts * PART;
    if (threadIdx.x == 0)
      *work = {tile[0], tile[1], tile[2], tile[3], (int)blockIdx.y / parts, part, min(PART, W - part)};
    __syncthreads();
  }

  /// Where a row's head stands among H heads of W numbers, and where the key that the block's head looks at among K.
  __device__ long long head_of_row(const Work &work, int row, int H, int W) {
    return (long long)(work.first + row) * H * W + work.head * W;
  }

  __device__ long long head_of_key(const Work &work, int key, int H, int K, int W) {
    return (long long)(work.first + key) * K * W + work.head / (H / K) * W;
  }

  /// Whether row t of a sample looks at key j.
  __device__ bool is_seen(int t, int j, int window) { return j <= t && j > t - window; }

  /// Which of the `count` keys from j0 on any row of a strip sees, of `rows` that begin at `start`.
  __device__ Range seen_keys(int strip, int start, int rows, int j0, int count, int window) {
    int first = start + strip, end = start + min(strip + STRIP, rows);
    return strip < rows ? whole_strips(first - window + 1 - j0, min(end - j0, count)) : Range{0, 0};
  }

  /// Which of the `rows` from `start` on see any key of a strip, of `count` that begin at j0.
  __device__ Range rows_that_see(int strip, int j0, int count, int start, int rows, int window) {
    int first = j0 + strip, last = j0 + min(strip + STRIP, count) - 1;
    return strip < count ? whole_strips(first - start, min(last + window - start, rows)) : Range{0, 0};
  }

  template <int PIECES>
  __device__ void scale_results(float4 out[PIECES][ROWS][HALVES], const float *factors) {
    #pragma unroll
    for (int r = 0; r < ROWS; r++)
      #pragma unroll
      for (int i = 0; i < PIECES * HALVES; i++) scale_four(&out[i / HALVES][r][i % HALVES], factors[thread_row(r)]);
  }

  /// How a tile's rows look at keys: P = e^(S − largest) · normalizer, and δ.
  struct Looks {
    float largest[TILE], normalizer[TILE], mean[TILE];
  };

  __device__ void load_looks(
      Looks *looks, const float *logSumExp, const float *delta, long long firstRow, int rows, int H, int head) {
    int t = threadIdx.x;
    if (t >= TILE) return;
    long long place = (firstRow + t) * H + head;
    looks->largest[t] = t < rows ? logSumExp[2 * place] : 0;
    looks->normalizer[t] = t < rows ? expf(-logSumExp[2 * place + 1]) : 0;
    looks->mean[t] = t < rows ? delta[place] : 0;
  }

  /// Turns scores before their scale and dP = do · vᵀ into P and dS = P ∘ (dP − δ) · scale, times the cap's derivative; both
  /// 0 where a row does not look. Of `rows` from `start` on and `count` keys from j0 on; s is transposed where
  /// ARE_ROWS_KEYS.
  template <bool ARE_ROWS_KEYS>
  __device__ void softmax_backward(
      float s[ROWS][COLUMNS], float dP[ROWS][COLUMNS], const Looks *looks, int start, int rows, int j0, int count,
      Range seen, float scale, float cap, int window) {
    #pragma unroll
    for (int c = 0; c < COLUMNS; c++) {
      if (c * LANES >= seen.to - seen.from) continue;
      int column = seen.from + thread_column(c);
      // One test for all rows of a column: most models have no cap.
      if (cap > 0) {
        #pragma unroll
        for (int r = 0; r < ROWS; r++) {
          float slope;
          s[r][c] = soft_cap(scale * s[r][c], cap, &slope);
          dP[r][c] = (dP[r][c] - looks->mean[ARE_ROWS_KEYS ? column : thread_row(r)]) * slope;
        }
      } else {
        #pragma unroll
        for (int r = 0; r < ROWS; r++) {
          s[r][c] *= scale;
          dP[r][c] -= looks->mean[ARE_ROWS_KEYS ? column : thread_row(r)];
        }
      }
      #pragma unroll
      for (int r = 0; r < ROWS; r++) {
        int t = ARE_ROWS_KEYS ? column : thread_row(r), j = ARE_ROWS_KEYS ? thread_row(r) : column;
        bool isSeen = t < rows && j < count && is_seen(start + t, j0 + j, window);
        // No branch around the exponential, so that those of several rows are on their way together.
        float e = expf(isSeen ? s[r][c] - looks->largest[t] : 0) * looks->normalizer[t];
        s[r][c] = isSeen ? e : 0;
        dP[r][c] = isSeen ? e * dP[r][c] * scale : 0;
      }
    }
  }
  """#
