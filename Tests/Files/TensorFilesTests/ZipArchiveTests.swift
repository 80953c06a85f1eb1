import Foundation
import SystemIO
import TensorFiles
import TestSupport
import Testing

@Suite struct TensorFilesTests {
  private let folder = try! TemporaryFolder()

  private func open(_ bytes: [UInt8]) throws -> ZipArchive {
    try Data(bytes).write(to: folder.url("a.zip"))
    return try ZipArchive(path: folder.file("a.zip"))
  }

  /// The message of the refusal, which must be of kind malformed and begin with the path.
  private func refusal(_ zip: ZipBuilder) -> String? { refusal(zip.build()) }

  private func refusal(_ bytes: [UInt8]) -> String? {
    do {
      _ = try open(bytes)
      return nil
    } catch {
      guard let failure = error as? Failure, failure.kind == .malformed,
        failure.description.hasPrefix(folder.file("a.zip") + ": "), !failure.description.contains("\n")
      else { return nil }
      return String(failure.description.dropFirst(folder.file("a.zip").count + 2))
    }
  }

  private func two(_ change: (inout ZipBuilder) -> Void = { _ in }) -> ZipBuilder {
    var zip = ZipBuilder([.init("ae/first", Array("12345".utf8)), .init("ae/second", Array("6789".utf8))])
    change(&zip)
    return zip
  }

  /// CRC-32 of "123456789" is the check value of the algorithm's usual definition.
  private let nineDigits = UInt32(0xcbf4_3926)

  @Test func entriesAndTheirBytes() throws {
    for hasZip64End in [false, true] {
      let archive = try open(two { $0.hasZip64End = hasZip64End }.build())
      #expect(archive.entries.map(\.name) == ["ae/first", "ae/second"])
      #expect(Array(try archive.bytes(of: try #require(archive["ae/first"]))) == Array("12345".utf8))
      #expect(Array(try archive.bytes(of: try #require(archive["ae/second"]))) == Array("6789".utf8))
      #expect(archive["first"] == nil)
    }
  }

  @Test func paddingAfterTheLocalNameIsSkipped() throws {
    let archive = try open(two { $0.entries[1].localExtra = [0x46, 0x42, 3, 0, 0, 0, 0] }.build())
    #expect(Array(try archive.bytes(of: archive.entries[1])) == Array("6789".utf8))
  }

  @Test func aCommentMayFollow() throws {
    #expect(try open(two { $0.comment = Array("PK\u{5}\u{6} of no account".utf8) }.build()).entries.count == 2)
  }

  @Test func sizesAndOffsetsBeyond32BitsStandInTheZip64Field() throws {
    let zip = two {
      $0.entries[1].size = 0xffff_ffff
      $0.entries[1].offset = 0xffff_ffff
      // Another field comes first; usize, csize and offset follow in this order.
      $0.entries[1].centralExtra = [9, 9, 1, 0, 7] + [1, 0, 24, 0]
      $0.entries[1].centralExtra += little(UInt64(4)) + little(UInt64(4)) + little(UInt64(43))
    }
    let archive = try open(zip.build())
    #expect(Array(try archive.bytes(of: archive.entries[1])) == Array("6789".utf8))
  }

  @Test func aChecksumIsComparedUnlessItIsZero() throws {
    var zip = ZipBuilder([.init("a", Array("123456789".utf8))])
    #expect(try open(zip.build()).bytes(of: open(zip.build()).entries[0]).count == 9)
    zip.entries[0].checksum = nineDigits
    let archive = try open(zip.build())
    for _ in 0..<2 { #expect(try archive.bytes(of: archive.entries[0]).count == 9) }
    zip.entries[0].contents[3] ^= 1
    let damaged = try open(zip.build())
    #expect(damaged.uncheckedBytes(of: damaged.entries[0]).count == 9)
    for _ in 0..<2 {
      #expect(
        throws: Failure(
          .malformed, "\(folder.file("a.zip")): a: damaged: expected CRC-32 cbf43926, found 00a8ea83")
      ) { try damaged.bytes(of: damaged.entries[0]) }
    }
  }

  /// A block of deflate that is stored as it is: the last one, 9 bytes, their complement.
  private let deflatedDigits: [UInt8] = [1, 9, 0, 0xf6, 0xff] + Array("123456789".utf8)

  private func deflated(size: UInt32 = 9, _ contents: [UInt8]? = nil) -> ZipBuilder {
    var zip = ZipBuilder([.init("a", contents ?? deflatedDigits)])
    zip.entries[0].method = 8
    zip.entries[0].size = size
    zip.entries[0].compressedSize = UInt32(zip.entries[0].contents.count)
    zip.entries[0].checksum = nineDigits
    return zip
  }

  @Test func deflatedEntriesAreDecompressed() throws {
    let archive = try open(deflated().build())
    let entry = archive.entries[0]
    #expect(entry.compression == .deflated && entry.size == 9 && entry.byteRange.count == 14)
    // The same memory each time.
    #expect(try archive.bytes(of: entry).baseAddress == archive.bytes(of: entry).baseAddress)
    #expect(try Array(archive.bytes(of: entry)) == Array("123456789".utf8))
  }

