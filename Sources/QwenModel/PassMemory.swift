import TensorOperations

/// What a row of a pass takes in a device's memory, counted by the initialisers that make a pass's tensors.
extension QwenConfiguration {
  /// Bytes of a row: the activations that are kept for the way back, what all layers use in turn, and what the device's
  /// operations hold of a row while they run. What they hold of the logits does not grow with the rows; the device
  /// knows it.
  ///
  /// - Parameter keptLayers: how many layers' activations are kept at a time.
  package func bytesPerRow(keptLayers: Int) -> Int {
    var columns = 0
    func count(_ width: Int) -> Tensor {
      columns += width
      return Tensor(rows: 0, columns: width, address: UnsafeMutablePointer(bitPattern: 64)!, owner: nobody)
    }
    _ = LayerActivations(self, makeTensor: count)
    columns *= max(keptLayers, 1)
    _ = Workspace(self, makeTensor: count)
    _ = ResidualStream(self, makeTensor: count)
    return (columns + operationColumns) * MemoryLayout<Float>.stride
  }

  /// Numbers of a row that operations hold: attention's δ of each head; 6 of the row's softmax over the vocabulary; 7 of
  /// its target, its position and its places in lists; and three copies that are under way to host memory.
  private var operationColumns: Int { attention.heads + 6 + 7 + 3 * hiddenSize }
}

private let nobody = Nobody()
private final class Nobody: Sendable {}
