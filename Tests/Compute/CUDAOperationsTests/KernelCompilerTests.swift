import CUDAOperations
import Foundation
import TestSupport
import Testing

/// The kernels with NVIDIA's own compiler, which needs no GPU. `make cuda-kernels` fetches it in several versions.
@Suite struct KernelCompilerTests {
  static let folder = ProcessInfo.processInfo.environment["NVRTC_FOLDER"]

  @Test(.enabled(if: folder != nil, "NVRTC_FOLDER names no folder with libnvrtc"))
  func kernelsCompileForEveryArchitecture() throws {
    let compiler = try KernelCompiler(folder: Self.folder)
    // Those of 7.0 and later: Volta's threads are the oldest that wait for one another one by one.
    let architectures = compiler.architectures.filter { $0 >= 70 }
    #expect(architectures.contains(90))
    for architecture in architectures {
      let code = try compiler.code(kernelSource, for: architecture)
      #expect(code.starts(with: [0x7f] + Array("ELF".utf8)), "sm_\(architecture)")
    }
    // A GPU that is newer than all it knows gets PTX.
    let text = String(decoding: try compiler.code(kernelSource, for: 999), as: UTF8.self)
    #expect(text.contains(".target sm_\(architectures.last!)"))
    for kernel in ["attention_backward_key_64", "mark_largest", "cross_entropy_tile"] {
      #expect(text.contains(".entry \(kernel)("))
    }
  }
}
