import SystemIO
import TensorStream
import TestSupport
import Testing

@Suite struct PlaceTests {
  @Test func everyPlaceIsReadAgain() {
    for site in Site.allCases {
      for layer in [0, 1, 9, 10, 11, 999, 9999] {
        let place = Place(site, layer)
        #expect(place.description == "\(site.rawValue).\(layer)")
        #expect(Place(place.description) == place)
      }
    }
    #expect(Set(Site.allCases.map(\.rawValue)).count == Site.allCases.count)
  }

  @Test(arguments: [
    "", ".", "mlp_out", "mlp_out.", ".3", "3", "mlp_out.x", "mlp_out.-1", "mlp_out.+1", "mlp_out.01", "mlp_out.00",
    "mlp_out.10000", "mlp_out.99999999999999999999", "mlp_out. 1", "mlp_out.1 ", " mlp_out.1", "mlp_out.1.2",
    "mlp_out..1",
    "MLP_OUT.1", "mlp-out.1", "mlp_in.1", "mlp_out.\u{0661}", "mlp_out.1\u{0}", "mlp_out.1\u{301}",
  ]) func nothingElseIsAPlace(_ text: String) {
    #expect(Place(text) == nil)
  }

  /// In the order of the computation: within a layer the sites, then the next layer.
  @Test func order() {
    let expected = (9...11).flatMap { layer in
      ["resid_pre", "attn_z", "attn_out", "resid_mid", "mlp_out", "resid_post"].map { "\($0).\(layer)" }
    }
    let places = expected.map { Place($0)! }
    #expect(places.reversed().sorted().map(\.description) == expected)
    for (a, b) in zip(places, places.dropFirst()) { #expect(a < b && !(b < a) && !(a < a)) }
  }

  @Test func whatIsTheStreamItself() {
    #expect(Site.allCases.filter(\.isStream).map(\.rawValue) == ["resid_pre", "resid_mid", "resid_post"])
  }
}

@Suite struct PlaceValueTests {
  @Test func namesAreReadAgain() {
    let place = Place(.residPost, 12)
    #expect(PlaceValue.gradient.name(place) == "grad.resid_post.12")
    #expect(PlaceValue.activation.name(Place(.mlpOut, 0)) == "act.mlp_out.0")
    let values: [PlaceValue] = [
      .activation, .rest, .gradient, .loss, .basis, .sae, .weight, .samples, .texts, .positions, .predictions,
    ]
    for value in values {
      #expect(value.place(value.name(place)) == place)
      for other in values where other != value { #expect(other.place(value.name(place)) == nil) }
    }
    // One kind's name may begin like another's.
    #expect(PlaceValue(rawValue: "sum").place("sum_abs.mlp_out.1") == nil)
    for name in ["grad", "grad.", "grad.12", "grad.resid_post", "xgrad.resid_post.1", "gradresid_post.1", "loss"] {
      #expect(PlaceValue.gradient.place(name) == nil && PlaceValue.loss.place(name) == nil)
    }
  }

  private func reading(
    _ provenance: [String: String], _ names: [String], _ body: (Segment, Record) throws -> Void
  ) throws {
    let stream = try streamBytes { writer in
      try writer.begin(.gradients, provenance: provenance)
      var record = OutputRecord()
      for name in names { record.add(name, [1.0]) }
      try writer.write(record, batch: 0)
      try writer.end()
    }
    let reader = StreamReader(try ReusedFile().opened(with: stream))
    let segment = try #require(try reader.nextSegment())
    try body(segment, try #require(try reader.nextRecord()))
  }

  @Test func placesOfTensorsAndEntries() throws {
    try reading(
      [
        "basis.resid_post.3": "x", "basis.mlp_out.11": "y", "sae.mlp_out.1": "z", "basis": "",
        "places": "mlp_out.2,mlp_out.1",
      ],
      ["grad.resid_post.3", "grad.mlp_out.11", "grad.mlp_out.3", "gradient", "position"]
    ) { (segment, record) throws in
      #expect(try record.places(of: .gradient).map(\.description) == ["mlp_out.3", "resid_post.3", "mlp_out.11"])
      #expect(try record.places(of: .loss).isEmpty)
      #expect(try segment.places(of: .basis).map(\.description) == ["resid_post.3", "mlp_out.11"])
      #expect(try segment.places().description == "mlp_out.1-2")
    }
  }

  @Test(arguments: ["3", "mlp_out", "mlp_out.x", "mlp_in.3", ""])
  func whatLooksLikeOneAndIsNoneIsNamed(_ end: String) throws {
    try reading(["basis.\(end)": "x"], ["grad.\(end)", "grad.mlp_out.1"]) { (segment, record) throws in
      #expect(
        throws: Failure(
          .malformed, "record 1: tensor grad.\(end): expected a place such as mlp_out.11 after grad.")
      ) { try record.places(of: .gradient) }
      #expect(
        throws: Failure(
          .malformed, "begin record: basis.\(end): expected a place such as mlp_out.11 after basis.")
      ) { try segment.places(of: .basis) }
    }
  }

