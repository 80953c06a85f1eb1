#!/usr/bin/env python3
"""Writes Fixtures/: small arrays as numpy.save leaves them, and expected.json: what numpy says of them.

    python3 Tests/Study/AggregationTests/make_fixtures.py     (written with numpy 2.4.6)

TensorFilesTests reads the same arrays.
"""

import json
import pathlib

import numpy as np

folder = pathlib.Path(__file__).parent / "Fixtures"
folder.mkdir(exist_ok=True)
random = np.random.default_rng(20)

with_bad_values = random.standard_normal(300).astype("f4")
with_bad_values[[3, 17]] = np.nan
with_bad_values[5] = -np.inf

arrays = {
    "mean_abs_f4": (random.gamma(100, 3.5e-6, 1500)).astype("<f4"),
    "signed_f4": (random.standard_t(3, 896) * 1e-4).astype("<f4"),
    "signed_f8": random.standard_t(3, 701) * 1e-4,
    "big_endian_f4": random.standard_normal(130).astype(">f4"),
    "big_endian_f8": random.standard_normal(130).astype(">f8"),
    # Values that lie exactly on edges, and ties in the top 20.
    "on_edges_f4": np.repeat(np.arange(0, 101), 2).astype("<f4"),
    "constant_f4": np.full(64, 3.3e-5, "<f4"),
    "zeros_f8": np.zeros(64),
    "one_f4": np.array([-2.5], "<f4"),
    "with_bad_values_f4": with_bad_values,
}

expected = {}
for name, array in arrays.items():
    np.save(folder / f"{name}.npy", array)
    finite = array[np.isfinite(array)]
    wide = finite.astype("f8")
    order = np.lexsort((np.arange(len(array)), -np.where(np.isfinite(array), np.abs(array), -1).astype("f8")))
    histograms = {}
    for bins in (1, 7, 50, 100):
        counts, edges = np.histogram(finite, bins=bins)
        histograms[str(bins)] = {"counts": counts.tolist(), "edges": edges.astype("f8").tolist()}
    expected[name] = {
        "count": len(finite),
        "nan": np.flatnonzero(np.isnan(array)).tolist(),
        "infinite": np.flatnonzero(np.isinf(array)).tolist(),
        "minimum": float(wide.min()),
        "maximum": float(wide.max()),
        "maximum_magnitude": float(np.abs(wide).max()),
        "mean": float(wide.mean()),
        "standard_deviation": float(wide.std()),
        "top": order[: min(20, len(finite))].tolist(),
        "histograms": histograms,
        # Exact, whatever the type: every float32 is a float64.
        "values": [None if not np.isfinite(x) else float(x) for x in array],
    }
(folder / "expected.json").write_text(json.dumps(expected, separators=(",", ":")) + "\n")

# What numpy.save writes for shapes that the reader refuses but the writer can write.
np.save(folder / "matrix_f4.npy", np.arange(6, dtype="<f4").reshape(2, 3))
np.save(folder / "fortran_f4.npy", np.asfortranarray(np.arange(6, dtype="<f4").reshape(2, 3)))
np.save(folder / "objects.npy", np.array(["a", None], dtype=object), allow_pickle=True)
np.save(folder / "records.npy", np.zeros(2, dtype=[("a", "<f4"), ("b", "<f4")]))
np.save(folder / "integers.npy", np.arange(4))
np.save(folder / "scalar_f8.npy", np.float64(2.5))
np.save(folder / "empty_f8.npy", np.zeros(0, "<f8"))
for version in ((2, 0), (3, 0)):
    with open(folder / f"version_{version[0]}_f4.npy", "wb") as file:
        np.lib.format.write_array(file, np.arange(5, dtype="<f4"), version=version)
