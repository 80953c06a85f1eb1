/// Products of tiles that lie in shared memory, which attention's kernels consist of.
let tileKernels = #"""
  // A block of 128 threads multiplies tiles of 64 × 64 numbers. A warp has a strip of 16 rows of the product, and a
  // thread 4 of these, each 4 after the one before, and 8 columns, each 8 after the one before; of results that are
  // written it has twice 4 columns beside one another. So 12 loads of 4 numbers serve 128 multiplications.
  constexpr int TILE = 64, STRIP = 16, LANES = 8, ROWS = STRIP * LANES / 32, COLUMNS = TILE / LANES;
  // Numbers are read by fours, of which a row has one more than it needs: so those of 8 rows, or of 8 columns, lie in
  // different banks of shared memory.
  constexpr int FOURS = TILE / 4, PITCH = FOURS + 1, TILE_THREADS = TILE / STRIP * 32;
  constexpr int HALVES = FOURS / LANES;

  __device__ int thread_strip() { return threadIdx.x / 32 * STRIP; }
  __device__ int thread_row(int r) { return thread_strip() + threadIdx.x % 32 / LANES + r * (STRIP / ROWS); }
  __device__ int thread_column(int c) { return threadIdx.x % LANES + c * LANES; }

  __device__ float component(float4 x, int k) { return k == 0 ? x.x : k == 1 ? x.y : k == 2 ? x.z : x.w; }

  __device__ void scale_four(float4 *x, float factor) {
    x->x *= factor, x->y *= factor, x->z *= factor, x->w *= factor;
  }

  __device__ void add_four(float4 *y, float factor, float4 x) {
    y->x += factor * x.x, y->y += factor * x.y, y->z += factor * x.z, y->w += factor * x.w;
  }

  /// Whether fours may be read or written at once.
  __device__ bool has_fours(const float *x, int distance, int W) {
    return (unsigned long long)x % sizeof(float4) == 0 && distance % 4 == 0 && W % 4 == 0;
  }

  /// The first `count` of four numbers, and zeros.
  __device__ float4 first_of_four(const float *x, int count) {
    return make_float4(x[0], count > 1 ? x[1] : 0, count > 2 ? x[2] : 0, count > 3 ? x[3] : 0);
  }

  /// Copies W columns, at most a tile's, of `count` rows, and zeros after both, to whole fours and to all rows.
  __device__ void load_tile(float4 *tile, const float *source, int count, int distance, int W) {
    constexpr int STEP = TILE_THREADS / FOURS, BATCH = 4;
    int four = threadIdx.x % FOURS, left = W - 4 * four;
    bool hasFours = has_fours(source, distance, W);
    if (left <= 0) return;
    tile += four, source += 4 * four;
    #pragma unroll 1
    for (int first = threadIdx.x / FOURS; first < TILE; first += BATCH * STEP) {
      float4 loaded[BATCH];
      #pragma unroll
      for (int i = 0; i < BATCH; i++) loaded[i] = make_float4(0, 0, 0, 0);
      if (hasFours) {
        // All of a batch are on their way before the first is waited for.
        #pragma unroll
        for (int i = 0; i < BATCH; i++) {
          int row = first + i * STEP;
          if (row < count) loaded[i] = *(const float4 *)(source + (long long)row * distance);
        }
      } else {
        #pragma unroll
        for (int i = 0; i < BATCH; i++) {
          int row = first + i * STEP;
          if (row < count) loaded[i] = first_of_four(source + (long long)row * distance, left);
        }
      }
      #pragma unroll
      for (int i = 0; i < BATCH; i++) tile[(first + i * STEP) * PITCH] = loaded[i];
    }
  }

  /// Rows of a tile that all threads of a warp multiply with: whole strips.
  struct Range {
    int from, to;
  };

  __device__ Range whole_strips(int from, int to) {
    from = max(from, 0) / STRIP * STRIP;
    return {from, max(from, (to + STRIP - 1) / STRIP * STRIP)};
  }

  /// s += a · bᵀ, for this thread's row of a and those that follow, and as much of b.
  template <int STRIPS>
  __device__ void multiply_strips(float s[ROWS][COLUMNS], const float4 *a, const float4 *b, int W) {
    // Unrolled it needs more registers than there are.
    #pragma unroll 1
    for (int w = 0; 4 * w < W; w++) {
      float4 left[ROWS];
      #pragma unroll
      for (int r = 0; r < ROWS; r++) left[r] = a[r * (STRIP / ROWS) * PITCH + w];
      #pragma unroll
      for (int c = 0; c < STRIPS * STRIP / LANES; c++) {
        float4 right = b[c * LANES * PITCH + w];
        #pragma unroll
        for (int r = 0; r < ROWS; r++) {
          s[r][c] += left[r].x * right.x;
          s[r][c] += left[r].y * right.y;
          s[r][c] += left[r].z * right.z;
          s[r][c] += left[r].w * right.w;
        }
      }
    }
  }

  /// s = left · rightᵀ of heads W wide, a tile's columns at a time in the tiles a and b, which hold the last of them at
  /// the end. The columns of s are the rows of `seen`, the first of them at 0.
  __device__ void multiply_heads(
      float s[ROWS][COLUMNS], float4 *a, float4 *b, const float *left, int rows, int leftDistance, const float *right,
      int count, int rightDistance, int W, Range seen) {
    #pragma unroll
    for (int r = 0; r < ROWS; r++)
      #pragma unroll
      for (int c = 0; c < COLUMNS; c++) s[r][c] = 0;
    for (int first = 0; first < W; first += TILE) {
      int width = min(TILE, W - first);
      __syncthreads();
      load_tile(a, left + first, rows, leftDistance, width);
      load_tile(b, right + first, count, rightDistance, width);
      __syncthreads();
      const float4 *x = a + thread_row(0) * PITCH, *y = b + (seen.from + thread_column(0)) * PITCH;
      // Code of its own for each number of strips: no test stands between the multiplications.
      switch ((seen.to - seen.from) / STRIP) {
        case 1: multiply_strips<1>(s, x, y, width); break;
        case 2: multiply_strips<2>(s, x, y, width); break;
        case 3: multiply_strips<3>(s, x, y, width); break;
        case 4: multiply_strips<4>(s, x, y, width); break;
      }
    }
  }

  /// Puts down what `multiply_heads` found, and what has become of it, in a tile.
  __device__ void store_strips(float4 *tile, const float s[ROWS][COLUMNS], Range seen) {
    float *x = (float *)tile;
    #pragma unroll
    for (int r = 0; r < ROWS; r++)
      #pragma unroll
      for (int c = 0; c < COLUMNS; c++)
        if (c * LANES < seen.to - seen.from) x[thread_row(r) * 4 * PITCH + seen.from + thread_column(c)] = s[r][c];
  }

  /// out[row,:] += Σ_j p[row,j] · b[j,:] over the j of `seen`. Each tile's sum is added as a whole. Columns that b was not
  /// loaded with are not to be used.
  __device__ void add_product(float4 out[ROWS][HALVES], const float4 *p, const float4 *b, Range seen) {
    const float4 *left = p + thread_row(0) * PITCH, *right = b + threadIdx.x % LANES;
    float4 sum[ROWS][HALVES] = {};
    for (int j = seen.from; j < seen.to; j += 4) {
      float4 factors[ROWS];
      #pragma unroll
      for (int r = 0; r < ROWS; r++) factors[r] = left[r * (STRIP / ROWS) * PITCH + j / 4];
      #pragma unroll
      for (int k = 0; k < 4; k++)
        #pragma unroll
        for (int half = 0; half < HALVES; half++) {
          float4 x = right[(j + k) * PITCH + half * LANES];
          #pragma unroll
          for (int r = 0; r < ROWS; r++) add_four(&sum[r][half], component(factors[r], k), x);
        }
    }
    #pragma unroll
    for (int r = 0; r < ROWS; r++)
      #pragma unroll
      for (int half = 0; half < HALVES; half++) add_four(&out[r][half], 1, sum[r][half]);
  }

  /// The same for a part of a head, W columns from `source` on, in pieces of a tile's width. After a barrier: p is there,
  /// and b has the first piece where `isLoaded`.
  template <int PIECES>
  __device__ void add_pieces(
      float4 out[PIECES][ROWS][HALVES], const float4 *p, float4 *b, const float *source, int count, int distance, int W,
      Range seen, bool isLoaded) {
    #pragma unroll
    for (int piece = 0; piece < PIECES; piece++) {
      int first = piece * TILE;
      if (first >= W) continue;
      if (piece > 0 || !isLoaded) {
        __syncthreads();
        load_tile(b, source + first, count, distance, min(TILE, W - first));
        __syncthreads();
      }
      add_product(out[piece], p, b, seen);
    }
  }

  /// Writes W columns of `count` rows.
  ///
  /// Returns the largest magnitude of those that this thread has.
  template <int PIECES>
  __device__ unsigned store_pieces(float *out, float4 values[PIECES][ROWS][HALVES], int count, int distance, int W) {
    unsigned own = 0;
    bool hasFours = has_fours(out, distance, W);
    #pragma unroll
    for (int piece = 0; piece < PIECES; piece++)
      #pragma unroll
      for (int r = 0; r < ROWS; r++)
        #pragma unroll
        for (int half = 0; half < HALVES; half++) {
          int row = thread_row(r), w = piece * TILE + 4 * thread_column(half);
          if (row >= count || w >= W) continue;
          float *to = out + (long long)row * distance + w;
          float4 x = values[piece][r][half];
          #pragma unroll
          for (int k = 0; k < 4; k++)
            if (w + k < W) own = larger_magnitude(own, component(x, k));
          if (hasFours) {
            *(float4 *)to = x;
          } else {
            #pragma unroll
            for (int k = 0; k < 4; k++)
              if (w + k < W) to[k] = component(x, k);
          }
        }
    return own;
  }
  """#
