import Decoders
import SystemIO
import TensorOperations
import TensorStream

/// What passes over a group go on from: what was captured or, where the model computes in Double, the same from the
/// tokens on. In Float, and rounded to it, what was captured decides too little.
struct GroupStarts {
  private let group: SampleGroup
  private let description: DecoderDescription
  /// By place the activation, (N,W), and what the stream is without it, (N,D); of none where what was captured is used.
  private var computed: [Place: (activation: AlignedBuffer, rest: AlignedBuffer?)] = [:]

  /// - Parameter places: those that passes go on from.
  init(_ group: SampleGroup, at places: [Place], _ model: DecoderModel) {
    (self.group, description) = (group, model.description)
    guard model.arithmetic == .float64 else { return }
    let N = group.tokens.tokenCount
    func memory(_ columns: Int) -> AlignedBuffer {
      AlignedBuffer(capacity: N * columns * MemoryLayout<Double>.stride)
    }
    for place in places {
      let (W, D) = (description.width(of: place.site), description.width)
      computed[place] = (memory(W), place.site.isStream ? nil : memory(D))
    }
    for input in group.passes {
      let first = group.rows(of: input.sampleRange).lowerBound
      // The embedding, all that could fail, was read when the model was loaded.
      try! model.capture(input, at: Set(places)) { place, activation, rest in
        let kept = computed[place]!
        for (buffer, tensor) in [(kept.activation, activation), (kept.rest, rest)] {
          guard let buffer, let tensor else { continue }
          (buffer.doubles + first * tensor.columns).update(from: tensor.doubles, count: tensor.count)
        }
      }
    }
  }

  /// - Parameters:
  ///   - samples: whose rows a pass is over.
  ///   - replacement: what stands in for the activation, of these samples' rows.
  func start(
    at place: Place, _ samples: Range<Int>, replacement: DecoderModel.Start.Replacement? = nil
  ) -> DecoderModel.Start {
    let first = group.rows(of: samples).lowerBound
    let kept = computed[place]
    let activation = kept.map { .doubles($0.activation.doubles) } ?? HostRows.floats(group.activation(place))
    let rest = kept.map { $0.rest.map { .doubles($0.doubles) } } ?? group.rest(place).map(HostRows.floats)
    return DecoderModel.Start(
      place, activation: activation + first * description.width(of: place.site),
      rest: rest.map { $0 + first * description.width }, replacement: replacement)
  }

  /// A row of the activation, [W], where it was computed in Double.
  func row(_ row: Int, at place: Place) -> UnsafeBufferPointer<Double>? {
    let W = description.width(of: place.site)
    return computed[place].map { UnsafeBufferPointer(start: $0.activation.doubles + row * W, count: W) }
  }
}

extension AlignedBuffer {
  fileprivate var doubles: UnsafeMutablePointer<Double> { address.assumingMemoryBound(to: Double.self) }
}
