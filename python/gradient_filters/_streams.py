"""Tensor streams: read record by record to their checked end, and written."""

from __future__ import annotations

import io
import itertools
import json
import os
import re
from pathlib import Path
from typing import Any, BinaryIO, Iterable, Iterator, Mapping, Union

import numpy as np

from ._checks import KINDS, Tensors, WHOLE_NUMBERS, check, check_decoders, check_widths
from ._frames import FrameReader, FrameWriter, Malformed
from ._libraries import Hash
from ._paths import is_no_file
from ._safetensors import Buffer, NAMES, encoded

Source = Union[str, "os.PathLike[str]", bytes, BinaryIO]

FORMAT, FORMER_FORMAT = "tensor-stream/2", "tensor-stream/1"
RESERVED = {"record", "format", "kind"}


class StreamError(ValueError):
    """A stream that is malformed, truncated, or of another kind: what its text names is the input, the record (counted
    from 0 over the whole stream), what was expected and what was found. The programs refuse it with exit code 65."""


class Record(Mapping[str, np.ndarray]):
    """One data record: its tensors by name, as read-only arrays.

    Attributes:
        number: of the record in the stream, counted from 0, begin and end records included.
        kind: of the stream: "tokens", "activations", "gradients" or "aggregates".
        batch: the batch's number in its segment; None for the decoder of an autoencoder that a stream carries.
        metadata: of the record itself.
        provenance: what the segment's begin record says of its origin, text by key.

    docs/stream-format.md lists the tensors of each kind. BF16 and F8 tensors come as their bits, U16 and U8.
    """

    def __init__(self, number: int, kind: str, provenance: dict[str, str], buffer: Buffer) -> None:
        self.number, self.kind, self.provenance = number, kind, provenance
        self.metadata = buffer.metadata
        self._buffer = buffer
        self.batch = self._batch()
        if self.batch is not None:
            check(kind, Tensors(buffer.array, buffer.tensors), provenance)

    def _batch(self) -> int | None:
        found = self.metadata.get("batch")
        if found is None and self and all(name.startswith("basis.") for name in self):
            return None
        if found is None or not re.fullmatch(r"\+?[0-9]+", found) or int(found) >= 1 << 63:
            raise Malformed(f"expected a number batch, found {'none' if found is None else found}")
        return int(found)

    def __getitem__(self, name: str) -> np.ndarray:
        return self._buffer.array(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._buffer.tensors)

    def __len__(self) -> int:
        return len(self._buffer.tensors)

    def __repr__(self) -> str:
        shapes = ", ".join(f"{tensor.name} {tensor.type} {tensor.shape}" for tensor in self._buffer.tensors.values())
        return f"<record {self.number} of {self.kind}, batch {self.batch}: {shapes}>"


def records(source: Source, kind: str | None = None) -> Iterator[Record]:
    """The data records of a stream, one after another.

    Args:
        source: a path, an open binary file such as sys.stdin.buffer, or the stream itself as bytes.
        kind: what the stream must be of, such as "gradients"; any kind where it is None.

    The loop ends after an end record that agrees with all that was read, and nowhere else: a loop that ends has seen
    everything that was written. At most two records are in memory, the one in use and the one that is read.

    Raises:
        StreamError: in place of the first record that is wrong, or of the end where that is missing or disagrees.
        OSError: the file cannot be opened or read.
    """
    if kind is not None and kind not in KINDS:
        raise ValueError(f"kind: expected {' or '.join(KINDS)}, found {kind!r}")
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _records(io.BytesIO(source), "<bytes>", kind, closes=True)
    if isinstance(source, (str, os.PathLike)):
        return _records(io.FileIO(os.fspath(source)), os.fspath(source), kind, closes=True)
    return _records(source, str(getattr(source, "name", "<stream>")), kind, closes=False)


