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
    /// What is to be done with so many bytes.
    var waiting: (bytes: Int, take: (UnsafeRawBufferPointer) -> Void)?
  }

  private let device: Device
  let stream: OpaquePointer?
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
    let gathered = slots[next].gathered.reserve(bytes)
    gather(gathered)
    copy(bytes, from: gathered) { destination.copyMemory(from: $0.baseAddress!, byteCount: bytes) }
  }

  /// Begins to bring `bytes` bytes down from where they are, and gives them to `take` when they are there. Work that is
  /// queued after this waits for the copy, and may write over them.
  func start(from source: DevicePointer, bytes: Int, take: @escaping (UnsafeRawBufferPointer) -> Void) {
    guard bytes > 0 else { return }
    finish(next)
    device.wait(for: copy(bytes, from: source, take), on: nil)
  }

  /// - Returns: the event that the copy is done.
  @discardableResult
  private func copy(
    _ bytes: Int, from source: DevicePointer, _ take: @escaping (UnsafeRawBufferPointer) -> Void
  ) -> OpaquePointer? {
    let slot = slots[next]
    device.record(slot.isGathered)
    device.wait(for: slot.isGathered, on: stream)
    device.startCopy(to: slot.pinned.reserve(bytes), from: source, bytes: bytes, on: stream)
    device.record(slot.isCopied, on: stream)
    slots[next].waiting = (bytes, take)
    next = (next + 1) % slots.count
    return slot.isCopied
  }

  func finish() {
    for index in slots.indices { finish((next + index) % slots.count) }
  }

  private func finish(_ index: Int) {
    guard let (bytes, take) = slots[index].waiting else { return }
    device.wait(for: slots[index].isCopied)
    slots[index].waiting = nil
    take(UnsafeRawBufferPointer(start: slots[index].pinned.address!, count: bytes))
  }
}

extension CUDAOperations {
  public func startDownload(_ destination: UnsafeMutablePointer<Float>, from source: Tensor, rows: [Int32]?) {
    let columns = source.columns
    let count = (rows?.count ?? source.rows) * columns
    startedDownloads.start(destination, bytes: count * MemoryLayout<Float>.stride) { gathered in
      guard let rows else { return device.copy(to: gathered, within: source.device, bytes: source.bytes) }
      precondition(rows.allSatisfy { $0 >= 0 && $0 < source.rows })
      device.run(
        "gather_rows", elements: count, .address(gathered), .source(source.device), .address(rowList(rows)),
        .int(columns), .long(count))
    }
  }

  public func finishDownloads() {
    featureDownloads?.settle()
    downloads?.finish()
  }

  var startedDownloads: Downloads {
    if downloads == nil { downloads = Downloads(device) }
    return downloads!
  }

  var startedLossDownloads: Downloads {
    if lossDownloads == nil { lossDownloads = Downloads(device) }
    return lossDownloads!
  }
}
