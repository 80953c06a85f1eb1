#!/usr/bin/env python3
"""Makes damaged-streams.json: whole and damaged tensor streams, each with the refusal that it must meet.

    Tests/Files/TensorStreamTests/make_damaged_streams.py        writes the table beside this file

The Swift reader (DamagedStreamsTests.swift) and the Python one (Tests/Python/run) both go through it. A refusal is the
text behind the input's name; null where the stream is whole. Where it ends in … what follows is a library's. Streams are
put together by hand, from RFC 8878 and the safetensors format, without either reader's code.
"""

import base64
import json
import pathlib
import struct

import numpy as np
import xxhash

MAGIC = b"\x28\xb5\x2f\xfd"
RLE = 1


def frame(content, *, checksum=True, size="true", window=None, dictionary=None, reserved=0, magic=MAGIC, runs=()):
    """A frame of raw blocks and, behind them, of runs (byte, length), each a block of one repeated byte."""
    blocks = [(0, content[i : i + 65536]) for i in range(0, len(content), 65536)]
    blocks += [(RLE, bytes([byte]) * length) for byte, length in runs]
    whole = content + b"".join(bytes([byte]) * length for byte, length in runs)
    size = len(whole) if size == "true" else size
    out = magic + bytes([reserved | (0xC0 if size is not None else 0) | (0x20 if window is None else 0)
                         | (0x04 if checksum else 0) | (0x01 if dictionary is not None else 0)])
    out += b"" if window is None else bytes([window])
    out += b"" if dictionary is None else bytes([dictionary])
    out += b"" if size is None else struct.pack("<Q", size)
    for number, (kind, block) in enumerate(blocks):
        header = (number == len(blocks) - 1) | kind << 1 | len(block) << 3
        out += struct.pack("<I", header)[:3] + (block[:1] if kind == RLE else block)
    return out + (struct.pack("<I", xxhash.xxh64_intdigest(whole) & 0xFFFFFFFF) if checksum else b"")


def raw(header, data=b""):
    """A safetensors buffer with a header of exactly that text."""
    header = header if isinstance(header, bytes) else header.encode()
    return struct.pack("<Q", len(header)) + header + data


def buffer(metadata, tensors=()):
    """A safetensors buffer; tensors are (name, dtype, array), wide types first."""
    header, data = {"__metadata__": metadata}, b""
    for name, dtype, values in sorted(tensors, key=lambda tensor: -tensor[2].itemsize):
        header[name] = {"dtype": dtype, "shape": list(values.shape), "data_offsets": [len(data), len(data) + values.nbytes]}
        data += values.tobytes()
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    return raw(text + b" " * (-len(text) % 8), data)


def begin(kind="tokens", **rest):
    return buffer({"record": "begin", "format": "tensor-stream/2", "kind": kind, **rest})


def end(*data, **changed):
    return buffer({"record": "end", "records": str(len(data)), "bytes": str(sum(map(len, data))), **changed})


def data(*tensors, batch="0"):
    return buffer({"record": "data", **({} if batch is None else {"batch": batch})}, tensors)


def stream(*records):
    return b"".join(map(frame, records))


def whole(kind, *records, **provenance):
    return stream(begin(kind, **provenance), *records, end(*records))


def numbers(name, dtype, values):
    return name, dtype, np.array(values, {"I32": "<i4", "I64": "<i8", "F32": "<f4", "F64": "<f8"}[dtype])


def tokens(ids=(1, 2, 3), ends=(0, 2, 3), samples=(0, 1), documents=(0, 0), lengths=None, starts=None, batch="0",
           without=()):
    tensors = [numbers("input_ids", "I32", ids), numbers("cu_seqlens", "I32", ends),
               numbers("sample_index", "I64", samples), numbers("document", "I64", documents)]
    tensors += [] if lengths is None else [numbers("valid_lengths", "I32", lengths)]
    tensors += [] if starts is None else [numbers("valid_starts", "I32", starts)]
    return data(*[tensor for tensor in tensors if tensor[0] not in without], batch=batch)


