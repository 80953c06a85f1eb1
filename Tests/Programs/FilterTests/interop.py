"""The tensor stream from Python, with nothing but zstandard, safetensors and numpy.

    interop.py read < stream > text      one line a tensor: record, name, dtype, shape, sum
    interop.py write > gradients.ts      a gradients stream, its end record without xxh64
    interop.py check DIR                 compares what grad-aggregate --mode both --save DIR makes of it

InteropTests.swift runs it. docs/stream-format.md describes the format.
"""

import json
import struct
import sys

import numpy as np
import safetensors.numpy
import zstandard


def records(data):
    """Each record's metadata and tensors; fails where the format page says that a reader must."""
    inside, counted, size = False, 0, 0
    while data:
        frame = zstandard.ZstdDecompressor().decompressobj()
        buffer, data = frame.decompress(data), frame.unused_data
        (length,) = struct.unpack("<Q", buffer[:8])
        metadata = json.loads(buffer[8 : 8 + length]).get("__metadata__", {})
        record = metadata["record"]
        assert (record == "begin") != inside, record
        if record == "begin":
            assert metadata["format"] == "tensor-stream/2", metadata["format"]
            inside, counted, size = True, 0, 0
        elif record == "data":
            counted, size = counted + 1, size + len(buffer)
        else:
            assert metadata["records"] == str(counted) and metadata["bytes"] == str(size), metadata
            inside = False
        yield metadata, safetensors.numpy.load(buffer)
    assert not inside, "truncated"


def frame(metadata, tensors={}):
    buffer = safetensors.numpy.save(tensors, metadata)
    compressor = zstandard.ZstdCompressor(write_checksum=True, write_content_size=True)
    return buffer, compressor.compress(buffer)


def stream(kind, batches, **provenance):
    begin = {"record": "begin", "format": "tensor-stream/2", "kind": kind, **provenance}
    frames = [frame(begin)[1]]
    size = 0
    for number, tensors in enumerate(batches):
        buffer, compressed = frame({"record": "data", "batch": str(number)}, tensors)
        size += len(buffer)
        frames.append(compressed)
    frames.append(frame({"record": "end", "records": str(len(batches)), "bytes": str(size)})[1])
    return b"".join(frames)


LAYERS, WIDTH = [0, 7], 33


def batches():
    """Ragged samples: their positions, their predictions, and gradients that are the same in every run."""
    random = np.random.RandomState(5)
    sample = 0
    for lengths in [[3, 1, 6], [2], [4, 5]]:
        count = sum(lengths)
        yield {
            "cu_positions": np.cumsum([0] + lengths, dtype=np.int32),
            "position": np.concatenate([np.arange(n, dtype=np.int32) for n in lengths]),
            "token": random.randint(0, 1000, count).astype(np.int32),
            "sample_index": np.arange(sample, sample + len(lengths), dtype=np.int64),
            "document": np.arange(sample, sample + len(lengths), dtype=np.int64) // 2,
            "predictions": np.array([n + 2 for n in lengths], np.int32),
            **{f"grad.mlp_out.{layer}": random.standard_normal((count, WIDTH)).astype(np.float32) for layer in LAYERS},
        }
        sample += len(lengths)


def averages(layer):
    """mean and mean_abs as grad-aggregate defines them without flags."""
    positions = np.concatenate([batch[f"grad.mlp_out.{layer}"].astype(np.float64) for batch in batches()])
    return positions.mean(0), abs(positions).mean(0)


def main(command, *arguments):
    if command == "read":
        for number, (metadata, tensors) in enumerate(records(sys.stdin.buffer.read())):
            print(number, metadata["record"], metadata.get("kind", metadata.get("batch", "")))
            for name, tensor in sorted(tensors.items()):
                print(number, name, tensor.dtype, list(tensor.shape), repr(float(tensor.sum(dtype=np.float64))))
    elif command == "write":
        sys.stdout.buffer.write(stream("gradients", list(batches()), unit="activation", places="mlp_out.0,mlp_out.7"))
    elif command == "check":
        for layer in LAYERS:
            for mode, expected in zip(["mean", "mean_abs"], averages(layer)):
                found = np.load(f"{arguments[0]}/layer_{layer}_{mode}_gradients.npy")
                assert found.dtype == np.float32 and found.shape == (WIDTH,), (found.dtype, found.shape)
                error = np.linalg.norm(found - expected) / np.linalg.norm(expected)
                assert error < 1e-7, (layer, mode, error)
                print(layer, mode, "agrees")
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(*sys.argv[1:])
