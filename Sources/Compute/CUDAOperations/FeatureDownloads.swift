import TensorOperations

/// Features in a GPU's memory, which the next `activate` takes again.
struct CUDAFeatures: DeviceFeatures {
  let rowCount: Int
  /// As in `ActiveFeatures`.
  let offsets: DevicePointer
  let indices: DevicePointer
  let values: DevicePointer
}

/// Brings active features into host memory without a wait for how many there are: where their rows begin is copied at
/// once, and they themselves when that is known to be there, at the latest before their memory is used again.
final class FeatureDownloads {
  /// Of what is copied at a time: 16 MB.
  private static let partBytes = 16 << 20

  /// Features that come in parts.
  private final class Arriving {
    let offsets: [Int64]
    var indices: [Int32] = []
    var values: [Float] = []

    init(offsets: [Int64]) {
      self.offsets = offsets
      indices.reserveCapacity(Int(offsets.last!))
      values.reserveCapacity(Int(offsets.last!))
    }
  }

  private let device: Device
  private let downloads: Downloads
  private let offsets: PinnedMemory
  private let isFound: OpaquePointer?
  private let isCopied: OpaquePointer?
  private var waiting: (features: CUDAFeatures, take: (ActiveFeatures) -> Void)?

  init(_ device: Device, _ downloads: Downloads) {
    (self.device, self.downloads) = (device, downloads)
    offsets = PinnedMemory(device)
    isFound = device.makeEvent()
    isCopied = device.makeEvent()
  }

  func start(_ features: CUDAFeatures, _ take: @escaping (ActiveFeatures) -> Void) {
    settle()
    let bytes = (features.rowCount + 1) * MemoryLayout<Int64>.stride
    device.record(isFound)
    device.wait(for: isFound, on: downloads.stream)
    device.startCopy(to: offsets.reserve(bytes), from: features.offsets, bytes: bytes, on: downloads.stream)
    device.record(isCopied, on: downloads.stream)
    waiting = (features, take)
  }

  /// Begins to copy the features themselves.
  func settle() {
    guard let (features, take) = waiting else { return }
    waiting = nil
    device.wait(for: isCopied)
    let offsets = offsets.address!.assumingMemoryBound(to: Int64.self)
    let arriving = Arriving(offsets: Array(UnsafeBufferPointer(start: offsets, count: features.rowCount + 1)))
    let bytes = Int(arriving.offsets.last!) * MemoryLayout<Int32>.stride
    guard bytes > 0 else {
      // Those that were begun before come first.
      downloads.finish()
      return take(ActiveFeatures(offsets: arriving.offsets))
    }
    for part in stride(from: 0, to: bytes, by: Self.partBytes) {
      downloads.start(from: features.indices + DevicePointer(part), bytes: min(Self.partBytes, bytes - part)) {
        arriving.indices.append(contentsOf: $0.bindMemory(to: Int32.self))
      }
    }
    for part in stride(from: 0, to: bytes, by: Self.partBytes) {
      downloads.start(from: features.values + DevicePointer(part), bytes: min(Self.partBytes, bytes - part)) {
        arriving.values.append(contentsOf: $0.bindMemory(to: Float.self))
        guard arriving.values.count == arriving.indices.count else { return }
        take(ActiveFeatures(offsets: arriving.offsets, indices: arriving.indices, values: arriving.values))
      }
    }
  }
}

extension CUDAOperations {
  public func startDownload(_ features: any DeviceFeatures, _ take: @escaping (ActiveFeatures) -> Void) {
    if featureDownloads == nil { featureDownloads = FeatureDownloads(device, startedDownloads) }
    featureDownloads!.start(features as! CUDAFeatures, take)
  }
}
