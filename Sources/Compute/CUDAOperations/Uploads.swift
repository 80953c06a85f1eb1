import TensorOperations

/// Copies from host memory that run while the GPU goes on computing.
///
/// What is to go up is put into pinned memory at once. From there a stream of its own copies it into device memory that
/// nothing computes with, and from there it goes to where it belongs in the order of the work: whoever asks for it
/// waits for neither.
final class Uploads {
  /// What a pass goes on from is an activation and the rest of the stream.
  private static let slots = 2

  private struct Slot {
    let pinned: PinnedMemory
    let staged: DeviceMemory
    let isCopied: OpaquePointer?
    let isTaken: OpaquePointer?
    var wasUsed = false
  }

  private let device: Device
  private let stream: OpaquePointer?
  private var slots: [Slot]
  private var next = 0

  init(_ device: Device) {
    self.device = device
    stream = device.makeStream()
    slots = (0..<Self.slots).map { _ in
      Slot(
        pinned: PinnedMemory(device), staged: DeviceMemory(device, bytes: 0), isCopied: device.makeEvent(),
        isTaken: device.makeEvent())
    }
  }

  /// Whose memory goes when nothing uses it any more.
  deinit { for slot in slots where slot.wasUsed { device.wait(for: slot.isTaken) } }

  /// Begins to bring `bytes` bytes up, which `fill` puts into host memory, and has `take` queue the work that uses them.
  func start(bytes: Int, fill: (UnsafeMutableRawPointer) -> Void, take: (DevicePointer) -> Void) {
    guard bytes > 0 else { return }
    let slot = slots[next]
    if slot.wasUsed { device.wait(for: slot.isCopied) }
    let pinned = slot.pinned.reserve(bytes)
    fill(pinned)
    if slot.wasUsed { device.wait(for: slot.isTaken, on: stream) }
    let staged = slot.staged.reserve(bytes)
    device.startCopy(to: staged, from: pinned, bytes: bytes, on: stream)
    device.record(slot.isCopied, on: stream)
    device.wait(for: slot.isCopied, on: nil)
    take(staged)
    device.record(slot.isTaken)
    slots[next].wasUsed = true
    next = (next + 1) % slots.count
  }
}

extension CUDAOperations {
  public func upload(_ destination: Tensor, from source: UnsafePointer<Float>, rows: [Int32]?) {
    precondition(rows.map { $0.count == destination.rows } ?? true)
    if uploads == nil { uploads = Uploads(device) }
    uploads!.start(bytes: destination.bytes) { pinned in
      guard let rows else { return pinned.copyMemory(from: source, byteCount: destination.bytes) }
      let (floats, columns) = (pinned.assumingMemoryBound(to: Float.self), destination.columns)
      for (place, row) in rows.enumerated() {
        (floats + place * columns).update(from: source + Int(row) * columns, count: columns)
      }
    } take: { staged in
      device.copy(to: destination.device, within: staged, bytes: destination.bytes)
    }
  }
}
