import TensorFiles

extension OutputRecord {
  /// Where the first NaN or infinity among the record's floating-point tensors stands, in words, by the samples and
  /// positions that the record itself names.
  public func placeOfNonfinite() -> String? {
    for (tensor, bytes) in zip(tensors, contents) {
      let found: (index: Int, value: Double)?
      switch tensor.type {
      case .f32:
        let values = bytes.assumingMemoryBound(to: Float.self)
        found = firstNonfinite(values).map { ($0, Double(values[$0])) }
      case .f64:
        let values = bytes.assumingMemoryBound(to: Double.self)
        found = values.firstIndex { !$0.isFinite }.map { ($0, values[$0]) }
      default: found = nil
      }
      if let found {
        return
          "tensor \(tensor.name): \(found.value.isNaN ? "nan" : "\(found.value)") at \(place(found.index, of: tensor.name, shape: tensor.shape))"
      }
    }
    return nil
  }

  private func place(_ index: Int, of name: String, shape: [Int]) -> String {
    guard let samples = integers("sample_index", of: Int64.self) else { return "element \(index)" }
    let (row, dimension): (Int, Int)
    if let place = PlaceValue.featureValue.place(name),
      let offsets = integers(PlaceValue.activeOffsets.name(place), of: Int64.self),
      let features = integers(PlaceValue.feature.name(place), of: Int32.self)
    {
      (row, dimension) = (offsets.lastIndex { Int($0) <= index }!, Int(features[index]))
    } else {
      guard shape.count == 2 else { return "sample \(samples[index])" }
      (row, dimension) = (index / shape[1], index % shape[1])
    }
    guard let ends = integers("cu_positions", of: Int32.self) ?? integers("cu_seqlens", of: Int32.self),
      let sample = samples.indices.first(where: { Int(ends[$0 + 1]) > row })
    else { return "row \(row), dimension \(dimension)" }
    let position = integers("position", of: Int32.self).map { Int($0[row]) } ?? row - Int(ends[sample])
    return "sample \(samples[sample]), position \(position), dimension \(dimension)"
  }

  private func integers<Element: StreamElement>(_ name: String, of: Element.Type) -> UnsafeBufferPointer<Element>? {
    tensors.firstIndex { $0.name == name }.map { contents[$0].assumingMemoryBound(to: Element.self) }
  }
}
