import Plotting
import TestSupport
import Testing

@Suite struct LabelPlacementTests {
  private let page = Rectangle(x: 0, y: 0, width: 200, height: 100)

  private func request(_ x: Double, _ y: Double) -> LabelRequest {
    LabelRequest(mark: Point(x: x, y: y), clearance: 5, width: 30, height: 8)
  }

  @Test func prefersTheRightOfTheMark() {
    #expect(
      placeLabels([request(50, 50)], avoiding: [], within: page) == [Rectangle(x: 55, y: 46, width: 30, height: 8)])
  }

  @Test func goesElsewhereAtAnEdgeOrAnObstacle() {
    #expect(
      placeLabels([request(195, 50)], avoiding: [], within: page) == [Rectangle(x: 160, y: 46, width: 30, height: 8)])
    let wall = Rectangle(x: 0, y: 49, width: 200, height: 2)
    let place = placeLabels([request(50, 50)], avoiding: [wall], within: page)[0]
    #expect(place == Rectangle(x: 35, y: 37, width: 30, height: 8))
  }

  @Test func leavesOutWhatHasNoRoom() {
    #expect(placeLabels([request(50, 50)], avoiding: [page], within: page) == [nil])
    // Earlier ones choose first.
    let crowd = placeLabels([LabelRequest](repeating: request(50, 50), count: 20), avoiding: [], within: page)
    #expect(crowd[0] != nil && crowd.last! == nil)
  }

  @Test(arguments: 0..<200) func neverOverlap(seed: UInt64) {
    var random = SeededNumbers(seed: seed)
    let requests = (0..<20).map { _ in
      request(Double.random(in: 0...200, using: &random), Double.random(in: 0...100, using: &random))
    }
    let marks = requests.map { Rectangle(x: $0.mark.x - 3, y: $0.mark.y - 3, width: 6, height: 6) }
    let places = placeLabels(requests, avoiding: marks, within: page).compactMap { $0 }
    #expect(!places.isEmpty)
    for (index, place) in places.enumerated() {
      #expect(page.contains(place))
      #expect(!marks.contains { $0.intersects(place) })
      #expect(!places[(index + 1)...].contains { $0.intersects(place) })
    }
  }

  @Test func touchingIsNoIntersection() {
    let a = Rectangle(x: 0, y: 0, width: 10, height: 10)
    #expect(!a.intersects(Rectangle(x: 10, y: 0, width: 5, height: 5)))
    #expect(a.intersects(Rectangle(x: 9.9, y: 9.9, width: 5, height: 5)))
  }
}
