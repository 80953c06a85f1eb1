import Foundation
import TestSupport
import Testing

/// Where the programs find the libraries of CUDA, and which they take, with a stand-in for a GPU.
@Suite(.enabled(if: StandInGPU.folder != nil, "\(StandInGPU.absence)"))
struct CUDALibraryTests {
  /// A folder in which there are folders with libraries.
  private let root: TemporaryFolder

  init() throws { root = try TemporaryFolder() }

  /// Puts a library of the stand-in below the root.
  private func link(_ path: String) throws {
    let url = root.url(path)
    try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
    try FileManager.default.createSymbolicLink(
      at: url, withDestinationURL: URL(fileURLWithPath: StandInGPU.folder! + "/stand_in.so"))
  }

  /// What act-grad says on the GPU, with a driver where the loader finds it.
  private func run(_ folders: [String], _ settings: [String: String] = [:]) throws -> Program.Outcome {
    if !FileManager.default.fileExists(atPath: root.file("driver")) { try link("driver/libcuda.so.1") }
    let own = [
      "LD_LIBRARY_PATH": root.file("driver"),
      "GRADIENT_FILTERS_CUDA": folders.map { root.file($0) }.joined(separator: ":"),
    ]
    return try Program("act-grad").run(
      DemoRun.modelFlag + ["--device", "cuda"], input: try DemoRun.activations.get(),
      environment: StandInGPU.environment(settings.merging(own) { setting, _ in setting }))
  }

  /// As a toolkit has them in one folder, and pip's CUDA 12 in two.
  @Test func foldersThatAreNamed() throws {
    try link("both/libcublas.so.12")
    try link("both/libnvrtc.so.12")
    try link("cublas/libcublas.so.12")
    try link("cuda_nvrtc/libnvrtc.so.12")
    for folders in [["both"], ["cublas", "cuda_nvrtc"], ["none", "cuda_nvrtc", "cublas"]] {
      let outcome = try run(folders)
      #expect(outcome.status == 0, "\(outcome.errors)")
    }
    let alone = try run(["cublas"])
    #expect(alone.failed(69, saying: "--device cuda: cannot open libnvrtc.so.12: "), "\(alone.errors)")
    // The driver is the machine's, and is not looked for there.
    try Data("no driver".utf8).write(to: root.url("libcuda.so.1"))
    try link("both/libcuda.so.1")
    let driverless = try run(["both"], ["LD_LIBRARY_PATH": root.path])
    #expect(driverless.failed(69, saying: "--device cuda: cannot open libcuda.so.1: "), "\(driverless.errors)")
  }

  /// Of the environment that is active: pip's CUDA 12 and 13, and conda's.
  @Test(
    arguments: [
      (
        "VIRTUAL_ENV",
        ["lib/python3.12/site-packages/nvidia/cublas/lib", "lib/python3.12/site-packages/nvidia/cuda_nvrtc/lib"]
      ),
      ("VIRTUAL_ENV", ["lib/python3.9/site-packages/nvidia/cu13/lib"]), ("CONDA_PREFIX", ["lib"]),
      ("CUDA_HOME", ["lib64"]),
    ])
  func foldersOfInstallers(_ installer: (variable: String, folders: [String])) throws {
    try link("\(installer.folders.first!)/libcublas.so.12")
    try link("\(installer.folders.last!)/libnvrtc.so.12")
    let others = ["VIRTUAL_ENV", "CONDA_PREFIX", "CUDA_HOME", "CUDA_PATH"].map { ($0, "") }
    let settings = Dictionary(uniqueKeysWithValues: others).merging([installer.variable: root.path]) { $1 }
    let outcome = try run([], settings)
    #expect(outcome.status == 0, "\(outcome.errors)")
  }

  /// One that is newer than the driver is not opened, and one that does not work is not the last that is tried.
  @Test func theNextOneIsTried() throws {
    for name in ["cublas", "nvrtc"] {
      try link("toolkits/lib\(name).so.12")
      try Data("nonsense".utf8).write(to: root.url("toolkits/lib\(name).so.13"))
    }
    for driver in ["12040", "13000"] {
      let outcome = try run(["toolkits"], ["STAND_IN_DRIVER": driver])
      #expect(outcome.status == 0, "\(driver): \(outcome.errors)")
    }
    // It says what it was about the first that did not serve.
    let failing = try run(["toolkits"], ["STAND_IN_DRIVER": "13000", "STAND_IN_FAIL": "cublasGemmEx:1:15"])
    #expect(failing.failed(69, saying: "libcublas.so.12: cublasGemmEx: status 15"), "\(failing.errors)")
  }

  @Test func librariesThatAreNone() throws {
    try link("toolkit/libnvrtc.so.12")
    try Data("nonsense".utf8).write(to: root.url("toolkit/libcublas.so.12"))
    let nonsense = try run(["toolkit"])
    #expect(nonsense.failed(69, saying: "toolkit/libcublas.so.12: "), "\(nonsense.errors)")
    func make(_ command: String) throws {
      let outcome = try Program.shell("cd '\(root.path)/toolkit' && rm -f libcublas.so.12 && \(command)")
      #expect(outcome.status == 0, "\(outcome.errors)")
    }
    try make("echo 'int other;' | clang -shared -x c - -o libcublas.so.12")
    let lacking = try run(["toolkit"])
    #expect(lacking.failed(69, saying: "libcublas.so.12: the function cublasGemmEx is missing"), "\(lacking.errors)")
    // As where cublasLt, which cuBLAS is linked with, is not beside it.
    try make(
      """
      echo 'int other;' | clang -shared -x c - -o libcublasLt.so &&
      echo 'int another;' | clang -shared -x c - -o libcublas.so.12 -Wl,--no-as-needed -L. -lcublasLt && rm libcublasLt.so
      """)
    let alone = try run(["toolkit"])
    #expect(alone.failed(69, saying: "toolkit/libcublas.so.12 needs libcublasLt.so: cannot open"), "\(alone.errors)")
  }
}
