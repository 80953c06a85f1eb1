import FilterSupport
import SystemIO
import TestSupport
import Testing

@Suite struct LayerListTests {
  @Test(arguments: [
    ("0-3", "0-3"), ("0,2", "0,2"), ("0-1,3", "0-1,3"), ("0-1, 3", "0-1,3"), (" 0-1", "0-1"), ("0 - 1 ,\t3 ", "0-1,3"),
    ("00", "0"), ("0,0,0", "0"), ("1,0", "0-1"), ("5,1-3,2", "1-3,5"), ("9999", "9999"),
  ]) func isRead(text: String, list: String) throws {
    #expect(try LayerList(text).description == list)
    #expect(try LayerList.asked(text)?.description == list)
  }

  @Test func allIsAsWhereNoneAreNamed() throws {
    #expect(try LayerList.asked("all") == nil && LayerList.asked(" all ") == nil)
    // A stream names the layers that it has.
    #expect(throws: Failure.self) { try LayerList("all") }
  }

  @Test(arguments: [
    ("3-1", ": the first layer of 3-1 is larger than the last"),
    ("0,3 - 1", ": the first layer of 3-1 is larger than the last"),
    ("-1", ": layers are counted from 0, so -1 is not a layer"), ("0-", ": the last layer of 0- is missing"),
    ("", ""), ("  ", ""), ("0,2,", ": a layer is missing beside a comma"),
    (",0", ": a layer is missing beside a comma"),
    ("0,,1", ": a layer is missing beside a comma"), ("0..3", ": '0..3' is neither a layer nor a range of layers"),
    ("0:3", ": '0:3' is neither a layer nor a range of layers"),
    ("[0,1]", ": '[0' is neither a layer nor a range of layers"),
    ("0-1-2", ": '0-1-2' is neither a layer nor a range of layers"),
    ("-", ": '-' is neither a layer nor a range of layers"),
    ("1 2", ": '1 2' is neither a layer nor a range of layers"),
    ("99999", ": layers go up to 9999"), ("0-10000", ": layers go up to 9999"),
    ("0–3", ": '0–3' is neither a layer nor a range of layers"),
    ("all,1", ": 'all' is neither a layer nor a range of layers"),
  ]) func isRefusedWithTheReason(text: String, reason: String) {
    let failure = Failure(.usage, "expected layers such as 0-23, 0,5,10 or all, found '\(text)'\(reason)")
    #expect(throws: failure) { try LayerList.asked(text) }
  }

  @Test func thePrograms() throws {
    let run = { (layers: [String]) in
      try Program("qwen-capture").run(DemoRun.modelFlag + layers, input: DemoRun.tokens.get())
    }
    let spaced = try run(["--layers", "0-1, 3"])
    #expect(spaced.status == 0)
    #expect(try Program("stream-info").run([], input: spaced.output).text.contains("places  mlp_out.0-1,mlp_out.3\n"))
    let all = try run(["--layers", "all"])
    #expect(try Program("stream-info").run([], input: all.output).text.contains("places  mlp_out.0-3\n"))
    for flag in [["--layers", "-1"], ["--layers=-1"]] {
      #expect(
        try run(flag).failed(
          64,
          saying: "qwen-capture: --layers: expected layers such as 0-23, 0,5,10 or all, found '-1': layers are counted "
            + "from 0, so -1 is not a layer"))
    }
    #expect(try run(["--layers", ""]).failed(64, saying: "--layers: expected"))
  }
}
