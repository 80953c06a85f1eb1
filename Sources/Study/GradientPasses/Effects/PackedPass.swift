import Decoders
import TensorOperations
import TensorStream

/// Samples of a group side by side in one pass from a place on, the same one several times where it is to be seen with
/// different activations: products of many rows are what makes passes fast.
final class PackedPass {
  private let place: Place
  private let width: Int
  private let streamWidth: Int
  private let activations = HostTensor()
  private let rests = HostTensor()
  private var tokens = PackedPass.nothing

  private static let nothing = TokenBatch(inputIDs: [], cuSeqlens: [0], sampleIndex: [])

  init(_ place: Place, _ description: DecoderDescription) {
    self.place = place
    width = description.width(of: place.site)
    streamWidth = description.width
  }

  var rows: Int { tokens.tokenCount }

  /// Puts a sample behind those that are there.
  ///
  /// - Returns: a copy of its activation, (N,W), to be changed before the next call.
  func append(_ sample: Int, of group: SampleGroup) -> UnsafeMutablePointer<Float> {
    let (before, count) = (rows, group.tokens.rows(of: sample).count)
    let start = group.start(at: place, sample..<sample + 1)
    activations.append(UnsafeBufferPointer(start: start.activation, count: count * width), after: before * width)
    if let rest = start.rest {
      rests.append(UnsafeBufferPointer(start: rest, count: count * streamWidth), after: before * streamWidth)
    }
    tokens.inputIDs += group.tokens.inputIDs[group.tokens.rows(of: sample)]
    tokens.cuSeqlens.append(Int32(tokens.tokenCount))
    tokens.sampleIndex.append(group.tokens.sampleIndex[sample])
    if let lengths = group.tokens.validLengths { tokens.validLengths = (tokens.validLengths ?? []) + [lengths[sample]] }
    if let starts = group.tokens.validStarts { tokens.validStarts = (tokens.validStarts ?? []) + [starts[sample]] }
    return activations.mutableValues.baseAddress! + before * width
  }

  /// Goes on from the place to each sample's summed loss in nats, and leaves no sample behind.
  func run(_ model: DecoderModel) -> [Double] {
    defer { tokens = Self.nothing }
    guard rows > 0 else { return [] }
    return model.losses(
      ModelInput(tokens, samples: 0..<tokens.sampleCount),
      from: DecoderModel.Start(
        place, activation: activations.values.baseAddress!,
        rest: place.site.isStream ? nil : rests.values.baseAddress!))
  }
}
