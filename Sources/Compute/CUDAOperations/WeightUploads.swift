import Glibc
import SystemIO
import TensorFiles
import TensorOperations

/// Brings weights up part by part: threads read them, from a file that is mapped, into pinned memory while the part
/// before is under way.
final class WeightUploads {
  /// What is read at a time, and what of that by one thread: 32 MB and 1 MB.
  private static let (partBytes, taskBytes) = (32 << 20, 1 << 20)
  private static let mostThreads = 8

  private let device: Device
  private let uploads: Uploads
  private let team = ThreadTeam(size: min(mostThreads, max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))))))

  init(_ device: Device) {
    self.device = device
    uploads = Uploads(device)
  }

  /// Leaves a matrix in Float, or in the type that it has, at `address`.
  func upload(_ host: Matrix, to address: DevicePointer, asFloat isWidened: Bool) {
    let bytes = host.bytes
    let size = isWidened ? MemoryLayout<Float>.stride : host.type.size
    for first in stride(from: 0, to: bytes.count, by: Self.partBytes) {
      let part = UnsafeRawBufferPointer(rebasing: bytes[first..<min(first + Self.partBytes, bytes.count)])
      let place = address + DevicePointer(first / host.type.size * size)
      uploads.start(bytes: part.count) { pinned in
        read(part, into: pinned)
      } take: { staged in
        guard size != host.type.size else { return device.copy(to: place, within: staged, bytes: part.count) }
        let count = part.count / host.type.size
        device.run(
          host.type == .bf16 ? "widen_bfloat16" : "widen_float16", elements: count, .address(place), .address(staged),
          .long(count))
      }
    }
  }

  private func read(_ part: UnsafeRawBufferPointer, into pinned: UnsafeMutableRawPointer) {
    nonisolated(unsafe) let (part, pinned) = (part, pinned)
    team.run((part.count + Self.taskBytes - 1) / Self.taskBytes) { task in
      let first = task * Self.taskBytes
      (pinned + first).copyMemory(
        from: part.baseAddress! + first, byteCount: min(Self.taskBytes, part.count - first))
    }
  }
}

extension CUDAOperations {
  /// Leaves a matrix in Float, or in the type that it has, at `address`.
  func uploadWeights(_ host: Matrix, to address: DevicePointer, asFloat: Bool) {
    if weightUploads == nil { weightUploads = WeightUploads(device) }
    weightUploads!.upload(host, to: address, asFloat: asFloat)
    MappedFile.letGo(of: host.bytes)
  }

  public func makeMatrix(_ host: Matrix) -> Matrix { precision == .split ? makeHalves(host) : makeFloats(host) }

  /// A matrix as Float on the device.
  func makeFloats(_ host: Matrix) -> Matrix {
    let count = host.bytes.count / host.type.size
    let memory = DeviceMemory(device, bytes: count * MemoryLayout<Float>.stride)
    uploadWeights(host, to: memory.address, asFloat: true)
    return host.onDevice(type: .f32, address: memory.address, owner: memory)
  }
}

extension Matrix {
  /// A matrix of the same shape and order in a device's memory.
  func onDevice(type: ElementType, address: DevicePointer, owner: AnyObject) -> Matrix {
    Matrix(
      rows: rows, columns: columns, isColumnMajor: isColumnMajor, leadingDimension: leadingDimension, type: type,
      address: UnsafeRawPointer(bitPattern: UInt(address))!, owner: owner)
  }
}
