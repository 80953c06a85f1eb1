#!/usr/bin/env python3
"""Compares the sums and weights, in float64, of two aggregates streams: compare_sums.py ONE TWO TOLERANCE

Prints the largest relative L2 error of a tensor, and fails above the tolerance. What standard errors are made of may be
off by 1e-6: the features of a document are a product in float32 of its gradients' sum, and a document may be cut in two.
Needs zstd and only Python's own library.
"""

import array
import json
import math
import subprocess
import sys


def tensors(path):
    """By name, the tensors of a stream's data records: a record is a safetensors buffer in a zstd frame."""
    data = subprocess.run(["zstd", "-dcq", path], check=True, stdout=subprocess.PIPE).stdout
    found, place = {}, 0
    while place < len(data):
        length = int.from_bytes(data[place : place + 8], "little")
        header = json.loads(data[place + 8 : place + 8 + length])
        start = place + 8 + length
        header.pop("__metadata__", None)
        for name, tensor in header.items():
            begin, end = tensor["data_offsets"]
            code = {"F64": "d", "F32": "f", "I64": "q", "I32": "i"}[tensor["dtype"]]
            found[name] = (tensor["dtype"], array.array(code, data[start + begin : start + end]))
        place = start + max([0] + [tensor["data_offsets"][1] for tensor in header.values()])
    return found


one, two = tensors(sys.argv[1]), tensors(sys.argv[2])
if one.keys() != two.keys() or not one:
    sys.exit(f"different tensors: {sorted(one.keys() ^ two.keys())}")
worst, exact, count = (0.0, ""), 0, 0
OF_UNITS = ("_squares.", "_products.", "_even.", "_halves.")
too_large = []
for name in sorted(one):
    (kind, a), (other, b) = one[name], two[name]
    if kind != other or len(a) != len(b):
        sys.exit(f"{name}: {kind} {len(a)}, {other} {len(b)}")
    if kind == "F32":
        continue  # the finished averages, rounded
    count += 1
    exact += a == b
    norm = math.sqrt(sum(float(x) ** 2 for x in a))
    error = math.sqrt(sum((float(x) - float(y)) ** 2 for x, y in zip(a, b))) / (norm or 1)
    worst = max(worst, (error, name))
    if not error <= (1e-6 if any(part in name for part in OF_UNITS) else float(sys.argv[3])):
        too_large.append(name)
print(f"{count} tensors of sums, {exact} of them bit for bit; largest relative L2 error {worst[0]:.1e} {worst[1]}")
sys.exit(f"too far off: {', '.join(too_large)}" if too_large else 0)
