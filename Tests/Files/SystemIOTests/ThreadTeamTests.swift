import SystemIO
import Testing

/// Parts by their size: each number is in one of them, and only the last can be smaller.
@Suite struct ThreadTeamTests {
  @Test(arguments: [1, 3], [0, 1, 7, 8, 9, 64, 100]) func partsOfASize(threads: Int, count: Int) {
    let sizes = UnsafeMutableBufferPointer<Int>.allocate(capacity: count)
    defer { sizes.deallocate() }
    sizes.initialize(repeating: 0)
    ThreadTeam(size: threads).run(count, by: 8) { part in
      for number in part { sizes[number] += part.count }
    }
    #expect(Array(sizes) == (0..<count).map { $0 < count / 8 * 8 ? 8 : count % 8 })
  }
}
