import Glibc
import SystemIO

/// Starts a program with nothing of this process but what is given: signals as they are by default, none of them
/// blocked, no descriptor but those listed.
///
/// - Parameters:
///   - arguments: the program's name first.
///   - environment: `NAME=VALUE`.
///   - descriptors: what the program has as 0, 1, 2 and so on.
///   - group: the process group that it belongs to from its birth; 0 makes it the leader of a new one.
/// - Throws: `Failure` of kind unavailable.
func spawn(
  _ path: String, _ arguments: [String], environment: [String], descriptors: [Descriptor], group: pid_t
) throws(Failure) -> pid_t {
  var actions = posix_spawn_file_actions_t()
  posix_spawn_file_actions_init(&actions)
  defer { posix_spawn_file_actions_destroy(&actions) }
  for (number, descriptor) in descriptors.enumerated() {
    posix_spawn_file_actions_adddup2(&actions, descriptor.number, Int32(number))
  }

  var attributes = posix_spawnattr_t()
  posix_spawnattr_init(&attributes)
  defer { posix_spawnattr_destroy(&attributes) }
  var (none, all) = (sigset_t(), sigset_t())
  sigemptyset(&none)
  sigfillset(&all)
  posix_spawnattr_setsigmask(&attributes, &none)
  posix_spawnattr_setsigdefault(&attributes, &all)
  posix_spawnattr_setpgroup(&attributes, group)
  posix_spawnattr_setflags(
    &attributes, Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK))

  var process = pid_t()
  let failed = withCStrings(arguments) { arguments in
    withCStrings(environment) { posix_spawn(&process, path, &actions, &attributes, arguments, $0) }
  }
  withExtendedLifetime(descriptors) {}
  guard failed == 0 else {
    throw Failure(.unavailable, "\(path): cannot run: \(String(cString: strerror(failed)))")
  }
  return process
}

/// Goes on as another program, found on PATH, with this process's environment and descriptors.
///
/// - Parameter arguments: the program's name first.
/// - Throws: `Failure` of kind unavailable.
func becomeProgram(_ arguments: [String]) throws(Failure) -> Never {
  // What is ignored stays so.
  signal(SIGPIPE, SIG_DFL)
  withCStrings(arguments) { _ = execvp(arguments[0], $0) }
  throw Failure(.unavailable, "\(arguments[0]): cannot run: \(lastSystemError())")
}

private func withCStrings<Result>(
  _ texts: [String], _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> Result
) -> Result {
  let pointers = texts.map { strdup($0) } + [nil]
  defer { for pointer in pointers { free(pointer) } }
  return body(pointers)
}

/// Of this process's environment what its children are to have: where things lie, whose they are, and the settings of
/// the hub's cache, of the GPU's libraries and of these programs.
func statedEnvironment() -> [String] {
  let names: Set<Substring> = ["PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "LANG", "TZ"]
  let families = ["LC_", "LD_", "XDG_", "HF_", "HUGGINGFACE_", "CUDA_", "NVIDIA_", "GRADIENT_FILTERS_"]
  var stated: [String] = []
  var entry = environ
  while let text = entry.pointee {
    let line = String(cString: text)
    let name = line.prefix { $0 != "=" }
    if names.contains(name) || families.contains(where: name.hasPrefix) { stated.append(line) }
    entry += 1
  }
  return stated
}
