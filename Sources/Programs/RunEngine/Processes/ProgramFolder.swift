import Glibc
import SystemIO

/// Where programs are found: in a folder, else on PATH.
public struct ProgramFolder: Sendable {
  private let folder: String

  public init(_ folder: String) { self.folder = folder }

  /// The folder of the program that runs, links followed.
  public static var own: ProgramFolder { ProgramFolder(SystemIO.folder(of: absolutePath("/proc/self/exe"))) }

  /// The path of the program called `name`; `name` itself where it has a slash.
  ///
  /// - Throws: `Failure` of kind unavailable that says what to do.
  public func path(of name: String) throws(Failure) -> String {
    if name.contains("/") { return name }
    let folders =
      [folder] + String(cString: getenv("PATH") ?? strdup("/usr/bin:/bin")).split(separator: ":").map(String.init)
    for folder in folders where access("\(folder)/\(name)", X_OK) == 0 && isFile("\(folder)/\(name)") {
      return "\(folder)/\(name)"
    }
    throw Failure(.unavailable, "\(name): neither in \(folder) nor on PATH: run make, or make install")
  }
}
