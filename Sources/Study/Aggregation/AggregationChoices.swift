import SystemIO

/// c: what a gradient of the summed loss is multiplied with.
public enum LossReduction: String, CaseIterable, Sendable {
  /// 1: the gradient of the summed loss, in nats.
  case sum
  /// 1 / (batch size × (max_length − 1)), one number for the whole run: the scale of
  /// `model(input_ids, labels=input_ids).loss` where every sample is padded to max_length.
  case padded
  /// 1 / the predictions of the sample.
  case sample
  /// 1 / the predictions of the batch, which is `model(input_ids, labels=input_ids).loss` itself.
  case batch
}

/// What is averaged first.
public enum Weighting: String, CaseIterable, Sendable {
  /// One pool of positions.
  case position
  /// The mean over a sample's positions, then over samples.
  case sample
  /// The mean over a batch's positions, then over batches.
  case batch
}

/// What is averaged and how: Σ w·c·g / Σ w, or with |c·g|, of gradients and attributions, and with c = 1 of activations.
public struct AggregationChoices: Equatable, Sendable {
  public var quantities: Set<Quantity>
  public var modes: Set<AveragingMode>
  public var lossReduction: LossReduction
  public var weighting: Weighting
  /// The predictions of a batch whose samples are all padded: what `padded` divides by, and nothing else uses.
  public var paddedPredictions: Int?
  /// What standard errors take as independent.
  public var unit: IndependentUnit
  /// Positions before it are left out.
  public var firstPosition: Int

  public init(
    quantities: Set<Quantity> = [.gradient], modes: Set<AveragingMode>, lossReduction: LossReduction,
    weighting: Weighting, paddedPredictions: Int? = nil, unit: IndependentUnit = .document, firstPosition: Int = 0
  ) {
    precondition(!modes.isEmpty && !quantities.isEmpty && firstPosition >= 0)
    self.quantities = quantities
    self.unit = unit
    self.firstPosition = firstPosition
    precondition(lossReduction != .padded || paddedPredictions ?? 0 > 0)
    self.modes = modes
    self.lossReduction = lossReduction
    self.weighting = weighting
    self.paddedPredictions = paddedPredictions
  }

  /// `mean_abs`, `mean` or `both`, as `--mode` spells it.
  public var modeName: String { modes.count > 1 ? "both" : modes.first!.names.flag }

  /// Reads what `modeName` writes.
  public static func modes(named name: String) -> Set<AveragingMode>? {
    name == "both" ? Set(AveragingMode.allCases) : AveragingMode(\.flag, name).map { [$0] }
  }

  /// What is averaged at a place, in the order of `Measure.all`.
  ///
  /// - Parameter ofFeatures: whether the place's activations are those of features, of which few are active.
  func measures(ofFeatures: Bool) -> [Measure] {
    Measure.all.filter { measure in
      guard let quantity = measure.quantity else { return ofFeatures && quantities != [.gradient] }
      return quantities.contains(quantity) && modes.contains(measure.mode)
    }
  }

  /// `gradient,attribution`, as `--quantity` spells it.
  public var quantityNames: String {
    Quantity.allCases.filter(quantities.contains).map(\.rawValue).joined(separator: ",")
  }

  /// Reads what `quantityNames` writes.
  public static func quantities(named names: String) -> Set<Quantity>? {
    let quantities = names.split(separator: ",", omittingEmptySubsequences: false).map {
      Quantity(rawValue: String($0))
    }
    return quantities.contains(nil) ? nil : Set(quantities.compactMap { $0 })
  }

  /// What a stream made by these choices says of them.
  public var provenance: [String: String] {
    var own = ["mode": modeName, "loss_reduction": lossReduction.rawValue, "weighting": weighting.rawValue]
    own["quantity"] = quantityNames
    own["standard_errors"] = unit.rawValue
    if firstPosition > 0 { own["from_position"] = String(firstPosition) }
    return own
  }

  /// Whether other batches of the same samples would give other averages.
  var dependOnBatchSize: Bool {
    switch (lossReduction, weighting) {
    case (.padded, _), (.batch, _), (_, .batch): true
    case (.sum, _), (.sample, _): false
    }
  }

  /// batch_size × (max_length − 1), by what a stream's begin record says of its batches.
  ///
  /// - Throws: `Failure` of kind malformed, which names the flag and the number that is missing or too small.
  public static func paddedPredictions(of provenance: [String: String]) throws -> Int {
    func number(_ key: String, atLeast least: Int) throws -> Int {
      guard let found = provenance[key].flatMap({ Int($0) }), found >= least else {
        throw Failure(
          .malformed,
          "--loss-reduction padded: expected \(key) in the begin record, a number of at least \(least), found "
            + (provenance[key] ?? "none"))
      }
      return found
    }
    let (product, overflow) = try number("batch_size", atLeast: 1).multipliedReportingOverflow(
      by: number("max_length", atLeast: 2) - 1)
    guard !overflow else {
      throw Failure(.malformed, "--loss-reduction padded: batch_size and max_length: their product is too large")
    }
    return product
  }
}