  @Test(arguments: [nil, "0-3", "", "mlp_out.3-1"] as [String?])
  func aStreamWithoutAList(_ text: String?) throws {
    try reading(text.map { ["places": $0] } ?? [:], []) { (segment, _) throws in
      #expect(
        throws: Failure(
          .malformed, "begin record: places: expected a list such as mlp_out.0-23, found \(text ?? "none")")
      ) { try segment.places() }
    }
  }
}

@Suite struct PlaceListTests {
  @Test(arguments: [
    ("mlp_out.3", "mlp_out.3"), ("mlp_out.0-23", "mlp_out.0-23"), ("mlp_out.1,mlp_out.0", "mlp_out.0-1"),
    ("mlp_out.0-2,mlp_out.5,mlp_out.2-4", "mlp_out.0-5"), ("mlp_out.0,mlp_out.2", "mlp_out.0,mlp_out.2"),
    ("resid_post.5,mlp_out.0-23", "mlp_out.0-23,resid_post.5"), ("attn_z.7-7", "attn_z.7"),
    ("resid_post.9998-9999,resid_pre.0", "resid_pre.0,resid_post.9998-9999"),
  ]) func isWrittenInOneWay(text: String, written: String) throws {
    let list = try #require(PlaceList(text))
    #expect(list.description == written)
    #expect(PlaceList(written) == list)
    #expect(list.places == list.places.sorted() && Set(list.places).count == list.places.count)
  }

  /// Any set of places, and every way to come to it.
  @Test func randomListsAreReadAgain() throws {
    var numbers = SeededNumbers(seed: 3)
    for _ in 0..<200 {
      let places = Site.allCases.flatMap { site in
        (0..<12).filter { _ in Bool.random(using: &numbers) }.map { Place(site, $0) }
      }
      guard !places.isEmpty else { continue }
      let list = PlaceList(places.reversed() + places)
      #expect(list.places == places.sorted())
      #expect(PlaceList(list.description) == list)
      for site in Site.allCases {
        #expect(list.layers(at: site) == places.filter { $0.site == site }.map(\.layer))
      }
    }
  }

  @Test func everySiteInEveryLayer() {
    let list = PlaceList(sites: [.residPost, .mlpOut, .mlpOut], layers: [2, 0, 1])
    #expect(list.description == "mlp_out.0-2,resid_post.0-2")
    #expect(list.layers(at: .mlpOut) == [0, 1, 2] && list.layers(at: .attnZ).isEmpty)
  }

  @Test(arguments: [
    "", ",", "mlp_out.0,", ",mlp_out.0", "mlp_out.0,,mlp_out.1", "mlp_out", "mlp_out.", "0-3", "mlp_out.3-1",
    "mlp_out.-1",
    "mlp_out.1-", "mlp_out.1-2-3", "mlp_out.0-10000", "mlp_out.00-1", "mlp_out.0 - 1", "mlp_in.0", "mlp_out.0.1", "…",
    // Values of several segments that were joined.
    "mlp_out.0\nmlp_out.1",
  ]) func nothingElseIsAList(_ text: String) {
    #expect(PlaceList(text) == nil)
  }

  /// Of what a stranger wrote, memory and time are bounded.
  @Test func aListThatRepeatsItself() {
    let all = Site.allCases.map { "\($0.rawValue).0-9999" }
    #expect(PlaceList(all.joined(separator: ","))?.places.count == 60_000)
    #expect(PlaceList(Array(repeating: "mlp_out.0-9999", count: 70_000).joined(separator: ",")) == nil)
  }

  @Test func runs() {
    #expect(consecutiveRuns([]).isEmpty)
    #expect(consecutiveRuns([0, 1, 2, 5, 7, 8]) == [0...2, 5...5, 7...8])
  }
}
