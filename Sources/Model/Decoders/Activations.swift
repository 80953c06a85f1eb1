import TensorOperations

/// What a layer's backward pass needs of its forward pass: N rows each. What a model does not have is nil.
struct LayerActivations {
  /// (N,D): resid_pre.
  let input: Tensor
  let inputStatistics: Tensor
  /// (N, heads · headWidth), turned by position, as is `key`.
  let query: Tensor
  let key: Tensor
  let value: Tensor
  /// Before the norms of queries and keys.
  let rawQuery: Tensor?
  let rawKey: Tensor?
  let queryStatistics: Tensor?
  let keyStatistics: Tensor?
  /// (N, heads · headWidth): attn_z.
  let attention: Tensor
  let logSumExp: Tensor
  /// (N,D), before the norm behind attention.
  let rawAttentionOutput: Tensor?
  let attentionOutputStatistics: Tensor?
  /// (N,D): resid_mid, where the MLP reads it.
  let middle: Tensor?
  let middleStatistics: Tensor
  /// (N, width of the MLP), as is `up`.
  let gate: Tensor?
  let up: Tensor
  /// (N,D), before the norm behind the MLP.
  let rawMLPOutput: Tensor?
  let mlpOutputStatistics: Tensor?

  /// - Parameter tensor: makes one of so many columns.
  init(_ description: DecoderDescription, _ tensor: (Int) -> Tensor) {
    let (shape, weights) = (description.attention, description.weights)
    func tensorIfThere(_ slot: WeightSlot, _ columns: Int) -> Tensor? { weights[slot] == nil ? nil : tensor(columns) }
    input = tensor(description.width)
    inputStatistics = tensor(1)
    query = tensor(shape.queryWidth)
    key = tensor(shape.keyValueWidth)
    value = tensor(shape.keyValueWidth)
    rawQuery = tensorIfThere(.queryNorm, shape.queryWidth)
    rawKey = tensorIfThere(.keyNorm, shape.keyValueWidth)
    queryStatistics = tensorIfThere(.queryNorm, shape.heads)
    keyStatistics = tensorIfThere(.keyNorm, shape.keyValueHeads)
    attention = tensor(shape.queryWidth)
    logSumExp = tensor(2 * shape.heads)
    rawAttentionOutput = tensorIfThere(.attentionPostNorm, description.width)
    attentionOutputStatistics = tensorIfThere(.attentionPostNorm, 1)
    middle = description.wiring == .sequential ? tensor(description.width) : nil
    middleStatistics = tensor(1)
    gate = tensorIfThere(.gate, description.mlp.width)
    up = tensor(description.mlp.width)
    rawMLPOutput = tensorIfThere(.mlpPostNorm, description.width)
    mlpOutputStatistics = tensorIfThere(.mlpPostNorm, 1)
  }
}

/// Memory that every layer uses in turn and none keeps: N rows each.
struct Workspace {
  let normalized: Tensor
  let hidden: Tensor
  /// (N,D): attn_out, where the MLP does not read it.
  let attentionOutput: Tensor?
  let mlpOutput: Tensor
  let dAttention: Tensor
  let dQuery: Tensor
  let dKey: Tensor
  let dValue: Tensor

  init(_ description: DecoderDescription, _ tensor: (Int) -> Tensor) {
    normalized = tensor(description.width)
    hidden = tensor(description.mlp.width)
    attentionOutput = description.wiring == .parallel ? tensor(description.width) : nil
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
    rows: Int, _ operations: any PassOperations, for initialise: ((_ columns: Int) -> Tensor) -> Tensors
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
