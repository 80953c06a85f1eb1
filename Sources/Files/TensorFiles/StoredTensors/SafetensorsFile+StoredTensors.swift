import SystemIO

extension SafetensorsFile {
  /// The tensors by name, each a view of the mapped file.
  ///
  /// - Throws: `Failure` of kind malformed for a tensor of more dimensions than `StoredTensor` has.
  public func storedTensors() throws(Failure) -> [String: StoredTensor] {
    var tensors: [String: StoredTensor] = [:]
    for info in header.tensors {
      let storage = MappedStorage(map, byteRange(of: info))
      do {
        tensors[info.name] = try StoredTensor(
          type: info.type, shape: info.shape, storage: storage, storageCount: info.elementCount)
      } catch { throw error.at("\(path): tensor \(info.name)") }
    }
    return tensors
  }
}
