import Foundation
import SystemIO
import Testing

@Suite struct Base64Tests {
  /// Foundation's is the second opinion.
  @Test func everyLength() {
    for count in 0..<200 {
      let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 * 151 + count) }
      #expect(base64(bytes) == Data(bytes).base64EncodedString())
    }
  }
}
