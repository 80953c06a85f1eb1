import Glibc
import TensorOperations

/// Copies into host memory that run while the GPU goes on computing.
///
/// A tensor's rows are gathered in device memory of their own, in the order of the work; from there a stream of its own
/// copies them into pinned memory, and the host at last to where they belong.
final class Downloads {
  /// Copies under way at a time. A third one is begun while one runs and the one before it is taken to its place.
  private static let slots = 3

  private struct Slot {
    let gathered: DeviceMemory
    let pinned: PinnedMemory
    let isGathered: OpaquePointer?
    let isCopied: OpaquePointer?
    var waiting: (destination: UnsafeMutableRawPointer, bytes: Int)?
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
        gathered: DeviceMemory(device, bytes: 0), pinned: PinnedMemory(device), isGathered: device.makeEvent(),
        isCopied: device.makeEvent())
    }
  }

  deinit {
    for slot in slots { [slot.isGathered, slot.isCopied].forEach(device.destroyEvent) }
    device.destroyStream(stream)
  }

  /// Begins to bring `bytes` bytes to `destination`, once `gather` has queued the work that brings them together.
  func start(_ destination: UnsafeMutableRawPointer, bytes: Int, gather: (DevicePointer) -> Void) {
    guard bytes > 0 else { return }
    finish(next)
    let slot = slots[next]
    let gathered = slot.gathered.reserve(bytes)
    gather(gathered)
    device.record(slot.isGathered)
    device.wait(for: slot.isGathered, on: stream)
    device.startCopy(to: slot.pinned.reserve(bytes), from: gathered, bytes: bytes, on: stream)
    device.record(slot.isCopied, on: stream)
    slots[next].waiting = (destination, bytes)
    next = (next + 1) % slots.count
  }

  func finish() {
    for index in slots.indices { finish((next + index) % slots.count) }
  }

  private func finish(_ index: Int) {
    guard let (destination, bytes) = slots[index].waiting else { return }
    device.wait(for: slots[index].isCopied)
    destination.copyMemory(from: slots[index].pinned.address!, byteCount: bytes)
    slots[index].waiting = nil
  }
}

/// Host memory that a GPU reaches by itself.
private final class PinnedMemory {
  private(set) var address: UnsafeMutableRawPointer?
  private var capacity = 0
  private let device: Device

  init(_ device: Device) { self.device = device }

  deinit { if let address { device.releaseHost(address) } }

  func reserve(_ bytes: Int) -> UnsafeMutableRawPointer {
    if bytes > capacity {
      if let address { device.releaseHost(address) }
      address = device.allocateHost(bytes)
      capacity = bytes
    }
    return address!
  }
}

extension CUDAOperations {
  public func startDownload(_ destination: UnsafeMutablePointer<Float>, from source: Tensor, rows: [Int32]?) {
    let columns = source.columns
    let count = (rows?.count ?? source.rows) * columns
    if downloads == nil { downloads = Downloads(device) }
    downloads!.start(destination, bytes: count * MemoryLayout<Float>.stride) { gathered in
      guard let rows else { return device.copy(to: gathered, within: source.device, bytes: source.bytes) }
      precondition(rows.allSatisfy { $0 >= 0 && $0 < source.rows })
      device.run(
        "gather_rows", elements: count, .address(gathered), .address(source.device), .address(list("rows", rows)),
        .int(columns), .long(count))
    }
  }

  public func finishDownloads() { downloads?.finish() }
}
