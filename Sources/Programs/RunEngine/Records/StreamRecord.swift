import Glibc
import SystemIO

/// What is written beside a stream when it is complete and on the disk: which file it is, and what determined it.
struct StreamRecord: Equatable {
  let bytes: Int
  /// XXH64.
  let hash: String
  let identity: String
  let key: Key
  /// When it was written, in nanoseconds; 0 before that.
  private(set) var time = 0

  init(bytes: Int, hash: String, identity: String, key: Key) {
    (self.bytes, self.hash, self.identity, self.key) = (bytes, hash, identity, key)
  }

  private static let firstLine = "gradient-run record 1"

  /// Nil where there is none, or half of one.
  init?(path: String) {
    var status = stat()
    guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG,
      let text = try? InputFile(path: path).readAll(limit: 1 << 20)
    else { return nil }
    let lines = String(decoding: text, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false)
    guard lines.count > 5, lines[0] == Self.firstLine, lines.last == "", lines[lines.count - 2] == "end",
      let bytes = lines[1].split(separator: " ").last.flatMap({ Int($0) }),
      let hash = lines[2].split(separator: " ").last, let identity = lines[3].split(separator: " ").last
    else { return nil }
    let key = Key(text: lines[4..<(lines.count - 2)].map { "\($0)\n" }.joined())
    self.init(bytes: bytes, hash: String(hash), identity: String(identity), key: key)
    time = Int(status.st_mtim.tv_sec) * 1_000_000_000 + Int(status.st_mtim.tv_nsec)
  }

  func write(to path: String) throws {
    let file = try OutputFile(path: path)
    try file.write("\(Self.firstLine)\nbytes \(bytes)\nxxh64 \(hash)\nfile \(identity)\n\(key.text)end\n")
    try file.finish()
  }
}
