import Foundation
import JSON
import Report
import SystemIO
import TensorStream
import TestSupport
import Testing

@Suite struct ContextTests {
  private static let line = """
    {"place": "mlp_out.3", "feature": 17, "rank": 1, "by": "attribution", "sample": 12, "position": 40, "token": " Paris", \
    "before": [" city", " of"], "after": [" ,"], "activation": 3.1, "gradient": -0.02, "attribution": -0.062, \
    "activations_before": [0.5, null], "activations_after": [0]}
    """

  private func context(_ line: String) throws -> Context { try Context(JSON(parsing: Array(line.utf8))) }

  @Test func aLine() throws {
    let context = try context(Self.line)
    #expect(context.place == Place(.mlpOut, 3) && context.feature == 17 && context.rank == 1)
    #expect(context.sample == 12 && context.position == 40 && context.token == " Paris" && context.quantile == nil)
    #expect(context.before == [" city", " of"] && context.after == [" ,"])
    #expect(context.activation == 3.1 && context.gradient == -0.02 && context.attribution == -0.062)
    #expect(context.activationsBefore == [0.5, nil] && context.activationsAfter == [0])
  }

  /// Streams without a tokenizer have ids, those without tokens nothing; the rest may be missing.
  @Test func whatMayBeMissing() throws {
    let context = try context(
      """
      {"place":"attn_out.0","feature":0,"quantile":2,"rank":1,"by":"gradient","sample":0,"position":0,"token":7,\
      "before":[null,5],"activation":null,"later":{"x":[]}}
      """)
    #expect(context.token == " #7" && context.before == [" …", " #5"] && context.after.isEmpty)
    #expect(context.activation == nil && context.activationsBefore.isEmpty && context.quantile == 2)
  }

  @Test(arguments: [
    ("\"mlp_out.3\"", "\"mlp_out\"", "place: expected a place such as mlp_out.3, found \"mlp_out\""),
    ("\"feature\": 17", "\"feature\": -1", "feature: expected a number of at least 0, found -1"),
    ("\"sample\": 12", "\"sample\": 1.5", "sample: expected a number of at least 0, found 1.5"),
    ("\" Paris\"", "{}", "token: expected a text or an id, found an object"),
    ("[\" ,\"]", "[[]]", "after: expected an array of texts or ids, found an array of 1"),
    ("3.1", "\"3.1\"", "activation: expected a number, found \"3.1\""),
    ("[0.5, null]", "[0.5]", "activations_before: expected 2 numbers as before has tokens, found an array of 1"),
    ("\"rank\": 1", "\"rang\": 1", "rank: expected a number of at least 0, found nothing"),
  ]) func refusals(_ part: String, _ other: String, _ words: String) {
    #expect { try context(Self.line.replacing(part, with: other)) } throws: { error in
      (error as? Failure).map { $0.kind == .malformed && $0.description.hasSuffix(words) } ?? false
    }
  }

  @Test func filesOfLines() throws {
    let folder = try TemporaryFolder()
    var lines = ContextLines()
    let text = "\(Self.line)\r\n\n\(Self.line.replacing("17", with: "4"))\n\(Self.line)"
    try text.write(to: folder.url("a"), atomically: false, encoding: .utf8)
    try lines.read(InputFile(path: folder.file("a")))
    #expect(lines.contexts[Place(.mlpOut, 3)]?.mapValues(\.count) == [17: 2, 4: 1])
    try lines.check(against: [Place(.mlpOut, 3): 18])
    #expect { try lines.check(against: [Place(.mlpOut, 3): 17]) } throws: {
      "\($0)".contains("mlp_out.3: expected features from 0 to 16 as of the averages, found 17")
    }
    #expect { try lines.check(against: [Place(.mlpOut, 4): 18]) } throws: {
      "\($0)".contains("contexts of mlp_out.3: expected contexts of places that have averages, mlp_out.4")
    }
    try "\(Self.line)\n{\"place\":".write(to: folder.url("b"), atomically: false, encoding: .utf8)
    #expect { try lines.read(InputFile(path: folder.file("b"))) } throws: { "\($0)".contains("b: line 2: not JSON") }
  }
}
