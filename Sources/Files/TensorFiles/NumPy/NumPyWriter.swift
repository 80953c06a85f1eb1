import SystemIO

/// Writes arrays as `.npy` files, byte for byte what `numpy.save` writes. A file appears under its name when it is
/// complete.
public enum NumPyWriter {
  /// - Parameter shape: row-major; by default one dimension.
  public static func write(_ values: UnsafeBufferPointer<Float>, shape: [Int]? = nil, to path: String) throws {
    try write(UnsafeRawBufferPointer(values), of: .float32, count: values.count, shape: shape, to: path)
  }

  /// - Parameter shape: row-major; by default one dimension.
  public static func write(_ values: UnsafeBufferPointer<Double>, shape: [Int]? = nil, to path: String) throws {
    try write(UnsafeRawBufferPointer(values), of: .float64, count: values.count, shape: shape, to: path)
  }

  public static func write(_ values: [Float], shape: [Int]? = nil, to path: String) throws {
    try values.withUnsafeBufferPointer { try write($0, shape: shape, to: path) }
  }

  public static func write(_ values: [Double], shape: [Int]? = nil, to path: String) throws {
    try values.withUnsafeBufferPointer { try write($0, shape: shape, to: path) }
  }

  private static func write(
    _ bytes: UnsafeRawBufferPointer, of element: NumPyHeader.Element, count: Int, shape: [Int]?, to path: String
  ) throws {
    let shape = shape ?? [count]
    precondition(shape.reduce(1, *) == count, "a shape that holds another number of values")
    let file = try OutputFile(path: path)
    try file.write(NumPyHeader(element: element, isLittleEndian: Int(littleEndian: 1) == 1, shape: shape).encoded)
    try file.write(bytes)
    try file.finish()
  }
}