def _records(file: Any, name: str, wanted: str | None, closes: bool) -> Iterator[Record]:
    number = 0
    try:
        for number, item in enumerate(_Walk(FrameReader(file), wanted)):
            if item is not None:
                yield item
                # Else it would lie in memory beside the next two.
                del item
            number += 1
    except Malformed as error:
        at = "" if str(error).startswith("empty input") else f"record {number}: "
        raise StreamError(f"{name}: {at}{error}") from None
    finally:
        if closes:
            file.close()


class _Walk:
    """Goes through a stream: a data record or, for begin and end records, None."""

    def __init__(self, frames: FrameReader, kind: str | None) -> None:
        self._frames, self._wanted = frames, kind
        self._number = -1
        self._kind: str | None = None
        self._provenance: dict[str, str] | None = None
        self._count = self._bytes = 0

    def __iter__(self) -> _Walk:
        return self

    def __next__(self) -> Record | None:
        contents = self._frames.next()
        self._number += 1
        if contents is None:
            if self._provenance is not None:
                raise Malformed("truncated: expected a data or end record, found the end")
            if self._kind is None:
                raise Malformed("empty input: expected a tensor stream")
            raise StopIteration
        buffer = Buffer(contents)
        record = buffer.metadata.get("record", "(none)")
        if self._provenance is None:
            self._begin(buffer, record)
            return None
        if record == "data":
            self._count += 1
            self._bytes += buffer.size
            return Record(self._number, str(self._kind), self._provenance, buffer)
        if record != "end":
            raise Malformed(f"expected a data or end record, found record={record}")
        self._end(buffer)
        return None

    def _begin(self, buffer: Buffer, record: str) -> None:
        if record != "begin":
            raise Malformed(f"expected a begin record, found record={record}")
        format = buffer.metadata.get("format", "(none)")
        if format != FORMAT:
            remedy = (", of earlier programs: make the stream again with this version's programs"
                      if format == FORMER_FORMAT else "")
            raise Malformed(f"expected format {FORMAT}, found {format}{remedy}")
        if buffer.tensors:
            raise Malformed(f"expected a begin record without tensors, found {len(buffer.tensors)}")
        kind = buffer.metadata.get("kind", "(none)")
        wanted = self._wanted or self._kind
        if kind not in ([wanted] if wanted else KINDS):
            raise Malformed(f"expected a stream of {wanted or ' or '.join(KINDS)}, found {kind}")
        self._kind = kind
        self._provenance = {key: value for key, value in buffer.metadata.items() if key not in RESERVED}
        self._count = self._bytes = 0

    def _end(self, buffer: Buffer) -> None:
        if buffer.tensors:
            raise Malformed(f"expected an end record without tensors, found {len(buffer.tensors)}")
        counted = {"records": str(self._count), "bytes": str(self._bytes), "xxh64": f"{self._frames.hash_before:016x}"}
        for key, value in counted.items():
            found = buffer.metadata.get(key)
            if found != value and not (key == "xxh64" and found is None):
                found = "(none)" if found is None else found
                raise Malformed(f"end record disagrees: counted {key}={value}, found {key}={found}")
        self._frames.hash.reset()
        self._provenance = None


