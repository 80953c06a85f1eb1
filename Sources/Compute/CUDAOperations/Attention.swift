import SystemIO
import TensorOperations

/// Rows, and keys, that a block of threads takes; TILE of the kernels.
private let tile = 64
/// Columns of a head that a block of threads has results of at most: one that needs fewer has room for more blocks beside
/// it.
private let widths = [64, 128]
/// Blocks of a launch in its second dimension.
private let mostParts = 65_535
/// Threads of a block; TILE_THREADS of the kernels.
private let threads = 128
/// Threads that add up the products of a row and head for δ; SHARERS of its kernel.
private let sharers = 8

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
    making([output]) { largest in
      run(
        "attention", tiles: tiles.count, heads: shape.heads, shape,
        largest + [output, logSumExp, query, key, value].map { .address($0.device) } + [.address(tiles.address)]
          + numbers(of: shape, rows: N))
    }
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
      "attention_delta", elements: N * shape.heads * sharers, .address(delta), .address(dOutput.device),
      .address(output.device), .int(shape.headWidth), .long(N * shape.heads))
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
      making([gradient]) { largest in
        device.run(
          "attention_add_heads", elements: gradient.count, largest[0], .address(gradient.device), .address(parts),
          .int(shape.heads / shape.keyValueHeads), .int(shape.headWidth), .long(gradient.count))
      }
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

let attentionKernels = ([attentionSumKernels, tileKernels, softmaxKernels] + widths.map(attentionText))
  .joined(separator: "\n")

private let attentionSumKernels = #"""
  /// δ[t] = Σ_w do[t,w]·o[t,w] of each head. Threads beside one another add up every eighth product of a row and head.
  extern "C" __global__ void attention_delta(
      float *delta, const float *dOutput, const float *output, int W, long long count) {
    constexpr int SHARERS = 8;
    __shared__ double parts[MOST_THREADS];
    long long i = ((long long)blockIdx.x * blockDim.x + threadIdx.x) / SHARERS;
    double sum = 0;
    if (i < count)
      for (int w = threadIdx.x % SHARERS; w < W; w += SHARERS) sum += (double)dOutput[i * W + w] * output[i * W + w];
    parts[threadIdx.x] = sum;
    __syncthreads();
    if (i >= count || threadIdx.x % SHARERS > 0) return;
    for (int k = 1; k < SHARERS; k++) sum += parts[threadIdx.x + k];
    delta[i] = (float)sum;
  }

  /// y[n,k] = Σ_g x[n, k · groups + g] of heads W wide. One thread an element of y.
  extern "C" __global__ void attention_add_heads(
      unsigned *largest, float *y, const float *x, int groups, int W, long long count) {
    unsigned own = 0;
    FOR_THIS_ELEMENT(i, count) {
      double sum = 0;
      for (int g = 0; g < groups; g++) sum += x[i / W * groups * W + (long long)g * W + i % W];
      y[i] = (float)sum;
      own = larger_magnitude(own, (float)sum);
    }
    if (largest) raise_magnitude(largest, own);
  }
  """#
