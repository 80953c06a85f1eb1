import CUDAOperations
import TensorOperations
import TestSupport
import Testing

/// Where the operations are tested: with no thread but one, with two, and with more than the work may divide into; on a
/// stand-in for a GPU, with its threads in either order; and on a GPU where there is one.
struct TestDevice: Sendable, CustomTestStringConvertible {
  let testDescription: String
  let makeOperations: @Sendable () throws -> any TensorOperations

  static let processors = threadCounts.map { threads in
    TestDevice(testDescription: "cpu, threads: \(threads)") { try CPUOperations(threads: threads) }
  }

  static let all = processors + standIns(.float32) + gpus(.float32)

  /// Where a product is the sum of several of halves.
  static let splitting = standIns(.split) + gpus(.split)

  private static func standIns(_ precision: Precision) -> [TestDevice] {
    guard let folder = StandInGPU.folder else { return [] }
    return [0, 1].map { index in
      TestDevice(testDescription: "stand-in \(index), \(precision.rawValue)") {
        let operations = try CUDAOperations(device: index, precision: precision, folder: folder)
        // Everything at once, or tiles of the smallest size.
        if index == 1 { operations.heldNumbers = 0 }
        return operations
      }
    }
  }

  private static func gpus(_ precision: Precision) -> [TestDevice] {
    guard (try? CUDAOperations()) != nil else { return [] }
    return [
      TestDevice(testDescription: "cuda:0, \(precision.rawValue)") { try CUDAOperations(precision: precision) }
    ]
  }
}

/// How many threads the operations are tested with.
let threadCounts = [1, 2, 3]
