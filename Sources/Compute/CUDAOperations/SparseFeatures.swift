import TensorOperations

extension CUDAOperations {
  /// By rows, whatever the order in host memory: `decode` reads all of an active feature's line.
  public func makeDecoder(_ host: Matrix) -> Matrix {
    guard host.isColumnMajor else { return makeFloats(host) }
    let columns = makeFloats(host)
    let rows = makeTensor(rows: host.rows, columns: host.columns)
    device.run(
      "transpose", blocks: ((host.rows + 31) / 32, (host.columns + 31) / 32), threads: Device.blockSize,
      [
        .address(rows.device), .address(columns.device), .int(host.rows), .int(host.columns),
        .int(host.leadingDimension),
      ])
    return Matrix(rows)
  }

  public func scaleColumns(_ x: Tensor, by factors: Tensor) {
    precondition(factors.count == x.columns)
    device.run(
      "scale_columns", elements: x.count, .address(x.device), .address(factors.device), .int(x.columns),
      .long(x.count))
  }

  public func activate(_ p: Tensor, by rule: ActivationRule<Tensor>) -> any DeviceFeatures {
    let (N, F) = (p.rows, p.columns)
    // Those of the call before lie where these are going to.
    featureDownloads?.settle()
    let most = N * rule.mostActive(of: F)
    let features = CUDAFeatures(
      rowCount: N, offsets: scratch("offsets", bytes: (N + 1) * MemoryLayout<Int64>.stride),
      indices: scratch("indices", bytes: most * MemoryLayout<Int32>.stride),
      values: scratch("values", bytes: most * MemoryLayout<Float>.stride))
    let marks = scratch("marks", bytes: p.count)
    let counts = scratch("counts", bytes: N * MemoryLayout<Int32>.stride)
    mark(marks, p, rule)
    device.run("count_marks", rows: N, .address(counts), .address(marks), .int(F))
    device.run("sum_counts", rows: 1, .address(features.offsets), .address(counts), .int(N))
    device.run(
      "gather_marked", rows: N, .address(features.indices), .address(features.values), .address(features.offsets),
      .address(marks), .address(p.device), .int(F))
    return features
  }

  private func mark(_ marks: DevicePointer, _ p: Tensor, _ rule: ActivationRule<Tensor>) {
    let F = p.columns
    let marked: [Device.Argument] = [.address(marks), .address(p.device)]
    switch rule {
    case .threshold(let threshold):
      device.run(
        "mark_above", elements: p.count, marked[0], marked[1], .address(0), .float(threshold), .int(F), .long(p.count))
    case .thresholds(let thresholds):
      device.run(
        "mark_above", elements: p.count, marked[0], marked[1], .address(thresholds.device), .float(0),
        .int(F), .long(p.count))
    case .topK(let k): device.run("mark_largest", rows: p.rows, marked[0], marked[1], .int(min(k, F)), .int(0), .int(F))
    case .topMagnitudes(let k):
      device.run("mark_largest", rows: p.rows, marked[0], marked[1], .int(min(k, F)), .int(1), .int(F))
    case .groupMax(let groups):
      device.clear(marks, bytes: p.count)
      device.run(
        "mark_group_maximum", elements: p.rows * groups, marked[0], marked[1], .int(groups), .int(F),
        .long(p.rows * groups))
    case .gated(let gateBias, let magnitudeFactors, let magnitudeBias):
      device.run(
        "mark_gated", elements: p.count, marked[0], marked[1], .address(gateBias.device),
        .address(magnitudeFactors.device), .address(magnitudeBias.device), .int(F), .long(p.count))
    }
  }

  public func decode(y: Tensor, features: any DeviceFeatures, factors: Tensor?, decoder: Matrix, bias: Tensor) {
    let features = features as! CUDAFeatures
    precondition(y.hasShape(features.rowCount, decoder.columns) && bias.count == decoder.columns)
    precondition(factors.map { $0.count == decoder.rows } ?? true)
    device.run(
      "decode", rows: y.rows, .address(y.device), .address(features.offsets), .address(features.indices),
      .address(features.values), .address(factors?.device ?? 0), .address(decoder.device), .long(decoder.strides.row),
      .long(decoder.strides.column), .address(bias.device), .int(y.columns))
  }

