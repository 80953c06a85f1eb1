import TensorOperations
import TensorStream

/// The two ways in which a layer's parts are put together, each with its way back under it.
extension DecoderModel {
  // MARK: - Sequential

  /// From `first` of a layer, where what is there already is, to the stream behind it, in `pass.residual`:
  ///
  ///     resid_mid  = resid_pre + attn_out(resid_pre)
  ///     resid_post = resid_mid + mlp_out(resid_mid)
  ///
  /// - Returns: whether something behind the layer is wanted.
  func runSequential(
    _ number: Int, _ pass: PassTensors, from first: Site, through last: Place, showing places: Set<Place>, _ show: Show
  ) rethrows -> Bool {
    /// Shows a site where it is wanted; false where nothing behind it is.
    func goesOn(_ site: Site, _ activation: @autoclosure () -> Tensor, _ rest: Tensor? = nil) throws -> Bool {
      let place = Place(site, number)
      if places.contains(place) { try show(place, activation(), rest) }
      return place != last
    }
    guard first <= .residMid else { return true }
    let (layer, saved, workspace) = (layers[number]!, pass.saved(number), pass.workspace)
    let middle = saved.middle!
    if first == .residPre {
      operations.copy(saved.input, from: pass.residual)
      guard try goesOn(.residPre, saved.input) else { return false }
      layer.heads(saved, pass)
    }
    if first <= .attnZ {
      guard try goesOn(.attnZ, saved.attention, saved.input) else { return false }
      func attentionOutput() -> Tensor {
        layer.attentionOutput(y: workspace.mlpOutput, saved, pass)
        return workspace.mlpOutput
      }
      guard try goesOn(.attnOut, attentionOutput(), saved.input) else { return false }
      layer.addAttention(saved, pass)
    }
    guard try goesOn(.residMid, middle) else { return false }
    layer.mlp(x: middle, saved, pass)
    guard try goesOn(.mlpOut, workspace.mlpOutput, middle) else { return false }
    operations.copy(pass.residual, from: middle)
    operations.add(pass.residual, workspace.mlpOutput)
    return try goesOn(.residPost, pass.residual)
  }

  /// From dx, the gradient at resid_post and so at mlp_out, down to that at the site `last`, in dx but for attn_z's:
  ///
  ///     d resid_mid = d resid_post + mlp_out'(d resid_post), which is d attn_out too
  ///     d resid_pre = d resid_mid + attn_out'(d resid_mid)
  func backSequential(
    _ number: Int, _ pass: PassTensors, dx: Tensor, to last: Site, at places: Set<Place>,
    _ record: (Place, Tensor) throws -> Void
  ) rethrows {
    func note(_ sites: [Site], _ gradient: Tensor) throws {
      for site in sites where places.contains(Place(site, number)) { try record(Place(site, number), gradient) }
    }
    // What is added to the stream has the stream's own gradient.
    try note([.residPost, .mlpOut], dx)
    guard last <= .residMid else { return }
    let (layer, saved) = (layers[number]!, pass.saved(number))
    layer.mlpBackward(dx: dx, x: saved.middle!, saved, pass)
    try note([.residMid, .attnOut], dx)
    guard last <= .attnZ else { return }
    layer.attentionOutputBackward(dx: dx, saved, pass)
    try note([.attnZ], pass.workspace.dAttention)
    guard last == .residPre else { return }
    layer.headsBackward(dx: dx, saved, pass)
    try note([.residPre], dx)
  }

  // MARK: - Parallel

  /// From `first` of a layer, where what is there already is, to the stream behind it, in `pass.residual`:
  ///
  ///     resid_post = resid_pre + attn_out(resid_pre) + mlp_out(resid_pre)
  ///
  /// What the stream is without attn_out has mlp_out in it, and the other way round: neither depends on the other.
  ///
  /// - Returns: whether something behind the layer is wanted.
  func runParallel(
    _ number: Int, _ pass: PassTensors, from first: Site, through last: Place, showing places: Set<Place>, _ show: Show
  ) rethrows -> Bool {
    func goesOn(_ site: Site, _ activation: Tensor, _ rest: @autoclosure () -> Tensor? = nil) throws -> Bool {
      let place = Place(site, number)
      if places.contains(place) { try show(place, activation, rest()) }
      return place != last
    }
    guard first <= .attnZ else { return true }
    let (layer, saved, workspace) = (layers[number]!, pass.saved(number), pass.workspace)
    let attentionOutput = workspace.attentionOutput!
    func sum(_ added: Tensor) -> Tensor {
      operations.copy(pass.residual, from: saved.input)
      operations.add(pass.residual, added)
      return pass.residual
    }
    if first == .residPre {
      operations.copy(saved.input, from: pass.residual)
      guard try goesOn(.residPre, saved.input) else { return false }
      layer.heads(saved, pass)
    }
    guard try goesOn(.attnZ, saved.attention, saved.input) else { return false }
    layer.attentionOutput(y: attentionOutput, saved, pass)
    layer.mlp(x: saved.input, saved, pass)
    guard try goesOn(.attnOut, attentionOutput, sum(workspace.mlpOutput)) else { return false }
    guard try goesOn(.mlpOut, workspace.mlpOutput, sum(attentionOutput)) else { return false }
    operations.add(sum(attentionOutput), workspace.mlpOutput)
    return try goesOn(.residPost, pass.residual)
  }

  /// From dx, the gradient at resid_post and so at attn_out and mlp_out, down to that at the site `last`, in dx but for
  /// attn_z's:
  ///
  ///     d resid_pre = d resid_post + attn_out'(d resid_post) + mlp_out'(d resid_post)
  func backParallel(
    _ number: Int, _ pass: PassTensors, dx: Tensor, to last: Site, at places: Set<Place>,
    _ record: (Place, Tensor) throws -> Void
  ) rethrows {
    func note(_ sites: [Site], _ gradient: Tensor) throws {
      for site in sites where places.contains(Place(site, number)) { try record(Place(site, number), gradient) }
    }
    try note([.residPost, .mlpOut, .attnOut], dx)
    guard last <= .attnZ else { return }
    let (layer, saved) = (layers[number]!, pass.saved(number))
    layer.attentionOutputBackward(dx: dx, saved, pass)
    try note([.attnZ], pass.workspace.dAttention)
    guard last == .residPre else { return }
    // The MLP's way back reads dx before it adds to it, and is the last that needs it as it was.
    layer.mlpBackward(dx: dx, x: saved.input, saved, pass)
    layer.headsBackward(dx: dx, saved, pass)
    try note([.residPre], dx)
  }
}
