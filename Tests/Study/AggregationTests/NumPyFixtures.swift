import JSON
import SystemIO
import TestSupport

/// What numpy says of the arrays in `Fixtures`; `make_fixtures.py` wrote both.
struct NumPyFixtures {
  struct Expected {
    let json: JSON

    subscript(_ key: String) -> JSON { json[key]! }
    func numbers(_ key: String) -> [Double] { self[key].elements!.map { $0.number ?? .nan } }
    func integers(_ key: String) -> [Int] { self[key].elements!.map { $0.int! } }

    /// In the array's own order, NaN where numpy had no finite value.
    var values: [Double] { numbers("values") }
  }

  static let folder = packageRoot + "/Tests/Study/AggregationTests/Fixtures"
  static let names = [
    "mean_abs_f4", "signed_f4", "signed_f8", "big_endian_f4", "big_endian_f8", "on_edges_f4", "constant_f4",
    "zeros_f8", "one_f4", "with_bad_values_f4",
  ]

  static func expected(_ name: String) throws -> Expected {
    let bytes = try InputFile(path: "\(folder)/expected.json").readAll(limit: 10_000_000)
    let json = try bytes.withUnsafeBytes { try JSON(parsing: $0) }
    return Expected(json: json[name]!)
  }
}
