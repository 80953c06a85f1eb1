import Decoders
import TensorOperations
import TensorStream

/// Memory that autoencoders compute a block of rows in, the layers' one after another.
public final class AutoencoderMemory {
  enum Block: CaseIterable {
    case inputs, normalized, features, outputs
  }

  /// Rows of a pass for each one of a block.
  private static let share = 4

  /// Positions whose preactivations, 65,536 each, are held at a time: every fourth of a pass.
  private(set) lazy var rows = operations.passRows(bytesPerRow: bytesPerRow) / Self.share
  package let operations: any TensorOperations
  private let tensors: [Block: ReusedTensor]
  /// Of the autoencoder that has most.
  private var mostColumns: [Block: Int] = [:]
  private var mostBytesOfActive = 0

  public init(_ operations: any TensorOperations) {
    self.operations = operations
    tensors = Dictionary(uniqueKeysWithValues: Block.allCases.map { ($0, ReusedTensor(operations)) })
  }

  /// What these blocks take in a device's memory for each row of a pass.
  package var bytesPerRow: Int {
    let ofBlocks = mostColumns.values.reduce(0, +) * MemoryLayout<Float>.stride
    return (ofBlocks + mostBytesOfActive + Self.share - 1) / Self.share
  }

  /// Has blocks go with passes of at most so many rows.
  package func use(passRows: Int) { rows = passRows / Self.share }

  /// Counts on an autoencoder with blocks of so many columns.
  ///
  /// - Parameter mostActive: how many of its features may be active at a position.
  func fit(_ columns: (Block) -> Int, mostActive: Int) {
    for block in Block.allCases { mostColumns[block] = max(mostColumns[block] ?? 0, columns(block)) }
    // Of each feature a mark that it is active; of those that are its index and its value; of a row how many these are,
    // where they begin, and its scaling.
    let ofActive = mostActive * (MemoryLayout<Int32>.stride + MemoryLayout<Float>.stride)
    let ofRow = MemoryLayout<Int32>.stride + MemoryLayout<Int64>.stride
    mostBytesOfActive = max(mostBytesOfActive, columns(.features) + ofActive + ofRow)
  }

  /// The block's first `rows` rows, whose contents are those of whoever used it last.
  func tensor(_ block: Block, rows: Int, columns: Int) -> Tensor {
    tensors[block]!.tensor(rows: rows, columns: columns, capacity: self.rows * mostColumns[block]!)
  }
}

extension DecoderModel {
  /// Rows of samples that a pass has at most beside these autoencoders, whose blocks are made to go with it.
  ///
  /// - Parameter otherBytes: what a row takes besides.
  public func passRows(
    from start: Place, with autoencoders: some Sequence<AutoencoderOperations>, otherBytes: Int = 0
  ) -> Int {
    let memories = autoencoders.map(\.memory)
    let rows = passRows(from: start, otherBytes: (memories.map(\.bytesPerRow).max() ?? 0) + otherBytes)
    for memory in memories { memory.use(passRows: rows) }
    return rows
  }
}
