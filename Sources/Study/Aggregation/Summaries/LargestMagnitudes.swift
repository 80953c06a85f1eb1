/// The indices of the `count` largest |values|, largest first; of equal ones the lower index comes first. Values
/// that are not finite are passed over.
public func indicesOfLargestMagnitudes(_ values: [Double], count: Int) -> [Int] {
  guard count > 0 else { return [] }
  func ranksBefore(_ a: Int, _ b: Int) -> Bool {
    let (x, y) = (abs(values[a]), abs(values[b]))
    return x == y ? a < b : x > y
  }
  // Keeping a short list sorted costs next to nothing, since few of the values ever enter it; a long one does not.
  guard count <= 256 else {
    return Array(values.indices.filter { values[$0].isFinite }.sorted(by: ranksBefore).prefix(count))
  }
  var largest: [Int] = []
  largest.reserveCapacity(count + 1)
  var threshold = -1.0
  for index in values.indices where abs(values[index]) > threshold && values[index].isFinite {
    let place = largest.firstIndex { ranksBefore(index, $0) } ?? largest.endIndex
    largest.insert(index, at: place)
    if largest.count > count { largest.removeLast() }
    if largest.count == count { threshold = abs(values[largest[count - 1]]) }
  }
  return largest
}
