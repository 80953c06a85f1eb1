#!/usr/bin/env python3
"""Makes what a large run leaves, for measuring grad-report: averages of 24 layers of 65,536 features, every quantity in both
modes with standard errors and sums as grad-aggregate writes them, and 20 × 10 contexts a layer.

    make_large.py FOLDER [LAYERS] [FEATURES]      leaves averages.ts and contexts.jsonl there

Needs numpy, and writes by the package in python/.
"""

import json
import pathlib
import sys

import numpy as np

here = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(here.parent.parent / "python"))
import gradient_filters as gf  # noqa: E402

MEASURES = ["mean", "mean_abs", "attribution_mean", "attribution_mean_abs", "activation_mean", "activation_mean_abs",
            "firing"]
SUMS = ["even", "squares", "products", "sum"]


def layer(number, features, random):
    """Values with the tails that trained autoencoders' features have."""
    size = random.lognormal(-9, 1.2, features) * (1 + number / 8)
    tensors = {f"units.mlp_out.{number}": np.array([60, 500], np.int64)}
    for measure in MEASURES:
        values = np.minimum(size * 30, 1) if measure == "firing" else size * random.lognormal(0, 0.3, features)
        if measure.endswith("mean"):
            values = values * random.uniform(-1, 1, features)
        tensors[f"{measure}.mlp_out.{number}"] = values.astype(np.float32)
        tensors[f"{measure}_se.mlp_out.{number}"] = (size * 0.1).astype(np.float32)
        tensors[f"{measure}_halves.mlp_out.{number}"] = np.array([0.8, 0.9, 14, 0], np.float64)
        for sums in SUMS:
            tensors[f"{measure}_{sums}.mlp_out.{number}"] = random.random(features)
    return tensors


def main(folder, layers=24, features=65536):
    random = np.random.RandomState(7)
    words = (here.parent.parent / "demo" / "sample.txt").read_text().split()
    data = [layer(number, features, random) for number in range(layers)]
    provenance = {"unit": "feature", "model": "large", "samples": "500", "text": "wiki.valid.raw", "weighting": "position",
                  "loss_reduction": "sum", "mode": "both", "standard_errors": "document",
                  "history.0": "wt-tokenize --tokenizer large wiki.valid.raw"}
    gf.write(folder / "averages.ts", kind="aggregates", records=data, provenance=provenance)
    with open(folder / "contexts.jsonl", "w") as file:
        for number, tensors in enumerate(data):
            for feature in np.argsort(-tensors[f"attribution_mean_abs.mlp_out.{number}"])[:20]:
                for rank in range(10):
                    at = random.randint(12, len(words) - 13)
                    sparse = random.random_sample(24) * (random.random_sample(24) < 0.2)
                    file.write(json.dumps({
                        "place": f"mlp_out.{number}", "feature": int(feature), "rank": rank + 1, "by": "attribution",
                        "sample": int(random.randint(500)), "position": int(random.randint(128)), "token": " " + words[at],
                        "before": [" " + word for word in words[at - 12:at]],
                        "after": [" " + word for word in words[at + 1:at + 13]], "activation": 4.0 - rank * 0.3,
                        "gradient": round(float(random.normal()), 6), "attribution": round(float(random.normal()), 6),
                        "activations_before": [round(float(x), 6) for x in sparse[:12]],
                        "activations_after": [round(float(x), 6) for x in sparse[12:]]}) + "\n")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), *map(int, sys.argv[2:]))
