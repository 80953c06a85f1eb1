#!/usr/bin/env python3
"""Compares grad-aggregate's standard errors with a bootstrap of whole units over 2,000 resamples.

    python Tests/Parity/bootstrap_standard_errors.py --programs .build/release [--unit sample] [GRADIENTS...]

GRADIENTS are streams of act-grad --with-activations, or of sae-grad --embed-basis or --dense; where none are given, of the
demo, whose samples are the units. Units are drawn with
replacement, as many as there are, and the average is made anew each time; its spread is what a standard error estimates.
Of U units both differ by chance: the bootstrap's spread is low by a factor of √((U−1)/U), which is made up for. Prints,
for each place, quantity and mode, the ratio of the two in the median over dimensions or features, for which the median
is expected within 10 %, and the 5th and 95th percentiles. Exits 1 where a median is not. Features that fire in fewer than
10 units are left out: there is little to draw from.
"""
import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

import compare_averages as averages
from compare import ROOT
import gradient_filters as gf


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--programs", type=Path, default=ROOT / ".build/release", help="the folder of the built programs")
    p.add_argument("--unit", choices=["document", "sample"], help="default: document; of the demo: sample")
    p.add_argument("--resamples", type=int, default=2000)
    p.add_argument("streams", type=Path, nargs="*", metavar="GRADIENTS")
    a = p.parse_args()
    averages.PROGRAMS = a.programs.resolve()
    if a.streams:
        return compare(a, a.streams, a.unit or "document")
    with tempfile.TemporaryDirectory() as folder:
        compare(a, demo(Path(folder)), a.unit or "sample")


def demo(folder):
    """Streams of two layers' features, from all of the demo's text."""
    tokens = averages.run("wt-tokenize", "-q", "--tokenizer", averages.MODEL, "--num-samples", 200, averages.TEXT)
    activations = averages.run("qwen-capture", "-q", "--model", averages.MODEL, "--loss", data=tokens)
    (folder / "features.ts").write_bytes(averages.run(
        "sae-grad", "-q", "--model", averages.MODEL, "--layers", "1,3", "--sae", averages.SAES, "--embed-basis",
        data=activations))
    return [folder / "features.ts"]


def compare(a, streams, unit):
    decoders = {name: tensor.astype("f8") for file in streams for tensors in gf.records(file)
                for name, tensor in tensors.items() if name.startswith("basis.")}
    y, b, zero = {}, {}, {}
    for record in (record for file in streams for record in averages.gather(file, decoders)):
        averages.add_units(y, b, zero, record, "position", "sum", unit, 0)
    stream = averages.run("grad-aggregate", "-q", "--quantity", ",".join(averages.QUANTITIES), "--mode", "both",
                          "--unit", unit, *streams)
    found = {name: tensor for tensors in gf.records(stream) for name, tensor in tensors.items()}
    keys = sorted(b)
    weights = np.array([b[k] for k in keys])
    U, random, failed = len(keys), np.random.default_rng(7), False
    draws = np.stack([np.bincount(random.integers(0, U, U), minlength=U) for _ in range(a.resamples)]).astype("f8")
    for (place, name), units in sorted(y.items()):
        rows = np.stack([units[k] for k in keys])
        enough = (rows != 0).sum(0) >= 10
        if f"{name}_se.{place}" not in found or not enough.any():
            continue
        spread = ((draws @ rows[:, enough]) / (draws @ weights)[:, None]).std(0) * np.sqrt(U / (U - 1))
        ratio = found[f"{name}_se.{place}"][enough] / spread
        low, median, high = np.percentile(ratio, [5, 50, 95])
        failed |= not 0.9 <= median <= 1.1
        print(f"{place} {name}: {enough.sum()} of {len(enough)}, standard error / bootstrap: {median:.3f} "
              f"({low:.3f} to {high:.3f})", flush=True)
    print(f"{U} {unit}s, {a.resamples} resamples")
    sys.exit(failed)


if __name__ == "__main__":
    main()
