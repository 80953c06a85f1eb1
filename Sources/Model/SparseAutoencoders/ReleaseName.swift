/// What the names of published releases say, where their files do not.
enum ReleaseName {
  /// The nearest part of a path that holds, without what the hub's cache puts before a repository's name.
  static func repository(inPath path: String, _ holds: (String) -> Bool) -> String? {
    path.split(separator: "/").suffix(9).reversed().lazy.map { withoutOwner(String($0)) }.first(where: holds)
  }

  /// `gemma-scope-2b-pt-att` of `models--google--gemma-scope-2b-pt-att`.
  static func withoutOwner(_ name: String) -> String {
    name.ranges(of: "--").last.map { String(name[$0.upperBound...]) } ?? name
  }

  /// The model and the site's short name of `gemma-scope-2b-pt-att`, `gemma-scope-9b-it-res`; nil where a name is no
  /// repository of the first Gemma Scope.
  static func gemmaScope(_ name: String) -> (model: String, site: String)? {
    let parts = withoutOwner(name).split(separator: "-")
    guard parts.count == 5, parts[0] == "gemma", parts[1] == "scope", parts[2].hasSuffix("b") else { return nil }
    return ("gemma-2-\(parts[2])\(parts[3] == "it" ? "-it" : "")", String(parts[4]))
  }

  static func gemmaScope(inPath path: String) -> (model: String, site: String)? {
    repository(inPath: path) { gemmaScope($0) != nil }.flatMap { gemmaScope($0) }
  }

  /// The hub's name for a model that Gemma Scope 2 calls `gemma-v3-270m-pt`.
  static func gemma3(_ name: String) -> String {
    let name = name.replacing("-v3", with: "-3")
    return name.contains("270m") ? name.replacing("-pt", with: "") : name
  }

  /// 19 of `Llama-3.1-8B-Instruct-SAE-l19.pth`.
  static func saeLayer(_ name: String) -> Int? {
    guard let mark = name.ranges(of: "-SAE-l").last else { return nil }
    return Int(name[mark.upperBound...].prefix { $0.isASCII && $0.isNumber })
  }

  /// The model in the names of Goodfire's, qresearch's and Qwen-Scope's autoencoders:
  /// `Llama-3.1-8B-Instruct-SAE-l19.pth`, `SAE-Res-Qwen3-1.7B-Base-W32K-L0_50`.
  static func model(inPath path: String) -> String? {
    for part in path.split(separator: "/").suffix(9).reversed() {
      let name = withoutOwner(String(part))
      if saeLayer(name) != nil, let mark = name.ranges(of: "-SAE-l").last { return String(name[..<mark.lowerBound]) }
      if name.hasPrefix("SAE-Res-"), let mark = name.ranges(of: "-W").last {
        return String(name[..<mark.lowerBound].dropFirst("SAE-Res-".count))
      }
    }
    return nil
  }

  /// 71 of `layer_20/width_16k/average_l0_71/params.npz`.
  static func averageL0(inPath path: String) -> Int? { number(behind: "average_l0_", inPath: path) }

  /// 50 of `…/SAE-Res-Qwen3-1.7B-W64K-L0_50/layer0.sae.pt`.
  static func topK(inPath path: String) -> Int? { number(behind: "L0_", inPath: path) }

  private static func number(behind mark: String, inPath path: String) -> Int? {
    guard let mark = path.ranges(of: mark).last else { return nil }
    return Int(path[mark.upperBound...].prefix { $0.isASCII && $0.isNumber })
  }
}
