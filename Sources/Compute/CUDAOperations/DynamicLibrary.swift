import Glibc
import SystemIO

/// A library that is opened while the program runs, by whichever of its names is there.
struct DynamicLibrary {
  /// The name under which it was found.
  let name: String
  private let handle: UnsafeMutableRawPointer

  /// Opens the first of `names` that is in `folder`, or where there is none, where the dynamic loader looks and in the
  /// folders of CUDA's own installers.
  ///
  /// - Throws: `Failure` of kind unavailable that says what was looked for.
  init(_ names: [String], folder: String?) throws(Failure) {
    let folders = folder.map { [$0 + "/"] } ?? ["", "/usr/local/cuda/lib64/"]
    var reason: String?
    for name in folders.flatMap({ folder in names.map { folder + $0 } }) {
      if let handle = dlopen(name, RTLD_NOW | RTLD_LOCAL) {
        self.name = name
        self.handle = handle
        return
      }
      let message = dlerror().map { String(cString: $0) }
      // One that is there and cannot be opened says more than those that are not.
      if reason == nil || message?.contains("No such file") == false { reason = message }
    }
    throw Failure(.unavailable, "cannot open \(names[0]): \(reason ?? "not found")")
  }

  /// The function of that name, as the type that the caller says it has.
  func function<Function>(_ name: String, as type: Function.Type = Function.self) throws(Failure) -> Function {
    guard let symbol = dlsym(handle, name) else {
      throw Failure(.unavailable, "\(self.name): expected \(name) in it, found none: too old?")
    }
    return unsafeBitCast(symbol, to: type)
  }
}
