import Testing
import Tokenization

@Suite struct RecordedCasesTests {
  @Test(.enabled(if: environment("TOKENIZATION_CASES") != nil, "compare_with_hf.py records the cases and runs this"))
  func matchesRecordedCases() throws {
    let path = try #require(environment("TOKENIZATION_TOKENIZER"))
    let cases = try Case.read(try #require(environment("TOKENIZATION_CASES")))
    #expect(!cases.isEmpty)
    try expectAgreement(try Tokenizer(path: path), cases)
  }
}