  @Test func deflatedEntriesThatAreDamagedAreRefused() throws {
    var otherDigit = deflatedDigits
    otherDigit[13] = UInt8(ascii: "8")
    let cases: [(String, ZipBuilder)] = [
      ("expected 8 deflated bytes, found others", deflated(size: 8)),
      ("expected 10 deflated bytes, found others", deflated(size: 10)),
      ("expected 9 deflated bytes, found others", deflated([7, 7, 7, 7])),
      ("expected 9 deflated bytes, found others", deflated(Array(deflatedDigits.dropLast()))),
      ("expected CRC-32 cbf43926", deflated(otherDigit)),
    ]
    for (expected, zip) in cases {
      let archive = try open(zip.build())
      let failure = #expect(throws: Failure.self) { try archive.bytes(of: archive.entries[0]) }
      #expect(failure?.description.hasPrefix(folder.file("a.zip") + ": a: damaged: \(expected)") == true)
    }
  }

  @Test func refusals() {
    let cases: [(String, ZipBuilder)] = [
      (
        "at most 1032 times its 4 deflated bytes, found a size of 9000",
        two {
          $0.entries[1].method = 8; $0.entries[1].size = 9000; $0.entries[1].compressedSize = 4
        }
      ),
      ("method 14", two { $0.entries[1].method = 14 }),
      ("encrypted", two { $0.entries[0].flags |= 1 }),
      ("one entry of that name", two { $0.entries[1].name = "ae/first" }),
      ("expected that name in its header", two { $0.entries[1].localName = "ae/third!" }),
      ("expected its header", two { $0.entries[1].offset = 7 }),
      ("expected its header", two { $0.entries[1].offset = 0xffff_fff0 }),
      ("before the directory", two { $0.entries[1].size = 5000 }),
      (
        "before the directory",
        two {
          $0.entries[1].localExtra = [1, 2]; $0.entries[1].size = 40
        }
      ),
      ("one size when stored", two { $0.entries[0].compressedSize = 4 }),
      ("zip64 field", two { $0.entries[0].size = 0xffff_ffff }),
      (
        "zip64 field: expected 8 bytes",
        two {
          $0.entries[0].offset = 0xffff_ffff; $0.entries[0].centralExtra = [1, 0, 4, 0, 1, 2, 3, 4]
        }
      ),
      (
        "directory of 3 entries",
        two {
          $0.count = 3; $0.entries.removeLast(2)
        }
      ),
      (
        "entry of the directory",
        two {
          $0.count = 3; $0.entries[0].centralExtra = [UInt8](repeating: 7, count: 60)
        }
      ),
      ("bytes more", two { $0.count = 1 }),
      ("two end records to agree", two { $0.directoryOffset = 1 }),
      (
        "directory of",
        two {
          $0.directoryOffset = 1; $0.hasZip64End = false
        }
      ),
    ]
    for (expected, zip) in cases {
      let found = refusal(zip)
      #expect(found?.contains(expected) == true, "expected \(expected), found \(found ?? "no refusal")")
    }
  }

  @Test func twoEntriesOverTheSameBytesAreRefused() {
    var zip = ZipBuilder([.init("one", Array("12345".utf8)), .init("one", [])])
    zip.entries[1].offset = 0
    zip.entries[1].size = 5
    #expect(refusal(zip)?.contains("expected one entry of that name") == true)
    // The outer entry's payload holds a whole local header and payload of the inner one.
    let inner = ZipBuilder([.init("inner", Array("12345".utf8))]).build()
    var nested = ZipBuilder([.init("outer", Array(inner.prefix(40))), .init("inner", [])])
    nested.entries[1].offset = 35
    nested.entries[1].size = 5
    #expect(refusal(nested)?.contains("outer and inner overlap") == true)
  }

  @Test func whatIsNoZipFile() {
    #expect(refusal([])?.contains("not a zip file") == true)
    #expect(refusal(Array("hello".utf8))?.contains("not a zip file") == true)
    #expect(refusal(Array(two().build().dropLast(1)))?.contains("truncated") == true)
  }

  @Test func everyTruncationIsRefused() {
    let bytes = two().build()
    for count in 0..<bytes.count { #expect(refusal(Array(bytes.prefix(count))) != nil, "\(count) bytes") }
  }

  /// No byte of the two directories may lead outside the file, whatever it is changed to.
  @Test func noChangedByteLeadsAstray() throws {
    let bytes = two { $0.entries[0].centralExtra = [1, 0, 8, 0] + little(UInt64(5)) }.build()
    for position in bytes.indices {
      for value in [0, 1, 0x7f, 0x80, 0xff] as [UInt8] where value != bytes[position] {
        var changed = bytes
        changed[position] = value
        guard let archive = try? open(changed) else { continue }
        for entry in archive.entries { _ = archive.uncheckedBytes(of: entry).reduce(0) { $0 &+ Int($1) } }
      }
    }
  }
}
