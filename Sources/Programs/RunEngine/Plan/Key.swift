import SystemIO

/// What determines a step's result, and nothing else: a name and a value a line. Its hash names the result.
public struct Key: Hashable, Sendable {
  public private(set) var text = ""

  public init() {}
  public init(text: String) { self.text = text }

  public mutating func add(_ name: String, _ value: String) {
    text += "\(name) \(value.replacing("\\", with: "\\\\").replacing("\n", with: "\\n"))\n"
  }

  /// Command-line flags, each with its value.
  public mutating func add(flags: [String]) {
    var flags = flags[...]
    while let flag = flags.popFirst() {
      let value = flags.first.map { !$0.hasPrefix("-") } == true ? flags.removeFirst() : "given"
      add(flag, value)
    }
  }

  public mutating func add(_ name: String, _ files: [FoundFile]) {
    for file in files { add("\(name) \(shellQuoted(file.name))", file.hash) }
  }

  /// 16 hexadecimal digits.
  public var hash: String { String(SHA256.of(text).prefix(16)) }

  /// What differs between this key and an earlier one of the same step, in words.
  public func differences(from earlier: Key) -> [String] {
    let (old, new) = (earlier.values, values)
    let names = (new.map(\.name) + old.map(\.name)).reduce(into: [String]()) { if !$0.contains($1) { $0.append($1) } }
    return names.compactMap { name in
      let (before, now) = (old.first { $0.name == name }?.value, new.first { $0.name == name }?.value)
      guard before != now else { return nil }
      return "\(name) was \(before.map(Self.shortened) ?? "not there"), is \(now.map(Self.shortened) ?? "not there")"
    }
  }

  /// By the words before the last one of each line.
  private var values: [(name: String, value: String)] {
    text.split(separator: "\n").map { line in
      let parts = line.split(separator: " ", omittingEmptySubsequences: false)
      // Flags and programs have a single word as their name, files a second one.
      let words = ["text", "tokenizer", "model", "autoencoder"].contains(parts[0]) ? parts.count - 1 : 1
      return (parts.prefix(words).joined(separator: " "), parts.dropFirst(words).joined(separator: " "))
    }
  }

  /// Of a hash the first digits tell enough.
  private static func shortened(_ value: String) -> String {
    value.utf8.count == 64 && value.allSatisfy(\.isHexDigit) ? "\(value.prefix(8))…" : value
  }
}

/// A file that a result depends on.
public struct FoundFile: Equatable, Sendable {
  /// What it is among its kind: its name, or where it lies below the folder of the model.
  public var name: String
  public var path: String
  public var bytes: Int
  /// SHA-256, in hexadecimal.
  public var hash: String

  public init(name: String, path: String, bytes: Int, hash: String) {
    (self.name, self.path, self.bytes, self.hash) = (name, path, bytes, hash)
  }
}

/// What was found out before a plan is made.
public struct Findings: Equatable, Sendable {
  public var layerCount: Int
  /// The work of the output head, in layers, which weighs what is left to do.
  public var headWeight = 9.0
  public var texts: [FoundFile] = []
  public var tokenizer: [FoundFile] = []
  public var model: [FoundFile] = []
  /// By layer.
  public var autoencoders: [Int: [FoundFile]] = [:]
  /// By name.
  public var programs: [String: FoundFile] = [:]
  /// Where the programs compute: not auto.
  public var device = "cpu"

  public init(layerCount: Int) { self.layerCount = layerCount }
}
