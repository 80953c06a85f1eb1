import TensorOperations

/// Where on a GPU the largest magnitudes of tensors stand, which a product of halves has to know before it splits them.
///
/// Once a product has asked for that of a tensor, the operations that make the tensor find it as they write: the tensor
/// need not be read for it. It is known until a kernel is handed an address in the tensor's memory, or a copy or a
/// product writes there.
struct KnownMagnitudes {
  private struct Entry {
    let tensor: DevicePointer
    let count: Int
    /// All of the memory that the tensor is a part of.
    let memory: Range<DevicePointer>
    let place: DevicePointer
  }

  /// Products follow soon on what makes their rows.
  private static let most = 16

  /// The latest last.
  private var entries: [Entry] = []
  /// Where tensors begin that a product has asked for.
  private var wanted: Set<DevicePointer> = []

  func isWanted(_ tensor: Tensor) -> Bool { wanted.contains(tensor.device) }

  /// Where the largest magnitude of a tensor stands; nil where nobody knows it, who is to find it the next time.
  mutating func place(of tensor: Tensor) -> DevicePointer? {
    wanted.insert(tensor.device)
    return entries.last { $0.tensor == tensor.device && $0.count == tensor.count }?.place
  }

  mutating func note(_ tensor: Tensor, at place: DevicePointer) {
    guard let memory = tensor.owner as? DeviceMemory else { return }
    entries.append(Entry(tensor: tensor.device, count: tensor.count, memory: memory.range, place: place))
    if entries.count > Self.most { entries.removeFirst() }
  }

  /// Somebody may write there, and to what lies behind it.
  mutating func forget(writingAt address: DevicePointer) { entries.removeAll { $0.memory.contains(address) } }

  /// The places get other magnitudes.
  mutating func forget(placedIn places: Range<DevicePointer>) { entries.removeAll { places.contains($0.place) } }

  /// The memory is given back.
  mutating func release(_ memory: Range<DevicePointer>) {
    entries.removeAll { $0.memory.overlaps(memory) }
    wanted = wanted.filter { !memory.contains($0) }
  }
}

extension CUDAOperations {
  /// Where the largest magnitude of x stands: what made x has found it, or it is found now.
  func largestMagnitude(of x: Tensor) -> DevicePointer {
    if let place = device.magnitudes.place(of: x) { return place }
    let place = findLargestMagnitude(x.device, x.count)
    device.magnitudes.note(x, at: place)
    return place
  }

  func findLargestMagnitude(_ x: DevicePointer, _ count: Int) -> DevicePointer {
    let largest = constants.magnitudePlaces(1)
    let blocks = min((count + Device.blockSize - 1) / Device.blockSize, 1024)
    device.run("largest_magnitude", rows: blocks, .address(largest), .source(x), .long(count))
    return largest
  }

  /// Runs a kernel that writes these tensors, all numbers of each.
  ///
  /// - Parameter run: gets for each of them where the kernel is to put its largest magnitude, and no address where
  ///   nobody asks for it.
  func making(_ tensors: [Tensor?], _ run: (_ largest: [Device.Argument]) -> Void) {
    let wanted = tensors.map { $0.map(device.magnitudes.isWanted) ?? false }
    guard wanted.contains(true) else { return run(tensors.map { _ in .address(0) }) }
    let first = constants.magnitudePlaces(tensors.count)
    let places = tensors.indices.map { first + DevicePointer($0 * MemoryLayout<Float>.stride) }
    run(tensors.indices.map { .address(wanted[$0] ? places[$0] : 0) })
    for index in tensors.indices where wanted[index] { device.magnitudes.note(tensors[index]!, at: places[index]) }
  }
}

/// For the kernels that write what products read.
let magnitudeKernels = #"""
  __device__ bool is_finite_bits(unsigned bits) { return (bits & 0x7f800000u) != 0x7f800000u; }

  /// The larger of a magnitude, given by its bits, and that of x, where x is finite. Numbers that are not negative are
  /// in the order of their bits.
  __device__ unsigned larger_magnitude(unsigned magnitude, float x) {
    unsigned bits = __float_as_uint(x) & 0x7fffffffu;
    return is_finite_bits(bits) && bits > magnitude ? bits : magnitude;
  }

  /// Raises `largest` to the largest magnitude of a block's threads. Most blocks find it as large already.
  __device__ void raise_magnitude(unsigned *largest, unsigned own) {
    own = __float_as_uint(block_maximum(__uint_as_float(own)));
    if (threadIdx.x == 0 && own > *(volatile unsigned *)largest) atomicMax(largest, own);
  }
  """#