  public func product(_ matrix: Matrix, _ vector: [Double]) -> [Double] {
    precondition(vector.count == matrix.columns)
    let result = scratch("double result", bytes: matrix.rows * MemoryLayout<Double>.stride)
    device.run(
      "matrix_vector", rows: matrix.rows, .address(result), matrix.weights[0], matrix.weights[1], matrix.weights[2],
      .long(matrix.strides.row), .long(matrix.strides.column), .address(numbers("double vector", vector)),
      .int(matrix.columns))
    return values(Double.self, count: matrix.rows, at: result)
  }

  public func addMagnitudes(
    ofProduct x: Tensor, matrix: Matrix, to sums: Tensor?, partsEndingAt ends: [Int], show: PartSums
  ) {
    let rowsInParts = ends.last ?? 0
    precondition(rowsInParts <= x.rows && (ends.isEmpty || sums!.hasShape(1, 2 * matrix.columns)))
    // Two products: how many rows a product has may decide which kernel cuBLAS takes, and so the bits.
    if rowsInParts > 0 { addMagnitudes(x.first(rows: rowsInParts), matrix, to: sums!, ends, show) }
    guard rowsInParts < x.rows else { return }
    let others = x.rows(rowsInParts..<x.rows)
    forEachTile(of: others, matrix) { columns, products in
      self.show(columns, of: products, partsEndingAt: Array(1..<others.rows + 1), areMagnitudes: false) {
        show(ends.count + $0, $1, $2)
      }
    }
  }

  private func addMagnitudes(
    _ x: Tensor, _ matrix: Matrix, to sums: Tensor, _ ends: [Int], _ show: PartSums
  ) {
    forEachTile(of: x, matrix) { columns, products in
      device.run(
        "add_magnitudes", elements: columns.count,
        .address(sums.device + DevicePointer(columns.lowerBound * MemoryLayout<Double>.stride)), .address(products),
        .int(x.rows), .int(columns.count))
      self.show(columns, of: products, partsEndingAt: ends, areMagnitudes: true, show)
    }
  }

  /// Gives `body` some columns and where their x · M is.
  private func forEachTile(of x: Tensor, _ matrix: Matrix, _ body: (Range<Int>, DevicePointer) -> Void) {
    precondition(x.columns == matrix.rows)
    let tile = heldColumns(of: matrix.columns, rows: x.rows)
    let products = scratch("products", bytes: x.rows * tile * MemoryLayout<Float>.stride)
    let parts = matrix.isHalf ? split(x, for: [matrix])[0] : nil
    for first in stride(from: 0, to: matrix.columns, by: tile) {
      let columns = first..<min(first + tile, matrix.columns)
      let part = matrix.selecting(columns: columns)
      if let parts {
        multiply(parts, part, accumulate: false, into: products, distance: columns.count)
      } else {
        device.multiply(
          x.rows, columns.count, matrix.rows, x.operand, part.operand, into: products, distance: columns.count)
      }
      body(columns, products)
    }
  }

  /// Some parts' sums at a time, 8 MB of them.
  private func show(
    _ columns: Range<Int>, of products: DevicePointer, partsEndingAt ends: [Int], areMagnitudes: Bool, _ show: PartSums
  ) {
    let edges = numbers("edges", ([0] + ends).map { Int32($0) })
    let group = max(1, (1 << 20) / columns.count)
    for first in stride(from: 0, to: ends.count, by: group) {
      let count = min(group, ends.count - first) * columns.count
      let sums = scratch("part sums", bytes: count * MemoryLayout<Double>.stride)
      device.run(
        "sum_parts", elements: count, .address(sums), .address(products),
        .address(edges + DevicePointer(first * MemoryLayout<Int32>.stride)), .int(areMagnitudes ? 1 : 0),
        .int(columns.count), .long(count))
      var ofParts = values(Double.self, count: count, at: sums)
      ofParts.withUnsafeMutableBufferPointer { ofParts in
        for part in 0..<count / columns.count {
          show(first + part, columns, ofParts.baseAddress! + part * columns.count)
        }
      }
    }
  }
}

