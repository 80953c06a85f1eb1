import Aggregation
import JSON
import SystemIO
import TensorStream

/// The contexts of features, by their place and number, in the order of the file.
public struct ContextLines: Sendable {
  public private(set) var contexts: [Place: [Int: [Context]]] = [:]

  public init() {}

  /// Larger files are refused: a page that a browser opens has some megabytes.
  static let largestFile = 1 << 30

  /// Reads lines of JSON, as `grad-contexts` writes them.
  ///
  /// - Throws: `Failure` of kind malformed that names the line.
  public mutating func read(_ file: InputFile) throws {
    let bytes = try file.readAll(limit: Self.largestFile)
    do { try refuseStream(bytes, insteadOf: "the lines of JSON that grad-contexts writes") } catch {
      throw error.at(file.name)
    }
    try bytes.withUnsafeBytes { bytes in
      var number = 0
      var start = 0
      while start < bytes.count {
        number += 1
        let end = bytes[start...].firstIndex(of: UInt8(ascii: "\n")) ?? bytes.count
        let line = UnsafeRawBufferPointer(rebasing: bytes[start..<end])
        start = end + 1
        guard !line.allSatisfy({ [0x20, 0x09, 0x0d].contains($0) }) else { continue }
        do {
          let context = try Context(JSON(parsing: line, allowsNonfinite: true))
          contexts[context.place, default: [:]][context.feature, default: []].append(context)
        } catch let failure as Failure { throw failure.at("\(file.name): line \(number)") }
      }
    }
  }

  /// Refuses contexts of places and of features that there are no averages of: they are of another run.
  ///
  /// - Throws: `Failure` of kind malformed.
  public func check(against sizes: [Place: Int]) throws(Failure) {
    for (place, features) in contexts.sorted(by: { $0.key < $1.key }) {
      guard let size = sizes[place] else {
        throw Failure(
          .malformed, "contexts of \(place): expected contexts of places that have averages, \(PlaceList(sizes.keys))")
      }
      if let largest = features.keys.max(), largest >= size {
        throw Failure(
          .malformed,
          "contexts of \(place): expected features from 0 to \(size - 1) as of the averages, found \(largest)"
        )
      }
    }
  }
}
