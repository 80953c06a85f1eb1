import CPCRE2

/// Sets of characters as items of a PCRE2 class, by Unicode 16.0 as Hugging Face tokenizers have it, whichever version
/// the library at hand knows.
enum CharacterSets {
  private typealias Category = Unicode.GeneralCategory

  /// `White_Space`. PCRE2's own takes U+180E for one.
  static let space = #"\t-\r\x20\x85\xa0\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}"#

  /// `\w` in a class: letters, marks, decimal and letter numbers, connectors, and the letters in circles and squares.
  static let word =
    items(of: ["L", "M", "Nd", "Nl", "Pc"])
    + #"\x{24b6}-\x{24e9}\x{1f130}-\x{1f149}\x{1f150}-\x{1f169}\x{1f170}-\x{1f189}"#

  /// `\w` alone, for which Oniguruma has a table of its own that has the other numbers of Latin-1, too.
  static let wordAlone = word + #"\xb2\xb3\xb9\xbc-\xbe"#

  /// The property of that name in any spelling; nil for one that is not implemented.
  static func items(ofProperty name: String) -> String? {
    let name = String(
      String.UnicodeScalarView(name.lowercased().unicodeScalars.filter { !" _-".unicodeScalars.contains($0) }))
    if ["whitespace", "space"].contains(name) { return space }
    if name == "word" { return word }
    if name == "any" { return #"\x{0}-\x{10ffff}"# }
    if let short = groups[name] { return items(of: [short]) }
    if let category = categories.first(where: { $0.short.lowercased() == name || $0.name == name }) {
      return items(of: [category.short])
    }
    return groups.values.first { $0.lowercased() == name }.map { items(of: [$0]) }
  }

  /// The items of general categories: `Lu`, or `L` for all that begin with it.
  static func items(of categories: [String]) -> String {
    categories.map { category in
      // Newer tables than Unicode 16.0 have too much in them, older ones too little. Unicode 15.0 made a spacing mark
      // of U+1171E.
      if libraryVersion > 16 || libraryVersion < 15 && ["Mn", "Mc"].contains(category) {
        return ranges(of: category, among: assigned.filter { $0.wasAssigned(by: 16) })
      }
      return "\\p{\(category)}" + ranges(of: category, among: newer)
    }.joined()
  }

  /// The major version of Unicode that the library knows. Between 15.0 and 15.1 came ideographs alone.
  private static let libraryVersion: Int = {
    var version = [UInt8](repeating: 0, count: 24)
    guard pcre2_config_8(UInt32(PCRE2_CONFIG_UNICODE_VERSION), &version) > 0 else { return 0 }
    return Int(String(decoding: version.prefix { $0 != UInt8(ascii: ".") && $0 != 0 }, as: UTF8.self)) ?? 0
  }()

  /// Nothing is assigned from the fourth plane to the fourteenth; those behind it are for private use.
  private static let assigned = [0..<UInt32(0x40000), 0xe0000..<0xe0200].joined().compactMap(Unicode.Scalar.init)

  /// What Unicode 16.0 has and the library does not.
  private static let newer =
    libraryVersion >= 16 ? [] : assigned.filter { !$0.wasAssigned(by: libraryVersion) && $0.wasAssigned(by: 16) }

  private static func ranges(of category: String, among scalars: [Unicode.Scalar]) -> String {
    let included = categories.filter { $0.short.hasPrefix(category) }.map(\.category)
    var ranges: [ClosedRange<UInt32>] = []
    for scalar in scalars where included.contains(scalar.properties.generalCategory) {
      if let last = ranges.last, last.upperBound + 1 == scalar.value {
        ranges[ranges.count - 1] = last.lowerBound...scalar.value
      } else {
        ranges.append(scalar.value...scalar.value)
      }
    }
    return ranges.map { "\\x{\(String($0.lowerBound, radix: 16))}-\\x{\(String($0.upperBound, radix: 16))}" }.joined()
  }

  private static let groups = [
    "letter": "L", "mark": "M", "combiningmark": "M", "number": "N", "punctuation": "P", "symbol": "S",
    "separator": "Z",
  ]

  private static let categories: [(short: String, name: String, category: Category)] = [
    ("Lu", "uppercaseletter", .uppercaseLetter), ("Ll", "lowercaseletter", .lowercaseLetter),
    ("Lt", "titlecaseletter", .titlecaseLetter), ("Lm", "modifierletter", .modifierLetter),
    ("Lo", "otherletter", .otherLetter), ("Mn", "nonspacingmark", .nonspacingMark),
    ("Mc", "spacingmark", .spacingMark), ("Me", "enclosingmark", .enclosingMark),
    ("Nd", "decimalnumber", .decimalNumber), ("Nl", "letternumber", .letterNumber),
    ("No", "othernumber", .otherNumber), ("Pc", "connectorpunctuation", .connectorPunctuation),
    ("Pd", "dashpunctuation", .dashPunctuation), ("Ps", "openpunctuation", .openPunctuation),
    ("Pe", "closepunctuation", .closePunctuation), ("Pi", "initialpunctuation", .initialPunctuation),
    ("Pf", "finalpunctuation", .finalPunctuation), ("Po", "otherpunctuation", .otherPunctuation),
    ("Sm", "mathsymbol", .mathSymbol), ("Sc", "currencysymbol", .currencySymbol),
    ("Sk", "modifiersymbol", .modifierSymbol), ("So", "othersymbol", .otherSymbol),
    ("Zs", "spaceseparator", .spaceSeparator), ("Zl", "lineseparator", .lineSeparator),
    ("Zp", "paragraphseparator", .paragraphSeparator), ("Cc", "control", .control), ("Cf", "format", .format),
    ("Co", "privateuse", .privateUse),
  ]
}
