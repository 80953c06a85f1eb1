import SystemIO

/// A GPU's own tracks in a trace: what it did when, by events before and after it.
final class DeviceTrace {
  /// Events whose times are not read yet, at most.
  private static let mostPending = 4096

  private unowned let device: Device
  private let trace: Trace
  /// An event whose time is known.
  private var known: (event: OpaquePointer?, time: Double)
  private var pending: [(name: String, track: Trace.Track, begin: OpaquePointer?, end: OpaquePointer?)] = []

  init(_ device: Device, _ trace: Trace) {
    self.device = device
    self.trace = trace
    let event = device.makeTimedEvent()
    device.record(event)
    device.wait(for: event)
    known = (event, Trace.now)
  }

  /// - Parameter stream: where the work is queued; nil for the work's own queue.
  func around(_ name: String, on stream: OpaquePointer?, _ work: () -> Void) {
    let (begin, end) = (device.makeTimedEvent(), device.makeTimedEvent())
    device.record(begin, on: stream)
    work()
    device.record(end, on: stream)
    pending.append((name, .device(device.name + (stream == nil ? "" : ", copies")), begin, end))
    if pending.count >= Self.mostPending { flush() }
  }

  /// Adds all of what is pending and gives the events back: before the device goes.
  func finish() {
    flush()
    device.destroyEvent(known.event)
  }

  /// Waits for what is pending and adds it to the trace.
  private func flush() {
    let start = known
    for (name, track, begin, end) in pending {
      device.wait(for: end)
      let times = [begin, end].map { start.time + device.seconds(from: start.event, to: $0) }
      trace.add(name, track, from: times[0], to: times[1])
      device.destroyEvent(begin)
    }
    // The last one's time is known now: from there on times are as exact as from the start.
    if let last = pending.last {
      known = (last.end, start.time + device.seconds(from: start.event, to: last.end))
      device.destroyEvent(start.event)
    }
    for (_, _, _, end) in pending.dropLast() { device.destroyEvent(end) }
    pending = []
  }
}

extension Device {
  /// Does what queues work, whose time on the GPU a trace is to tell.
  func traced(_ name: @autoclosure () -> String, on stream: OpaquePointer? = nil, _ work: () -> Void) {
    guard let trace else { return work() }
    trace.around(name(), on: stream, work)
  }
}

extension CUDAOperations {
  /// Adds what the GPU did so far to the trace, where one is written.
  public func finishTrace() { device.finishTrace() }
}
