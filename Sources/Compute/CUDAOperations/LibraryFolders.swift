import Glibc

/// Where the libraries of CUDA are looked for.
struct LibraryFolders {
  /// The driver's own, which belongs to the machine and is in no toolkit.
  let driver: [String]
  /// cuBLAS and NVRTC.
  let toolkit: [String]

  /// That folder alone.
  init(only folder: String) { (driver, toolkit) = ([folder], [folder]) }

  /// Where the dynamic loader looks and where installers put them; cuBLAS and NVRTC in the folders that
  /// GRADIENT_FILTERS_CUDA names, and nowhere else, where it names some.
  init() {
    driver = ["", "/usr/lib/wsl/lib"]
    let named = Self.variable("GRADIENT_FILTERS_CUDA")?.split(separator: ":").map(String.init) ?? []
    toolkit = named.isEmpty ? Self.installed : named
  }

  /// As pip and conda have them in the environment that is active, as the loader knows them, of toolkits.
  private static var installed: [String] {
    let environments = ["VIRTUAL_ENV", "CONDA_PREFIX"].compactMap(variable)
    let toolkits = ["CUDA_HOME", "CUDA_PATH"].compactMap(variable) + ["/usr/local/cuda", "/opt/cuda"]
    return environments.flatMap { pip($0) + ["\($0)/lib"] } + [""]
      + toolkits.flatMap { ["\($0)/lib64", "\($0)/targets/\(architecture)-linux/lib"] }
  }

  /// `nvidia/cu13/lib` for CUDA 13, before it a folder a library.
  private static func pip(_ environment: String) -> [String] {
    var found = glob_t()
    defer { globfree(&found) }
    guard glob("\(environment)/lib/python3*/site-packages/nvidia/*/lib", 0, nil, &found) == 0 else { return [] }
    return (0..<Int(found.gl_pathc)).map { String(cString: found.gl_pathv[$0]!) }
  }

  #if arch(arm64)
    private static let architecture = "sbsa"
  #else
    private static let architecture = "x86_64"
  #endif

  private static func variable(_ name: String) -> String? {
    getenv(name).map { String(cString: $0) }.flatMap { $0.isEmpty ? nil : $0 }
  }
}