def gradients(ends=(0, 2, 3), position=(0, 1, 0), token=(7, 8, 9), samples=(0, 1), documents=(0, 0), predictions=(1, 0),
              loss=None, active=None):
    tensors = [numbers("cu_positions", "I32", ends), numbers("position", "I32", position), numbers("token", "I32", token),
               numbers("sample_index", "I64", samples), numbers("document", "I64", documents),
               numbers("predictions", "I32", predictions), ("grad.mlp_out.1", "F32", np.ones((len(position), 8), "<f4"))]
    tensors += [] if loss is None else [numbers("loss", "F64", loss)]
    if active is not None:
        tensors += [numbers("cu_active.mlp_out.1", "I64", active[0]), numbers("feature.mlp_out.1", "I32", active[1]),
                    numbers("value.mlp_out.1", "F32", active[2])]
    return data(*tensors)


def cases():
    """Name, stream, refusal."""
    first = tokens()
    good = whole("tokens", first)
    frames = [frame(begin()), frame(first), frame(end(first))]
    starts = np.cumsum([0] + [len(part) for part in frames]).tolist()
    x = ("x", "F32", np.zeros(4, "<f4"))

    yield "a stream without records", whole("tokens"), None
    yield "one record", good, None
    yield "two segments", good + whole("tokens", tokens(samples=(2, 3))), None
    yield "a hash that is right", stream(begin()) + frame(end(xxh64=xxhash.xxh64_hexdigest(frame(begin())))), None
    yield "unknown metadata and tensors", whole("gradients", data(
        *[numbers(*t) for t in [("cu_positions", "I32", [0, 1]), ("position", "I32", [0]), ("token", "I32", [1]),
                                ("sample_index", "I64", [0]), ("document", "I64", [0]), ("predictions", "I32", [1])]], x),
        unheard="of"), None
    yield "gradients", whole("gradients", gradients(loss=[1.5, 0], active=([0, 2, 2, 3], [0, 7, 0], [1, 2, 3]))), None
    yield "padded tokens", whole("tokens", tokens(lengths=[1, 1], starts=[1, 0])), None

    # What is no stream.
    yield "nothing", b"", "empty input: expected a tensor stream"
    zstd = "not a tensor stream: expected a zstd frame, found"
    yield "text", b"some text\n", f"record 0: {zstd} text that begins with 'some text'"
    yield "text that begins with empty lines", b"\n\nsome", f"record 0: {zstd} text"
    yield "an array of numpy", b"\x93NUMPY", f"record 0: {zstd} the bytes 934e554d"
    yield "text behind the end", good + b"text\0", f"record 3: {zstd} the bytes 74657874"
    yield "a pointer to a file", b"version https://git-lfs.github.com/spec/v1\n", (
        f"record 0: {zstd} a Git LFS pointer: the file itself is yet to be fetched, with git lfs pull")
    yield "a skippable frame", bytes.fromhex("502a4d180400000001020304") + good, f"record 0: {zstd} the bytes 502a4d18"

    # Cut off.
    yield "cut inside the first header", good[:4], (
        "record 0: truncated: the stream ends inside a zstd frame header")
    yield "cut behind the begin record", good[: starts[1]], (
        "record 1: truncated: expected a data or end record, found the end")
    yield "cut behind a data record", good[: starts[2]], (
        "record 2: truncated: expected a data or end record, found the end")
    yield "cut inside a header", good[: starts[2] + 3], "record 2: truncated: the stream ends inside a zstd frame header"
    yield "cut inside a block", good[: starts[1] + 40], "record 1: truncated: the stream ends inside a zstd frame"
    yield "cut before the last byte", good[:-1], "record 2: truncated: the stream ends inside a zstd frame"
    yield "a second segment that is cut off", good + frame(begin()), (
        "record 4: truncated: expected a data or end record, found the end")

    # Frames.
    def framed(name, refusal, **options):
        return name, frame(begin(), **options) + frame(end()), refusal if refusal is None else f"record 0: {refusal}"
    header = "zstd frame header: expected"
    yield framed("a window of 8 MB", None, window=13 << 3)
    yield framed("no checksum", f"{header} a content checksum, found none", checksum=False)
    yield framed("no content size", f"{header} a content size, found none", size=None, window=0)
    yield framed("a dictionary", f"{header} no dictionary and no reserved bits, found e5", dictionary=5)
    yield framed("the reserved bit", f"{header} no dictionary and no reserved bits, found ec", reserved=0x08)
    yield framed("the unused bit", f"{header} no dictionary and no reserved bits, found f4", reserved=0x10)
    large = "zstd frame window too large: expected at most 8388608 bytes, found"
    yield framed("a window of 9 MB", f"{large} 9437184", window=13 << 3 | 1)
    yield framed("the largest window there is", f"{large} 4123168604160", window=0xFF)
    yield framed("content of 16 GB without a window", f"{large} 17179869184", size=16 << 30)
    yield framed("content over 16 GB", "zstd frame too large: expected at most 17179869184 bytes, found 17179869185",
                 size=(16 << 30) + 1, window=0)
    yield framed("content of 2^64 bytes", "zstd frame too large: expected at most 17179869184 bytes, found "
                 "18446744073709551613", size=2**64 - 3, window=0)
    yield framed("content size that is too small", "damaged zstd frame: …", size=len(begin()) - 1)
    yield framed("content size that is too large", "damaged zstd frame: …", size=len(begin()) + 1, window=13 << 3)
    yield framed("gigabytes that are not there", "damaged zstd frame: …", size=15 << 30, window=13 << 3)
    yield framed("8 MB of zeros without a window", f"{large} {8388608 + len(begin())}", runs=[(0, 131072)] * 64)
    damaged = bytearray(good)
    damaged[starts[1] - 1] ^= 1
    yield "a wrong checksum", bytes(damaged), "record 0: damaged zstd frame: …"
    damaged = bytearray(good)
    damaged[13] |= 0x06
    yield "a reserved type of block", bytes(damaged), "record 0: damaged zstd frame: …"

    # safetensors.
    def headed(name, header, refusal, contents=b""):
        return name, stream(raw(header, contents)), f"record 0: {refusal}"
    yield "two bytes", stream(b"\1\2"), "record 0: safetensors header too small: expected at least 8 bytes, found 2"
    yield "a header beyond the buffer", stream(struct.pack("<Q", 9) + b"{}"), (
        "record 0: safetensors header length: expected 9 bytes of header, found 2")
    yield "a header over 1 MB", frame(struct.pack("<Q", 1048577) + b"{}", runs=[(32, 131072)] * 7 + [(32, 131071)]), (
        "record 0: safetensors header too large: expected at most 1048576 bytes, found 1048577")
    yield "a header of 2^63 bytes", stream(struct.pack("<Q", 1 << 63) + b"{}"), (
        "record 0: safetensors header too large: expected at most 1048576 bytes, found 9223372036854775808")
    yield headed("a header that begins with a space", " {}", "safetensors header start: expected '{'")
    yield headed("an empty header", "", "safetensors header start: expected '{'")
    yield headed("no JSON", '{"a"}', "safetensors header: …")
    yield headed("JSON and something behind it", "{}{}", "safetensors header: …")
    yield headed("a name twice", '{"__metadata__":{},"__metadata__":{}}', "safetensors header: …")
    yield headed("metadata with a name twice", '{"__metadata__":{"a":"","a":""}}', "safetensors header: …")
    yield headed("no UTF-8", b'{"\xff":0}', "safetensors header: …")
    yield headed("half a surrogate pair", '{"__metadata__":{"a":"\\ud800"}}', "safetensors header: …")
    yield headed("a control character in a string", '{"__metadata__":{"a":"\t"}}', "safetensors header: …")
    yield headed("NaN", '{"x":NaN}', "safetensors header: …")
    yield headed("a number out of range", '{"x":1e999}', "safetensors header: …")
    yield headed("nested too deeply", '{"x":' + "[" * 100 + "]" * 100 + "}", "safetensors header: …")
    yield headed("metadata that is an array", '{"__metadata__":[]}',
                 "safetensors __metadata__: expected an object of strings")
    yield headed("metadata with a number", '{"__metadata__":{"a":1}}',
                 "safetensors __metadata__: expected an object of strings")
    yield headed("two spellings of one key", '{"__metadata__":{"\u00e9":"","e\u0301":""}}',
                 "safetensors __metadata__: expected an object of strings")
    empty = '{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    yield headed("two spellings of one tensor", f'{{"\u00e9":{empty},"e\u0301":{empty}}}',
                 "safetensors header: expected tensors of different names")

    def tensor(name, info, refusal, contents=b""):
        return headed(name, f'{{"x":{info}}}', f"tensor x: {refusal}", contents)
    expected = "expected dtype, shape and data_offsets"
    yield tensor("a tensor that is a number", "1", expected)
    yield tensor("no dtype", '{"shape":[0],"data_offsets":[0,0]}', expected)
    yield tensor("another member", '{"dtype":"F32","shape":[0],"data_offsets":[0,0],"more":1}', expected)
    yield tensor("one offset", '{"dtype":"F32","shape":[0],"data_offsets":[0]}', expected)
    yield tensor("offsets that fall", '{"dtype":"F32","shape":[0],"data_offsets":[4,0]}', expected)
    yield tensor("an offset below 0", '{"dtype":"F32","shape":[1],"data_offsets":[-4,0]}', expected)
    yield tensor("an offset with a fraction", '{"dtype":"F32","shape":[1],"data_offsets":[0,4.0]}', expected)
    yield tensor("an offset that is true", '{"dtype":"U8","shape":[1],"data_offsets":[0,true]}', expected)
    yield tensor("a dimension below 0", '{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}', expected)
    yield tensor("a dimension in words", '{"dtype":"F32","shape":["1"],"data_offsets":[0,4]}', expected)
    yield tensor("an unknown dtype", '{"dtype":"F31","shape":[1],"data_offsets":[0,4]}', "unknown dtype F31")
    yield tensor("a size that overflows", '{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}',
                 "the size overflows")
    yield tensor("a dimension of 2^64", '{"dtype":"F32","shape":[18446744073709551616],"data_offsets":[0,4]}',
                 "the size overflows")
    yield tensor("a shape that is too large", '{"dtype":"F32","shape":[2],"data_offsets":[0,4]}',
                 "shape and dtype make 8 bytes, data_offsets 4", b"0123")
    yield tensor("a gap before a tensor", '{"dtype":"F32","shape":[1],"data_offsets":[4,8]}',
                 "data_offsets not contiguous: expected start 0, found 4", b"01234567")
    yield headed("tensors that overlap",
                 '{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"y":{"dtype":"F32","shape":[1],'
                 '"data_offsets":[4,8]}}', "tensor y: data_offsets not contiguous: expected start 8, found 4", b"01234567")
    yield headed("data left over", "{}", "safetensors data: expected 0 bytes, found 3", b"012")
    yield headed("data missing", '{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
                 "safetensors data: expected 4 bytes, found 3", b"012")

    # Records.
    found = "expected a begin record, found record="
    yield "a data record first", stream(first), f"record 0: {found}data"
    yield "an end record first", stream(end()), f"record 0: {found}end"
    yield "no record's name", stream(raw("{}")), f"record 0: {found}(none)"
    yield "a data record behind the end", good + frame(first), f"record 3: {found}data"
    plain = {"record": "begin", "format": "tensor-stream/2", "kind": "tokens"}
    former = ", of earlier programs: make the stream again with this version's programs"
    for version, rest in [("tensor-stream/1", former), ("tensor-stream/3", "")]:
        yield f"format {version}", stream(buffer({**plain, "format": version})), (
            f"record 0: expected format tensor-stream/2, found {version}{rest}")
    yield "no format", stream(buffer({"record": "begin", "kind": "tokens"})), (
        "record 0: expected format tensor-stream/2, found (none)")
    kinds = "tokens or activations or gradients or aggregates"
    yield "an unknown kind", stream(begin("pictures")), f"record 0: expected a stream of {kinds}, found pictures"
    yield "no kind", stream(buffer({"record": "begin", "format": "tensor-stream/2"})), (
        f"record 0: expected a stream of {kinds}, found (none)")
    yield "another kind behind the first", whole("tokens") + whole("gradients"), (
        "record 2: expected a stream of tokens, found gradients")
    yield "tensors in a begin record", stream(buffer(plain, [x])), (
        "record 0: expected a begin record without tensors, found 1")
    yield "tensors in an end record", stream(begin(), buffer({"record": "end", "records": "0", "bytes": "0"}, [x])), (
        "record 1: expected an end record without tensors, found 1")
    inside = "record 1: expected a data or end record, found record="
    yield "a begin record inside a segment", stream(begin(), begin()), f"{inside}begin"
    yield "another record inside a segment", stream(begin(), buffer({"record": "other"})), f"{inside}other"
    yield "a record without a name inside a segment", stream(begin(), raw("{}")), f"{inside}(none)"
    disagrees = "record 2: end record disagrees: counted"
    size = str(len(first))
    for name, change, what in [("too many records", {"records": "2"}, "records=1, found records=2"),
                               ("a count with a leading zero", {"records": "01"}, "records=1, found records=01"),
                               ("other bytes", {"bytes": "16"}, f"bytes={size}, found bytes=16")]:
        yield name, stream(begin(), first, end(first, **change)), f"{disagrees} {what}"
    yield "no count of records", stream(begin(), first, buffer({"record": "end", "bytes": size})), (
        f"{disagrees} records=1, found records=(none)")
    yield "no count of bytes", stream(begin(), first, buffer({"record": "end", "records": "1"})), (
        f"{disagrees} bytes={size}, found bytes=(none)")
    hashed = xxhash.xxh64_hexdigest(frame(begin()) + frame(first))
    yield "another hash", stream(begin(), first, end(first, xxh64="0123456789abcdef")), (
        f"{disagrees} xxh64={hashed}, found xxh64=0123456789abcdef")
    second = tokens(samples=(2, 3), batch="1")
    right = end(first, second, xxh64=xxhash.xxh64_hexdigest(stream(begin(), first, second)))
    moved = xxhash.xxh64_hexdigest(stream(begin(), second, first))
    yield "records that changed places", stream(begin(), second, first, right), (
        f"record 3: end record disagrees: counted xxh64={moved}, found "
        f"xxh64={xxhash.xxh64_hexdigest(stream(begin(), first, second))}")
    yield "a record that is missing", stream(begin(), first, right), (
        "record 2: end record disagrees: counted records=1, found records=2")
    yield "a record twice", stream(begin(), first, first, second, right), (
        "record 4: end record disagrees: counted records=3, found records=2")

    # The tensors of a kind.
    for batch, words in [(None, "none"), ("", ""), ("-1", "-1"), ("one", "one"), ("9" * 20, "9" * 20)]:
        yield f"batch '{batch}'", whole("tokens", tokens(batch=batch)), f"record 1: expected a number batch, found {words}"

    def of(kind, make):
        return lambda name, refusal, **options: (name, whole(kind, make(**options)), f"record 1: {refusal}")
    broken = of("tokens", tokens)
    yield broken("no documents", "tensor document is missing", without=["document"])
    yield broken("too few lengths", "tensor cu_seqlens: expected I32 [3], found I32 [2]", ends=(0, 3))
    rise = "cu_seqlens: expected numbers that rise from 0 to 3, found"
    yield broken("lengths that begin with 1", f"{rise} 1 to 3", ends=(1, 2, 3))
    yield broken("lengths that end too late", f"{rise} 0 to 4", ends=(0, 2, 4))
    yield broken("lengths that fall", f"{rise} 0 to 3", ends=(0, 4, 3))
    yield broken("a length below 0", f"{rise} 0 to 3", ends=(0, -1, 3))
    yield broken("a sample without tokens",
                 "cu_seqlens: expected at least one token in sample 1 of the batch, found none", ends=(0, 3, 3))
    most = 2**63 - 2
    yield broken("a sample below 0", f"sample_index: expected a number from 0 to {most}, found -1", samples=(-1, 0))
    yield broken("a sample of 2^63-1", f"sample_index: expected a number from 0 to {most}, found {most + 1}",
                 samples=(0, most + 1))
    yield broken("too few documents", "tensor document: expected I64 [2], found I64 [1]", documents=(0,))
    yield broken("a document below 0", f"document: expected a number from 0 to {most}, found -4", documents=(0, -4))
    yield broken("too few valid lengths", "tensor valid_lengths: expected I32 [2], found I32 [1]", lengths=[2])
    yield broken("a valid length that is too large", "valid_lengths[1]: expected a length from 1 to 1, found 2",
                 lengths=[2, 2])
    yield broken("a valid length of 0", "valid_lengths[0]: expected a length from 1 to 2, found 0", lengths=[0, 1])
    yield broken("valid starts alone", "valid_starts: expected valid_lengths beside it, found none", starts=[0, 0])
    yield broken("a valid start that is too large", "valid_starts[0]: expected a number from 0 to 1, found 2",
                 lengths=[1, 1], starts=[2, 0])
    yield broken("a valid start below 0", "valid_starts[1]: expected a number from 0 to 0, found -1",
                 lengths=[1, 1], starts=[1, -1])
    # Without the two spaces behind the header its tensors would lie at multiples of 8.
    info = '"sample_index":{"dtype":"I64","shape":[1],"data_offsets":[0,8]},"input_ids":{"dtype":"I32","shape":[1],' \
           '"data_offsets":[8,12]}'
    text = f'{{"__metadata__":{{"record":"data","batch":"0"}},{info}}}'
    odd = raw(text + " " * (-len(text) % 8) + "  ", bytes(12))
    yield "tensors at odd places", whole("tokens", odd), "record 1: tensor input_ids: expected data aligned to 4 bytes"

    broken = of("gradients", gradients)
    yield broken("too few positions' lengths", "tensor cu_positions: expected I32 [3], found I32 [2]", ends=(0, 3))
    yield broken("positions' lengths that end too late",
                 "cu_positions: expected numbers that rise from 0 to 3, found 0 to 9", ends=(0, 2, 9))
    yield broken("too few tokens", "tensor token: expected I32 [3], found I32 [2]", token=(7, 8))
    yield broken("too many documents", "tensor document: expected I64 [2], found I64 [3]", documents=(0, 0, 0))
    yield broken("too few predictions", "tensor predictions: expected I32 [2], found I32 [1]", predictions=(1,))
    yield broken("predictions below 0", "predictions: expected no negative number, found -1", predictions=(1, -1))
    yield broken("too few losses", "tensor loss: expected F64 [2], found F64 [1]", loss=[1])
    active = "cu_active.mlp_out.1"
    rows = [0, 2, 2, 3]
    yield broken("too few rows of active features", f"tensor {active}: expected I64 [4], found I64 [2]",
                 active=([0, 3], [0, 7, 0], [1, 2, 3]))
    yield broken("too few values", "tensor value.mlp_out.1: expected F32 [3], found F32 [2]",
                 active=(rows, [0, 7, 0], [1, 2]))
    yield broken("rows that begin with 1", f"{active}: expected numbers that rise from 0 to 3, found 1 to 3",
                 active=([1, 2, 2, 3], [0, 7, 0], [1, 2, 3]))
    yield broken("rows that fall", f"{active}: expected numbers that rise from 0 to 3, found 0 to 3",
                 active=([0, 4, 2, 3], [0, 7, 0], [1, 2, 3]))
    features = "feature.mlp_out.1: row 0: expected numbers that rise, from 0 to 7, found"
    yield broken("a feature twice", f"{features} 4 behind 4", active=(rows, [4, 4, 0], [1, 2, 3]))
    yield broken("a feature beyond the last", f"{features} 8 behind 4", active=(rows, [4, 8, 0], [1, 2, 3]))
    yield broken("a feature below 0", f"{features} -1", active=(rows, [-1, 7, 0], [1, 2, 3]))


if __name__ == "__main__":
    lines = []
    for name, contents, refusal in cases():
        entry = {"name": name, "refusal": refusal, "stream": base64.b64encode(contents).decode()}
        lines.append(json.dumps(entry, ensure_ascii=False))
    path = pathlib.Path(__file__).with_name("damaged-streams.json")
    path.write_text("[\n" + ",\n".join(lines) + "\n]\n")
    print(f"{path.name}: {len(lines)} streams, {path.stat().st_size} bytes")
