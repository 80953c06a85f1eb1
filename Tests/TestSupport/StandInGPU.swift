import Foundation

/// A GPU for tests, on the processor: the libraries of CUDA as StandInGPU/stand_in.cpp supplies them.
///
/// Of its GPUs 1 runs threads and blocks in the reverse order of GPU 0, so that a result that depends on the order is
/// seen.
public enum StandInGPU {
  /// The folder with its libraries; nil where there is no compiler for them, or a sanitizer that knows no fibers.
  public static let folder: String? = make()

  /// Why there is none.
  public static let absence = "no clang++ on PATH, or NO_STAND_IN_GPU is set"

  /// What programs need to find it, with settings of its own: the driver where the loader looks first, the others where
  /// the programs are told to look.
  public static func environment(_ settings: [String: String] = [:]) -> [String: String] {
    let folder = folder ?? ""
    let own = ["LD_LIBRARY_PATH": folder, "GRADIENT_FILTERS_CUDA": folder, "XDG_CACHE_HOME": folder]
    return settings.merging(own) { setting, _ in setting }
  }

  private static func make() -> String? {
    guard ProcessInfo.processInfo.environment["NO_STAND_IN_GPU"] == nil else { return nil }
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("stand-in-gpu-\(getpid())").path
    let sources = packageRoot + "/Tests/TestSupport/StandInGPU"
    let libraries = "libcuda.so.1 libcublas.so libnvrtc.so"
    let command = """
      mkdir -p '\(folder)' && cd '\(folder)' && clang++ -std=c++17 -O2 -shared -fPIC -DCOMPILER='"clang++"' \
      -DPRELUDE='"\(sources)/kernel_prelude.h"' -o stand_in.so '\(sources)/stand_in.cpp' &&
      for library in \(libraries); do ln -s stand_in.so $library; done
      """
    guard let outcome = try? Program.shell(command), outcome.status == 0 else { return nil }
    // Compiled kernels are kept there, not in the user's folder.
    setenv("XDG_CACHE_HOME", folder, 1)
    folderToRemove = folder
    atexit { try? FileManager.default.removeItem(atPath: StandInGPU.folderToRemove!) }
    return folder
  }

  nonisolated(unsafe) private static var folderToRemove: String?
}
