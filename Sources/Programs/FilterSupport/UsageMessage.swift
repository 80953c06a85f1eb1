/// What ArgumentParser says of a wrong command line, as the programs say it: `flag: what was expected, what was found`.
///
/// It keeps the kind of an error to itself and hands out a text, so that the text is what there is to read. One of
/// another form, such as a program's own, passes as it is.
///
/// - Parameter takesFiles: whether the program takes files as arguments; where it takes none, one may have been named.
public func usageMessage(_ text: String, takesFiles: Bool = true) -> String {
  let text = text.hasSuffix(".") ? text.dropLast() : text[...]
  return unknownOption(text) ?? missingValue(text) ?? missingOption(text) ?? invalidValue(text)
    ?? superfluousValue(text) ?? superfluousArguments(text, takesFiles) ?? unsupportedShell(text) ?? String(text)
}

/// "Unknown option '--layer'. Did you mean '--layers'?"
private func unknownOption(_ text: Substring) -> String? {
  guard let name = text.between("Unknown option '", "'") else { return nil }
  return "\(name): no such option"
    + (text.between("Did you mean '", "'").map { "; the most similar one is \($0)" } ?? "")
}

/// "Missing value for '--model <model>'"
private func missingValue(_ text: Substring) -> String? {
  text.between("Missing value for '", "'").map { "\(name($0)): expected a value, found none" }
}

/// "Missing expected argument '--model <model>'"
private func missingOption(_ text: Substring) -> String? {
  text.between("Missing expected argument '", "'").map {
    "\(name($0)): expected a value, found none; it has no default"
  }
}

/// "The value 'x' is invalid for '--mode <mode>'", and after it the values that are valid, or a colon and why.
private func invalidValue(_ text: Substring) -> String? {
  let separator = "' is invalid for '"
  guard let start = text.after("The value '"), let middle = start.firstRange(of: separator) else { return nil }
  let value = start[..<middle.lowerBound]
  let rest = start[middle.upperBound...]
  guard let end = rest.firstIndex(of: "'") else { return nil }
  let flag = name(rest[..<end])
  let reason = rest[rest.index(after: end)...]
  if let why = reason.after(": ") { return "\(flag): \(why)" }
  if let listed = reason.after(". Please provide one of the following:\n  - ") {
    return "\(flag): expected \(alternatives(listed.split(separator: "\n  - "))), found '\(value)'"
  }
  if reason.after(". Please provide one of '") != nil {
    let quoted = reason.split(separator: "'").enumerated().filter { $0.offset % 2 == 1 }.map(\.element)
    return "\(flag): expected \(alternatives(quoted)), found '\(value)'"
  }
  return "\(flag): expected \(kindOfNumber(insteadOf: value)), found '\(value)'"
}

/// Values of which all are named say so, and others say why: what is left are numbers.
private func kindOfNumber(insteadOf value: Substring) -> String {
  guard let number = Double(value) else { return "a number" }
  if number.rounded() != number { return "a whole number" }
  if number < 0 { return "a whole number of at least 0" }
  return value.utf8.allSatisfy { (0x30...0x39).contains($0) } ? "a smaller whole number" : "a whole number in digits"
}

/// "The option '--loss' does not take any value, but 'x' was specified"
private func superfluousValue(_ text: Substring) -> String? {
  guard let flag = text.between("The option '", "' does not take any value"), let value = text.after("value, but '")
  else { return nil }
  return "\(flag): expected no value, found '\(value.dropSuffix("' was specified"))'"
}

/// "Unexpected argument 'a'", "2 unexpected arguments: 'a', 'b'"
private func superfluousArguments(_ text: Substring, _ takesFiles: Bool) -> String? {
  let one = text.after("Unexpected argument ")
  guard let found = one ?? text.after(" unexpected arguments: ") else { return nil }
  let message = "expected no further argument, found \(found)"
  if takesFiles { return message }
  return "\(message); the stream is read from standard input"
    + (one.map { ": < \($0.dropFirst().dropSuffix("'"))" } ?? "")
}

/// "Can't generate completion scripts for 'tcsh'", or "Can't autodetect a supported shell"
private func unsupportedShell(_ text: Substring) -> String? {
  guard text.hasPrefix("Can't ") else { return nil }
  let found = text.between("completion scripts for '", "'").map { "'\($0)'" } ?? "none"
  return "--generate-completion-script: expected bash, zsh or fish, found \(found)"
}

/// Of "--model <model>" the flag, of "<files>" all of it.
private func name(_ synopsis: Substring) -> Substring { synopsis.prefix { $0 != " " } }

/// "a", "a or b", "a, b or c"
private func alternatives(_ values: [Substring]) -> String {
  guard let last = values.last, values.count > 1 else { return values.joined() }
  return "\(values.dropLast().joined(separator: ", ")) or \(last)"
}

extension Substring {
  /// What follows the first `start`.
  fileprivate func after(_ start: String) -> Substring? {
    firstRange(of: start).map { self[$0.upperBound...] }
  }

  /// What lies between the first `start` and the first `end` after it.
  fileprivate func between(_ start: String, _ end: String) -> Substring? {
    guard let rest = after(start), let stop = rest.firstRange(of: end) else { return nil }
    return rest[..<stop.lowerBound]
  }

  fileprivate func dropSuffix(_ suffix: String) -> Substring {
    hasSuffix(suffix) ? dropLast(suffix.count) : self
  }
}
