import CVectorMath

extension CPUOperations {
  /// With μ[t] = 0 of an RMS norm and the row's mean of a layer norm:
  ///
  ///     r[t] = 1 / sqrt(Σ_i (x[t,i] − μ[t])² / D + ε)
  ///     y[t,i] = w[i]·(x[t,i] − μ[t])·r[t] + b[i],  where w has the offset of an RMS norm in it
  ///
  /// Computed in Double and rounded once.
  ///
  /// HF: Qwen2RMSNorm.forward, `x * torch.rsqrt(variance + eps)`; GemmaRMSNorm.forward. PyTorch: F.layer_norm.
  public func normalize(
    y: Tensor, statistics: Tensor, x: Tensor, weight: Tensor, bias: Tensor?, _ norm: Normalization
  ) {
    let D = x.columns
    precondition(y.hasShape(x.rows, D) && statistics.count == x.rows && weight.count == D)
    precondition(bias.map { $0.count == D } ?? true)
    split(x.rows) { rows in
      let w = weight.address
      for t in rows {
        let (x_t, y_t) = (x.address + t * D, y.address + t * D)
        switch norm {
        case .rms(let epsilon, let offset):
          precondition(bias == nil)
          let r = 1 / (vector_dot(x_t, x_t, D) / Double(D) + Double(epsilon)).squareRoot()
          statistics.address[t] = Float(r)
          vector_rmsnorm(y_t, x_t, w, offset, D, r)
        case .layer(let epsilon):
          let mean = vector_sum(x_t, D) / Double(D)
          let r = 1 / (vector_square_distance(x_t, D, mean) / Double(D) + Double(epsilon)).squareRoot()
          statistics.address[t] = Float(r)
          vector_layernorm(y_t, x_t, w, bias?.address, D, mean, r)
        }
      }
    }
  }

  /// With g = w ∘ dy and c[t] = (r³/D)·Σ_i g[t,i]·(x[t,i] − μ[t]):
  ///
  ///     RMS norm:    dx[t,k] = r·g[t,k] − c·x[t,k]
  ///     layer norm:  dx[t,k] = r·(g[t,k] − Σ_i g[t,i] / D) − c·(x[t,k] − μ[t])
  public func normalizeBackward(
    dx: Tensor, dy: Tensor, statistics: Tensor, x: Tensor, weight: Tensor, _ norm: Normalization, accumulate: Bool
  ) {
    let D = x.columns
    precondition(dx.hasShape(x.rows, D) && dy.hasShape(x.rows, D))
    precondition(statistics.count == x.rows && weight.count == D)
    split(x.rows) { rows in
      let w = weight.address
      for t in rows {
        let (x_t, dx_t, dy_t) = (x.address + t * D, dx.address + t * D, dy.address + t * D)
        let r = statistics.address[t]
        let cube = Double(r) * Double(r) * Double(r) / Double(D)
        switch norm {
        case .rms(_, let offset):
          let c = cube * vector_dot3(w, offset, dy_t, x_t, 0, D)
          vector_rmsnorm_backward(dx_t, dy_t, w, offset, x_t, D, r, Float(c), accumulate)
        case .layer:
          let mean = vector_sum(x_t, D) / Double(D)
          let c = cube * vector_dot3(w, 0, dy_t, x_t, mean, D)
          let a = vector_dot(w, dy_t, D) / Double(D)
          vector_layernorm_backward(dx_t, dy_t, w, x_t, D, mean, Double(r), a, c, accumulate)
        }
      }
    }
  }
}
