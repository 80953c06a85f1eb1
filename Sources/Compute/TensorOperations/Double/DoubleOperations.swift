import SystemIO

/// The passes' operations in Double on the processor: for the few rows whose gradients Float cannot give, or for whole
/// passes. Weights are read in the types of their files and never widened as a whole.
///
/// A row's numbers depend neither on the other rows nor on how many threads there are.
public final class DoubleOperations: PassOperations {
  let team: ThreadTeam
  let threads: Int
  /// Whether OpenBLAS multiplies.
  let isForWholePasses: Bool
  /// Memory of each thread for a product.
  let scratch: [AlignedBuffer]
  /// Rotation angles by their frequencies, made for as many positions as were asked for so far.
  var rotations: [[Double]: RotationTable] = [:]

  /// - Parameter team: threads that do nothing else while these operations run.
  init(_ team: ThreadTeam, threads: Int, isForWholePasses: Bool = false) {
    (self.team, self.threads, self.isForWholePasses) = (team, threads, isForWholePasses)
    scratch = (0..<threads).map { _ in AlignedBuffer(capacity: 0) }
  }

  /// For few rows.
  public convenience init(threads: Int) { self.init(ThreadTeam(size: threads), threads: threads) }

  /// - Throws: `Failure` of kind unavailable where there is no OpenBLAS, or outOfMemory.
  public static func forWholePasses(threads: Int) throws(Failure) -> DoubleOperations {
    try OpenBLAS.open(threads: threads)
    return DoubleOperations(ThreadTeam(size: threads), threads: threads, isForWholePasses: true)
  }

  public var description: String { "cpu, float64, threads: \(threads)" }

  public var memoryReport: String? { nil }

  public var leavesProcessorFree: Bool { false }

  public func passRows(bytesPerRow: Int) -> Int { 1024 }

  public func check(_ shape: AttentionShape) {}

  public func makeMatrix(_ host: Matrix) -> Matrix { host }

  public func makeTensor(rows: Int, columns: Int) -> Tensor {
    let buffer = AlignedBuffer(capacity: rows * columns * MemoryLayout<Double>.stride)
    return Tensor(
      rows: rows, columns: columns, address: buffer.address.assumingMemoryBound(to: Float.self), owner: buffer)
  }

  public func upload(_ destination: Tensor, from source: UnsafePointer<Float>, rows: [Int32]?) {
    precondition(rows.map { $0.count == destination.rows } ?? true)
    let columns = destination.columns
    for place in 0..<destination.rows {
      let (values, row) = (destination.doubles(row: place), source + (rows.map { Int($0[place]) } ?? place) * columns)
      for i in 0..<columns { values[i] = Double(row[i]) }
    }
  }

  public func upload(_ destination: Tensor, from source: UnsafePointer<Double>) {
    destination.doubles.update(from: source, count: destination.count)
  }

  public func download(_ destination: UnsafeMutablePointer<Float>, from source: Tensor) {
    let values = source.doubles
    for i in 0..<source.count { destination[i] = Float(values[i]) }
  }

  public func startDownload(_ destination: UnsafeMutablePointer<Float>, from source: Tensor, rows: [Int32]?) {
    guard let rows else { return download(destination, from: source) }
    let (values, columns) = (source.doubles, source.columns)
    for (place, row) in rows.enumerated() {
      precondition(row >= 0 && row < source.rows)
      for i in 0..<columns { destination[place * columns + i] = Float(values[Int(row) * columns + i]) }
    }
  }

  public func finishDownloads() {}

  public func copy(_ destination: Tensor, from source: Tensor) {
    precondition(destination.hasShape(source.rows, source.columns))
    destination.doubles.update(from: source.doubles, count: source.count)
  }

  public func add(_ y: Tensor, _ x: Tensor) {
    precondition(y.hasShape(x.rows, x.columns))
    let (sums, values) = (y.doubles, x.doubles)
    for i in 0..<x.count { sums[i] += values[i] }
  }

  public func makeDoubleOperations() -> DoubleOperations { self }

  /// Shows the rows in parts, those of many on several threads.
  func forEachRow(_ count: Int, _ body: (Int) -> Void) {
    team.split(count, multiple: 16, parts: threads) { for row in $0 { body(row) } }
  }
}

extension Tensor {
  /// The elements of a tensor that `DoubleOperations` made.
  package var doubles: UnsafeMutablePointer<Double> {
    UnsafeMutableRawPointer(address).assumingMemoryBound(to: Double.self)
  }

  package func doubles(row: Int) -> UnsafeMutablePointer<Double> { doubles + row * columns }

  /// Some of the rows of such a tensor.
  func doubleRows(_ rows: Range<Int>) -> Tensor {
    precondition(rows.lowerBound >= 0 && rows.upperBound <= self.rows)
    let first = UnsafeMutableRawPointer(doubles(row: rows.lowerBound)).assumingMemoryBound(to: Float.self)
    return Tensor(rows: rows.count, columns: columns, address: first, owner: owner)
  }
}
