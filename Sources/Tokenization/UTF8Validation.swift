/// Where and how `error` says that `bytes` are not UTF-8: `byte 17: found 0xff`. Bytes count from 1.
func describe(_ error: UTF8.ValidationError, in bytes: [UInt8]) -> String {
  let offsets = error.byteOffsets
  let found = bytes[offsets].map { "0x" + ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: " ")
  return "byte \(offsets.lowerBound + 1): found \(found)"
}
