import TensorOperations

extension CUDAOperations {
  public func rotate(
    x: Tensor, positions: [Int32], headWidth: Int, inverseFrequencies: [Double], isBackward: Bool
  ) {
    let half = inverseFrequencies.count
    precondition(positions.count == x.rows && x.columns % headWidth == 0 && 2 * half <= headWidth)
    let pairs = x.rows * (x.columns / headWidth) * half
    guard pairs > 0 else { return }
    let (cosines, sines) = angles(inverseFrequencies, positions: Int(positions.max()!) + 1)
    // What is not turned the kernel does not see.
    making([2 * half == headWidth ? x : nil]) { largest in
      device.run(
        "turn", elements: pairs, largest[0], .address(x.device), .address(list("positions", positions)),
        .address(cosines), .address(sines), .int(x.columns), .int(headWidth), .int(half),
        .float(isBackward ? -1 : 1), .long(pairs))
    }
  }

  private func angles(_ inverseFrequencies: [Double], positions: Int) -> (DevicePointer, DevicePointer) {
    if let known = rotations[inverseFrequencies], known.positions >= positions {
      return (known.cosines.address, known.sines.address)
    }
    let table = RotationTable(inverseFrequencies: inverseFrequencies, positions: max(positions, 128))
    func send(_ values: [Float]) -> DeviceMemory {
      let memory = DeviceMemory(device, bytes: values.count * MemoryLayout<Float>.stride)
      values.withUnsafeBytes { device.copy(to: memory.address, from: $0.baseAddress!, bytes: $0.count) }
      return memory
    }
    let (cosines, sines) = (send(table.cosines), send(table.sines))
    rotations[inverseFrequencies] = (table.positions, cosines, sines)
    return (cosines.address, sines.address)
  }
}

/// HF: modeling_qwen2.py and modeling_gpt_neox.py, `apply_rotary_pos_emb` with `rotate_half`.
let rotaryEmbeddingKernels = #"""
  /// Turns the pair (x[i], x[i + half]) of every head by its row's angle. One thread a pair.
  extern "C" __global__ void turn(
      unsigned *largest, float *x, const int *positions, const float *cosines, const float *sines, int columns,
      int headWidth, int half, float direction, long long pairs) {
    unsigned own = 0;
    FOR_THIS_ELEMENT(pair, pairs) {
      int pairsOfRow = columns / headWidth * half;
      long long t = pair / pairsOfRow;
      int head = pair % pairsOfRow / half, i = pair % half;
      float *low = x + t * columns + head * headWidth + i;
      float c = cosines[(long long)positions[t] * half + i];
      float s = direction * sines[(long long)positions[t] * half + i];
      float a = low[0], b = low[half];
      low[0] = a * c - b * s;
      low[half] = b * c + a * s;
      own = larger_magnitude(larger_magnitude(own, low[0]), low[half]);
    }
    if (largest) raise_magnitude(largest, own);
  }
  """#
