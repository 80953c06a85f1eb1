import SystemIO

/// The names of files in a work folder that belong to a stream called `NAME.ts`. Nothing else there is ever touched.
enum StreamName {
  /// Where a run writes the stream, and what it locks meanwhile.
  static func partial(_ name: String) -> String { "\(name).gradient-run.partial" }
  static func record(_ name: String) -> String { "\(name).record" }

  /// The stream whose unfinished file is called `name`; nil for every other file. Programs and records are written beside
  /// their names, with the process's number.
  static func ofUnfinished(_ name: String) -> String? {
    guard name.hasSuffix(".partial"), let end = name.firstRange(of: ".ts.") else { return nil }
    let stream = "\(name[..<end.lowerBound]).ts"
    guard isStream(stream) else { return nil }
    var middle = name[end.upperBound...].dropLast("partial".count)
    if middle == "gradient-run." { return stream }
    if middle.hasPrefix("record.") { middle = middle.dropFirst("record.".count) }
    let numbers = middle.dropLast().split(separator: ".", omittingEmptySubsequences: false)
    return (1...2).contains(numbers.count) && numbers.allSatisfy { !$0.isEmpty && $0.allSatisfy(\.isWholeNumber) }
      ? stream : nil
  }

  /// `tokens-0123456789abcdef.ts`, `gradients-sae-grad-layer-3-0123456789abcdef.ts`
  static func isStream(_ name: String) -> Bool {
    guard name.hasSuffix(".ts"), Plan.Stage.allCases.contains(where: { name.hasPrefix("\($0.rawValue)-") }) else {
      return false
    }
    let hash = name.dropLast(3).split(separator: "-").last ?? ""
    return hash.utf8.count == 16 && hash.allSatisfy { $0.isHexDigit && !$0.isUppercase }
  }

  /// What stands before the hash.
  static func label(_ name: String) -> String { String(name.dropLast(".ts".count + 17)) }
}
