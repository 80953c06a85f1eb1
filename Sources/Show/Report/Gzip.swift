import CDeflate
import SystemIO

/// Bytes as a gzip file (RFC 1952), which browsers unpack themselves.
package func gzipped(_ bytes: [UInt8]) throws(Failure) -> [UInt8] {
  guard let compressor = libdeflate_alloc_compressor(12) else { throw .outOfMemory(1 << 20) }
  defer { libdeflate_free_compressor(compressor) }
  var packed = [UInt8](repeating: 0, count: libdeflate_gzip_compress_bound(compressor, bytes.count))
  let count = packed.withUnsafeMutableBytes { packed in
    libdeflate_gzip_compress(compressor, bytes, bytes.count, packed.baseAddress, packed.count)
  }
  // The bound is what every input fits into.
  precondition(count > 0)
  return Array(packed.prefix(count))
}
