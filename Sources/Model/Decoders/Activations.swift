import TensorOperations

/// What a layer's backward pass needs of its forward pass: N rows each.
struct LayerActivations {
  /// (N,D): resid_pre.
  let input: Tensor
  let inputStatistics: Tensor
  /// (N, heads · headWidth), turned by position, as is `key`.
  let query: Tensor
  let key: Tensor
  let value: Tensor
  /// (N, heads · headWidth): attn_z.
  let attention: Tensor
  let logSumExp: Tensor
  /// (N,D): resid_mid.
  let middle: Tensor
  let middleStatistics: Tensor
  /// (N, width of the MLP), as is `up`.
  let gate: Tensor
  let up: Tensor

  /// - Parameter tensor: makes one of so many columns.
  init(_ description: DecoderDescription, _ tensor: (Int) -> Tensor) {
    let attentionShape = description.attention
    input = tensor(description.width)
    inputStatistics = tensor(1)
    query = tensor(attentionShape.queryWidth)
    key = tensor(attentionShape.keyValueWidth)
    value = tensor(attentionShape.keyValueWidth)
    attention = tensor(attentionShape.queryWidth)
    logSumExp = tensor(2 * attentionShape.heads)
    middle = tensor(description.width)
    middleStatistics = tensor(1)
    gate = tensor(description.mlp.width)
    up = tensor(description.mlp.width)
  }
}

/// Memory that every layer uses in turn and none keeps: N rows each.
struct Workspace {
  let normalized: Tensor
  let hidden: Tensor
  let mlpOutput: Tensor
  let dAttention: Tensor
  let dQuery: Tensor
  let dKey: Tensor
  let dValue: Tensor

  init(_ description: DecoderDescription, _ tensor: (Int) -> Tensor) {
    normalized = tensor(description.width)
    hidden = tensor(description.mlp.width)
    mlpOutput = tensor(description.width)
    dAttention = tensor(description.attention.queryWidth)
    dQuery = tensor(description.attention.queryWidth)
    dKey = tensor(description.attention.keyValueWidth)
    dValue = tensor(description.attention.keyValueWidth)
  }
}

/// What goes from layer to layer: N rows each.
struct ResidualStream {
  /// (N,D)
  let values: Tensor
  let gradient: Tensor
  /// Of the norm behind the last layer.
  let statistics: Tensor

  init(_ description: DecoderDescription, _ tensor: (Int) -> Tensor) {
    values = tensor(description.width)
    gradient = tensor(description.width)
    statistics = tensor(1)
  }
}

/// The tensors that an initialiser asks for, with more rows than a batch needs: the same initialiser gets the first rows
/// of them again, in the same order.
struct KeptTensors {
  private var tensors: [Tensor] = []

  /// - Parameter initialise: asks for tensors of so many columns.
  init<Tensors>(
    rows: Int, _ operations: any TensorOperations, for initialise: ((_ columns: Int) -> Tensor) -> Tensors
  ) {
    _ = initialise { columns in
      tensors.append(operations.makeTensor(rows: rows, columns: columns))
      return tensors.last!
    }
  }

  func first<Tensors>(rows: Int, for initialise: ((_ columns: Int) -> Tensor) -> Tensors) -> Tensors {
    var next = tensors.makeIterator()
    return initialise { columns in
      let tensor = next.next()!
      precondition(tensor.columns == columns, "another initialiser")
      return tensor.first(rows: rows)
    }
  }
}
