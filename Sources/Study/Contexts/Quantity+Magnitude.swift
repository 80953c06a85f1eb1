import Aggregation

extension Quantity {
  /// What positions are ranked by.
  func magnitude(_ context: FeatureContext) -> Double {
    switch self {
    case .gradient: abs(context.gradient)
    case .attribution: abs(context.attribution ?? 0)
    case .activation: abs(Double(context.activation ?? 0))
    }
  }
}