def write(
    target: str | os.PathLike[str] | BinaryIO, *, kind: str, records: Iterable[Mapping[str, Any]],
    provenance: Mapping[str, str] | None = None, decoders: Mapping[str, Any] | None = None,
) -> None:
    """Writes a stream of one segment, which the programs read as one of their own.

    Args:
        target: a path, or a binary file that is open for writing. A path gets its name when the stream is complete.
        kind: "tokens", "activations", "gradients" or "aggregates".
        records: the tensors of each data record by name, as docs/stream-format.md lists them for the kind. They are
            numbered as batches in this order. Whole numbers may be of any type that holds them; others must have theirs.
        provenance: what is to be said of the origin. `places` and `unit` are what grad-aggregate wants of gradients:
            {"places": "mlp_out.11", "unit": "activation"}.
        decoders: of gradients of an autoencoder's features at a place, its decoder, F32 [features, width]. `grad.PLACE`
            is then the gradient at the activation, F32 [positions, width], which grad-aggregate multiplies by the
            decoder. The stream carries the decoders, as records without a batch; `records` may have such records
            instead, whose only tensors are called basis.PLACE, where `provenance` describes them under the same name.

    Raises:
        StreamError: a record is not of the kind; its text says what was expected and found, and no file is left.
    """
    if kind not in KINDS:
        raise ValueError(f"kind: expected {' or '.join(KINDS)}, found {kind!r}")
    provenance = dict(provenance or {})
    for key, value in provenance.items():
        if key in RESERVED or not isinstance(value, str):
            raise ValueError(f"provenance: {key!r}: expected text under another key than {', '.join(sorted(RESERVED))}")
    if decoders:
        carried = [{f"basis.{place}": np.ascontiguousarray(decoder)} for place, decoder in decoders.items()]
        provenance.update({name: _described(decoder) for record in carried for name, decoder in record.items()})
        records = itertools.chain(carried, records)
    if not isinstance(target, (str, os.PathLike)):
        return _write(target, kind, records, provenance)
    path = Path(os.fspath(target))
    if is_no_file(path):
        with io.FileIO(path, "w") as file:
            return _write(file, kind, records, provenance)
    partial = path.with_name(f"{path.name}.partial-{os.getpid()}")
    file = io.FileIO(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666), "w")
    try:
        with file:
            _write(file, kind, records, provenance)
        os.replace(partial, path)
    except BaseException:
        partial.unlink()
        raise


def _write(file: Any, kind: str, records: Iterable[Mapping[str, Any]], provenance: dict[str, str]) -> None:
    frames = FrameWriter(file)
    frames.write(encoded({"record": "begin", "format": FORMAT, "kind": kind, **provenance}, {}))
    count = size = batch = 0
    for record in records:
        try:
            arrays = {name: _prepared(name, value) for name, value in record.items()}
            tensors = Tensors(arrays.__getitem__, arrays)
            metadata = {"record": "data"}
            if kind == "gradients" and arrays and all(name.startswith("basis.") for name in arrays):
                check_decoders(tensors, provenance)
            else:
                check(kind, tensors, provenance)
                check_widths(tensors, provenance)
                metadata["batch"] = str(batch)
                batch += 1
        except Malformed as error:
            raise StreamError(f"record {count + 1}: {error}") from None
        contents = encoded(metadata, arrays)
        frames.write(contents)
        count += 1
        size += contents.size
    # The hash is of every frame but this one, which is stored: in a raw block every bit counts.
    end = {"record": "end", "records": str(count), "bytes": str(size), "xxh64": f"{frames.hash.digest():016x}"}
    frames.write(encoded(end, {}), stored=True)


def _described(decoder: np.ndarray) -> str:
    """What a begin record says of a decoder that the stream carries."""
    features, width = decoder.shape if decoder.ndim == 2 else (0, 0)
    hash = Hash()
    hash.update(decoder.ctypes.data, decoder.nbytes)
    return json.dumps({"embedded": True, "features": features, "format": "array", "keeps_decoder_norms": True,
                       "path": "(in the stream)", "width": width, "xxh64": f"{hash.digest():016x}"})


def _prepared(name: str, value: Any) -> np.ndarray:
    """In the type that the tensor must have, where that loses nothing; little-endian, row by row."""
    array = np.asarray(value)
    wanted = WHOLE_NUMBERS.get(name) or WHOLE_NUMBERS.get(name.split(".")[0])
    if wanted and array.dtype.kind in "iu" and array.dtype != wanted:
        limits = np.iinfo(wanted)
        if array.size and not limits.min <= int(array.min()) <= int(array.max()) <= limits.max:
            raise Malformed(f"tensor {name}: a number that does not fit into {NAMES[np.dtype(wanted)]}")
        array = array.astype(wanted)
    array = np.asarray(array, array.dtype.newbyteorder("<"), order="C")
    if array.dtype not in NAMES:
        raise Malformed(f"tensor {name}: expected a type of safetensors, found {array.dtype}")
    return array
