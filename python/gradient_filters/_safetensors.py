"""safetensors buffers with the metadata and the limits of a stream's records."""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any, Mapping

import numpy as np

from ._frames import Malformed

LARGEST_HEADER = 1 << 20
# numpy has no type for the last three: their bits are given.
TYPES = {
    "BOOL": np.dtype(bool), "U8": np.dtype("u1"), "I8": np.dtype("i1"), "I16": np.dtype("<i2"), "U16": np.dtype("<u2"),
    "F16": np.dtype("<f2"), "I32": np.dtype("<i4"), "U32": np.dtype("<u4"), "F32": np.dtype("<f4"),
    "I64": np.dtype("<i8"), "U64": np.dtype("<u8"), "F64": np.dtype("<f8"), "BF16": np.dtype("<u2"),
    "F8_E4M3": np.dtype("u1"), "F8_E5M2": np.dtype("u1"),
}
NAMES = {dtype: name for name, dtype in reversed(TYPES.items())}
# The programs begin tensors on a cache line.
ALIGNMENT = 64
DEEPEST_NESTING = 64


class Tensor:
    """Where one tensor lies in a buffer."""

    def __init__(self, name: str, type: str, shape: list[int], start: int, end: int) -> None:
        self.name, self.type, self.shape, self.start, self.end = name, type, shape, start, end


class Buffer:
    """A safetensors buffer, whose header was checked."""

    def __init__(self, contents: np.ndarray) -> None:
        """Of U8 [size], aligned to 8 bytes or more; refuses what the format page says that a reader must."""
        size = contents.size
        if size < 8:
            raise Malformed(f"safetensors header too small: expected at least 8 bytes, found {size}")
        length = int(contents[:8].view("<u8")[0])
        if length > LARGEST_HEADER:
            raise Malformed(
                f"safetensors header too large: expected at most {LARGEST_HEADER} bytes, found {length}")
        if length > size - 8:
            raise Malformed(f"safetensors header length: expected {length} bytes of header, found {size - 8}")
        text = contents[8 : 8 + length].tobytes()
        if not text.startswith(b"{"):
            raise Malformed("safetensors header start: expected '{'")
        self.metadata: dict[str, str] = {}
        self.tensors: dict[str, Tensor] = {}
        for name, value in _parsed(text).items():
            if name == "__metadata__":
                self.metadata = _metadata(value)
            else:
                self.tensors[name] = _tensor(name, value)
        if not _all_differ(self.tensors):
            raise Malformed("safetensors header: expected tensors of different names")
        end = 0
        for tensor in sorted(self.tensors.values(), key=lambda tensor: (tensor.start, tensor.end)):
            if tensor.start != end:
                raise Malformed(f"tensor {tensor.name}: data_offsets not contiguous: expected start {end}, "
                                f"found {tensor.start}")
            end = tensor.end
        contents.flags.writeable = False
        self._data = contents[8 + length :]
        if self._data.size != end:
            raise Malformed(f"safetensors data: expected {end} bytes, found {self._data.size}")
        self.size = size

    def array(self, name: str) -> np.ndarray:
        """A view of one tensor; KeyError where there is none."""
        tensor = self.tensors[name]
        dtype = TYPES[tensor.type]
        view = self._data[tensor.start : tensor.end]
        if view.ctypes.data % dtype.itemsize:
            raise Malformed(f"tensor {name}: expected data aligned to {dtype.itemsize} bytes")
        return view.view(dtype).reshape(tensor.shape)


def encoded(metadata: Mapping[str, str], tensors: Mapping[str, np.ndarray]) -> np.ndarray:
    """A buffer as the programs write it, U8 [size]: metadata sorted by key, wide types first."""
    order = sorted(tensors, key=lambda name: -tensors[name].dtype.itemsize)
    header: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items(), key=lambda item: item[0].encode()))}
    offset = 0
    for name in order:
        tensor = tensors[name]
        header[name] = {"dtype": NAMES[tensor.dtype], "shape": list(tensor.shape),
                        "data_offsets": [offset, offset + tensor.nbytes]}
        offset += tensor.nbytes
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    if len(text) > LARGEST_HEADER:
        raise ValueError(f"a record's header: expected at most {LARGEST_HEADER} bytes, found {len(text)}")
    contents = np.empty(8 + len(text) + offset, np.uint8)
    contents[:8] = np.frombuffer(len(text).to_bytes(8, "little"), np.uint8)
    contents[8 : 8 + len(text)] = np.frombuffer(text, np.uint8)
    start = 8 + len(text)
    for name in order:
        tensor = tensors[name]
        contents[start : start + tensor.nbytes].view(tensor.dtype)[:] = tensor.reshape(-1)
        start += tensor.nbytes
    return contents


def _parsed(text: bytes) -> dict[str, Any]:
    """JSON, strictly: UTF-8, no name twice, no lone surrogate, no NaN, nesting of at most 64."""
    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ValueError("a name stands there twice")
        return found

    def constant(word: str) -> None:
        raise ValueError(f"{word} is no number of JSON")

    def number(digits: str) -> float:
        value = float(digits)
        if value in (float("inf"), float("-inf")):
            raise ValueError("a number is out of range")
        return value

    def integer(digits: str) -> int | float:
        # Beyond 64 bits a whole number is one of floating point, as for the programs.
        value = number(digits)
        return int(digits) if len(digits) < 21 and -(1 << 63) <= int(digits) < 1 << 63 else value

    try:
        found: dict[str, Any] = json.loads(text.decode(), object_pairs_hook=members, parse_constant=constant, parse_float=number,
                           parse_int=integer)
        _check_depth(text)
        # A surrogate on its own cannot be encoded.
        json.dumps(found, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise Malformed(f"safetensors header: not JSON: {error or 'nested too deeply'}") from None
    return found


def _check_depth(text: bytes) -> None:
    depth = 0
    for bracket in re.findall(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]', text):
        depth += {b"[": 1, b"{": 1, b"]": -1, b"}": -1}.get(bracket, 0)
        if depth > DEEPEST_NESTING + 1:
            raise ValueError(f"expected nesting of at most {DEEPEST_NESTING}")


def _all_differ(names: Any) -> bool:
    """Two spellings of é are two keys of JSON and one name to the programs."""
    return len({unicodedata.normalize("NFC", name) for name in names}) == len(names)


def _metadata(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()) or not _all_differ(value):
        raise Malformed("safetensors __metadata__: expected an object of strings")
    return value


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _tensor(name: str, value: Any) -> Tensor:
    malformed = Malformed(f"tensor {name}: expected dtype, shape and data_offsets")
    if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data_offsets"}:
        raise malformed
    type, dimensions, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not (isinstance(type, str) and isinstance(dimensions, list) and isinstance(offsets, list) and len(offsets) == 2
            and all(map(_is_whole, offsets)) and 0 <= offsets[0] <= offsets[1]):
        raise malformed
    if type not in TYPES:
        raise Malformed(f"tensor {name}: unknown dtype {type}")
    size = TYPES[type].itemsize
    for dimension in dimensions:
        if isinstance(dimension, float) and dimension >= 1 << 63:
            raise Malformed(f"tensor {name}: the size overflows")
        if not _is_whole(dimension) or dimension < 0:
            raise malformed
        size *= dimension
        if size >= 1 << 63:
            raise Malformed(f"tensor {name}: the size overflows")
    found = offsets[1] - offsets[0]
    if size != found:
        raise Malformed(f"tensor {name}: shape and dtype make {size} bytes, data_offsets {found}")
    return Tensor(name, type, dimensions, offsets[0], offsets[1])
