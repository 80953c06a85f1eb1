import TensorOperations

/// What a layer's backward pass needs of its forward pass: N rows each.
struct LayerActivations {
  /// (N,D): resid_pre.
  let input: Tensor
  let inputInverseRMS: Tensor
  /// (N, heads · headWidth), turned by position, as is `key`.
  let query: Tensor
  let key: Tensor
  let value: Tensor
  /// (N, heads · headWidth): attn_z.
  let attention: Tensor
  let logSumExp: Tensor
  /// (N,D): resid_mid.
  let middle: Tensor
  let middleInverseRMS: Tensor
  /// (N, width of the MLP), as is `up`.
  let gate: Tensor
  let up: Tensor

  /// - Parameter tensor: makes one of so many columns.
  init(_ description: DecoderDescription, _ tensor: (Int) -> Tensor) {
    let attentionShape = description.attention
    input = tensor(description.width)
    inputInverseRMS = tensor(1)
    query = tensor(attentionShape.queryWidth)
    key = tensor(attentionShape.keyValueWidth)
    value = tensor(attentionShape.keyValueWidth)
    attention = tensor(attentionShape.queryWidth)
    logSumExp = tensor(2 * attentionShape.heads)
    middle = tensor(description.width)
    middleInverseRMS = tensor(1)
    gate = tensor(description.mlp.width)
    up = tensor(description.mlp.width)
  }

  private init(_ other: LayerActivations, rows: Int) {
    input = other.input.first(rows: rows)
    inputInverseRMS = other.inputInverseRMS.first(rows: rows)
    query = other.query.first(rows: rows)
    key = other.key.first(rows: rows)
    value = other.value.first(rows: rows)
    attention = other.attention.first(rows: rows)
    logSumExp = other.logSumExp.first(rows: rows)
    middle = other.middle.first(rows: rows)
    middleInverseRMS = other.middleInverseRMS.first(rows: rows)
    gate = other.gate.first(rows: rows)
    up = other.up.first(rows: rows)
  }

  func first(rows: Int) -> LayerActivations { LayerActivations(self, rows: rows) }
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

  private init(_ other: Workspace, rows: Int) {
    normalized = other.normalized.first(rows: rows)
    hidden = other.hidden.first(rows: rows)
    mlpOutput = other.mlpOutput.first(rows: rows)
    dAttention = other.dAttention.first(rows: rows)
    dQuery = other.dQuery.first(rows: rows)
    dKey = other.dKey.first(rows: rows)
    dValue = other.dValue.first(rows: rows)
  }

  func first(rows: Int) -> Workspace { Workspace(self, rows: rows) }
}

/// What goes from layer to layer: N rows each.
struct ResidualStream {
  /// (N,D)
  let values: Tensor
  let gradient: Tensor
  /// Of the norm behind the last layer.
  let inverseRMS: Tensor

  init(_ description: DecoderDescription, _ tensor: (Int) -> Tensor) {
    values = tensor(description.width)
    gradient = tensor(description.width)
    inverseRMS = tensor(1)
  }
}
