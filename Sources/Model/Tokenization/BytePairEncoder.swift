/// Byte-pair encoding of one word: its bytes or characters become symbols, and adjacent symbols are merged, the merge of
/// the lowest rank first, of equal ones the leftmost, until none applies.
struct BytePairEncoder {
  private let vocabulary: Vocabulary
  private let merges: MergeTable
  private let model: BytePairModel
  private let isByteLevel: Bool
  /// The symbol of each byte, or of each ASCII character and nil beyond these; nil for one that the vocabulary lacks.
  private let symbols: [Int32?]
  /// The id of each byte's token such as `<0x0A>`, where the model falls back to them; empty where it does not.
  private let byteTokens: [Int32?]
  private let unknownID: Int32?

  /// The ids of words seen before: word i of `known` has the ids from `knownStarts[i]` up to `knownStarts[i + 1]`.
  private var known = ByteStringTable(minimumCapacity: Self.rememberedWords)
  private var knownStarts = [0]
  private var knownIDs: [Int32] = []
  private var word = Word()

  /// Text repeats its words; those that it does not repeat must not fill memory.
  private static let rememberedWords = 1 << 16
  private static let longestRememberedWord = 64

  /// - Parameter isByteLevel: a word's symbols are its bytes, each by its spelling; else its characters.
  init(vocabulary: Vocabulary, merges: MergeTable, model: BytePairModel, isByteLevel: Bool) {
    self.vocabulary = vocabulary
    self.merges = merges
    self.model = model
    self.isByteLevel = isByteLevel
    symbols = (UInt8.min...UInt8.max).map { byte in
      isByteLevel ? vocabulary.id(of: byteLevelSpellings[Int(byte)]) : byte < 0x80 ? vocabulary.id(of: [byte]) : nil
    }
    byteTokens = model.fallsBackToBytes ? BytePairModel.byteTokens.map { vocabulary.id(of: $0) } : []
    unknownID = model.unknownToken.flatMap { vocabulary.id(of: $0) }
  }

  /// Appends the ids of `text`, which is one word. What the vocabulary lacks becomes tokens of its bytes where it has
  /// all of these, else the unknown token; where the model has neither, it is dropped, as in Hugging Face tokenizers.
  mutating func encode(_ text: UnsafeRawBufferPointer, into ids: inout [Int32]) {
    if let number = known.find(text) {
      ids.append(contentsOf: knownIDs[knownStarts[number]..<knownStarts[number + 1]])
      return
    }
    let start = ids.count
    if model.ignoresMerges, let id = wholeWord(text) {
      ids.append(id)
    } else {
      word.clear()
      addSymbols(of: text)
      word.merge(by: merges)
      word.append(to: &ids)
    }
    if text.count <= Self.longestRememberedWord { remember(text, ids[start...]) }
  }

  private func wholeWord(_ text: UnsafeRawBufferPointer) -> Int32? {
    isByteLevel ? vocabulary.id(of: text.flatMap { byteLevelSpellings[Int($0)] }) : vocabulary.id(of: text)
  }

  private mutating func addSymbols(of text: UnsafeRawBufferPointer) {
    // An unknown token comes when something known follows it: until then more of it may be fused into it.
    var isUnknownPending = false
    func takePending() {
      if isUnknownPending, let unknownID { word.append(unknownID) }
      isUnknownPending = false
    }
    func addUnknown(_ spelling: UnsafeRawBufferPointer) {
      if model.fallsBackToBytes, spelling.allSatisfy({ byteTokens[Int($0)] != nil }) {
        for byte in spelling { word.append(byteTokens[Int(byte)]!) }
      } else if unknownID != nil {
        if !model.fusesUnknown { takePending() }
        isUnknownPending = true
      }
    }
    if isByteLevel {
      for byte in text {
        if let id = symbols[Int(byte)] {
          takePending()
          word.append(id)
        } else {
          byteLevelSpellings[Int(byte)].withUnsafeBytes(addUnknown)
        }
      }
    } else {
      var position = 0
      while position < text.count {
        let length = lengthOfScalar(startingWith: text[position])
        let scalar = UnsafeRawBufferPointer(rebasing: text[position..<position + length])
        if let id = length == 1 ? symbols[Int(text[position])] : vocabulary.id(of: scalar) {
          takePending()
          word.append(id)
        } else {
          addUnknown(scalar)
        }
        position += length
      }
    }
    takePending()
  }

