import CVectorMath

extension CPUOperations {
  /// y[t,i] = w[i]·x[t,i]·r[t],  r[t] = 1 / sqrt(Σ_i x[t,i]² / D + ε)
  ///
  /// HF: Qwen2RMSNorm.forward, `x * torch.rsqrt(variance + eps)`.
  public func rmsNorm(y: Tensor, inverseRMS: Tensor, x: Tensor, weight: Tensor, epsilon: Float) {
    let D = x.columns
    precondition(y.hasShape(x.rows, D) && inverseRMS.count == x.rows && weight.count == D)
    split(x.rows) { rows in
      let w = weight.address
      for t in rows {
        let x_t = x.address + t * D
        let y_t = y.address + t * D
        let r = Float(1 / (vector_dot(x_t, x_t, D) / Double(D) + Double(epsilon)).squareRoot())
        inverseRMS.address[t] = r
        vector_rmsnorm(y_t, x_t, w, D, r)
      }
    }
  }

  /// With ∂r/∂x[k] = −r³·x[k]/D:
  ///
  ///     dx[t,k] += r·w[k]·dy[t,k] − x[t,k]·(r³/D)·Σ_i w[i]·dy[t,i]·x[t,i]
  public func rmsNormBackward(dx: Tensor, dy: Tensor, x: Tensor, weight: Tensor, inverseRMS: Tensor) {
    let D = x.columns
    precondition(dx.hasShape(x.rows, D) && dy.hasShape(x.rows, D))
    precondition(inverseRMS.count == x.rows && weight.count == D)
    split(x.rows) { rows in
      let w = weight.address
      for t in rows {
        let x_t = x.address + t * D
        let dy_t = dy.address + t * D
        let r = inverseRMS.address[t]
        let c = Double(r) * Double(r) * Double(r) / Double(D) * vector_dot3(w, dy_t, x_t, D)
        vector_rmsnorm_backward(dx.address + t * D, dy_t, w, x_t, D, r, Float(c))
      }
    }
  }
}
