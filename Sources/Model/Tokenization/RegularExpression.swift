import CPCRE2
import SystemIO

/// A regular expression as Hugging Face tokenizers read it, compiled by PCRE2, to machine code where that is allowed.
final class RegularExpression {
  private let expression: String
  private let code: OpaquePointer
  private let match: OpaquePointer
  private let context: OpaquePointer
  private let stack: OpaquePointer?
  private let isMachineCode: Bool

  /// - Throws: `Failure` of kind malformed for what is no expression, or has a construct that is not implemented.
  init(_ expression: String) throws {
    self.expression = expression
    let translation = Array(try ExpressionTranslator.translate(expression).utf8)
    guard let settings = pcre2_compile_context_create_8(nil) else { throw Self.outOfMemory }
    defer { pcre2_compile_context_free_8(settings) }
    pcre2_set_newline_8(settings, UInt32(PCRE2_NEWLINE_LF))
    pcre2_set_bsr_8(settings, UInt32(PCRE2_BSR_UNICODE))
    var (error, offset): (Int32, Int) = (0, 0)
    let options = UInt32(PCRE2_UTF) | PCRE2_UCP | PCRE2_MULTILINE
    guard let code = pcre2_compile_8(translation, translation.count, options, &error, &offset, settings) else {
      throw Failure(.malformed, "expression \(quoted(expression.utf8)): \(Self.describe(error))")
    }
    self.code = code
    isMachineCode = pcre2_jit_compile_8(code, UInt32(PCRE2_JIT_COMPLETE)) == 0
    guard let match = pcre2_match_data_create_8(1, nil), let context = pcre2_match_context_create_8(nil) else {
      throw Self.outOfMemory
    }
    self.match = match
    self.context = context
    pcre2_set_heap_limit_8(context, 512 << 10)
    stack = isMachineCode ? pcre2_jit_stack_create_8(32 << 10, 16 << 20, nil) : nil
    if let stack { pcre2_jit_stack_assign_8(context, nil, UnsafeMutableRawPointer(stack)) }
  }

  deinit {
    pcre2_match_data_free_8(match)
    pcre2_match_context_free_8(context)
    pcre2_jit_stack_free_8(stack)
    pcre2_code_free_8(code)
  }

  /// The first match of `text`, valid UTF-8, that starts at `start` or behind it.
  ///
  /// - Throws: `Failure` of kind malformed where the search takes more steps, or more memory, than it may.
  func firstMatch(in text: UnsafeRawBufferPointer, from start: Int) throws -> Range<Int>? {
    // An address of nothing would be refused.
    guard let address = text.baseAddress?.assumingMemoryBound(to: UInt8.self) else {
      return try [UInt8(0)].withUnsafeBytes { try firstMatch(in: .init(rebasing: $0[..<0]), from: 0) }
    }
    let options = UInt32(PCRE2_NO_UTF_CHECK)
    var result =
      isMachineCode
      ? pcre2_jit_match_8(code, address, text.count, start, options, match, context)
      : pcre2_match_8(code, address, text.count, start, options, match, context)
    if result == PCRE2_ERROR_JIT_STACKLIMIT {
      // Without machine code it takes its memory from the heap.
      result = pcre2_match_8(code, address, text.count, start, options | PCRE2_NO_JIT, match, context)
    }
    if result == PCRE2_ERROR_NOMATCH { return nil }
    guard result >= 0 else {
      throw Failure(
        .malformed,
        "expression \(quoted(expression.utf8)): no answer for \(text.count) bytes of text: \(Self.describe(result))")
    }
    let ends = pcre2_get_ovector_pointer_8(match)!
    return ends[0]..<ends[1]
  }

  private static var outOfMemory: Failure { Failure(.outOfMemory, "no memory left for a regular expression") }

  private static func describe(_ error: Int32) -> String {
    var message = [UInt8](repeating: 0, count: 256)
    pcre2_get_error_message_8(error, &message, message.count)
    return String(decoding: message.prefix { $0 != 0 }, as: UTF8.self)
  }
}
