"""zstd frames, read and written as docs/stream-format.md has them."""

from __future__ import annotations

import ctypes
import math
from typing import Any, Sequence

import numpy as np

from ._libraries import Hash, InBuffer, OutBuffer, xxhash, zstd

MAGIC = b"\x28\xb5\x2f\xfd"
LARGEST_CONTENT = 16 << 30
LARGEST_WINDOW_LOG = 23
# Memory follows what is really there: a frame of a few bytes may promise gigabytes.
FIRST_RESERVE = 4 << 20
BLOCK = 128 << 10
# ZSTD_cParameter, ZSTD_dParameter and ZSTD_ResetDirective of zstd.h.
COMPRESSION_LEVEL, CONTENT_SIZE_FLAG, CHECKSUM_FLAG, WINDOW_LOG_MAX, RESET_SESSION = 100, 200, 201, 100, 1


class Malformed(ValueError):
    """A rule of the format that a frame or a record breaks."""


class FrameReader:
    """The contents of one frame after another, and the hash of the bytes they were packed in."""

    def __init__(self, file: Any, chunk: int = 1 << 20) -> None:
        self._file = file
        self._chunk = np.empty(chunk, np.uint8)
        self._start = self._end = 0
        self._context = zstd.ZSTD_createDCtx()
        zstd.ZSTD_DCtx_setParameter(self._context, WINDOW_LOG_MAX, LARGEST_WINDOW_LOG)
        #: Of the bytes since the segment began, up to the next frame.
        self.hash = Hash()
        #: The same before the frame that was read last.
        self.hash_before = 0

    def __del__(self) -> None:
        zstd.ZSTD_freeDCtx(self._context)

    def next(self) -> np.ndarray | None:
        """Bytes, U8 [size]; None at the end of the file."""
        if not self._fill(1):
            return None
        declared = self._header()
        self.hash_before = self.hash.digest()
        zstd.ZSTD_DCtx_reset(self._context, RESET_SESSION)
        contents = np.empty(min(declared, FIRST_RESERVE), np.uint8)
        output = OutBuffer(contents.ctypes.data, contents.size, 0)
        while True:
            if output.position == contents.size < declared:
                larger = np.empty(min(declared, 2 * contents.size), np.uint8)
                larger[: contents.size] = contents
                contents = larger
                output.target, output.size = contents.ctypes.data, contents.size
            source = InBuffer(self._chunk.ctypes.data + self._start, self._end - self._start, 0)
            rest = zstd.ZSTD_decompressStream(self._context, ctypes.byref(output), ctypes.byref(source))
            if zstd.ZSTD_isError(rest):
                raise Malformed(f"damaged zstd frame: {zstd.ZSTD_getErrorName(rest).decode()}")
            self.hash.update(self._chunk.ctypes.data + self._start, source.position)
            self._start += source.position
            if rest == 0:
                return contents[: output.position]
            is_drained = output.position == declared or output.position < contents.size
            if self._start == self._end and is_drained and not self._fill(1):
                raise Malformed("truncated: the stream ends inside a zstd frame")

    def _header(self) -> int:
        """Checks the frame header (RFC 8878, 3.1.1.1), of which nothing is used, and returns the content size."""
        truncated = Malformed("truncated: the stream ends inside a zstd frame header")
        if not self._fill(5):
            raise truncated
        start = bytes(self._chunk[self._start : self._start + 5])
        if not start.startswith(MAGIC):
            # More of it, where there is more, to say what it is.
            self._fill(4096)
            start = bytes(self._chunk[self._start : min(self._end, self._start + 4096)])
            raise Malformed(f"not a tensor stream: expected a zstd frame, found {_other_content(start)}")
        descriptor = start[4]
        size_flag, is_single_segment = descriptor >> 6, descriptor & 0x20 != 0
        if descriptor & 0x1B:
            raise Malformed(f"zstd frame header: expected no dictionary and no reserved bits, found {descriptor:02x}")
        if not descriptor & 0x04:
            raise Malformed("zstd frame header: expected a content checksum, found none")
        if not is_single_segment and size_flag == 0:
            raise Malformed("zstd frame header: expected a content size, found none")
        place = 5 if is_single_segment else 6
        width = [1, 2, 4, 8][size_flag]
        if not self._fill(place + width):
            raise truncated
        start = bytes(self._chunk[self._start : self._start + place + width])
        declared = int.from_bytes(start[place:], "little") + (256 if size_flag == 1 else 0)
        if not is_single_segment:
            base = 1 << (10 + (start[5] >> 3))
            _check_window(base + base // 8 * (start[5] & 7))
        if declared > LARGEST_CONTENT:
            raise Malformed(f"zstd frame too large: expected at most {LARGEST_CONTENT} bytes, found {declared}")
        if is_single_segment:
            _check_window(declared)
        return declared

    def _fill(self, count: int) -> bool:
        """Reads until so many bytes wait; False where the file ends before."""
        if self._end - self._start < count:
            left = self._end - self._start
            self._chunk[:left] = self._chunk[self._start : self._end].copy()
            self._start, self._end = 0, left
        while self._end - self._start < count:
            read = self._file.readinto(self._chunk[self._end :].data)
            if not read:
                return False
            self._end += read
        return True


def _check_window(size: int) -> None:
    if size > 1 << LARGEST_WINDOW_LOG:
        raise Malformed(
            f"zstd frame window too large: expected at most {1 << LARGEST_WINDOW_LOG} bytes, found {size}")


def _other_content(start: bytes) -> str:
    """What stands where a frame should, in words."""
    if start.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer: the file itself is yet to be fetched, with git lfs pull"
    if start.lstrip(b" \t\r\n").lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        return "a web page, as a download without permission leaves it"
    if start.startswith(b"GGUF"):
        return "a GGUF file"
    if not any(start):
        return "a file of zeros, as an interrupted download leaves it"
    text = start[:24]
    if not all(0x20 <= byte < 0x7F or byte in b"\t\r\n" for byte in text):
        return f"the bytes {text[:4].hex()}"
    line = text.replace(b"\r", b"\n").split(b"\n")[0].decode()
    return f"text that begins with '{line}'" if line else "text"


class FrameWriter:
    """Packs contents into frames, the same contents into the same bytes."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._context = zstd.ZSTD_createCCtx()
        for parameter, value in [(COMPRESSION_LEVEL, 1), (CONTENT_SIZE_FLAG, 1), (CHECKSUM_FLAG, 1)]:
            zstd.ZSTD_CCtx_setParameter(self._context, parameter, value)
        self._sampler = zstd.ZSTD_createCCtx()
        zstd.ZSTD_CCtx_setParameter(self._sampler, COMPRESSION_LEVEL, 1)
        #: Of all bytes since the segment began.
        self.hash = Hash()

    def __del__(self) -> None:
        zstd.ZSTD_freeCCtx(self._context)
        zstd.ZSTD_freeCCtx(self._sampler)

    def write(self, contents: np.ndarray, stored: bool = False) -> None:
        """One frame with U8 [size] in it, as it is where it hardly compresses."""
        if stored or not self._compresses(contents):
            for part in _stored_frame(contents):
                self._put(part)
        else:
            self._put(self._compressed(self._context, contents))

    def _put(self, part: np.ndarray) -> None:
        self.hash.update(part.ctypes.data, part.size)
        view = part.data
        while len(view):
            written = self._file.write(view)
            view = view[len(view) if written is None else written :]

    @staticmethod
    def _compressed(context: int, contents: np.ndarray) -> np.ndarray:
        packed = np.empty(zstd.ZSTD_compressBound(contents.size), np.uint8)
        size = zstd.ZSTD_compress2(context, packed.ctypes.data, packed.size, contents.ctypes.data, contents.size)
        if zstd.ZSTD_isError(size):
            raise MemoryError(f"zstd: {zstd.ZSTD_getErrorName(size).decode()}")
        return packed[:size]

    def _compresses(self, contents: np.ndarray) -> bool:
        """Whether eight pieces of 8 KiB shrink by a quarter; what is small is compressed without a question."""
        if contents.size <= 256 << 10:
            return True
        window = 8 << 10
        starts = [int((contents.size - window) * math.fmod(math.sqrt(2) * (number + 1), 1)) for number in range(8)]
        sample = np.concatenate([contents[start : start + window] for start in starts])
        return self._compressed(self._sampler, sample).size <= sample.size - sample.size // 4


def _stored_frame(contents: np.ndarray) -> Sequence[np.ndarray]:
    """A frame of raw blocks (RFC 8878, 3.1.1), in parts."""
    size = contents.size
    flag, offset, width = next(
        row for limit, *row in [(256, 0, 0, 1), (65_792, 1, 256, 2), (1 << 32, 2, 0, 4), (1 << 64, 3, 0, 8)]
        if size < limit)
    is_single_segment = size <= BLOCK
    header = MAGIC + bytes([flag << 6 | (0x20 if is_single_segment else 0) | 0x04])
    # A window of 2^(10 + 7) bytes, a block's.
    header += (b"" if is_single_segment else bytes([7 << 3])) + (size - offset).to_bytes(width, "little")
    parts: list[Any] = [header]
    for start in range(0, max(size, 1), BLOCK):
        block = contents[start : start + BLOCK]
        is_last = start + BLOCK >= size
        parts += [(block.size << 3 | is_last).to_bytes(3, "little"), block]
    parts.append((xxhash.XXH64(contents.ctypes.data, size, 0) & 0xFFFF_FFFF).to_bytes(4, "little"))
    return [np.frombuffer(part, np.uint8) if isinstance(part, bytes) else part for part in parts]
