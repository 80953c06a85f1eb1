import SystemIO
import TensorOperations

/// Rows, and keys, that a block of threads takes; TILE of the kernels.
private let tile = 32
/// Columns of a head that a block of threads has results of at most: one that needs fewer has room for more blocks beside
/// it.
private let widths = [64, 128]
/// Blocks of a launch in its second dimension.
private let mostParts = 65_535
/// Threads of a block, each with 4 × 4 scores of a tile.
private let threads = 64

extension CUDAOperations {
  public func check(_ shape: AttentionShape) throws(Failure) {
    guard shape.heads * parts(shape) <= mostParts else {
      throw Failure(
        .unavailable,
        "\(device.name): expected at most \(mostParts / parts(shape)) attention heads of \(shape.headWidth) dimensions, "
          + "found \(shape.heads): use --device cpu")
    }
  }

  public func attention(
    output: Tensor, logSumExp: Tensor, query: Tensor, key: Tensor, value: Tensor, samples: PackedSamples,
    shape: AttentionShape
  ) {
    let N = samples.rowCount
    check(N, shape, queries: [output, query], keys: [key, value], logSumExp)
    let tiles = tiles(samples)
    run(
      "attention", tiles: tiles.count, heads: shape.heads, shape,
      [output, logSumExp, query, key, value].map { .address($0.device) } + [.address(tiles.address)]
        + numbers(of: shape, rows: N))
  }

  public func attentionBackward(
    dQuery: Tensor, dKey: Tensor, dValue: Tensor, dOutput: Tensor, output: Tensor, logSumExp: Tensor, query: Tensor,
    key: Tensor, value: Tensor, samples: PackedSamples, shape: AttentionShape
  ) {
    let N = samples.rowCount
    check(N, shape, queries: [dQuery, dOutput, output, query], keys: [dKey, dValue, key, value], logSumExp)
    let tiles = tiles(samples)
    let delta = scratch("attention delta", bytes: N * shape.heads * MemoryLayout<Float>.stride)
    device.run(
      "attention_delta", elements: N * shape.heads, .address(delta), .address(dOutput.device), .address(output.device),
      .int(shape.headWidth), .long(N * shape.heads))
    let inputs: [Device.Argument] =
      [dOutput.device, logSumExp.device, delta, query.device, key.device, value.device, tiles.address].map {
        .address($0)
      } + numbers(of: shape, rows: N)
    run(
      "attention_backward_query", tiles: tiles.count, heads: shape.heads, shape, [.address(dQuery.device)] + inputs)
    // A block for each query head, which are several times as many as key heads; those of a key head are added up then.
    let isShared = shape.heads > shape.keyValueHeads
    let bytes = N * shape.queryWidth * MemoryLayout<Float>.stride
    let ofHeads = [(dKey, "keys"), (dValue, "values")].map { gradient, name in
      isShared ? scratch("gradients of query heads at \(name)", bytes: bytes) : gradient.device
    }
    run(
      "attention_backward_key", tiles: tiles.count, heads: shape.heads, shape,
      ofHeads.map { .address($0) } + inputs)
    guard isShared else { return }
    for (gradient, parts) in zip([dKey, dValue], ofHeads) {
      device.run(
        "attention_add_heads", elements: gradient.count, .address(gradient.device), .address(parts),
        .int(shape.heads / shape.keyValueHeads), .int(shape.headWidth), .long(gradient.count))
    }
  }

  /// Columns that the kernels for such heads have at a time.
  private func part(_ shape: AttentionShape) -> Int { widths.first { shape.headWidth <= $0 } ?? widths.last! }

  /// Blocks that share a head's columns; each computes all of its scores.
  private func parts(_ shape: AttentionShape) -> Int { (shape.headWidth + part(shape) - 1) / part(shape) }

  private func run(_ kernel: String, tiles: Int, heads: Int, _ shape: AttentionShape, _ arguments: [Device.Argument]) {
    device.run(
      "\(kernel)_\(part(shape))", blocks: (tiles, heads * parts(shape)), threads: threads, arguments)
  }

  /// What a kernel has to know of the shape: without a cap 0, without a window one that holds every row.
  private func numbers(of shape: AttentionShape, rows N: Int) -> [Device.Argument] {
    [
      .int(shape.heads), .int(shape.keyValueHeads), .int(shape.headWidth), .float(shape.scale),
      .float(shape.softCap ?? 0), .int(min(shape.window ?? N, N)),
    ]
  }

