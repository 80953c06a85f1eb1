import Glibc
import SystemIO

extension WorkFolder {
  private var plans: String { file("plans") }

  /// By the steps' names.
  func states(of plan: Plan) -> [String: StreamState] {
    Dictionary(plan.steps.map { ($0.name, state(of: $0.name)) }) { $1 }
  }

  /// Keeps the plan for those who look at the folder, and for those who are to do a step of it elsewhere.
  ///
  /// - Parameter record: what its results are to say of the run, in their run.json.
  func keep(_ plan: Plan, record: String? = nil) throws {
    let text = plan.json
    let path = self.path(of: plan)
    if let record {
      try makeFolder(plans)
      let file = try OutputFile(path: path + Self.recordSuffix)
      try file.write(record)
      try file.finish()
    }
    guard !isFile(path) else {
      // The plan of the last run is the newest.
      utimensat(AT_FDCWD, path, nil, 0)
      return
    }
    try makeFolder(plans)
    let file = try OutputFile(path: path)
    try file.write(text)
    try file.finish()
  }

  /// What results of the plan are to say of the run; nil where that is not known.
  func record(of plan: Plan) throws -> [UInt8]? {
    let path = self.path(of: plan) + Self.recordSuffix
    return isFile(path) ? try InputFile(path: path).readAll(limit: 1 << 30) : nil
  }

  private func path(of plan: Plan) -> String { "\(plans)/\(SHA256.of(plan.json).prefix(16)).json" }
  private static var recordSuffix: String { ".run" }

  /// The plans of the runs in this folder, the last one first.
  ///
  /// - Throws: `Failure` of kind malformed that names the file.
  func keptPlans() throws -> [Plan] {
    let files = namesInFolder(plans).filter { $0.hasSuffix(".json") }.compactMap { name in
      var status = stat()
      let path = "\(plans)/\(name)"
      return lstat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG ? (path, status.st_mtim) : nil
    }
    return try files.sorted { ($0.1.tv_sec, $0.1.tv_nsec) > ($1.1.tv_sec, $1.1.tv_nsec) }.map { path, _ in
      do { return try Plan(json: try InputFile(path: path).readAll(limit: 1 << 30)) } catch let failure as Failure {
        throw failure.at(path)
      }
    }
  }
}
