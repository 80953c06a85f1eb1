import Foundation
import TestSupport
import Testing

/// What differs between families is in the description that a family's file makes, and nowhere else.
@Suite struct FamilyNamesTests {
  @Test func noFamilyIsNamedOutsideItsFile() throws {
    let names = ["llama", "mistral", "qwen", "gemma", "gpt2", "gpt-2", "neox", "pythia"]
    var lines = 0
    for folder in ["Sources/Model/Decoders", "Sources/Compute", "Sources/Study"] {
      let root = "\(packageRoot)/\(folder)"
      for path in try #require(FileManager.default.subpaths(atPath: root)) {
        guard path.hasSuffix(".swift") || path.hasSuffix(".c") || path.hasSuffix(".h"), !path.hasPrefix("Families/")
        else {
          continue
        }
        for line in try String(contentsOfFile: "\(root)/\(path)", encoding: .utf8).split(separator: "\n") {
          lines += 1
          // Comments say whose code an operation is held against.
          let code = line.components(separatedBy: "//")[0].lowercased()
          // The type of angles is called after the models that first had it.
          let named = names.filter(code.replacingOccurrences(of: "llama3", with: "").contains)
          #expect(named.isEmpty, "\(folder)/\(path): \(line)")
        }
      }
    }
    #expect(lines > 5000)
  }
}