  private func check(
    _ N: Int, _ shape: AttentionShape, queries: [Tensor], keys: [Tensor], _ logSumExp: Tensor
  ) {
    precondition(queries.allSatisfy { $0.hasShape(N, shape.queryWidth) })
    precondition(keys.allSatisfy { $0.hasShape(N, shape.keyValueWidth) } && logSumExp.hasShape(N, 2 * shape.heads))
    precondition(shape.heads * parts(shape) <= mostParts)
  }

  /// For each tile of each sample its sample's first row, rows and real tokens, and where in it the tile begins.
  private func tiles(_ samples: PackedSamples) -> (address: DevicePointer, count: Int) {
    let tiles = samples.samples.flatMap { sample in
      stride(from: 0, to: sample.rows.count, by: tile).flatMap { start in
        [sample.rows.lowerBound, sample.rows.count, sample.valid, start].map { Int32($0) }
      }
    }
    return (list("attention tiles", tiles), tiles.count / 4)
  }
}

let attentionKernels = ([attentionDeltaKernel] + widths.map(attentionText)).joined(separator: "\n")

private let attentionDeltaKernel = #"""
  /// δ[t] = Σ_w do[t,w]·o[t,w] of each head. One thread a row and head.
  extern "C" __global__ void attention_delta(
      float *delta, const float *dOutput, const float *output, int W, long long count) {
    FOR_THIS_ELEMENT(i, count) {
      double sum = 0;
      for (int w = 0; w < W; w++) sum += (double)dOutput[i * W + w] * output[i * W + w];
      delta[i] = (float)sum;
    }
  }

  /// y[n,k] = Σ_g x[n, k · groups + g] of heads W wide. One thread an element of y.
  extern "C" __global__ void attention_add_heads(float *y, const float *x, int groups, int W, long long count) {
    FOR_THIS_ELEMENT(i, count) {
      double sum = 0;
      for (int g = 0; g < groups; g++) sum += x[i / W * groups * W + (long long)g * W + i % W];
      y[i] = (float)sum;
    }
  }
  """#

/// HF: modeling_gemma2.py, `eager_attention_forward`; the order of summation is that of FlashAttention.
private func attentionText(part: Int) -> String {
  #"""
  namespace part_\#(part) {
  // Rows and keys of the square tiles that scores are computed in. A block is 8 × 8 threads, each of which has 4 × 4
  // scores: rows y, y + 8, …, and keys x, x + 8, …; of results its columns are x, x + 8, …
  #define TILE 32
  #define EDGE 8
  #define SIDE (TILE / EDGE)
  // Columns that a tile has at a time. A wider head has a block for each part of so many columns of its results, which
  // computes the scores of the whole head.
  #undef PART
  #define PART \#(part)
  #define COLUMNS (PART / EDGE)
  // Odd, so that a column of a tile lies in different banks of shared memory.
  #define WIDTH_DISTANCE (PART + 1)
  #define TILE_DISTANCE (TILE + 1)

  /// Copies W columns of `count` rows of one head, and zeros after them.
  __device__ void load_tile(float *tile, const float *source, int count, int distance, int W) {
    for (int i = threadIdx.x; i < TILE * W; i += blockDim.x) {
      int row = i / W, w = i % W;
      tile[row * WIDTH_DISTANCE + w] = row < count ? source[(long long)row * distance + w] : 0.0f;
    }
  }

  /// s += a · bᵀ of two tiles.
  __device__ void multiply_tiles(float s[SIDE][SIDE], const float *a, const float *b, int W) {
    int x = threadIdx.x % EDGE, y = threadIdx.x / EDGE;
    for (int w = 0; w < W; w++) {
      float left[SIDE], right[SIDE];
      #pragma unroll
      for (int r = 0; r < SIDE; r++) left[r] = a[(y + r * EDGE) * WIDTH_DISTANCE + w];
      #pragma unroll
      for (int c = 0; c < SIDE; c++) right[c] = b[(x + c * EDGE) * WIDTH_DISTANCE + w];
      #pragma unroll
      for (int r = 0; r < SIDE; r++)
        #pragma unroll
        for (int c = 0; c < SIDE; c++) s[r][c] += left[r] * right[c];
    }
  }

  /// s = left · rightᵀ of heads W wide, part by part in the tiles a and b, which hold the last part at the end; a has
  /// left already where `isLoaded`.
  __device__ void multiply_heads(
      float s[SIDE][SIDE], float *a, float *b, const float *left, int rows, int leftDistance, const float *right,
      int count, int rightDistance, int W, bool isLoaded) {
    #pragma unroll
    for (int r = 0; r < SIDE; r++)
      #pragma unroll
      for (int c = 0; c < SIDE; c++) s[r][c] = 0;
    for (int first = 0; first < W; first += PART) {
      int width = min(PART, W - first);
      __syncthreads();
      if (!isLoaded) load_tile(a, left + first, rows, leftDistance, width);
      load_tile(b, right + first, count, rightDistance, width);
      __syncthreads();
      multiply_tiles(s, a, b, width);
    }
  }

  /// out[row,:] += Σ_j p[row,j] · b[j,:], or p[j,row] where `transposed`. Each tile's sum is added as a whole.
  __device__ void add_product(
      float out[SIDE][COLUMNS], const float *p, const float *b, int count, int W, bool transposed) {
    int x = threadIdx.x % EDGE, y = threadIdx.x / EDGE;
    float sum[SIDE][COLUMNS];
    #pragma unroll
    for (int r = 0; r < SIDE; r++)
      #pragma unroll
      for (int c = 0; c < COLUMNS; c++) sum[r][c] = 0;
    for (int j = 0; j < count; j++) {
      float left[SIDE];
      #pragma unroll
      for (int r = 0; r < SIDE; r++) {
        int row = y + r * EDGE;
        left[r] = transposed ? p[j * TILE_DISTANCE + row] : p[row * TILE_DISTANCE + j];
      }
      #pragma unroll
      for (int c = 0; c < COLUMNS; c++) {
        int w = x + c * EDGE;
        if (w < W) {
          float right = b[j * WIDTH_DISTANCE + w];
          #pragma unroll
          for (int r = 0; r < SIDE; r++) sum[r][c] += left[r] * right;
        }
      }
    }
    #pragma unroll
    for (int r = 0; r < SIDE; r++)
      #pragma unroll
      for (int c = 0; c < COLUMNS; c++) out[r][c] += sum[r][c];
  }

  /// For each sample and head, with the keys j ≤ t of row t's window that are real tokens:
  ///
  ///     S[t,j] = scale · q_t · k_j, or cap · tanh of it / cap,   L[t] = log Σ_j e^S[t,j],   o_t = Σ_j e^(S[t,j] − L[t])·v_j
  ///
  /// with a running maximum and sum over tiles of keys (FlashAttention, Dao et al. 2022). L is kept as the largest
  /// score and the logarithm of the sum above it. One block a tile of rows, head and part of its columns.
  extern "C" __global__ void __launch_bounds__(64) attention_\#(part)(
      float *output, float *logSumExp, const float *query, const float *key, const float *value, const int *tiles,
      int H, int K, int W, float scale, float cap, int window) {
    __shared__ float q[TILE * WIDTH_DISTANCE], kv[TILE * WIDTH_DISTANCE], p[TILE * TILE_DISTANCE];
    __shared__ float correction[TILE];
    const int *place = tiles + 4 * blockIdx.x;
    int parts = (W + PART - 1) / PART, head = blockIdx.y / parts;
    int part = blockIdx.y % parts * PART, width = min(PART, W - part);
    int first = place[0], start = place[3], begin = max(0, start - window + 1);
    int rows = min(TILE, place[1] - start), keys = min(start + rows, place[2]);
    int x = threadIdx.x % EDGE, y = threadIdx.x / EDGE, row = threadIdx.x;
    long long firstKey = (long long)first * K * W + head / (H / K) * W;
    long long firstQuery = (long long)(first + start) * H * W + head * W;

    float o[SIDE][COLUMNS] = {};
    // Of this thread's row, where it has one: the largest score and Σ e^(S − largest) so far.
    float largest = -__uint_as_float(0x7f800000u);
    double sum = 0;
    for (int j0 = begin; j0 < keys; j0 += TILE) {
      int count = min(TILE, keys - j0);
      long long keyTile = firstKey + (long long)j0 * K * W;
      float s[SIDE][SIDE], slope;
      multiply_heads(
          s, q, kv, query + firstQuery, rows, H * W, key + keyTile, count, K * W, W, parts == 1 && j0 > begin);
      for (int r = 0; r < SIDE; r++)
        for (int c = 0; c < SIDE; c++) {
          float score = scale * s[r][c];
          p[(y + r * EDGE) * TILE_DISTANCE + x + c * EDGE] = cap > 0 ? soft_cap(score, cap, &slope) : score;
        }
      __syncthreads();
      load_tile(kv, value + keyTile + part, count, K * W, width);
      if (row < TILE) {
        float *p_t = p + row * TILE_DISTANCE;
        int end = min(max(start + row + 1 - j0, 0), count), from = max(start + row + 1 - window - j0, 0);
        float m = largest;
        for (int j = from; j < end; j++) m = fmaxf(m, p_t[j]);
        float shrink = sum != 0 ? expf(largest - m) : 0;
        double added = 0;
        for (int j = 0; j < TILE; j++) {
          p_t[j] = from <= j && j < end ? expf(p_t[j] - m) : 0;
          added += p_t[j];
        }
        sum = sum * shrink + added;
        largest = m;
        correction[row] = shrink;
      }
      __syncthreads();
      for (int r = 0; r < SIDE; r++)
        for (int c = 0; c < COLUMNS; c++) o[r][c] *= correction[y + r * EDGE];
      add_product(o, p, kv, count, width, false);
    }
    __syncthreads();
    // A row that sees no key has an output of 0.
    if (row < TILE) correction[row] = sum > 0 ? (float)(1 / sum) : 0;
    if (row < rows && part == 0) {
      float *L = logSumExp + ((long long)(first + start + row) * H + head) * 2;
      L[0] = sum != 0 ? largest : 0;
      L[1] = sum > 0 ? (float)log(sum) : 0;
    }
    __syncthreads();
    for (int r = 0; r < SIDE; r++) {
      int t = y + r * EDGE;
      for (int c = 0; c < COLUMNS; c++) {
        int w = x + c * EDGE;
        if (t < rows && w < width) output[firstQuery + part + (long long)t * H * W + w] = o[r][c] * correction[t];
      }
    }
  }

  /// Turns this thread's scores and dP = do · vᵀ into P and dS = P ∘ (dP − δ) · scale, times the cap's derivative; both 0
  /// where a row does not look.
  __device__ void softmax_backward(
      float s[SIDE][SIDE], float dP[SIDE][SIDE], const float *logSumExp, const float *delta, long long firstRow,
      int rows, int start, int j0, int count, int H, int head, float scale, float cap, int window) {
    int x = threadIdx.x % EDGE, y = threadIdx.x / EDGE;
    // Unrolled, or else both would lie in memory and not in registers.
    #pragma unroll
    for (int r = 0; r < SIDE; r++) {
      int t = y + r * EDGE;
      long long place = (firstRow + t) * H + head;
      float largest = t < rows ? logSumExp[2 * place] : 0;
      float normalizer = t < rows ? expf(-logSumExp[2 * place + 1]) : 0;
      float mean = t < rows ? delta[place] : 0;
      #pragma unroll
      for (int c = 0; c < SIDE; c++) {
        int j = x + c * EDGE;
        bool isSeen = t < rows && j < count && j0 + j <= start + t && j0 + j > start + t - window;
        float score = scale * s[r][c], slope = 1;
        if (cap > 0) score = soft_cap(score, cap, &slope);
        s[r][c] = isSeen ? expf(score - largest) * normalizer : 0;
        dP[r][c] = isSeen ? s[r][c] * (dP[r][c] - mean) * scale * slope : 0;
      }
    }
  }

  __device__ void store_tile(float *tile, float s[SIDE][SIDE]) {
    int x = threadIdx.x % EDGE, y = threadIdx.x / EDGE;
    for (int r = 0; r < SIDE; r++)
      for (int c = 0; c < SIDE; c++) tile[(y + r * EDGE) * TILE_DISTANCE + x + c * EDGE] = s[r][c];
  }

  __device__ void store_rows(float *out, float values[SIDE][COLUMNS], int rows, int distance, int W) {
    int x = threadIdx.x % EDGE, y = threadIdx.x / EDGE;
    for (int r = 0; r < SIDE; r++)
      for (int c = 0; c < COLUMNS; c++) {
        int t = y + r * EDGE, w = x + c * EDGE;
        if (t < rows && w < W) out[(long long)t * distance + w] = values[r][c];
      }
  }

  /// dq_t = Σ_j dS[t,j]·k_j, with P computed again from L. One block a tile of rows, head and part of its columns.
  extern "C" __global__ void __launch_bounds__(64) attention_backward_query_\#(part)(
      float *dQuery, const float *dOutput, const float *logSumExp, const float *delta, const float *query,
      const float *key, const float *value, const int *tiles, int H, int K, int W, float scale, float cap,
      int window) {
    __shared__ float a[TILE * WIDTH_DISTANCE], b[TILE * WIDTH_DISTANCE], p[TILE * TILE_DISTANCE];
    const int *place = tiles + 4 * blockIdx.x;
    int parts = (W + PART - 1) / PART, head = blockIdx.y / parts;
    int part = blockIdx.y % parts * PART, width = min(PART, W - part);
    int first = place[0], start = place[3];
    int rows = min(TILE, place[1] - start), keys = min(start + rows, place[2]);
    long long firstKey = (long long)first * K * W + head / (H / K) * W;
    long long firstQuery = (long long)(first + start) * H * W + head * W;

    float dq[SIDE][COLUMNS] = {};
    for (int j0 = max(0, start - window + 1); j0 < keys; j0 += TILE) {
      int count = min(TILE, keys - j0);
      long long keyTile = firstKey + (long long)j0 * K * W;
      float s[SIDE][SIDE], dP[SIDE][SIDE];
      multiply_heads(dP, a, b, dOutput + firstQuery, rows, H * W, value + keyTile, count, K * W, W, false);
      multiply_heads(s, a, b, query + firstQuery, rows, H * W, key + keyTile, count, K * W, W, false);
      softmax_backward(
          s, dP, logSumExp, delta, first + start, rows, start, j0, count, H, head, scale, cap, window);
      store_tile(p, dP);
      if (parts > 1) {
        __syncthreads();
        load_tile(b, key + keyTile + part, count, K * W, width);
      }
      __syncthreads();
      add_product(dq, p, b, count, width, false);
    }
    store_rows(dQuery + firstQuery + part, dq, rows, H * W, width);
  }

  /// dk_j = Σ_t dS[t,j]·q_t and dv_j = Σ_t P[t,j]·do_t over the rows t ≥ j that see key j, for each query head by itself
  /// (rows, H · W). One block a tile of keys, query head and part of its columns.
  extern "C" __global__ void __launch_bounds__(64) attention_backward_key_\#(part)(
      float *dKey, float *dValue, const float *dOutput, const float *logSumExp, const float *delta, const float *query,
      const float *key, const float *value, const int *tiles, int H, int K, int W, float scale, float cap,
      int window) {
    __shared__ float a[TILE * WIDTH_DISTANCE], b[TILE * WIDTH_DISTANCE], p[TILE * TILE_DISTANCE];
    const int *place = tiles + 4 * blockIdx.x;
    int parts = (W + PART - 1) / PART, head = blockIdx.y / parts, keyHead = head / (H / K);
    int part = blockIdx.y % parts * PART, width = min(PART, W - part);
    int first = place[0], length = place[1], j0 = place[3];
    int keys = min(TILE, length - j0), count = min(keys, place[2] - j0);
    long long keyTile = (long long)(first + j0) * K * W + keyHead * W;

    float dk[SIDE][COLUMNS] = {}, dv[SIDE][COLUMNS] = {};
    // Padding is looked at by no row: its gradients are 0.
    int lastRow = min(length, j0 + keys - 1 + window), blocksOfRows = count > 0 ? (lastRow - j0 + TILE - 1) / TILE : 0;
    for (int step = 0; step < blocksOfRows; step++) {
      int start = j0 + step * TILE;
      int rows = min(TILE, length - start);
      long long firstQuery = (long long)(first + start) * H * W + head * W;
      float s[SIDE][SIDE], dP[SIDE][SIDE];
      multiply_heads(s, a, b, query + firstQuery, rows, H * W, key + keyTile, count, K * W, W, false);
      multiply_heads(dP, a, b, dOutput + firstQuery, rows, H * W, value + keyTile, count, K * W, W, false);
      softmax_backward(
          s, dP, logSumExp, delta, first + start, rows, start, j0, count, H, head, scale, cap, window);
      store_tile(p, s);
      if (parts > 1) {
        __syncthreads();
        load_tile(a, dOutput + firstQuery + part, rows, H * W, width);
      }
      __syncthreads();
      add_product(dv, p, a, rows, width, true);
      __syncthreads();
      store_tile(p, dP);
      load_tile(a, query + firstQuery + part, rows, H * W, width);
      __syncthreads();
      add_product(dk, p, a, rows, width, true);
    }
    long long out = (long long)(first + j0) * H * W + head * W + part;
    store_rows(dKey + out, dk, keys, H * W, width);
    store_rows(dValue + out, dv, keys, H * W, width);
  }
  }  // namespace
  using namespace part_\#(part);
  """#
}
