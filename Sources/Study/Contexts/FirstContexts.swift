/// Where a context stands in an order: the lowest key first, of equal ones the lower sample, then the lower position.
struct ContextKey: Comparable {
  let key: Double
  let sample: Int64
  let position: Int32

  /// In the order of magnitudes, the largest first.
  static func magnitude(_ magnitude: Double, _ sample: Int64, _ position: Int32) -> ContextKey {
    ContextKey(key: -magnitude, sample: sample, position: position)
  }

  static func < (a: ContextKey, b: ContextKey) -> Bool {
    if a.key != b.key { return a.key < b.key }
    return (a.sample, a.position) < (b.sample, b.position)
  }
}

/// The first of all contexts in an order, as many as there is room for: a binary heap with the last of them at the top.
struct FirstContexts {
  typealias Entry = (key: ContextKey, context: FeatureContext)

  private let capacity: Int
  private var heap: [Entry] = []

  init(capacity: Int) {
    precondition(capacity > 0)
    self.capacity = capacity
  }

  /// Whether one with that key is among the first so far.
  func admits(_ key: ContextKey) -> Bool { heap.count < capacity || key < heap[0].key }

  mutating func insert(_ context: FeatureContext, _ key: ContextKey) {
    guard heap.count == capacity else {
      heap.append((key, context))
      rise()
      return
    }
    guard key < heap[0].key else { return }
    heap[0] = (key, context)
    sink()
  }

  /// The first one first.
  var sorted: [Entry] { heap.sorted { $0.key < $1.key } }

  private mutating func rise() {
    var index = heap.count - 1
    while index > 0, heap[(index - 1) / 2].key < heap[index].key {
      heap.swapAt(index, (index - 1) / 2)
      index = (index - 1) / 2
    }
  }

  private mutating func sink() {
    var index = 0
    while true {
      var last = index
      for child in [2 * index + 1, 2 * index + 2] where child < heap.count && heap[last].key < heap[child].key {
        last = child
      }
      guard last != index else { return }
      heap.swapAt(index, last)
      index = last
    }
  }
}
