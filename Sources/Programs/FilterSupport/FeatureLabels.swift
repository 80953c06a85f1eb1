import SystemIO
import TensorStream

/// What people call features: lines of a feature's name such as `3:17`, a tab, and the words.
public struct FeatureLabels: Equatable, Sendable {
  public private(set) var labels: [Place: [Int: String]] = [:]

  /// - Throws: `Failure` of kind malformed that names the line.
  public init(file: String) throws {
    let bytes = try InputFile(path: file).readAll(limit: 256 << 20)
    do { try refuseStream(bytes, insteadOf: "lines of a feature such as 3:17, a tab and its label") } catch {
      throw error.at(file)
    }
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw Failure(.malformed, "\(file): expected UTF-8")
    }
    do { try self.init(text) } catch { throw error.at(file) }
  }

  /// - Throws: `Failure` of kind malformed that names the line.
  public init(_ text: String) throws(Failure) {
    for (number, line) in text.split(omittingEmptySubsequences: false, whereSeparator: { $0 == "\n" || $0 == "\r\n" })
      .enumerated()
    {
      let parts = line.split(separator: "\t", maxSplits: 1, omittingEmptySubsequences: false)
      guard !line.allSatisfy(\.isWhitespace), !(number == 0 && parts[0] == "feature") else { continue }
      guard parts.count == 2, let name = FeatureName(parts[0]) else {
        throw Failure(
          .malformed,
          "line \(number + 1): expected a feature such as 3:17 or resid_post.3:17, a tab and its label, found "
            + "'\(printable(String(line.prefix(80))))'")
      }
      let label = String(parts[1].drop(while: \.isWhitespace))
      labels[name.place, default: [:]][name.index] = label.isEmpty ? nil : label
    }
  }
}
