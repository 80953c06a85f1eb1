import Glibc
import SystemIO

/// A library that is opened while the program runs.
struct DynamicLibrary {
  /// The name under which it was found.
  let name: String
  private let handle: UnsafeMutableRawPointer

  /// Opens one library after another, of each folder all names, until `take` can use one.
  ///
  /// - Parameters:
  ///   - folders: "" is wherever the dynamic loader looks.
  ///   - take: throws where the library does not fit, and the next one is tried.
  /// - Throws: `Failure` of kind unavailable: why the first did not fit, else why one that is there cannot be opened, else
  ///   what was looked for; or what `take` throws of another kind.
  static func first<Use>(
    _ names: [String], in folders: [String], take: (DynamicLibrary) throws(Failure) -> Use
  ) throws(Failure) -> Use {
    var (unfit, unopened, missing): (Failure?, String?, String?)
    for folder in folders {
      for name in names.map({ folder.isEmpty ? $0 : "\(folder)/\($0)" }) {
        guard let handle = dlopen(name, RTLD_NOW | RTLD_LOCAL) else {
          let reason = dlerror().map { String(cString: $0) } ?? "not found"
          // One that needs a library which is not there speaks of that library.
          if reason.hasPrefix("\(name):") && reason.contains("No such file") {
            missing = missing ?? reason
          } else {
            unopened = unopened ?? (reason.hasPrefix(name) ? reason : "\(name) needs \(reason)")
          }
          continue
        }
        do { return try take(DynamicLibrary(name: name, handle: handle)) } catch {
          guard error.kind == .unavailable else { throw error }
          unfit = unfit ?? error
        }
      }
    }
    throw unfit ?? Failure(.unavailable, "cannot open \(names[0]): \(unopened ?? missing ?? "no folder to search")")
  }

  /// The function of that name, as the type that the caller says it has.
  func function<Function>(_ name: String, as type: Function.Type = Function.self) throws(Failure) -> Function {
    guard let symbol = dlsym(handle, name) else {
      throw Failure(.unavailable, "\(self.name): the function \(name) is missing: is the library too old?")
    }
    return unsafeBitCast(symbol, to: type)
  }
}
