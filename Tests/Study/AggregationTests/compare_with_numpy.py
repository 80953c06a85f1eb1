#!/usr/bin/env python3
"""Compares grad-plot's statistics and top 20 with numpy's, for every .npy file of a folder.

    Tests/Study/AggregationTests/compare_with_numpy.py --grad-plot .build/release/grad-plot FOLDER

The numbers must be numpy's float64 results to 1e-13, the indices the same. Exit status 1 where they are not.
"""

import argparse
import csv
import pathlib
import subprocess
import sys

import numpy as np

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--grad-plot", default=".build/release/grad-plot")
parser.add_argument("folder", type=pathlib.Path)
options = parser.parse_args()

files = sorted(options.folder.glob("layer_*_gradients.npy"))
if not files:
    sys.exit(f"{options.folder}: no layer_*_gradients.npy")
failures = 0
for file in files:
    table = subprocess.run([options.grad_plot, "--tsv", "--top", "20", file], check=True, capture_output=True, text=True)
    rows = list(csv.DictReader(table.stdout.splitlines(), delimiter="\t"))
    values = np.load(file).astype("f8")
    expected = {
        "count": len(values),
        "max_abs": np.abs(values).max(),
        "mean": values.mean(),
        "std": values.std(),
        "min": values.min(),
        "max": values.max(),
    }
    top = np.lexsort((np.arange(len(values)), -np.abs(values)))[:20]
    differences = [
        f"{name}: expected {value!r}, found {rows[0][name]}"
        for name, value in expected.items()
        if abs(float(rows[0][name]) - value) > 1e-13 * abs(value)
    ]
    if [int(row["index"]) for row in rows] != top.tolist():
        differences.append(f"top 20: expected {top.tolist()}, found {[row['index'] for row in rows]}")
    if [float(row["gradient"]) for row in rows] != values[top].tolist():
        differences.append("top 20: the values differ")
    failures += bool(differences)
    print(f"{file.name}: {'; '.join(differences) or 'as numpy'}")
sys.exit(1 if failures else 0)
