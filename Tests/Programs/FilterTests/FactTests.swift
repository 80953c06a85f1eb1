import Aggregation
import FilterSupport
import Foundation
import Glibc
import TensorStream
import TestSupport
import Testing

/// Lines of facts: what is written comes back, and what comes from elsewhere is a fact or nothing.
@Suite struct FactTests {
  @Test(
    arguments: [
      (.device("cpu, 2 threads"), #"{"event":"device","program":"act-grad","device":"cpu, 2 threads"}"#),
      (
        .progress(done: 12, total: 500, unit: "samples", tokens: 1400, seconds: 3.25),
        #"{"event":"progress","program":"act-grad","done":12,"total":500,"unit":"samples","tokens":1400,"seconds":3.25}"#
      ),
      (
        .progress(done: 0, total: nil, unit: "records", tokens: 0, seconds: 1e-7),
        #"{"event":"progress","program":"act-grad","done":0,"unit":"records","tokens":0,"seconds":1e-07}"#
      ),
      (
        .loss(natsPerToken: 3.1416, predictions: 7012),
        #"{"event":"loss","program":"act-grad","nats_per_token":3.1416,"predictions":7012}"#
      ),
      (
        .reconstruction(
          Place(.mlpOut, 3), meanL0: 64, varianceExplained: -0.5, loss: nil, replacedLoss: 4.5, predictions: 9),
        #"{"event":"reconstruction","program":"act-grad","place":"mlp_out.3","l0":64.0,"variance_explained":-0.5,"#
          + #""nats_per_token":null,"replaced_nats_per_token":4.5,"predictions":9}"#
      ),
      (
        .statistics(
          Place(.residPost, 11), .average(.gradient, .meanAbsolute), Statistics([1.0, 3, -.infinity, .nan, .nan]), nil),
        #"{"event":"statistics","program":"act-grad","place":"resid_post.11","quantity":"gradient","mode":"mean_abs","count":2,"mean":2.0,"#
          + #""std":1.0,"min":1.0,"max":3.0,"max_abs":3.0,"nan":2,"nan_at":[3, 4],"infinite":1,"infinite_at":[2]}"#
      ),
      (
        .statistics(
          Place(.mlpOut, 0), .average(.attribution, .mean), Statistics([1.0, -3]),
          Certainty(
            units: 12, largestIndex: 1, largest: -3, standardError: 0.5,
            reliability: Reliability(correlation: 0.5, overlap: 1, units: 12))),
        #"{"event":"statistics","program":"act-grad","place":"mlp_out.0","quantity":"attribution","mode":"mean","#
          + #""count":2,"mean":-1.0,"std":2.0,"min":-3.0,"max":1.0,"max_abs":3.0,"nan":0,"nan_at":[],"infinite":0,"#
          + #""infinite_at":[],"units":12,"max_abs_at":1,"max_abs_value":-3.0,"max_abs_se":0.5,"#
          + #""halves_correlation":0.5,"reliability":0.6666666666666666,"top_20_same":1,"#
          + #""units_for_reliability_0.9":54.0}"#
      ),
      (
        .statistics(
          Place(.mlpOut, 0), .firing, Statistics([1.0]),
          Certainty(units: 1, largestIndex: 0, largest: 1, standardError: nil, reliability: nil)),
        #"{"event":"statistics","program":"act-grad","place":"mlp_out.0","quantity":"firing","mode":"mean","count":1,"#
          + #""mean":1.0,"std":0.0,"min":1.0,"max":1.0,"max_abs":1.0,"nan":0,"nan_at":[],"infinite":0,"#
          + #""infinite_at":[],"units":1,"max_abs_at":0,"max_abs_value":1.0,"max_abs_se":null,"#
          + #""halves_correlation":null,"reliability":null,"top_20_same":null,"units_for_reliability_0.9":null}"#
      ),
      (.warning(#"a "b" \n"#), #"{"event":"warning","program":"act-grad","message":"a \"b\" \\n"}"#),
      (.note("64 samples"), #"{"event":"note","program":"act-grad","message":"64 samples"}"#),
      (.file("é/a\tb\n.npy"), #"{"event":"file","program":"act-grad","path":"é/a\tb\n.npy"}"#),
      (.error("x: no", exit: 66), #"{"event":"error","program":"act-grad","message":"x: no","exit":66}"#),
      (.end, #"{"event":"end","program":"act-grad"}"#),
    ] as [(Fact, String)])
  func comeBack(_ fact: Fact, _ line: String) throws {
    #expect(fact.line(program: "act-grad") == "\(line)\n")
    let read = try #require(Fact.read(Data("\(line)\n".utf8)))
    #expect(read.program == "act-grad" && read.fact == fact)
  }

  /// JSON has no NaN and no infinity.
  @Test func numbersThatAreNone() throws {
    let none = Fact.statistics(Place(.mlpOut, 0), .average(.gradient, .mean), Statistics([Double.nan]), nil).line(
      program: "p")
    #expect(none.contains(#""count":0,"mean":null,"std":null,"min":null,"max":null,"max_abs":null,"nan":1"#))
    guard case .statistics(_, _, let statistics, _) = Fact.read(none.utf8)?.fact else {
      Issue.record("not read: \(none)")
      return
    }
    #expect(statistics.count == 0 && statistics.mean.isNaN && statistics.notANumber.count == 1)
    #expect(Fact.loss(natsPerToken: .infinity, predictions: 1).line(program: "p").contains("null"))
  }

  /// Lines of programs that share a pipe do not mix.
  @Test func longWordsAreCut() throws {
    for letter in ["a", "é", "\u{1F600}", "\"", "\\"] {
      for shift in 0..<4 {
        let words = String(repeating: "x", count: shift) + String(repeating: letter, count: 5000)
        for fact in [Fact.note(words), .warning(words), .device(words), .error(words, exit: 255)] {
          let line = fact.line(program: String(repeating: "p", count: 64))
          #expect(line.utf8.count <= Int(PIPE_BUF))
          let again = try #require(Fact.read(line.utf8))
          #expect(again.fact.line(program: again.program) == line && line.contains("\(letter)…"))
        }
      }
    }
  }

  @Test(arguments: [
    "", "{}", "[]", "null", "\u{0}", "{", #"{"event":"end"}"#, #"{"program":"p"}"#, #"{"event":1,"program":"p"}"#,
    #"{"event":"end","program":"p"} "x""#, #"{"event":"something later","program":"p"}"#,
    #"{"event":"progress","program":"p","done":-1,"unit":"samples","tokens":0,"seconds":1}"#,
    #"{"event":"progress","program":"p","done":1e3,"unit":"samples","tokens":0,"seconds":1}"#,
    #"{"event":"progress","program":"p","done":99999999999999999999,"unit":"samples","tokens":0,"seconds":1}"#,
    #"{"event":"progress","program":"p","done":1,"total":"many","unit":"samples","tokens":0,"seconds":1}"#,
    #"{"event":"progress","program":"p","done":1,"total":-2,"unit":"samples","tokens":0,"seconds":1}"#,
    #"{"event":"progress","program":"p","done":1,"tokens":0,"seconds":1}"#,
    #"{"event":"loss","program":"p","nats_per_token":"1","predictions":1}"#,
    #"{"event":"error","program":"p","message":"m","exit":4294967296}"#, #"{"event":"error","program":"p","exit":65}"#,
    #"{"event":"device","program":"p","device":null}"#, #"{"event":"file","program":"p"}"#,
    #"{"event":"statistics","program":"p","place":"mlp_out.99999","mode":"mean","count":0,"mean":0,"std":0,"min":0,"#
      + #""max":0,"nan":0,"nan_at":[],"infinite":0,"infinite_at":[]}"#,
    #"{"event":"statistics","program":"p","place":"mlp_out.1","mode":"mean","count":0,"mean":0,"std":0,"min":0,"#
      + #""max":0,"nan":0,"nan_at":[1],"infinite":0,"infinite_at":[]}"#,
    #"{"event":"statistics","program":"p","place":"mlp_out.1","mode":"mean","count":0,"mean":0,"std":0,"min":0,"#
      + #""max":0,"nan":1,"nan_at":[-1],"infinite":0,"infinite_at":[]}"#,
    #"{"event":"statistics","program":"p","place":"mlp_out.1","mode":"mode","count":0,"mean":0,"std":0,"min":0,"#
      + #""max":0,"nan":0,"nan_at":[],"infinite":0,"infinite_at":[]}"#,
  ])
  func whatIsNone(_ line: String) {
    #expect(Fact.read(line.utf8) == nil)
  }

  /// Lines with a few wrong bytes are a fact that comes back again, or none.
  @Test func damagedLines() throws {
    var numbers = SeededNumbers(seed: 5)
    let facts: [Fact] = [
      .progress(done: 12, total: 500, unit: "samples", tokens: 1400, seconds: 3.25), .error("é: no", exit: 66),
      .statistics(Place(.mlpOut, 3), .average(.gradient, .mean), Statistics([1.0, .nan, .infinity]), nil),
    ]
    var read = 0
    for round in 0..<30_000 {
      var line = Array(facts[round % facts.count].line(program: "p").utf8)
      for _ in 0..<Int.random(in: 1...3, using: &numbers) {
        let byte = line.indices.randomElement(using: &numbers)!
        switch round % 4 {
        case 0: line.remove(at: byte)
        case 1: line.insert(line.randomElement(using: &numbers)!, at: byte)
        case 2: line[byte] = UInt8.random(in: 0...255, using: &numbers)
        default: line[byte] = Array("0123456789-{}[]\",:.e".utf8).randomElement(using: &numbers)!
        }
      }
      guard let (program, fact) = Fact.read(line) else { continue }
      read += 1
      let written = fact.line(program: program)
      let again = try #require(Fact.read(written.utf8), "\(written)")
      #expect(again.fact.line(program: again.program) == written)
    }
    #expect(read > 1000 && read < 29_000)
  }

  /// Members that a later version may add are passed over.
  @Test func moreMembers() {
    let line = #"{"later":{"a":[1]},"event":"end","program":"p"}"#
    #expect(Fact.read(line.utf8)?.fact == .end)
  }
}
