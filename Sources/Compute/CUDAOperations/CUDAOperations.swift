import SystemIO
import TensorOperations

/// The tensor operations on a GPU: cuBLAS for products, kernels that are compiled for the card that is there.
///
/// Tensors and matrices are Float in the card's memory; weights of other types are widened as they arrive. Calls
/// return when their work is queued, and wait for it where they bring numbers back.
public final class CUDAOperations: TensorOperations {
  let device: Device
  public let precision: Precision
  /// Memory for what does not outlive an operation, by purpose.
  private var scratch: [String: DeviceMemory] = [:]
  /// Lists that many calls in a row have in common, the latest first.
  private var lists: [String: [(values: [Int32], memory: DeviceMemory)]] = [:]
  /// Rotation angles by their frequencies, made for as many positions as were asked for so far.
  var rotations: [[Double]: (positions: Int, cosines: DeviceMemory, sines: DeviceMemory)] = [:]

  /// Numbers of a product that are never there as a whole, which are held at a time: 256 MB. Tests hold fewer.
  package var heldNumbers = 64 << 20

  var uploads: Uploads?
  /// Given back when all weights are there.
  var weightUploads: WeightUploads?
  var downloads: Downloads?
  /// Losses are asked for while others are still on their way.
  var lossDownloads: Downloads?
  var featureDownloads: FeatureDownloads?

  private(set) lazy var constants = SplitConstants(device)

  /// Opens the driver, cuBLAS and NVRTC, and compiles the kernels where no earlier run has left them.
  ///
  /// - Parameters:
  ///   - index: which of the GPUs, from 0.
  ///   - folder: the only folder to look for the libraries in, the driver's own among them; nil where the system keeps
  ///     them, or those of a toolkit where GRADIENT_FILTERS_CUDA says.
  /// - Throws: `Failure` of kind unavailable that says what is missing.
  public init(device index: Int = 0, precision: Precision = .float32, folder: String? = nil) throws(Failure) {
    device = try Device(
      index, precision: precision, folders: folder.map(LibraryFolders.init(only:)) ?? LibraryFolders())
    self.precision = device.precision
  }

  /// Whether there is a driver, which says that a GPU is to be expected.
  public static var isDriverThere: Bool {
    (try? DynamicLibrary.first(Driver.names, in: LibraryFolders().driver) { library throws(Failure) in library }) != nil
  }

  /// The device and the card, for people.
  public var description: String {
    "\(device.name), \(device.model), \(device.memory.total >> 20) MiB, products in \(precision.rawValue)"
  }

  public var leavesProcessorFree: Bool { true }

  public var memoryReport: String? {
    "\(device.name): at most \(mostUsed >> 20) MiB in use"
      + (halved.map { ", passes of \($0.rows) rows instead of \($0.wanted), because other programs took memory" } ?? "")
  }

  /// Bytes that were in use at a time, at most.
  package var mostUsed: Int { device.mostUsed }

  /// Rows that a GPU wants at a time, and those that a pass has even where memory seems to be short.
  package static let passRowBounds = 128...8192

  /// Rows of passes, where there were fewer than the card is large enough for.
  private var halved: (rows: Int, wanted: Int)?

  /// The rows that a pass has on a card, whatever else is on it: cuBLAS chooses by them in which order it sums, and the
  /// same run is to give the same bits tomorrow. A power of two, so that cards of about the same size agree.
  ///
  /// Of what is not in use yet, half is left to other programs: those of a pipeline share a card.
  ///
  /// - Parameters:
  ///   - held: bytes that operations hold beside the rows.
  package static func passRows(bytesPerRow: Int, total: Int, used: Int, held: Int) -> Int {
    let room = (total - used) / 2 - held
    var rows = passRowBounds.upperBound
    while rows > passRowBounds.lowerBound, rows * bytesPerRow > room { rows /= 2 }
    return rows
  }

  /// Half as many rows, and half of those, where so much cannot be had now; what can is kept for the passes.
  public func passRows(bytesPerRow: Int) -> Int {
    weightUploads = nil
    // Logits, and their copy in bfloat16 or two halves.
    let copy = precision == .bf16 ? 2 : precision == .split ? 4 : 0
    let held = heldNumbers * (MemoryLayout<Float>.stride + copy)
    let wanted = Self.passRows(bytesPerRow: bytesPerRow, total: device.memory.total, used: device.used, held: held)
    var rows = wanted
    while !device.promise(rows * bytesPerRow + held), rows > Self.passRowBounds.lowerBound { rows /= 2 }
    halved = rows < wanted ? (rows, wanted) : nil
    return rows
  }

  // MARK: - Memory

  public func makeTensor(rows: Int, columns: Int) -> Tensor {
    let memory = DeviceMemory(device, bytes: rows * columns * MemoryLayout<Float>.stride)
    return Tensor(
      rows: rows, columns: columns, address: UnsafeMutablePointer(bitPattern: UInt(memory.address))!, owner: memory)
  }

  public func download(_ destination: UnsafeMutablePointer<Float>, from source: Tensor) {
    device.copy(to: destination, from: source.device, bytes: source.bytes)
  }

  public func copy(_ destination: Tensor, from source: Tensor) {
    precondition(destination.hasShape(source.rows, source.columns))
    device.copy(to: destination.device, within: source.device, bytes: source.bytes)
  }

