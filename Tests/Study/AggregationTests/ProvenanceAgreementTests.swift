import Aggregation
import SystemIO
import TensorStream
import Testing

@Suite struct ProvenanceAgreementTests {
  private let run = [
    "model": "demo", "model.config.xxh64": "1", "places": "mlp_out.0-3", "stride": "4", "history.0": "a",
    "samples": "5",
  ]

  private func joined(
    _ changes: [String: String?], _ choices: AggregationChoices = pooled
  ) throws -> [String: String] {
    var agreement = ProvenanceAgreement()
    try agreement.add(run, choices)
    try agreement.add(
      run.merging(changes.compactMapValues { $0 }) { $1 }.filter { changes[$0.key] != .some(nil) }, choices)
    return agreement.joined!
  }

  @Test func whatMakesNumbersIncomparableIsRefusedByName() {
    let check = { (changes: [String: String?], message: String) -> Void in
      #expect(throws: Failure(.malformed, "the inputs do not belong together: \(message)")) { try joined(changes) }
    }
    check(["model.config.xxh64": "2"], "model.config.xxh64: expected 1 as before, found 2")
    check(["stride": "1"], "stride: expected 4 as before, found 1")
    check(["stride": nil], "stride: expected 4 as before, found none")
    check(["model.config.xxh64": nil], "model.config.xxh64: expected 1 as before, found none")
    check(["unit": "feature"], "unit: expected none as before, found feature")
    check(["some new key": "x"], "some new key: expected none as before, found x")
  }

