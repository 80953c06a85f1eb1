import Foundation
import JSON
import Report
import SystemIO
import TensorStream
import Testing

@Suite struct TextTests {
  @Test(arguments: [
    ("</script><b>&amp;", "&lt;/script&gt;&lt;b&gt;&amp;amp;"), ("\"' onload='", "&quot;&#39; onload=&#39;"),
    ("\u{0}\u{7}\u{1b}\n\t\u{7f}\u{85}", "␀␇␛↵⇥␡⟨U+0085⟩"),
    ("\u{202e}a\u{2066}b\u{200f}", "⟨U+202E⟩a⟨U+2066⟩b⟨U+200F⟩"),
    ("\u{2028}\u{feff}", "⟨U+2028⟩⟨U+FEFF⟩"), ("é שלום 👩‍🚀", "é שלום 👩‍🚀"), ("", ""),
  ]) func textOfOthersIsText(_ text: String, _ shown: String) {
    #expect(html(text) == shown)
  }

  /// What is in a script element ends with it and not before, and is the same JSON.
  @Test func jsonInAScript() throws {
    let text = "</script><!-- <script> ]]> \u{2028} \" \\ \u{0}"
    let written = inScript(JSON.quote(text))
    #expect(!written.contains("<"))
    #expect(try JSON(parsing: Array(written.utf8)).text == text)
  }

  @Test func numbersOfJSON() {
    #expect([0.1, 1, -2.5e-9, 1e20].map { jsonNumber($0) } == ["0.1", "1", "-2.5e-09", "1e+20"])
    #expect(
      jsonNumber(.nan) == "null" && jsonNumber(-.infinity) == "null"
        && jsonNumber(0.1 + 0.2, areFloat32: false) == "0.30000000000000004")
  }

  @Test(
    arguments: [
      (0.0719999, "0.0720"), (7.2e-5, "7.20e−5"), (-123.4, "−123"), (0, "0"), (1e5, "1.00e5"), (99999, "1.00e5"),
      (99499, "99499"),
      (.nan, "–"), (-.infinity, "−∞"),
    ] as [(Double, String)]) func numbersForPeople(_ value: Double, _ text: String)
  {
    #expect(number(value) == text)
  }

  @Test func addressesOfNeuronpedia() throws {
    #expect(
      try Neuronpedia("gemma-2-2b/gemmascope-res-16k").address(of: Place(.residPost, 5))
        == "https://www.neuronpedia.org/gemma-2-2b/5-gemmascope-res-16k/")
    #expect(
      try Neuronpedia("gpt2-small/{layer}-res-jb").address(of: Place(.residPre, 11))
        == "https://www.neuronpedia.org/gpt2-small/11-res-jb/")
    for wrong in [
      "", "gpt2-small", "a/b/c", "a/", "/b", "a/b\"c", "a/b c", "a/b?c", "https://x/y", "{layer}/b", "a/<b>",
    ] {
      #expect(throws: Failure.self) { try Neuronpedia(wrong) }
    }
  }
}
