import SystemIO
import TensorStream

/// The metadata that tells where a stream's numbers come from.
public enum Provenance {
  /// `upstream` with this program's command line added: `history.0` is the first program of the pipeline.
  public static func extending(_ upstream: [String: String], with own: [String: String] = [:]) -> [String: String] {
    let step = (0...).first { upstream["history.\($0)"] == nil }!
    var provenance = upstream.merging(own) { _, own in own }
    provenance["history.\(step)"] = commandLine
    return provenance
  }

  /// Several values of one key, a line each; of very many the first ones and a last line `…`.
  public static func joined(_ values: [String]) -> String {
    let text = values.joined(separator: "\n")
    guard text.utf8.count > 16_384 else { return text }
    return String(decoding: text.utf8.prefix(16_384), as: UTF8.self).split(separator: "\n").dropLast()
      .joined(separator: "\n") + "\n…"
  }

  /// This process's command line, quoted for a shell; of a very long one the beginning. --progress-fd is not in it, as it
  /// changes nothing of the numbers, and its descriptor would be missing to whoever runs the line again.
  static var commandLine: String {
    let arguments = withoutDescriptor(CommandLine.arguments.dropFirst())
    let line = ([programName] + arguments.map(shellQuoted)).joined(separator: " ")
    return line.utf8.count <= 65_536 ? line : "\(String(decoding: line.utf8.prefix(65_536), as: UTF8.self))…"
  }

  static func withoutDescriptor(_ arguments: some Sequence<String>) -> [String] {
    var kept: [String] = []
    var isValue = false
    for argument in arguments {
      let flag = argument.replacing("_", with: "-")
      let isDescriptor = !kept.contains("--") && (flag == "--progress-fd" || flag.hasPrefix("--progress-fd="))
      if !isValue && !isDescriptor { kept.append(argument) }
      isValue = !isValue && isDescriptor && flag == "--progress-fd"
    }
    return kept
  }
}
