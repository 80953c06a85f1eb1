"""libzstd and libxxhash: those that the wheel carries, else the system's."""

from __future__ import annotations

import ctypes
import ctypes.util
from pathlib import Path
from typing import Any

#: Where the wheel has the programs (bin), their libraries (lib), and what they need (share).
DATA = Path(__file__).parent / "data"

_size, _pointer = ctypes.c_size_t, ctypes.c_void_p


class InBuffer(ctypes.Structure):
    """ZSTD_inBuffer."""

    _fields_ = [("source", _pointer), ("size", _size), ("position", _size)]


class OutBuffer(ctypes.Structure):
    """ZSTD_outBuffer."""

    _fields_ = [("target", _pointer), ("size", _size), ("position", _size)]


def _load(name: str) -> ctypes.CDLL:
    candidates = [str(DATA / "lib" / f"lib{name}-gradient-filters.so"), ctypes.util.find_library(name)]
    for candidate in filter(None, [*candidates, {"zstd": "libzstd.so.1", "xxhash": "libxxhash.so.0"}[name]]):
        try:
            return ctypes.CDLL(candidate)
        except OSError:
            continue
    raise ImportError(f"gradient_filters: lib{name} is neither in {DATA / 'lib'} nor installed on this system")


def _declare(library: ctypes.CDLL, **functions: list[Any]) -> ctypes.CDLL:
    """Each function's result first, then its arguments."""
    for name, (result, *arguments) in functions.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


zstd = _declare(
    _load("zstd"),
    ZSTD_createCCtx=[_pointer], ZSTD_freeCCtx=[_size, _pointer],
    ZSTD_CCtx_setParameter=[_size, _pointer, ctypes.c_int, ctypes.c_int],
    ZSTD_compress2=[_size, _pointer, _pointer, _size, _pointer, _size], ZSTD_compressBound=[_size, _size],
    ZSTD_createDCtx=[_pointer], ZSTD_freeDCtx=[_size, _pointer],
    ZSTD_DCtx_setParameter=[_size, _pointer, ctypes.c_int, ctypes.c_int],
    ZSTD_DCtx_reset=[_size, _pointer, ctypes.c_int],
    ZSTD_decompressStream=[_size, _pointer, ctypes.POINTER(OutBuffer), ctypes.POINTER(InBuffer)],
    ZSTD_isError=[ctypes.c_uint, _size], ZSTD_getErrorName=[ctypes.c_char_p, _size],
)
xxhash = _declare(
    _load("xxhash"),
    XXH64=[ctypes.c_uint64, _pointer, _size, ctypes.c_uint64], XXH64_createState=[_pointer],
    XXH64_freeState=[ctypes.c_int, _pointer], XXH64_reset=[ctypes.c_int, _pointer, ctypes.c_uint64],
    XXH64_update=[ctypes.c_int, _pointer, _pointer, _size], XXH64_digest=[ctypes.c_uint64, _pointer],
)


class Hash:
    """XXH64 with seed 0 of bytes that come piece by piece."""

    def __init__(self) -> None:
        self._state = xxhash.XXH64_createState()
        self.reset()

    def __del__(self) -> None:
        xxhash.XXH64_freeState(self._state)

    def reset(self) -> None:
        xxhash.XXH64_reset(self._state, 0)

    def update(self, address: int, size: int) -> None:
        xxhash.XXH64_update(self._state, address, size)

    def digest(self) -> int:
        return int(xxhash.XXH64_digest(self._state))
