import Glibc
import SystemIO
import TensorStream

/// Writes a stream of so many records of so many megabytes each, of numbers such as gradients are, as fast as it goes:
///
///     stream-pipe RECORDS MEGABYTES | stream-info --check
@main
struct StreamPipe {
  static func main() throws {
    holdStandardDescriptors()
    signal(SIGPIPE, SIG_IGN)
    let numbers = CommandLine.arguments.dropFirst().compactMap { Int($0) }
    guard numbers.count == 2, numbers.allSatisfy({ $0 > 0 }) else {
      fatalError("stream-pipe: expected a number of records and a size in megabytes")
    }
    let (records, values) = (numbers[0], gradients(count: numbers[1] * 1_000_000 / 4))
    let writer = StreamWriter(.standardOutput())
    try writer.begin(.activations, provenance: [:])
    try values.withUnsafeBufferPointer { values in
      for batch in 0..<records {
        var record = OutputRecord()
        record.add("x", borrowing: values, shape: [values.count])
        try writer.write(record, batch: batch)
      }
    }
    try writer.end()
    try writer.finish()
  }

  /// Of magnitudes over some powers of two, as a sum of uniform numbers has them.
  private static func gradients(count: Int) -> [Float] {
    var state: UInt64 = 1
    func next() -> Float {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Float(Int32(truncatingIfNeeded: state >> 32)) * 1e-12
    }
    let some = (0..<min(count, 1 << 22)).map { _ in next() + next() + next() }
    return (0..<count).map { some[$0 % some.count] }
  }
}
