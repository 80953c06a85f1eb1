import TensorOperations

/// Rows in host memory that a pass goes on from.
public enum HostRows {
  case floats(UnsafePointer<Float>)
  case doubles(UnsafePointer<Double>)

  /// What lies so many numbers further on.
  public static func + (rows: HostRows, count: Int) -> HostRows {
    switch rows {
    case .floats(let first): .floats(first + count)
    case .doubles(let first): .doubles(first + count)
    }
  }

  func upload(to tensor: Tensor, _ operations: any PassOperations) {
    switch self {
    case .floats(let first): operations.upload(tensor, from: first)
    case .doubles(let first): operations.upload(tensor, from: first)
    }
  }
}
