import SystemIO
import TestSupport
import Testing

@Suite struct ShellQuotingTests {
  @Test(arguments: [
    "plain", "", "two words", "it's", "$HOME `date` \"x\"", "a\nb", "*", "~/x", "-n", "é", "a;b", "{layer}", "#x", "\\",
  ]) func aShellSeesOneWord(_ word: String) throws {
    let outcome = try Program.shell("printf '%s|' \(shellQuoted(word))")
    #expect(outcome.status == 0 && String(decoding: outcome.output, as: UTF8.self) == word + "|")
  }

  @Test func plainWordsStayAsTheyAre() {
    for word in ["owner/name", "--include", "a=b,c:d", "50%", "x@y+z"] { #expect(shellQuoted(word) == word) }
    #expect(shellQuoted("~/x") == "'~/x'" && shellQuoted("it's") == #"'it'\''s'"#)
  }
}
