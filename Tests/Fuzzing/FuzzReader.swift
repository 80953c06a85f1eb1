import Glibc
import SystemIO

// libFuzzer has the main function, and these two are what it calls (compiler-rt, FuzzerInterface.h).
//
//     fuzz-reader NAME seeds FOLDER      writes a reader's seeds into a folder
//     fuzz-reader NAME FLAG… FOLDER      is libFuzzer for it: its flags, its corpus, its findings

@_cdecl("LLVMFuzzerInitialize")
public func initialize(
  _ count: UnsafeMutablePointer<CInt>,
  _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>>>
) -> CInt {
  let words = (0..<Int(count.pointee)).map { String(cString: arguments.pointee[$0]) }
  guard words.count > 1, let reader = Reader.all[words[1]] else {
    for name in Reader.all.keys.sorted() { print(name) }
    exit(words.count > 1 ? 64 : 0)
  }
  if words.count == 4, words[2] == "seeds" {
    for (number, seed) in try! reader.seeds().enumerated() {
      let file = try! OutputFile(path: "\(words[3])/seed-\(number)")
      try! file.write(seed)
      try! file.finish()
    }
    exit(0)
  }
  chosen = reader
  // libFuzzer sees the program and its own flags.
  arguments.pointee[1] = arguments.pointee[0]
  arguments.pointee += 1
  count.pointee -= 1
  return 0
}

@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  chosen.tryOut(UnsafeRawBufferPointer(start: data, count: count))
  return 0
}

nonisolated(unsafe) private var chosen: Reader!

/// A reader of untrusted bytes and what it is tried on first.
struct Reader: Sendable {
  /// Reads the bytes and all that they lead to.
  let read: @Sendable (UnsafeRawBufferPointer) throws -> Void
  let seeds: @Sendable () throws -> [[UInt8]]

  /// A reader may refuse its input, in words and as its user's fault. All else is a finding.
  func tryOut(_ bytes: UnsafeRawBufferPointer) {
    do {
      try read(bytes)
    } catch let failure as Failure {
      precondition([.malformed, .cannotOpen].contains(failure.kind), "\(failure)")
      precondition(!failure.description.isEmpty)
    } catch {
      preconditionFailure("not a failure of the package's own: \(error)")
    }
  }
}

/// Inputs of several parts: each has its length before it, in 16 bits; the last may be cut off.
func parts(_ bytes: UnsafeRawBufferPointer) -> [[UInt8]] {
  var parts: [[UInt8]] = []
  var rest = bytes[...]
  while rest.count >= 2 {
    let length = Int(rest[rest.startIndex]) | Int(rest[rest.startIndex + 1]) << 8
    parts.append(Array(rest.dropFirst(2).prefix(length)))
    rest = rest.dropFirst(2 + length)
  }
  return parts
}

func joined(_ parts: [[UInt8]]) -> [UInt8] {
  parts.flatMap { [UInt8($0.count & 0xff), UInt8($0.count >> 8)] + $0 }
}
