"""Whether two folders have the same arrays and pictures; of pictures all but their text, which names the model's path."""

import pathlib
import struct
import sys


def contents(path):
    data = path.read_bytes()
    if path.suffix != ".png":
        return data
    chunks, place = [], 8
    while place < len(data):
        (size,) = struct.unpack(">I", data[place : place + 4])
        if data[place + 4 : place + 8] not in (b"tEXt", b"iTXt", b"zTXt"):
            chunks.append(data[place : place + 12 + size])
        place += 12 + size
    return b"".join(chunks)


first, second = map(pathlib.Path, sys.argv[1:])
paths = [path.relative_to(first) for path in first.rglob("*") if path.suffix in (".png", ".npy")]
assert len(paths) > 50, paths
for path in paths:
    if contents(first / path) != contents(second / path):
        sys.exit(f"{first / path} and {second / path} differ")
