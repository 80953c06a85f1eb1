import CVectorMath
import SystemIO
import TensorOperations

/// The decoder that turns rows of a stream into feature gradients: ∂L/∂f_i = factors_i · ⟨decoder_i, g⟩.
public struct Basis {
  /// (F,D)
  public let decoder: Matrix
  /// [F], 1 where there are none.
  public let factors: [Float]?

  public init(decoder: Matrix, factors: [Float]? = nil) {
    precondition(factors == nil || factors!.count == decoder.rows)
    self.decoder = decoder
    self.factors = factors
  }
}

/// Totals of one place's factored gradients, whose rows, of 65,536 features, never exist.
///
/// The signed total is W_dec · Σ w·c·g: one vector until the end. The absolute one needs every row; since
/// w·c·|W_dec·g| = |W_dec·(w·c·g)|, rows of many records are gathered, scaled, into one product whose tiles are added up
/// while they are in cache. Where a statistic needs each unit's total by itself, products are of one unit's rows.
final class FactoredSums {
  /// Rows gathered into one product: enough for the product's full speed.
  private static let capacity = 512

  let basis: Basis
  private let operations: any TensorOperations
  private let modes: Set<AveragingMode>
  /// Whether a unit's total is asked for when it ends.
  private let needsUnitsApart: Bool
  /// Whether there are rows whose total was not given out yet.
  private var hasRows = false
  /// Σ w·c·g, [D].
  private var sum: [Double]
  /// Rows in host memory, and where they are multiplied.
  private let hostRows: AlignedBuffer
  private let gathered: Tensor
  private var gatheredRows = 0
  /// Σ |W_dec · (w·c·g)| without the factors, [F].
  private var magnitudes: [Double]

  init(
    _ basis: Basis, modes: Set<AveragingMode>, statistics: [any Statistic.Type], operations: any TensorOperations
  ) {
    self.basis = basis
    self.modes = modes
    needsUnitsApart = statistics.contains { $0.needsUnitsApart }
    self.operations = operations
    sum = Array(repeating: 0, count: basis.decoder.columns)
    let needsRows = modes.contains(.meanAbsolute)
    magnitudes = Array(repeating: 0, count: needsRows ? basis.decoder.rows : 0)
    let rows = needsRows ? Self.capacity : 1
    gathered = operations.makeTensor(rows: rows, columns: basis.decoder.columns)
    hostRows = AlignedBuffer(capacity: rows * basis.decoder.columns * MemoryLayout<Float>.stride)
  }

  /// Adds a unit's rows of g, (rows, D), each multiplied by `factor` ≥ 0, to `sums`: now or later, as its statistics
  /// allow.
  func add(_ g: UnsafePointer<Float>, rows: Int, factor: Double, to sums: inout PlaceSums) {
    add(g, rows: rows, factor: factor)
    if needsUnitsApart { giveTotals(to: &sums) }
  }

  private func add(_ g: UnsafePointer<Float>, rows: Int, factor: Double) {
    if rows > 0 { hasRows = true }
    let D = basis.decoder.columns
    if modes.contains(.mean) {
      sum.withUnsafeMutableBufferPointer { sum in
        for row in 0..<rows { vector_accumulate(sum.baseAddress!, g + row * D, D, factor) }
      }
    }
    guard modes.contains(.meanAbsolute) else { return }
    for row in 0..<rows {
      let destination = hostRows.address.assumingMemoryBound(to: Float.self) + gatheredRows * D
      for i in 0..<D { destination[i] = Float(factor * Double(g[row * D + i])) }
      gatheredRows += 1
      if gatheredRows == Self.capacity { flush() }
    }
  }

  private func flush() {
    guard gatheredRows > 0 else { return }
    let rows = gathered.first(rows: gatheredRows)
    operations.upload(rows, from: hostRows.address.assumingMemoryBound(to: Float.self))
    magnitudes.withUnsafeMutableBufferPointer {
      operations.addMagnitudes(
        ofProduct: rows, matrix: basis.decoder.transposed, to: $0)
    }
    // One place's decoder in memory at a time, however many there are.
    MappedFile.letGo(of: basis.decoder.bytes)
    gatheredRows = 0
  }

  /// Adds to `sums` all that was not added yet.
  func giveTotals(to sums: inout PlaceSums) {
    guard hasRows else { return }
    flush()
    if modes.contains(.mean) {
      sums.add(total: withFactors(operations.product(basis.decoder, sum)), .mean)
      MappedFile.letGo(of: basis.decoder.bytes)
    }
    if modes.contains(.meanAbsolute) { sums.add(total: withFactors(magnitudes, \.magnitude), .meanAbsolute) }
    for i in sum.indices { sum[i] = 0 }
    for i in magnitudes.indices { magnitudes[i] = 0 }
    hasRows = false
  }

  private func withFactors(_ values: [Double], _ sign: (Float) -> Float = { $0 }) -> [Double] {
    guard let factors = basis.factors else { return values }
    return zip(values, factors).map { $0 * Double(sign($1)) }
  }
}
