import SystemIO
import TensorFiles
import TensorStream

/// The finished averages of several files, each place, measure and unit once.
public struct AverageCollection {
  /// What decides where a file does not say it.
  public struct Defaults: Sendable {
    /// Overrides what a stream says.
    public var unit: GradientUnit?
    public var mode: AveragingMode?
    /// Of the next array whose name says none; those after it are the next layers.
    public var nextLayer = 0

    public init() {}
  }

  private struct Key: Hashable, Comparable {
    let place: Place
    let unit: GradientUnit
    let measure: Measure

    static func < (a: Key, b: Key) -> Bool {
      (a.place, a.unit.rawValue, Measure.all.firstIndex(of: a.measure)!)
        < (b.place, b.unit.rawValue, Measure.all.firstIndex(of: b.measure)!)
    }
  }

  private struct Values {
    let numbers: [Double]
    var areFloat32 = true
    /// The file that they are from.
    let origin: String
  }

  /// What the streams say of their origin, and which arrays were read.
  public private(set) var provenance: [String: String] = [:]
  private var defaults: Defaults
  /// The averages to keep of streams; all others are only checked for being there.
  private let isWanted: (Place, Measure) -> Bool
  /// What streams hold averages of, wanted or not.
  public private(set) var measuresFound: Set<Measure> = []
  private var averages: [Key: Values] = [:]
  private var standardErrors: [Key: Values] = [:]
  private var reliabilities: [Key: Reliability] = [:]
  private var firstShares: [Key: [Double]] = [:]

  public init(_ defaults: Defaults = Defaults(), where isWanted: @escaping (Place, Measure) -> Bool = { _, _ in true })
  {
    self.defaults = defaults
    self.isWanted = isWanted
  }

  /// Whether a file is read as an array, and not as a stream.
  public static func isArray(_ path: String) -> Bool { path.hasSuffix(".npy") }

  /// Reads an array where the name ends in `.npy`, and a stream of aggregates elsewhere; `-` is standard input.
  public mutating func read(_ path: String) throws {
    if Self.isArray(path) { return try readArray(path) }
    try readStream(path == "-" ? .standardInput() : InputFile(path: path))
  }

  // MARK: - Arrays

  private mutating func readArray(_ path: String) throws {
    let (numbers, areFloat32): ([Double], Bool) =
      switch try NumPyVector(path: path) {
      case .float32(let values): (values.map(Double.init), true)
      case .float64(let values): (values, false)
      }
    let name = ArrayFileName(parsing: path)
    let place = name?.place ?? Place(.mlpOut, defaults.nextLayer)
    if name == nil { defaults.nextLayer += 1 }
    let mode = name?.mode ?? defaults.mode ?? (numbers.contains { $0 < 0 } ? .mean : .meanAbsolute)
    let quantity = name.map(\.quantity) ?? .gradient
    let measure = quantity.map { Measure.average($0, mode) } ?? .firing
    let isError = name?.isStandardError ?? false
    provenance["array.\(place).\((isError ? measure.standardError : measure.average).rawValue)"] = path
    let key = Key(place: place, unit: defaults.unit ?? .feature, measure: measure)
    let values = Values(numbers: numbers, areFloat32: areFloat32, origin: path)
    guard isError else { return try add(values, key) }
    if let other = standardErrors.updateValue(values, forKey: key) { throw twice(key, other, values) }
  }

  // MARK: - Streams

  /// Reads the finished averages of every data record, such as the tensors `mean.PLACE` and `attribution_mean_abs.PLACE`,
  /// and what is beside them of their standard errors.
  ///
  /// - Parameter check: refuses a segment.
  public mutating func readStream(_ file: InputFile, check: (Segment) throws -> Void = { _ in }) throws {
    let reader = StreamReader(file)
    var hasAverages = false
    while let segment = try reader.nextSegment(.aggregates) {
      try check(segment)
      try checkModel(segment, of: file.name)
      provenance.merge(segment.provenance) { first, _ in first }
      let unit = defaults.unit ?? Self.unit(of: segment.provenance)
      while let record = try reader.nextRecord() {
        for tensor in record.header.tensors {
          guard let (measure, place) = Self.average(tensor.name) else { continue }
          hasAverages = true
          measuresFound.insert(measure)
          guard isWanted(place, measure) else { continue }
          try read(Key(place: place, unit: unit, measure: measure), record, of: file.name)
        }
      }
    }
    guard hasAverages else {
      throw Failure(
        .malformed,
        "\(file.name): no finished averages: expected tensors such as mean.PLACE or mean_abs.PLACE, found none; of sums "
          + "that --partial wrote, grad-aggregate makes them")
    }
  }

  private mutating func read(_ key: Key, _ record: Record, of file: String) throws {
    let (measure, place) = (key.measure, key.place)
    let values = try record.tensor(measure.average.name(place), shape: [nil], of: Float.self).map(Double.init)
    try add(Values(numbers: values, origin: file), key)
    let errors = measure.standardError.name(place)
    if record.has(errors) {
      let numbers = try record.tensor(errors, shape: [values.count], of: Float.self).map(Double.init)
      standardErrors[key] = Values(numbers: numbers, origin: file)
    }
    if record.has(measure.halves.name(place)), record.has(PlaceValue.units.name(place)) {
      reliabilities[key] = try Reliability(record, measure, at: place)
    }
    let shares = PlaceValue.firstShare.name(place)
    if measure.hasFirstShare, record.has(shares) {
      firstShares[key] = try record.tensor(shares, shape: [values.count], of: Float.self).map(Double.init)
    }
  }