  public func add(_ y: Tensor, _ x: Tensor) {
    precondition(y.hasShape(x.rows, x.columns))
    device.run("add", elements: x.count, .address(y.device), .address(x.device), .long(x.count))
  }

  /// On one thread: these rows are few, and the processor has nothing else to do.
  public func makeDoubleOperations() -> DoubleOperations { DoubleOperations(threads: 1) }

  // MARK: - Products

  public func product(y: Tensor, x: Tensor, matrix: Matrix, bias: Tensor?, accumulate: Bool) {
    products([LinearMap(y: y, matrix: matrix, bias: bias)], of: x, accumulate: accumulate)
  }

  public func products(_ maps: [LinearMap], of x: Tensor) { products(maps, of: x, accumulate: false) }

  private func products(_ maps: [LinearMap], of x: Tensor, accumulate: Bool) {
    var rest = maps[...]
    while let isHalf = rest.first?.matrix.isHalf {
      let group = rest.prefix(Self.mostMatrices).prefix { $0.matrix.isHalf == isHalf }
      let parts = isHalf ? split(x, for: group.map(\.matrix)) : nil
      for (index, map) in group.enumerated() { product(map, of: x, parts?[index], accumulate) }
      rest = rest.dropFirst(group.count)
    }
  }

  private func product(_ map: LinearMap, of x: Tensor, _ parts: SplitRows?, _ accumulate: Bool) {
    let (y, matrix) = (map.y, map.matrix)
    precondition(y.hasShape(x.rows, matrix.columns) && x.columns == matrix.rows)
    precondition(map.bias.map { $0.count == matrix.columns } ?? true)
    if let bias = map.bias {
      device.run(
        accumulate ? "add_row" : "repeat_row", elements: y.count, .address(y.device), .address(bias.device),
        .int(y.columns), .long(y.count))
    }
    let adds = accumulate || map.bias != nil
    if let parts {
      multiply(parts, matrix, accumulate: adds, into: y.device, distance: y.columns)
    } else {
      device.multiply(
        x.rows, matrix.columns, matrix.rows, x.operand, matrix.operand, accumulate: adds, into: y.device,
        distance: y.columns)
    }
  }

  // MARK: - What operations need beside their operands

  /// Memory of that purpose, whose contents last until it is asked for again.
  func scratch(_ purpose: String, bytes: Int) -> DevicePointer {
    if let memory = scratch[purpose] { return memory.reserve(bytes) }
    let memory = DeviceMemory(device, bytes: bytes)
    scratch[purpose] = memory
    return memory.address
  }

  /// Columns of a product that is made tile by tile.
  func heldColumns(of columns: Int, rows: Int) -> Int {
    min(columns, max(heldNumbers / max(rows, 1) / 256 * 256, 256))
  }

  /// A list on the device, sent again only where it is another one than the last `kept` of that purpose.
  func list(_ purpose: String, _ values: [Int32], kept: Int = 1) -> DevicePointer {
    var known = lists[purpose] ?? []
    if let index = known.firstIndex(where: { $0.values == values }) { return known[index].memory.address }
    let bytes = values.count * MemoryLayout<Int32>.stride
    let memory = known.count < kept ? DeviceMemory(device, bytes: bytes) : known.removeLast().memory
    let address = memory.reserve(bytes)
    values.withUnsafeBytes { if let source = $0.baseAddress { device.copy(to: address, from: source, bytes: bytes) } }
    known.insert((values, memory), at: 0)
    lists[purpose] = known
    return memory.address
  }

  /// The numbers of rows on the device: of all recorded rows of a pass, and of some blocks of them.
  func rowList(_ rows: [Int32]) -> DevicePointer { list("rows", rows, kept: 4) }

  /// Numbers on the device.
  func numbers<Number>(_ purpose: String, _ values: [Number]) -> DevicePointer {
    values.withUnsafeBytes { bytes in
      let memory = scratch(purpose, bytes: bytes.count)
      if let source = bytes.baseAddress { device.copy(to: memory, from: source, bytes: bytes.count) }
      return memory
    }
  }

  /// Numbers brought back.
  func values<Number>(_ type: Number.Type, count: Int, at address: DevicePointer) -> [Number] {
    [Number](unsafeUninitializedCapacity: count) { values, initialized in
      if count > 0 {
        device.copy(
          to: UnsafeMutableRawPointer(values.baseAddress!), from: address, bytes: count * MemoryLayout<Number>.stride)
      }
      initialized = count
    }
  }
}

extension Tensor {
  var device: DevicePointer { DevicePointer(UInt(bitPattern: address)) }
  var bytes: Int { count * MemoryLayout<Float>.stride }
  var operand: CuBLAS.Operand { CuBLAS.Operand(address: device, distance: columns) }
}

extension Matrix {
  var device: DevicePointer { DevicePointer(UInt(bitPattern: address)) }
  /// Of a matrix of the type that the product takes.
  var operand: CuBLAS.Operand {
    CuBLAS.Operand(address: device, distance: leadingDimension, isTransposed: isColumnMajor)
  }
  /// Elements from one row to the next, and from one column to the next.
  var strides: (row: Int, column: Int) { isColumnMajor ? (1, leadingDimension) : (leadingDimension, 1) }
}
