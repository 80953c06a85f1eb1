"""Files as torch.save writes them by its other arguments, and with values beside tensors.

    python3 make_fixtures.py

Writes Fixtures/*.pt, made with torch 2.13. Every dict has matrix = 0, 1, … 5 as float32 [2, 3], transposed = its
transpose as a view of the same storage, and count = 7. torch.load(weights_only=True) reads all but protocols 3 to 5.
"""

import collections
from pathlib import Path

import torch

FOLDER = Path(__file__).parent / "Fixtures"


def state():
    matrix = torch.arange(6, dtype=torch.float32).reshape(2, 3)
    return {"matrix": matrix, "transposed": matrix.T, "count": 7}


def extras():
    eighths = torch.tensor([0.0, 0.001953125, -1.125, 448.0])
    return {
        "uint16": torch.tensor([1, 65535], dtype=torch.uint16), "uint32": torch.tensor([2**32 - 1], dtype=torch.uint32),
        "uint64": torch.tensor([2**53], dtype=torch.uint64), "e4m3": eighths.to(torch.float8_e4m3fn),
        "e5m2": torch.tensor([-1.25, 57344.0, 2.0**-16]).to(torch.float8_e5m2),
        "complex64": torch.zeros(2, dtype=torch.complex64), "complex32": torch.zeros(2, dtype=torch.complex32),
        "fnuz": eighths.to(torch.float8_e4m3fnuz), "device": torch.device("cuda:0"), "dtype": torch.float32,
        "size": torch.Size([3, 4]), "set": {1, 2}, "bytes": b"abc", "bytearray": bytearray(b"abc"), "complex": 1j,
        "counter": collections.Counter("aab"), "parameter": torch.nn.Parameter(torch.ones(2)),
        "buffer": torch.nn.Buffer(torch.ones(2)), "none": None, "nested": [{"a": (1, 2.5)}],
    }


def main():
    FOLDER.mkdir(exist_ok=True)
    torch.save(state(), FOLDER / "legacy.pt", _use_new_zipfile_serialization=False)
    torch.save(state(), FOLDER / "legacy_protocol_4.pt", _use_new_zipfile_serialization=False, pickle_protocol=4)
    for protocol in (2, 3, 4, 5):
        torch.save(state() | {"set": {1}, "bytes": b"x"}, FOLDER / f"protocol_{protocol}.pt", pickle_protocol=protocol)
    torch.save(state() | extras(), FOLDER / "extras.pt")


main()
