import ArgumentParser
import SystemIO
import TensorStream

/// Features in the order in which they were named, each once.
public struct FeatureList: Equatable, Sendable {
  public private(set) var features: [FeatureName] = []

  public init(_ features: some Sequence<FeatureName>) {
    var seen: Set<FeatureName> = []
    self.features = features.filter { seen.insert($0).inserted }
  }

  /// Whether a flag's value is a list, and not the name of a file that has one.
  public static func isList(_ text: String) -> Bool { text.contains(":") && !text.contains("/") }

  /// What help says of a flag that takes a list or a file.
  public static func help(_ beginning: String) -> ArgumentHelp {
    ArgumentHelp(
      "\(beginning), such as 3:17,resid_post.3:204 (layer:index; the site is mlp_out unless named), or a file that lists them.",
      valueName: "list")
  }

  /// Refuses a flag's value that is a list and holds something else than features.
  public static func validate(_ value: String) throws {
    guard isList(value) else { return }
    do { _ = try FeatureList(value) } catch { throw ValidationError("--features: \(error)") }
  }

  /// Reads names between commas, white space or line feeds.
  ///
  /// - Throws: `Failure` of kind `kind` that tells which is none, or that there is none.
  public init(_ text: String, kind: Failure.Kind = .usage) throws(Failure) {
    var features: [FeatureName] = []
    for part in text.split(whereSeparator: { $0 == "," || $0.isWhitespace }) {
      guard let feature = FeatureName(part) else {
        throw Failure(
          kind, "expected features such as 3:17 or resid_post.3:17, found '\(printable(String(part.prefix(80))))'")
      }
      features.append(feature)
    }
    guard !features.isEmpty else { throw Failure(kind, "expected features such as 3:17, found none") }
    self.init(features)
  }

  /// What may have been meant: of 639 it is 3:639, of resid_post.3.639 it is resid_post.3:639.
  private static func example(for text: String) -> String {
    let first = text.prefix { $0 != "," && !$0.isWhitespace }
    let (place, index) = first.lastIndex(of: ".").map { (first[..<$0], first[$0...].dropFirst()) } ?? ("3", first)
    return FeatureName("\(place):\(index)").map(\.description) ?? "3:17"
  }

  /// Reads a list as it stands in a command line, or the file of that name.
  public init(listOrFile text: String) throws {
    guard !Self.isList(text) else {
      try self.init(text)
      return
    }
    guard nameExists(text) else {
      throw Failure(
        .cannotOpen,
        "--features: expected layer:index such as \(Self.example(for: text)), or a file; there is no file \(text)")
    }
    let bytes = try InputFile(path: text).readAll(limit: 64 << 20)
    do throws(Failure) {
      try refuseStream(bytes, insteadOf: "a list of features such as 3:17")
      try self.init(String(decoding: bytes, as: UTF8.self), kind: .malformed)
    } catch { throw error.at(text) }
  }
}
