/// What bytes are that stand where a configuration, a tokenizer or weights belong, in words for a message; nil where
/// they are none of what git, browsers and interrupted downloads often leave there.
public func knownForeignContent(_ bytes: UnsafeRawBufferPointer) -> String? {
  if bytes.isEmpty { return "an empty file" }
  if bytes.starts(with: "version https://git-lfs".utf8) {
    return "a Git LFS pointer: the file itself is yet to be fetched, with git lfs pull"
  }
  let start = bytes.prefix(4096).drop { [0x20, 0x09, 0x0a, 0x0d].contains($0) }
  let isPage = ["<!doctype", "<html", "<?xml"].contains { tag in
    start.prefix(tag.utf8.count).map { $0 | 0x20 }.elementsEqual(tag.utf8.map { $0 | 0x20 })
  }
  if isPage { return "a web page, as a download without permission leaves it" }
  if bytes.starts(with: "GGUF".utf8) { return "a GGUF file" }
  if bytes.prefix(4096).allSatisfy({ $0 == 0 }) { return "a file of zeros, as an interrupted download leaves it" }
  return nil
}
