/// `argument` as a shell takes it for one word: unchanged where nothing in it means anything to a shell, in single
/// quotes otherwise. For command lines that people are to copy, and for those that provenance keeps.
public func shellQuoted(_ argument: String) -> String {
  let isPlain = argument.utf8.allSatisfy { byte in
    (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
      || "-_./=:,+@%".utf8.contains(byte)
  }
  if isPlain && !argument.isEmpty { return argument }
  return "'\(argument.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''"))'"
}
