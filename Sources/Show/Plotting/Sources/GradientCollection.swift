import Aggregation
import SystemIO
import TensorFiles
import TensorStream

/// The averaged gradients of several files, each place, mode and unit once.
public struct GradientCollection {
  /// What decides where a file does not say it.
  public struct Defaults: Sendable {
    /// Overrides what a stream says.
    public var unit: GradientUnit?
    public var mode: AveragingMode?
    /// Of the next array whose name says none; those after it are the next layers.
    public var nextLayer = 0

    public init() {}
  }

  /// In the order in which they came.
  public private(set) var all: [PlaceGradients] = []
  /// What the streams say of their origin, and which arrays were read.
  public private(set) var provenance: [String: String] = [:]
  private var defaults: Defaults
  /// The file of each place, mode and unit.
  private var origins: [String: String] = [:]

  public init(_ defaults: Defaults = Defaults()) {
    self.defaults = defaults
  }

  /// Reads an array where the name ends in `.npy`, and a stream of aggregates elsewhere; `-` is standard input.
  public mutating func read(_ path: String) throws {
    if path.hasSuffix(".npy") { return try readArray(path) }
    try readStream(path == "-" ? .standardInput() : InputFile(path: path))
  }

  private mutating func readArray(_ path: String) throws {
    let (values, areFloat32): ([Double], Bool) =
      switch try NumPyVector(path: path) {
      case .float32(let values): (values.map(Double.init), true)
      case .float64(let values): (values, false)
      }
    let name = ArrayFileName(parsing: path)
    let place = name?.place ?? Place(.mlpOut, defaults.nextLayer)
    if name == nil { defaults.nextLayer += 1 }
    let mode = name?.mode ?? defaults.mode ?? (values.contains { $0 < 0 } ? .mean : .meanAbsolute)
    provenance["array.\(place).\(mode.names.flag)"] = path
    try add(
      PlaceGradients(
        place: place, mode: mode, unit: defaults.unit ?? .feature, values: values, areFloat32: areFloat32), from: path)
  }

  /// Reads the finished averages of every data record, the tensors `mean.PLACE` and `mean_abs.PLACE`.
  public mutating func readStream(_ file: InputFile) throws {
    let reader = StreamReader(file)
    let before = all.count
    while let segment = try reader.nextSegment(.aggregates) {
      try checkModel(segment, of: file.name)
      provenance.merge(segment.provenance) { first, _ in first }
      let unit = defaults.unit ?? Self.unit(of: segment.provenance)
      while let record = try reader.nextRecord() {
        for tensor in record.header.tensors {
          guard let (mode, place) = Self.average(tensor.name) else { continue }
          let values = try record.tensor(tensor.name, shape: [nil], of: Float.self)
          try add(
            PlaceGradients(
              place: place, mode: mode, unit: unit, values: values.map(Double.init), areFloat32: true),
            from: file.name)
        }
      }
    }
    guard all.count > before else {
      throw Failure(
        .malformed,
        "\(file.name): no finished averages: expected tensors mean.PLACE or mean_abs.PLACE, found none; of sums that --partial "
          + "wrote, grad-aggregate makes them")
    }
  }

  /// Refuses gradients of another model than those that were read: they would share pages.
  private func checkModel(_ segment: Segment, of file: String) throws {
    for key in ["model.config.xxh64", "model.weights.xxh64"] {
      guard let expected = provenance[key], let found = segment.provenance[key], found != expected else { continue }
      throw Failure(
        .malformed,
        "\(file): gradients of another model: \(key): expected \(expected) (\(provenance["model"] ?? "unnamed")) as "
          + "before, found \(found) (\(segment.provenance["model"] ?? "unnamed")): draw each model into a folder of its own"
      )
    }
  }

  private mutating func add(_ gradients: PlaceGradients, from file: String) throws {
    if let other = origins.updateValue(file, forKey: Self.key(gradients)) {
      throw Failure(
        .malformed,
        "\(file): \(gradients.place), \(gradients.mode.names.flag) was in \(other) already; grad-aggregate merges "
          + "partial aggregates of one place")
    }
    all.append(gradients)
  }

  private static func key(_ gradients: PlaceGradients) -> String {
    "\(gradients.place) \(gradients.mode.names.flag) \(gradients.unit.rawValue)"
  }

  /// Refuses `gradients` of features and activations in one call, whose histograms would have one name.
  public func checkUnit(of gradients: [PlaceGradients]) throws {
    guard let first = gradients.first, let other = gradients.first(where: { $0.unit != first.unit }) else { return }
    let found = [first, other].map { "\($0.unit.rawValue)s of \(origins[Self.key($0)] ?? "")" }
    throw Failure(
      .malformed,
      "expected features or activations, found \(found[0]) and \(found[1]): draw them one after the other, into a "
        + "folder each; --unit says what arrays hold")
  }

  /// "mean_abs.mlp_out.11"
  private static func average(_ name: String) -> (AveragingMode, Place)? {
    for mode in AveragingMode.allCases {
      if let place = mode.names.average.place(name) { return (mode, place) }
    }
    return nil
  }

  /// Gradients of features come with the decoder that multiplied them, in the begin record's `basis.PLACE`.
  private static func unit(of provenance: [String: String]) -> GradientUnit {
    if let unit = provenance["unit"].flatMap(GradientUnit.init(rawValue:)) { return unit }
    return provenance.keys.contains { PlaceValue.basis.place($0) != nil } ? .feature : .activation
  }

  /// Those of `layers` in the order in which a model computes them; of every place the signed ones first.
  public func sorted(layers: [Int]? = nil) throws -> [PlaceGradients] {
    let present = Set(all.map(\.place.layer)).sorted()
    if let missing = layers?.first(where: { !present.contains($0) }) {
      throw Failure(
        .usage,
        "--layers: layer \(missing) is not in the input, whose last layer is \(present.last.map(String.init) ?? "none")"
      )
    }
    return all.filter { layers?.contains($0.place.layer) ?? true }
      .sorted { ($0.place, $0.unit.rawValue, $0.mode) < ($1.place, $1.unit.rawValue, $1.mode) }
  }
}
