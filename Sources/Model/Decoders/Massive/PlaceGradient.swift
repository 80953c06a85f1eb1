import TensorOperations

/// The gradient of the summed loss at a place, (n,W), of a pass's rows, or anew of some of them; valid during the call
/// that shows it.
public struct PlaceGradient {
  let values: Tensor
  let operations: any PassOperations
  /// Which rows of the pass it is of; all where this is nil.
  let rows: [Int32]?

  public var columns: Int { values.columns }

  /// Of the `wanted` rows those that it has, by their places among these.
  public func places(of wanted: [Int32]) -> [Int] {
    guard let rows else { return Array(wanted.indices) }
    let own = Set(rows)
    return wanted.indices.filter { own.contains(wanted[$0]) }
  }

  /// Puts rows that it has into a tensor of the device that the pass runs on, one after another.
  public func copy(_ destination: Tensor, rows wanted: [Int32], _ device: any TensorOperations) {
    let indices = rows.map { rows in wanted.map { Int32(rows.firstIndex(of: $0)!) } } ?? wanted
    guard operations !== device else { return device.gatherRows(destination, from: values, rows: indices) }
    device.upload(destination, from: operations.downloaded(values, rows: indices))
  }

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
