import SparseAutoencoders
import SystemIO
import Testing

@Suite struct BasisReferenceTests {
  private func reference(
    path: String = "/a/ae.pt", hash: String = "0011223344556677", features: Int = 8, width: Int = 2,
    keepsNorms: Bool = false, isEmbedded: Bool = false
  ) throws -> BasisReference {
    try BasisReference(
      parsing: #"{"embedded":\#(isEmbedded),"features":\#(features),"format":"SAELens","#
        + #""keeps_decoder_norms":\#(keepsNorms),"path":"\#(path)","width":\#(width),"xxh64":"\#(hash)"}"#)
  }

  /// The hash, the shape and whether norms are kept tell decoders apart; where the file lies does not.
  @Test func copiesAreOneDecoder() throws {
    let first = try reference()
    for same in try [first, reference(path: "/b/ae.pt"), reference(path: "/b/ae.pt", isEmbedded: true)] {
      #expect(first.isSameDecoder(as: same))
    }
    for other in try [
      reference(hash: "1111223344556677"), reference(features: 9), reference(width: 3), reference(keepsNorms: true),
      reference(hash: ""),
    ] { #expect(!first.isSameDecoder(as: other)) }
    let unknown = try reference(hash: "")
    #expect(!unknown.isSameDecoder(as: unknown))
  }
}
