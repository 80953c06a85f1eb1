/// For each byte its spelling in the vocabularies of byte-level BPE, the UTF-8 of one printable character.
///
/// The printable bytes of Latin-1 stand for themselves, the other 68 for U+0100 and up, in order: a space is `Ġ`.
/// This is `bytes_to_unicode` of OpenAI's GPT-2 `encoder.py`.
let byteLevelSpellings: [[UInt8]] = {
  var next: UInt32 = 0x100
  return (UInt8.min...UInt8.max).map { byte in
    let value: UInt32
    switch byte {
    case 0x21...0x7e, 0xa1...0xac, 0xae...0xff: value = UInt32(byte)
    default:
      value = next
      next += 1
    }
    return Array(UTF8.encode(Unicode.Scalar(value)!)!)
  }
}()
