/// Host memory that a GPU reaches by itself.
final class PinnedMemory {
  private(set) var address: UnsafeMutableRawPointer?
  private var capacity = 0
  private let device: Device

  init(_ device: Device) { self.device = device }

  deinit { if let address { device.releaseHost(address) } }

  /// Grows to at least `bytes`; the contents are lost where it does.
  func reserve(_ bytes: Int) -> UnsafeMutableRawPointer {
    if bytes > capacity || address == nil {
      if let address { device.releaseHost(address) }
      address = device.allocateHost(max(bytes, 1))
      capacity = bytes
    }
    return address!
  }
}