/// Features that are active, and what the decoder makes of them.
let sparseFeatureKernels = #"""
  typedef unsigned char Mark;

  /// p > θ, θ of each feature or one for all, but never below 0. A NaN is active: it must be seen.
  extern "C" __global__ void mark_above(
      Mark *marks, const float *p, const float *thresholds, float threshold, int F, long long count) {
    FOR_THIS_ELEMENT(i, count) marks[i] = !(p[i] <= fmaxf(thresholds ? thresholds[i % F] : threshold, 0.0f));
  }

  /// [p + gate bias > 0] · max(factor · p + bias, 0); p makes place for the value.
  extern "C" __global__ void mark_gated(
      Mark *marks, float *p, const float *gateBias, const float *factors, const float *bias, int F, long long count) {
    FOR_THIS_ELEMENT(i, count) {
      int f = i % F;
      bool isOpen = !(p[i] + gateBias[f] <= 0);
      if (isOpen) p[i] = factors[f] * p[i] + bias[f];
      marks[i] = isOpen && !(p[i] <= 0);
    }
  }

  /// Of each group of consecutive features the largest, the first where several are. One thread a row and group.
  extern "C" __global__ void mark_group_maximum(Mark *marks, const float *p, int groups, int F, long long count) {
    FOR_THIS_ELEMENT(i, count) {
      int size = F / groups;
      long long first = i / groups * F + i % groups * size, best = first;
      for (long long f = first; f < first + size; f++)
        if (p[f] > p[best] || p[f] != p[f]) best = f;
      if (!(p[best] <= 0)) marks[best] = 1;
    }
  }

  /// A number that is larger where x, or |x|, is larger. The two zeros are equal; a NaN is larger than everything.
  __device__ unsigned sort_key(float x, int byMagnitude) {
    if (x != x) return 0xffffffffu;
    unsigned bits = __float_as_uint(x);
    if (byMagnitude) bits &= 0x7fffffffu;
    if ((bits & 0x7fffffffu) == 0) bits = 0;
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
  }

  /// The k largest of a row; of equal ones at the edge those of lower index; of these, what is above 0, or where they
  /// are chosen by magnitude what is not 0. The k-th key is found 8 bits at a time. One block a row.
  extern "C" __global__ void mark_largest(Mark *marks, const float *p, int k, int byMagnitude, int F) {
    __shared__ unsigned histogram[256], edge, left;
    const float *p_t = p + (long long)blockIdx.x * F;
    Mark *marks_t = marks + (long long)blockIdx.x * F;
    if (threadIdx.x == 0) {
      edge = 0;
      left = k;
    }
    unsigned known = 0;
    for (int shift = 24; shift >= 0; shift -= 8) {
      __syncthreads();
      histogram[threadIdx.x] = 0;
      __syncthreads();
      for (int f = threadIdx.x; f < F; f += blockDim.x) {
        unsigned key = sort_key(p_t[f], byMagnitude);
        if ((key & known) == edge) atomicAdd(&histogram[key >> shift & 255], 1u);
      }
      __syncthreads();
      if (threadIdx.x == 0) {
        int bin = 255;
        while (histogram[bin] < left) left -= histogram[bin--];
        edge |= (unsigned)bin << shift;
      }
      known |= 255u << shift;
    }
    __syncthreads();
    // Each thread takes a run of features, so that those at the edge are counted in order.
    int run = (F + blockDim.x - 1) / blockDim.x;
    int start = min((int)threadIdx.x * run, F), end = min(start + run, F);
    int atEdge = 0, total;
    for (int f = start; f < end; f++) atEdge += sort_key(p_t[f], byMagnitude) == edge;
    int before = block_sum_before(atEdge, &total);
    for (int f = start; f < end; f++) {
      unsigned key = sort_key(p_t[f], byMagnitude);
      bool isKept = key > edge || (key == edge && before++ < left);
      marks_t[f] = isKept && (byMagnitude ? p_t[f] != 0 : !(p_t[f] <= 0));
    }
  }

  /// y[r,c] = x[r,c], where x lies by columns, `distance` apart. Tiles of 32 × 32; one more column in shared memory keeps
  /// its banks apart.
  extern "C" __global__ void transpose(float *y, const float *x, int rows, int columns, int distance) {
    __shared__ float tile[32][33];
    int firstRow = blockIdx.x * 32, firstColumn = blockIdx.y * 32;
    for (int i = threadIdx.x; i < 32 * 32; i += blockDim.x) {
      int row = firstRow + i % 32, column = firstColumn + i / 32;
      if (row < rows && column < columns) tile[i / 32][i % 32] = x[(long long)column * distance + row];
    }
    __syncthreads();
    for (int i = threadIdx.x; i < 32 * 32; i += blockDim.x) {
      int row = firstRow + i / 32, column = firstColumn + i % 32;
      if (row < rows && column < columns) y[(long long)row * columns + column] = tile[i % 32][i / 32];
    }
  }

  extern "C" __global__ void count_marks(int *counts, const Mark *marks, int F) {
    int count = 0, total;
    for (int f = threadIdx.x; f < F; f += blockDim.x) count += marks[(long long)blockIdx.x * F + f];
    block_sum_before(count, &total);
    if (threadIdx.x == 0) counts[blockIdx.x] = total;
  }

  /// Where each row begins, and at last how many there are. One block, of which each thread takes a run of rows.
  extern "C" __global__ void sum_counts(long long *offsets, const int *counts, int rows) {
    __shared__ long long sums[MOST_THREADS];
    int run = (rows + blockDim.x - 1) / blockDim.x;
    int start = min((int)threadIdx.x * run, rows), end = min(start + run, rows);
    long long sum = 0;
    for (int row = start; row < end; row++) sum += counts[row];
    sums[threadIdx.x] = sum;
    __syncthreads();
    long long place = 0;
    for (int thread = 0; thread < threadIdx.x; thread++) place += sums[thread];
    for (int row = start; row < end; row++) {
      offsets[row] = place;
      place += counts[row];
    }
    if (threadIdx.x == blockDim.x - 1) offsets[rows] = place;
  }

  /// The marked features' indices, ascending, and values, from each row's offset on. One block a row.
  extern "C" __global__ void gather_marked(
      int *indices, float *values, const long long *offsets, const Mark *marks, const float *p, int F) {
    long long row = (long long)blockIdx.x * F;
    int run = (F + blockDim.x - 1) / blockDim.x;
    int start = min((int)threadIdx.x * run, F), end = min(start + run, F);
    int count = 0, total;
    for (int f = start; f < end; f++) count += marks[row + f];
    long long place = offsets[blockIdx.x] + block_sum_before(count, &total);
    for (int f = start; f < end; f++)
      if (marks[row + f]) {
        indices[place] = f;
        values[place++] = p[row + f];
      }
  }

  /// y[n,d] = bias[d] + Σ_f f[n]·factors[f] · decoder[f,d] over the active features, in double. One block a row.
  extern "C" __global__ void decode(
      float *y, const long long *offsets, const int *indices, const float *values, const float *factors,
      const float *decoder, long long rowStride, long long columnStride, const float *bias, int D) {
    for (int d = threadIdx.x; d < D; d += blockDim.x) {
      double sum = bias[d];
      for (long long i = offsets[blockIdx.x]; i < offsets[blockIdx.x + 1]; i++)
        sum += (double)(factors ? values[i] * factors[indices[i]] : values[i])
               * decoder[indices[i] * rowStride + d * columnStride];
      y[(long long)blockIdx.x * D + d] = (float)sum;
    }
  }

  /// result[row] = Σ_c M[row,c]·v[c] in double. One block a row.
  extern "C" __global__ void matrix_vector(
      double *result, const void *matrix, float unit, long long lowDistance, long long rowStride, long long columnStride,
      const double *vector, int columns) {
    double sum = 0;
    for (int c = threadIdx.x; c < columns; c += blockDim.x)
      sum += weight_at(matrix, blockIdx.x * rowStride + c * columnStride, unit, lowDistance) * vector[c];
    sum = block_sum(sum);
    if (threadIdx.x == 0) result[blockIdx.x] = sum;
  }

  /// sums[p,j] = Σ_n y[n,j], or Σ_n |y[n,j]|, over the rows from edges[p] to edges[p+1], in double. One thread a number.
  extern "C" __global__ void sum_parts(
      double *sums, const float *y, const int *edges, int areMagnitudes, int columns, long long count) {
    FOR_THIS_ELEMENT(i, count) {
      int part = i / columns, j = i % columns;
      double sum = 0;
      for (int n = edges[part]; n < edges[part + 1]; n++) {
        float value = y[(long long)n * columns + j];
        sum += areMagnitudes ? fabsf(value) : value;
      }
      sums[i] = sum;
    }
  }

  /// sums[j] += Σ_n |y[n,j]| in double. One thread a column.
  extern "C" __global__ void add_magnitudes(double *sums, const float *y, int rows, int columns) {
    FOR_THIS_ELEMENT(j, columns) {
      double sum = 0;
      for (int n = 0; n < rows; n++) sum += fabsf(y[(long long)n * columns + j]);
      sums[j] += sum;
    }
  }
  """#
