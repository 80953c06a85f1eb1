import CVectorMath
import Synchronization
import SystemIO

/// The tensor operations on the processor: OpenBLAS for products, several threads that each take their own part.
///
/// Threads split the work here and OpenBLAS itself runs single-threaded in each of them, so that everything scales,
/// not products alone. One instance is used from one thread at a time.
public final class CPUOperations: TensorOperations {
  public let threads: Int
  private let team: ThreadTeam
  /// Memory of each thread for what does not outlive an operation.
  private let scratch: [AlignedBuffer]
  /// Rotation angles by their frequencies, made for as many positions as were asked for so far.
  var rotations: [[Double]: RotationTable] = [:]
  /// Memory of the parts of a cross entropy, reused.
  var softmaxSums: [SoftmaxSums] = []

  /// - Throws: `Failure` of kind unavailable where there is no OpenBLAS, or outOfMemory.
  public init(threads: Int) throws(Failure) {
    precondition(threads >= 1)
    self.threads = threads
    team = ThreadTeam(size: threads)
    scratch = (0..<threads).map { _ in AlignedBuffer(capacity: 0) }
    try OpenBLAS.open(threads: threads)
  }

  public var description: String { "cpu, threads: \(threads)" }

  public var memoryReport: String? { nil }

  public var leavesProcessorFree: Bool { false }

  public func passRows(bytesPerRow: Int) -> Int { 1024 }

  public func check(_ shape: AttentionShape) {}

  /// The same memory, such as a file's pages, which processes side by side share: bf16 and f16 are widened block by
  /// block next to each product. With 1,024 rows that is 1.5 % of act-grad's time, and saves the start-up time and the
  /// memory of a widened copy.
  public func makeMatrix(_ host: Matrix) -> Matrix { host }

  public func makeTensor(rows: Int, columns: Int) -> Tensor {
    let buffer = AlignedBuffer(capacity: rows * columns * MemoryLayout<Float>.stride)
    return Tensor(
      rows: rows, columns: columns, address: buffer.address.assumingMemoryBound(to: Float.self), owner: buffer)
  }

  public func upload(_ destination: Tensor, from source: UnsafePointer<Float>, rows: [Int32]?) {
    guard let rows else { return destination.address.update(from: source, count: destination.count) }
    precondition(rows.count == destination.rows)
    copyRows(to: destination.address, from: source, columns: destination.columns, rows)
  }

  /// destination[n] = source[rows[n]]
  func copyRows(
    to destination: UnsafeMutablePointer<Float>, from source: UnsafePointer<Float>, columns: Int, _ rows: [Int32]
  ) {
    split(rows.count) { places in
      for place in places {
        (destination + place * columns).update(from: source + Int(rows[place]) * columns, count: columns)
      }
    }
  }

  public func download(_ destination: UnsafeMutablePointer<Float>, from source: Tensor) {
    destination.update(from: source.address, count: source.count)
  }

  public func startDownload(_ destination: UnsafeMutablePointer<Float>, from source: Tensor, rows: [Int32]?) {
    guard let rows else { return download(destination, from: source) }
    precondition(rows.allSatisfy { $0 >= 0 && $0 < source.rows })
    copyRows(to: destination, from: source.address, columns: source.columns, rows)
  }

  public func finishDownloads() {}

  public func copy(_ destination: Tensor, from source: Tensor) {
    precondition(destination.hasShape(source.rows, source.columns))
    split(source.rows) { rows in
      (destination.address + rows.lowerBound * source.columns)
        .update(from: source.address + rows.lowerBound * source.columns, count: rows.count * source.columns)
    }
  }

  public func add(_ y: Tensor, _ x: Tensor) {
    precondition(y.hasShape(x.rows, x.columns))
    split(x.rows) { rows in
      let i = rows.lowerBound * x.columns
      vector_add(y.address + i, x.address + i, rows.count * x.columns)
    }
  }

  public func makeDoubleOperations() -> DoubleOperations { DoubleOperations(team, threads: threads) }

  /// Runs `body` on consecutive parts of 0..<count, one a thread, each but the last a multiple of `multiple` long.
  func split(_ count: Int, multiple: Int = 1, _ body: (Range<Int>) -> Void) {
    team.split(count, multiple: multiple, parts: threads, body)
  }

  /// Runs `body` on every task of 0..<count, each thread taking the next one when it is free, with `scratchBytes` of
  /// memory of its own.
  func distribute(_ count: Int, scratchBytes: Int, _ body: (Int, UnsafeMutableRawPointer) -> Void) {
    let next = Atomic(0)
    for worker in 0..<min(threads, count) { scratch[worker].reserve(scratchBytes) }
    team.run(min(threads, count)) { worker in
      let memory = scratch[worker].address
      while true {
        let task = next.wrappingAdd(1, ordering: .relaxed).oldValue
        if task >= count { return }
        body(task, memory)
      }
    }
  }
}

extension ThreadTeam {
  /// Runs `body` on at most so many consecutive parts of 0..<count, each but the last a multiple of `multiple` long.
  func split(_ count: Int, multiple: Int, parts most: Int, _ body: (Range<Int>) -> Void) {
    let units = (count + multiple - 1) / multiple
    let parts = min(most, units)
    if parts <= 1 { return body(0..<count) }
    run(parts) { part in
      let start = units * part / parts * multiple
      let end = min(units * (part + 1) / parts * multiple, count)
      body(start..<end)
    }
  }
}
