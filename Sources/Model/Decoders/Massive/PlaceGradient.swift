import TensorOperations

/// The gradient of the summed loss at a place, (n,W), of a pass's rows, or anew of some of them; valid during the call
/// that shows it.
public struct PlaceGradient {
  let values: Tensor
  let operations: any PassOperations
  /// Which rows of the pass it is of; all where this is nil.
  let rows: [Int32]?

  public var columns: Int { values.columns }

  /// Begins to copy those of the `wanted` rows that it has, each to its place among them, as
  /// `PassOperations.startDownload`.
  public func startDownload(_ destination: UnsafeMutablePointer<Float>, rows wanted: [Int32]) {
    guard let rows else { return operations.startDownload(destination, from: values, rows: wanted) }
    for (place, row) in wanted.enumerated() {
      guard let index = rows.firstIndex(of: row) else { continue }
      operations.startDownload(destination + place * columns, from: values, rows: [Int32(index)])
    }
  }
}
