import TensorOperations
import TensorStream

/// Memory for what passes make of one group after another. Where passes leave the processor free there are two, in turn:
/// a group's records can be written while the next group's are made. Elsewhere a group takes the memory of the one before.
final class OutputTensor {
  private(set) var tensor = HostTensor()
  private var other: HostTensor?

  init(_ operations: any PassOperations) {
    other = operations.leavesProcessorFree ? HostTensor() : nil
  }

  /// To be called before each group.
  func turn() {
    guard let next = other else { return }
    other = tensor
    tensor = next
  }
}
