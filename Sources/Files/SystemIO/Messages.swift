import Glibc

/// The program's name, as messages and provenance have it.
public let programName = String(CommandLine.arguments.first?.split(separator: "/").last ?? "filter")

/// One line on standard error, with the program's name before it, in one write: the lines of programs that share a
/// terminal must not interleave.
public func complain(_ message: String) {
  writeLine("\(programName): \(printable(message))")
}

/// A line on standard error without the program's name, for text whose form others rely on.
public func writeLine(_ line: String) {
  writeToStandardError(TerminalLine.replacing(with: "\(line)\n"))
}

package func writeToStandardError(_ text: String) {
  // A failed write to standard error has nowhere to be reported.
  _ = Array(text.utf8).withUnsafeBytes { bytes in
    retryingOnInterrupt { write(STDERR_FILENO, bytes.baseAddress, bytes.count) }
  }
}

/// `text` on one line and without what a terminal would obey: names and values in files come from strangers.
public func printable(_ text: String) -> String {
  guard text.unicodeScalars.contains(where: isControl) else { return text }
  var shown = ""
  for scalar in text.unicodeScalars {
    if scalar == "\n" {
      shown += "\\n"
    } else if isControl(scalar) {
      shown += "\\u{\(String(scalar.value, radix: 16))}"
    } else {
      shown.unicodeScalars.append(scalar)
    }
  }
  return shown
}

/// Control characters, and those that turn the direction of what follows.
private func isControl(_ scalar: Unicode.Scalar) -> Bool {
  switch scalar.value {
  case ..<0x20, 0x7f...0x9f, 0x2028...0x202e, 0x2066...0x2069: true
  default: false
  }
}
