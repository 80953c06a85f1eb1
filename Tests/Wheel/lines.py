"""The Python lines of the documentation, on what the demo has left in a folder."""

import pathlib
import sys
import tempfile

import numpy as np

import gradient_filters as gf

folder = pathlib.Path(sys.argv[1])
run = gf.open(folder / "aggregates.ts")
assert list(run) == [f"mlp_out.{layer}" for layer in range(4)], list(run)
average = run["mlp_out.3"].attribution.mean_abs
assert average.shape == average.standard_error.shape == (1024,)
table = run.table(top=20)
assert len(table) == 80
assert np.float32(table["attribution_mean_abs"][0]) == run["mlp_out.0"].attribution.mean_abs.max()
assert "attribution at mlp_out.3: mean and mean_abs, F32 [1,024] of features" in repr(run["mlp_out.3"].attribution)
contexts = list(gf.contexts(folder / "contexts.jsonl"))
assert {context.place for context in contexts} == set(run) and contexts[0].rank == 1
assert (gf.demo_folder() / "sample.txt").is_file()
count = 0
for record in gf.records(folder / "sae-gradients.ts"):
    assert record["grad.mlp_out.3"].dtype == np.float32
    count += record["position"].size
assert count == run["mlp_out.3"].positions, count
with tempfile.TemporaryDirectory() as scratch:
    mine = pathlib.Path(scratch) / "mine.ts"
    rows = np.arange(6, dtype=np.float32).reshape(3, 2)
    gf.write(mine, kind="gradients", provenance={"unit": "activation", "places": "mlp_out.0"}, records=[{
        "cu_positions": [0, 3], "position": [0, 1, 2], "token": [5, 6, 7], "sample_index": [0], "document": [0],
        "predictions": [2], "grad.mlp_out.0": rows}])
    made = gf.run(["grad-aggregate", "--mode", "mean", "--quiet"], stdin=mine, progress=False)
    np.testing.assert_allclose(gf.open(made.stdout)["mlp_out.0"].gradient.mean, rows.mean(0))