  /// Refuses averages of another model than those that were read.
  private func checkModel(_ segment: Segment, of file: String) throws {
    for key in ["model.config.xxh64", "model.weights.xxh64"] {
      guard let expected = provenance[key], let found = segment.provenance[key], found != expected else { continue }
      throw Failure(
        .malformed,
        "\(file): averages of another model: \(key): expected \(expected) (\(provenance["model"] ?? "unnamed")) as "
          + "before, found \(found) (\(segment.provenance["model"] ?? "unnamed")): show one model at a time")
    }
  }

  /// "attribution_mean_abs.mlp_out.11"
  private static func average(_ name: String) -> (Measure, Place)? {
    for measure in Measure.all {
      if let place = measure.average.place(name) { return (measure, place) }
    }
    return nil
  }

  /// Gradients of features come with the decoder that multiplied them, in the begin record's `basis.PLACE`.
  private static func unit(of provenance: [String: String]) -> GradientUnit {
    if let unit = provenance["unit"].flatMap(GradientUnit.init(rawValue:)) { return unit }
    return provenance.keys.contains { PlaceValue.basis.place($0) != nil } ? .feature : .activation
  }

  // MARK: - What was read

  private mutating func add(_ values: Values, _ key: Key) throws {
    if let other = averages.updateValue(values, forKey: key) { throw twice(key, other, values) }
  }

  private func twice(_ key: Key, _ first: Values, _ second: Values) -> Failure {
    Failure(
      .malformed,
      "\(second.origin): \(key.place), \(key.measure.name) was in \(first.origin) already; grad-aggregate merges "
        + "partial aggregates of one place")
  }

  /// Those of `layers` and `sites` in the order in which a model computes them; those of a place in that of `Measure.all`.
  ///
  /// - Throws: `Failure` of kind usage for a layer or a site that is not there; of kind malformed for an array of standard
  ///   errors without the averages that it belongs to, and for averages of features and of activations together.
  public func sorted(layers: [Int]? = nil, sites: [Site]? = nil) throws -> [PlaceAverages] {
    let places = Set(averages.keys.map(\.place))
    let present = places.map(\.layer).max().map(String.init) ?? "none"
    if let missing = layers?.first(where: { layer in !places.contains { $0.layer == layer } }) {
      throw Failure(.usage, "--layers: layer \(missing) is not in the input, whose last layer is \(present)")
    }
    if let missing = sites?.first(where: { site in !places.contains { $0.site == site } }) {
      throw Failure(.usage, "--site: \(missing.rawValue) is not in the input, which has \(PlaceList(places))")
    }
    for (key, errors) in standardErrors.sorted(by: { $0.key < $1.key }) {
      let expected = averages[key]?.numbers.count
      guard expected != errors.numbers.count else { continue }
      throw Failure(
        .malformed,
        "\(errors.origin): standard errors of \(key.measure.name) at \(key.place): expected "
          + (expected.map { "\($0) of them, found \(errors.numbers.count)" } ?? "the averages as well, found none"))
    }
    let keys = averages.keys.filter {
      layers?.contains($0.place.layer) ?? true && sites?.contains($0.place.site) ?? true
    }.sorted()
    try checkUnit(of: keys)
    return keys.map { key in
      PlaceAverages(
        place: key.place, measure: key.measure, unit: key.unit, values: averages[key]!.numbers,
        standardErrors: standardErrors[key]?.numbers, reliability: reliabilities[key], firstShares: firstShares[key],
        areFloat32: averages[key]!.areFloat32)
    }
  }

  /// Two units have the same places and the same pictures' names.
  private func checkUnit(of keys: [Key]) throws {
    guard let first = keys.first, let other = keys.first(where: { $0.unit != first.unit }) else { return }
    let found = [first, other].map { "\($0.unit.rawValue)s of \(averages[$0]!.origin)" }
    throw Failure(
      .malformed,
      "expected features or activations, found \(found[0]) and \(found[1]): show one at a time; --unit says what "
        + "arrays hold")
  }
}

extension Reliability {
  /// What a record has of it.
  fileprivate init(_ record: Record, _ measure: Measure, at place: Place) throws {
    let name = measure.halves.name(place)
    let halves = try record.tensor(name, shape: [4], of: Double.self)
    let units = try record.unitCount(at: place)
    guard let overlap = Int(exactly: halves[2]), (0...Self.overlapOf).contains(overlap), abs(halves[0]) <= 1 else {
      throw record.failure(
        "tensor \(name): expected a correlation and an overlap of the top \(Self.overlapOf), found \(halves[0]) and "
          + "\(halves[2])")
    }
    self.init(correlation: halves[0], overlap: overlap, units: units)
  }
}