  @Test func whatTellsShardsApartIsJoined() throws {
    let all = try joined(["places": "mlp_out.4-7", "history.0": "b", "samples": "5", "model": "other/path"])
    #expect(all["places"] == "mlp_out.0-3\nmlp_out.4-7")
    #expect(all["history.0"] == "a\nb")
    #expect(all["samples"] == "5")
    #expect(all["model"] == "demo\nother/path")
    #expect(all["stride"] == "4")
    let made = [
      "quantity": "gradient", "mode": "mean_abs", "loss_reduction": "sum", "weighting": "position",
      "standard_errors": "document",
    ]
    #expect(
      try joined(["history.0": nil, "basis.mlp_out.5": "x"])
        == run.merging(["basis.mlp_out.5": "x"]) { $1 }.merging(made) { $1 })
  }

  /// Which number a sample has depends on what counts as one.
  @Test func samplesOfOneTextAreNumberedAlike() throws {
    func segment(_ text: String, _ form: String?, _ characters: String = "50") -> [String: String] {
      let numbering = ["text.xxh64": text, "samples.form": form, "min_chars": characters].compactMapValues { $0 }
      return run.merging(numbering) { $1 }
    }
    func join(_ segments: [[String: String]], mixing: Bool) throws -> [String: String]? {
      var agreement = ProvenanceAgreement(mixesTexts: mixing)
      for segment in segments { try agreement.add(segment, pooled) }
      return agreement.joined
    }
    let (line, row) = (segment("a", "line"), segment("b", "json field text", "0"))
    for mixing in [false, true] {
      for other in [segment("a", "zero-terminated"), segment("a", "line", "20"), segment("a", nil)] {
        #expect(throws: Failure.self) { try join([line, other], mixing: mixing) }
      }
    }
    let together = try #require(try join([line, row], mixing: true))
    #expect(together["samples.form"] == "line\njson field text" && together["min_chars"] == "50\n0")
    for segments in [[together, line], [line, together], [together, row], [row, together], [together, together]] {
      #expect(try join(segments, mixing: true)?["text.xxh64"] == "a\nb")
    }
    #expect(throws: Failure.self) { try join([together, segment("a", "zero-terminated")], mixing: true) }
    #expect(throws: Failure.self) { try join([line, row], mixing: false) }
  }

  @Test func thousandsOfShards() throws {
    var agreement = ProvenanceAgreement()
    for shard in 0..<3000 {
      try agreement.add(run.merging(["history.0": "wt-tokenize --skip \(shard)"]) { $1 }, pooled)
    }
    let history = agreement.joined!["history.0"]!
    #expect(history.utf8.count < 17_000)
    #expect(history.hasPrefix("wt-tokenize --skip 0\nwt-tokenize --skip 1\n"))
    #expect(history.hasSuffix("\n…"))
  }

  /// What is joined already is joined with once more.
  @Test func linesAreJoinedOnce() throws {
    var agreement = ProvenanceAgreement()
    for places in ["mlp_out.0-3", "4-7\n8-9", "mlp_out.0-3\n4-7", "8-9\n10"] {
      try agreement.add(run.merging(["places": places]) { $1 }, pooled)
    }
    #expect(agreement.joined!["places"] == "mlp_out.0-3\n4-7\n8-9\n10")
  }

  /// Batches of another size may be averaged together where the average does not depend on them.
  @Test(arguments: LossReduction.allCases, Weighting.allCases)
  func batchSizes(_ reduction: LossReduction, _ weighting: Weighting) throws {
    let choices = AggregationChoices(
      modes: [.mean], lossReduction: reduction, weighting: weighting, paddedPredictions: 508)
    let refused = [.padded, .batch].contains(reduction) || weighting == .batch
    var agreement = ProvenanceAgreement()
    try agreement.add(run.merging(["batch_size": "4"]) { $1 }, choices)
    let add = { (agreement: inout ProvenanceAgreement) in
      _ = try agreement.add(run.merging(["batch_size": "8"]) { $1 }, choices)
    }
    if refused {
      #expect(throws: difference("batch_size: expected 4 as before, found 8")) { try add(&agreement) }
    } else {
      try add(&agreement)
      #expect(agreement.joined!["batch_size"] == "4\n8")
    }
    // A stride through a batch records other positions in batches of another size; samples are cut to max_length.
    for (key, value) in [("stride_scope", "batch"), ("max_length", "64")] {
      var agreement = ProvenanceAgreement()
      let common = key == "stride_scope" ? [key: value] : [key: "128"]
      try agreement.add(run.merging(common.merging(["batch_size": "4"]) { $1 }) { $1 }, choices)
      #expect {
        _ = try agreement.add(
          run.merging([key: value, "batch_size": key == "stride_scope" ? "8" : "4"]) { $1 }, choices)
      } throws: { "\($0)".contains(key == "stride_scope" ? "batch_size: expected 4" : "max_length: expected 128") }
    }
  }

  private func difference(_ message: String) -> Failure {
    Failure(.malformed, "the inputs do not belong together: \(message)")
  }

  // MARK: - Texts

  private func adding(_ texts: [(String?, String?)], mixesTexts: Bool = false) throws -> ProvenanceAgreement {
    var agreement = ProvenanceAgreement(mixesTexts: mixesTexts)
    for (whole, start) in texts {
      let hashes = ["text.xxh64": whole, "text.start.xxh64": start].compactMapValues { $0 }
      try agreement.add(run.merging(hashes) { $1 }, pooled)
    }
    return agreement
  }

  @Test func oneText() throws {
    for same in [
      [("1", "s"), ("1", "s")], [("1", "s"), (nil, "s")], [(nil, "s"), (nil, "s")], [(nil, nil), (nil, nil)],
    ]
      as [[(String?, String?)]]
    {
      for mixes in [false, true] {
        let agreement = try adding(same, mixesTexts: mixes)
        #expect(try adding(same.reversed(), mixesTexts: mixes).joined == agreement.joined)
        #expect(try TextIdentity.texts(of: agreement.joined!) == agreement.texts)
      }
    }
    #expect(try adding([("1", "s"), ("1", "s")]).joined!["text.xxh64"] == "1")
    #expect(try adding([(nil, nil)]).joined!.keys.contains { $0.hasPrefix("text.") } == false)
  }

  @Test func otherTextsAreRefusedUnlessAskedFor() throws {
    let remedy = "; --mix-texts averages over several texts"
    for (texts, message) in [
      ([("1", "s"), ("2", "s")], "text.xxh64: expected 1 as before, found 2\(remedy)"),
      ([("1", "s"), ("2", "t")], "text.xxh64: expected 1 as before, found 2\(remedy)"),
      ([("1", "s"), (nil, "t")], "text.start.xxh64: expected s as before, found t\(remedy)"),
      ([(nil, "s"), (nil, "t")], "text.start.xxh64: expected s as before, found t\(remedy)"),
      // The first and the last are one text for all that the one between them says, but are not.
      ([("1", "s"), (nil, "s"), ("2", "s")], "text.xxh64: expected 1 as before, found 2\(remedy)"),
      ([(nil, "s"), ("1", "s"), ("2", "s")], "text.xxh64: expected 1 as before, found 2\(remedy)"),
    ] as [([(String?, String?)], String)] {
      #expect(throws: difference(message)) { try adding(texts) }
      #expect(throws: Failure.self) { try adding(texts.reversed()) }
      let mixed = try adding(texts, mixesTexts: true)
      #expect(Set(mixed.texts) == Set(texts.map { TextIdentity(whole: $0.0, start: $0.1) }))
      #expect(try adding(texts.reversed(), mixesTexts: true).joined == mixed.joined)
      #expect(try TextIdentity.texts(of: mixed.joined!) == mixed.texts)
      // Mixed sums alone need no asking; with those of one of their texts they do.
      var again = ProvenanceAgreement()
      try again.add(mixed.joined!, pooled)
      #expect(throws: Failure.self) { try again.add(mixed.joined!, pooled) }
    }
  }

  @Test func aTextWithoutAnyHashMixesWithNone() throws {
    for mixes in [false, true] {
      #expect(throws: difference("text.start.xxh64: expected s as before, found none")) {
        try adding([("1", "s"), (nil, nil)], mixesTexts: mixes)
      }
      #expect(throws: difference("text.start.xxh64: expected none as before, found s")) {
        try adding([(nil, nil), ("1", "s")], mixesTexts: mixes)
      }
      #expect(throws: difference("text.xxh64: expected none as before, found 1")) {
        try adding([(nil, nil), ("1", nil)], mixesTexts: mixes)
      }
    }
  }

  @Test func malformedLists() {
    let check = { (whole: String, start: String, message: String) -> Void in
      #expect(throws: Failure(.malformed, "begin record: \(message)")) {
        _ = try TextIdentity.texts(of: ["text.xxh64": whole, "text.start.xxh64": start])
      }
    }
    check("1\n2", "s", "text.start.xxh64: expected 2 hashes as of text.xxh64, found 1")
    check("1\n1", "s\ns", "text.xxh64, text.start.xxh64: expected the hashes of different texts")
    check("1\n", "s\n", "text.xxh64, text.start.xxh64: expected the hashes of different texts")
  }
}

private let pooled = AggregationChoices(modes: [.meanAbsolute], lossReduction: .sum, weighting: .position)
