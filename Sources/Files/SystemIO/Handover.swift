/// What one thread makes and another one takes, in order.
package final class Handover<Item>: @unchecked Sendable {
  private let monitor = Monitor()
  private let capacity: Int
  private var items: [Item] = []
  private var isClosed = false
  private var isCancelled = false

  /// - Parameter capacity: items that may wait to be taken.
  package init(capacity: Int) { self.capacity = max(capacity, 1) }

  /// Waits as long as there is no room for it. False where nobody will take it.
  @discardableResult
  package func put(_ item: Item) -> Bool {
    monitor.changing {
      monitor.wait { items.count < capacity || isCancelled }
      if !isCancelled { items.append(item) }
      return !isCancelled
    }
  }

  /// Waits as long as there is none; nil once all were taken and no more will come.
  package func take() -> Item? {
    monitor.changing {
      monitor.wait { !items.isEmpty || isClosed || isCancelled }
      return items.isEmpty ? nil : items.removeFirst()
    }
  }

  /// Nothing will be put any more; what was put can still be taken.
  package func close() { monitor.changing { isClosed = true } }

  /// Nothing will be taken any more.
  package func cancel() {
    monitor.changing {
      isCancelled = true
      items = []
    }
  }
}
