import RunEngine
import Testing

struct StageProgressTests {
  /// 24 layers of one weight, three of them done after 60 s, four under way.
  private static var layers: StageProgress {
    var stage = StageProgress(stage: "gradients", number: 2, of: 4, tasks: 24, weight: 24, now: 100)
    for layer in 0..<3 {
      stage.start(task: "layer \(layer)", weight: 1)
      stage.finish(task: "layer \(layer)")
    }
    for layer in 3..<7 { stage.start(task: "layer \(layer)", weight: 1) }
    for layer in 3..<6 {
      stage.progress(
        task: "layer \(layer)", done: 100 * (layer - 2), total: 400, unit: "samples", tokens: 3000, seconds: 10)
    }
    return stage
  }

  @Test(arguments: [
    (10, "[2/4] gra"), (20, "[2/4] gradients"), (30, "[2/4] gradients: 3 of 24 done"),
    (40, "[2/4] gradients: 3 of 24, 4 min left"), (42, "[2/4] gradients: 3 of 24 done, 4 min left"),
    (80, "[2/4] gradients: 3 of 24 done, 4 min left, 900 tokens/s"),
    (90, "[2/4] gradients: 3 of 24 done, 4 min left, 900 tokens/s; layer 3: 100 of 400 samples"),
    (
      200,
      "[2/4] gradients: 3 of 24 done, 4 min left, 900 tokens/s; layer 3: 100 of 400 samples; "
        + "layer 4: 200 of 400 samples; layer 5: 300 of 400 samples; layer 6"
    ),
  ])
  func whatMattersMostComesFirst(columns: Int, text: String) {
    #expect(Self.layers.text(columns: columns, now: 160) == text)
  }

  @Test func noTextIsAsWideAsTheTerminal() {
    for columns in 0...220 { #expect(Self.layers.text(columns: columns, now: 160).count < max(columns, 1)) }
  }

  @Test func aTaskThatIsAloneHasNoName() {
    var stage = StageProgress(stage: "tokens", number: 1, of: 1, tasks: 1, weight: 5, now: 0)
    #expect(stage.text(columns: 80, now: 0) == "tokens")
    stage.start(task: "", weight: 5)
    #expect(stage.text(columns: 80, now: 10) == "tokens")
    stage.progress(task: "", done: 12, total: nil, unit: "samples", tokens: 0, seconds: 3)
    #expect(stage.text(columns: 80, now: 10) == "tokens; 12 samples")
    stage.progress(task: "", done: 12, total: 48, unit: "samples", tokens: 21, seconds: 3)
    #expect(stage.text(columns: 80, now: 10) == "tokens, 30 s left, 7.0 tokens/s; 12 of 48 samples")
    // Of a task that is not there nothing is known.
    stage.progress(task: "layer 1", done: 48, total: 48, unit: "samples", tokens: 0, seconds: 3)
    stage.finish(task: "layer 1")
    #expect(stage.text(columns: 80, now: 10) == "tokens, 30 s left, 7.0 tokens/s; 12 of 48 samples")
    stage.finish(task: "")
    #expect(stage.text(columns: 80, now: 10) == "tokens")
  }

  @Test(arguments: [
    (1.0, 119.0, "119 s"), (1, 120, "2 min"), (1, 3599, "59 min"), (1, 3600, "1 h 0 min"), (1, 100_000, "27 h 46 min"),
    // Heavier tasks take longer.
    (3, 100, "34 s"),
  ])
  func theTimeLeftGoesByWeights(weight: Double, seconds: Double, words: String) {
    var stage = StageProgress(stage: "sums", number: 1, of: 1, tasks: 2, weight: weight + 1, now: 0)
    stage.start(task: "layer 0", weight: weight)
    stage.finish(task: "layer 0")
    #expect(stage.text(columns: 80, now: seconds) == "sums: 1 of 2 done, \(words) left")
    // Nothing can be said of the first moments.
    #expect(stage.text(columns: 80, now: 1) == "sums: 1 of 2 done")
  }

  @Test func numbersThatCannotBeDoNoHarm() {
    var stage = StageProgress(stage: "sums", number: 1, of: 1, tasks: 1, weight: 1, now: 0)
    stage.start(task: "", weight: 1)
    for (done, total) in [(5, 0), (.max, 1), (0, .max)] {
      stage.progress(task: "", done: done, total: total, unit: "samples", tokens: .max, seconds: 0)
      #expect(stage.text(columns: 200, now: 1e300).hasPrefix("sums"))
      stage.progress(task: "", done: done, total: total, unit: "samples", tokens: 1, seconds: .nan)
      #expect(stage.text(columns: 200, now: 1e300).hasPrefix("sums"))
    }
  }
}
