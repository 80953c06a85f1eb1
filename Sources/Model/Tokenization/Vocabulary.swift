import JSON
import SystemIO

/// The tokens of a BPE model and their ids, by their spelling: in the byte-level alphabet, or as text.
struct Vocabulary {
  private var spellings: ByteStringTable
  private var ids: [Int32] = []
  /// The tokens' numbers by their ids.
  private var numbers: [Int32: Int] = [:]
  private(set) var largestID: Int32 = -1

  /// - Parameter json: an object of ids by spelling.
  init(_ json: JSON) throws {
    guard let members = json.members else { throw Failure(.malformed, "vocabulary: expected an object of ids") }
    spellings = ByteStringTable(minimumCapacity: members.count)
    ids.reserveCapacity(members.count)
    numbers.reserveCapacity(members.count)
    for member in members {
      guard let id = member.value.int.flatMap({ Int32(exactly: $0) }), id >= 0 else {
        throw Failure(
          .malformed, "vocabulary: token \(quoted(member.key)): expected an id from 0 to \(Int32.max)")
      }
      // The JSON parser has refused duplicate keys.
      member.key.withUnsafeBytes { spellings.insert($0) }
      numbers[id] = ids.count
      ids.append(id)
      largestID = max(largestID, id)
    }
  }

  var count: Int { ids.count }

  func id(of spelling: UnsafeRawBufferPointer) -> Int32? { spellings.find(spelling).map { ids[$0] } }

  func id(of spelling: [UInt8]) -> Int32? { spellings.find(spelling).map { ids[$0] } }

  func hasAll(of spellings: [[UInt8]]) -> Bool { spellings.allSatisfy { id(of: $0) != nil } }

  /// The ids of the tokens whose spelling `test` is true of.
  func ids(where test: ([UInt8]) -> Bool) -> Set<Int32> {
    Set(ids.indices.filter { test(spellings[$0]) }.map { ids[$0] })
  }

  /// The token of that id; of several the one that came last.
  func spelling(of id: Int32) -> [UInt8]? { numbers[id].map { spellings[$0] } }
}

/// `text` in quotes, for a message.
func quoted(_ text: some Sequence<UInt8>) -> String {
  JSON.quote(String(decoding: Array(text), as: UTF8.self))
}