  private mutating func remember(_ text: UnsafeRawBufferPointer, _ ids: ArraySlice<Int32>) {
    if known.count == Self.rememberedWords {
      known.removeAll()
      knownIDs.removeAll(keepingCapacity: true)
      knownStarts.removeLast(knownStarts.count - 1)
    }
    known.insert(text)
    knownIDs.append(contentsOf: ids)
    knownStarts.append(knownIDs.count)
  }
}

/// The symbols of a word while they are merged: a doubly linked list in arrays, and a heap of the merges that could
/// come next. Time grows with n log n, so that a long run of Chinese or of letters is no trap.
private struct Word {
  private var symbols: [Int32] = []
  /// The neighbours of each symbol; -1 before the first and behind the last.
  private var previous: [Int32] = []
  private var next: [Int32] = []
  /// The rank of the merge of each symbol with its next; `noMerge` where there is none, or where the symbol is gone.
  private var ranks: [UInt32] = []
  /// What the merge of each symbol with its next makes.
  private var results: [Int32] = []
  /// A binary heap of rank × 2³² + place: the smallest is the lowest rank's leftmost merge. A merge whose rank is no
  /// longer its place's is out of date.
  private var heap: [UInt64] = []

  private static let noMerge = UInt32.max

  mutating func clear() { symbols.removeAll(keepingCapacity: true) }

  mutating func append(_ symbol: Int32) { symbols.append(symbol) }

  mutating func append(to ids: inout [Int32]) {
    var place = symbols.isEmpty ? -1 : 0
    while place >= 0 {
      ids.append(symbols[place])
      place = Int(next[place])
    }
  }

  mutating func merge(by merges: MergeTable) {
    let count = symbols.count
    precondition(count < Int32.max, "a word of 2 GB")
    previous.removeAll(keepingCapacity: true)
    next.removeAll(keepingCapacity: true)
    ranks.removeAll(keepingCapacity: true)
    results.removeAll(keepingCapacity: true)
    heap.removeAll(keepingCapacity: true)
    for place in 0..<count {
      previous.append(Int32(place) - 1)
      next.append(place + 1 < count ? Int32(place) + 1 : -1)
      ranks.append(Self.noMerge)
      results.append(-1)
    }
    for place in 0..<count { consider(place, merges) }
    while let lowest = popLowest() {
      let place = Int(lowest & 0xffff_ffff)
      guard ranks[place] == UInt32(lowest >> 32) else { continue }
      let taken = Int(next[place])
      symbols[place] = results[place]
      ranks[taken] = Self.noMerge
      next[place] = next[taken]
      if next[place] >= 0 { previous[Int(next[place])] = Int32(place) }
      consider(place, merges)
      if previous[place] >= 0 { consider(Int(previous[place]), merges) }
    }
  }

  /// Looks up the merge of the symbol at `place` with its next.
  private mutating func consider(_ place: Int, _ merges: MergeTable) {
    guard next[place] >= 0, let merge = merges[symbols[place], symbols[Int(next[place])]] else {
      ranks[place] = Self.noMerge
      return
    }
    ranks[place] = merge.rank
    results[place] = merge.result
    push(UInt64(merge.rank) << 32 | UInt64(place))
  }

  private mutating func push(_ value: UInt64) {
    var hole = heap.count
    heap.append(value)
    while hole > 0, heap[(hole - 1) / 2] > value {
      heap[hole] = heap[(hole - 1) / 2]
      hole = (hole - 1) / 2
    }
    heap[hole] = value
  }

  private mutating func popLowest() -> UInt64? {
    guard let lowest = heap.first else { return nil }
    let value = heap.removeLast()
    guard !heap.isEmpty else { return lowest }
    var hole = 0
    while true {
      var child = 2 * hole + 1
      guard child < heap.count else { break }
      if child + 1 < heap.count, heap[child + 1] < heap[child] { child += 1 }
      guard heap[child] < value else { break }
      heap[hole] = heap[child]
      hole = child
    }
    heap[hole] = value
    return lowest
  }
}
