import TensorOperations

extension CUDAOperations {
  public func rotate(x: Tensor, positions: [Int32], headWidth: Int, theta: Double, isBackward: Bool) {
    precondition(positions.count == x.rows && x.columns % headWidth == 0)
    let pairs = x.count / 2
    guard pairs > 0 else { return }
    let (cosines, sines) = angles(headWidth, theta, positions: Int(positions.max()!) + 1)
    device.run(
      "turn", elements: pairs, .address(x.device), .address(list("positions", positions)), .address(cosines),
      .address(sines), .int(x.columns), .int(headWidth), .float(isBackward ? -1 : 1), .long(pairs))
  }

  private func angles(_ headWidth: Int, _ theta: Double, positions: Int) -> (DevicePointer, DevicePointer) {
    if let (table, cosines, sines) = rotations, table.serves(headWidth: headWidth, theta: theta, positions: positions) {
      return (cosines.address, sines.address)
    }
    let table = RotationTable(headWidth: headWidth, theta: theta, positions: max(positions, 128))
    func send(_ values: [Float]) -> DeviceMemory {
      let memory = DeviceMemory(device, bytes: values.count * MemoryLayout<Float>.stride)
      values.withUnsafeBytes { device.copy(to: memory.address, from: $0.baseAddress!, bytes: $0.count) }
      return memory
    }
    let (cosines, sines) = (send(table.cosines), send(table.sines))
    rotations = (table, cosines, sines)
    return (cosines.address, sines.address)
  }
}

/// HF: modeling_qwen2.py, `apply_rotary_pos_emb` with `rotate_half`.
let rotaryEmbeddingKernels = #"""
  /// Turns the pair (x[i], x[i + headWidth/2]) of every head by its row's angle. One thread a pair.
  extern "C" __global__ void turn(
      float *x, const int *positions, const float *cosines, const float *sines, int columns, int headWidth,
      float direction, long long pairs) {
    FOR_THIS_ELEMENT(pair, pairs) {
      int half = headWidth / 2, pairsOfRow = columns / 2;
      long long t = pair / pairsOfRow;
      int head = pair % pairsOfRow / half, i = pair % half;
      float *low = x + t * columns + head * headWidth + i;
      float c = cosines[(long long)positions[t] * half + i];
      float s = direction * sines[(long long)positions[t] * half + i];
      float a = low[0], b = low[half];
      low[0] = a * c - b * s;
      low[half] = b * c + a * s;
    }
  }
  """#
