import Foundation

/// The array of an `.npy` file in C order, for expected values: f4, f8, i4 and i8.
public struct NumPyArray {
  public let shape: [Int]
  public let values: [Double]

  public init(path: String) throws {
    let data = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
    let start = 10 + Int(data[8]) + Int(data[9]) << 8
    let header = String(decoding: data[10..<start], as: UTF8.self)
    precondition(data[6] == 1 && header.contains("'fortran_order': False"), "\(path): \(header)")
    func between(_ before: String, _ after: String) -> String {
      header.components(separatedBy: before)[1].components(separatedBy: after)[0]
    }
    shape = between("'shape': (", ")").split(separator: ",").map { Int($0.filter { $0 != " " })! }
    let bytes = Array(data[start...])
    func all<Element>(_ type: Element.Type, _ convert: (Element) -> Double) -> [Double] {
      bytes.withUnsafeBytes { raw in
        stride(from: 0, to: raw.count, by: MemoryLayout<Element>.size).map {
          convert(raw.loadUnaligned(fromByteOffset: $0, as: type))
        }
      }
    }
    switch between("'descr': '", "'") {
    case "<f4": values = all(Float.self, Double.init)
    case "<f8": values = all(Double.self) { $0 }
    case "<i4": values = all(Int32.self, Double.init)
    case "<i8": values = all(Int64.self, Double.init)
    case let type: preconditionFailure("\(path): \(type)")
    }
    precondition(values.count == shape.reduce(1, *), path)
  }
}
