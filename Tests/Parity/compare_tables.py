#!/usr/bin/env python3
"""Compares grad-table with numpy over the aggregates streams that it reads, and over arrays.

    python Tests/Parity/compare_tables.py --programs .build/release

Averages of the demo model and its text, of activations and of features: every column of every row, in both formats for
programs, must be the stream's tensor to the bit of its float32, z what numpy makes of two of them to 1e-6, and the order
numpy's, for every column that rows can be sorted by; so must the rows of --top and --top-overall. With --compare, the
differences, their standard errors and the ranks' correlation must agree with numpy in float64 to 1e-6. Exits 1 where
something does not, and names it. Where pandas or polars is there, it must read the same numbers.
"""
import argparse
import csv
import importlib.util
import io
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from compare import ROOT
import gradient_filters as gf

MODEL, TEXT = ROOT / "demo/model", ROOT / "demo/sample.txt"
SAES = str(ROOT / "demo/saes/mlp_out_layer_{layer}/trainer_0")
AVERAGES = ["--mode", "both", "--quantity", "gradient,attribution,activation"]
QUANTITIES = ["gradient", "attribution", "activation"]


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--programs", type=Path, default=ROOT / ".build/release", help="the folder of the built programs")
    a = p.parse_args()
    global PROGRAMS
    PROGRAMS = a.programs.resolve()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        activations = capture()
        runs = {
            "activations": (["act-grad", "--with-activations"], []),
            "features": (["sae-grad", "--sae", SAES], []),
            "features, from position 1": (["sae-grad", "--sae", SAES], ["--from-position", "1"]),
        }
        files = {}
        for name, (command, flags) in runs.items():
            gradients = run(command[0], "-q", "--model", MODEL, "--layers", "1,3", *command[1:], data=activations)
            files[name] = folder / f"{len(files)}.ts"
            arrays = folder / name.replace(" ", "-")
            files[name].write_bytes(run(
                "grad-aggregate", "-q", *AVERAGES, *flags, "--save", arrays, "--standard-errors", data=gradients))
            count = check_run(name, files[name], sorted(arrays.glob("*.npy")))
            print(f"{name}: {count} cells as numpy has them")
        for sort in ["attribution.mean_abs", "gradient.mean"]:
            check_comparison(files["features"], files["features, from position 1"], sort)
        check_readers(files["features"])


def run(program, *arguments, data=None):
    done = subprocess.run([PROGRAMS / program, *map(str, arguments)], input=data, capture_output=True)
    if done.returncode != 0:
        sys.exit(f"{program} {' '.join(map(str, arguments))}: exit {done.returncode}: {done.stderr.decode()}")
    return done.stdout


def capture():
    tokens = run("wt-tokenize", "-q", "--tokenizer", MODEL, "--num-samples", "24", "--max-length", "48", TEXT)
    return run("qwen-capture", "-q", "--model", MODEL, data=tokens)


def columns_of(file):
    """By place and column, in float64 what the stream has in float32, and z."""
    tensors = {k: v for record in gf.records(file) for k, v in record.items()}
    columns = {}
    for place in ["mlp_out.1", "mlp_out.3"]:
        for quantity in QUANTITIES:
            prefix = "" if quantity == "gradient" else f"{quantity}_"
            for mode in ["mean", "mean_abs"]:
                for suffix in ["", "_se"]:
                    columns[place, f"{quantity}_{mode}{suffix}"] = tensors[f"{prefix}{mode}{suffix}.{place}"].astype("f8")
            with np.errstate(divide="ignore", invalid="ignore"):
                columns[place, f"{quantity}_z"] = (
                    np.abs(columns[place, f"{quantity}_mean"]) / columns[place, f"{quantity}_mean_se"])
        for name in ["firing", "firing_se", "first_share"]:
            if f"{name}.{place}" in tensors:
                columns[place, name] = tensors[f"{name}.{place}"].astype("f8")
    return columns


def table(*arguments):
    text = run("grad-table", *arguments).decode()
    return list(csv.DictReader(io.StringIO(text), delimiter="\t"))


def order_of(values):
    """By magnitude, equal ones by their index, and what is no number at the end."""
    magnitudes = np.where(np.isfinite(values), -np.abs(values), np.inf)
    return np.lexsort((np.arange(len(values)), magnitudes))


def check_run(name, file, arrays):
    columns = columns_of(file)
    places = sorted({place for place, _ in columns})
    cells = 0
    for column in sorted({column for _, column in columns}):
        rows = table("--sort", column, file)
        wanted = [(place, i) for place in places for i in order_of(columns[place, column])]
        found = [(f"{row['site']}.{row['layer']}", int(row["index"])) for row in rows]
        expect(found == wanted, f"{name}: order by {column}")
        expect(set(rows[0]) == {c for _, c in columns} | {"site", "layer", "index"}, f"{name}: {list(rows[0])}")
        for (place, i), row in zip(wanted, rows):
            for (other, c), values in columns.items():
                if other != place:
                    continue
                same = np.float32(row[c]) == np.float32(values[i]) or np.isnan(values[i]) and row[c] == "NaN"
                close = c.endswith("_z") and np.isclose(float(row[c]), values[i], rtol=1e-6, atol=0)
                expect(same or close, f"{name}: {place}:{i}: {c}: expected {values[i]!r}, found {row[c]}")
                cells += 1
        top = table("--sort", column, "--top", 3, file)
        lists = {place: [i for p, i in wanted if p == place][:3] for place in places}
        expect([int(row["index"]) for row in top] == sum(lists.values(), []), f"{name}: --top by {column}")
        everything = np.concatenate([columns[place, column] for place in places])
        owners = [(place, i) for place in places for i in range(len(columns[place, column]))]
        overall = [owners[i] for i in order_of(everything)[:7]]
        found = [(f"{row['site']}.{row['layer']}", int(row["index"]))
                 for row in table("--sort", column, "--top-overall", 7, file)]
        expect(found == overall, f"{name}: --top-overall by {column}: expected {overall}, found {found}")
    # Arrays say as much as the stream, but for position 0, and lines of JSON as much as columns.
    rows = table(file)
    without_share = [{c: value for c, value in row.items() if c != "first_share"} for row in rows]
    expect(table(*arrays) == without_share, f"{name}: arrays")
    lines = [json.loads(line) for line in run("grad-table", "--format", "jsonl", file).splitlines()]
    expect(len(lines) == len(rows), f"{name}: {len(lines)} lines of JSON")
    for line, row in zip(lines, rows):
        for c, value in line.items():
            text = row[c]
            expect(value is None and text in ["NaN", "Inf", "-Inf"] or str(value) == text or float(text) == value,
                   f"{name}: JSON: {c}: expected {text}, found {value}")
    return cells


def check_comparison(file, other, sort):
    rows = table("--compare", other, "--sort", sort, "--top", 25, "-q", file)
    own, its = columns_of(file), columns_of(other)
    for place in sorted({place for place, _ in own}):
        key = sort.replace(".", "_")
        some = [row for row in rows if f"{row['site']}.{row['layer']}" == place]
        expect([int(row["index"]) for row in some] == list(order_of(own[place, key])[:25]), f"compare: order at {place}")
        tops = [set(order_of(c[place, key])[:25]) for c in [own, its]]
        ranks = [ranked(c[place, key]) for c in [own, its]]
        correlation = np.corrcoef(ranks)[0, 1]
        for row in some:
            i = int(row["index"])
            for c in [f"{q}_{m}" for q in QUANTITIES for m in ["mean", "mean_abs"]] + ["firing"]:
                numbers = {
                    c: own[place, c][i], f"other_{c}": its[place, c][i],
                    f"difference_{c}": own[place, c][i] - its[place, c][i],
                    f"difference_{c}_se": np.hypot(own[place, f"{c}_se"][i], its[place, f"{c}_se"][i]),
                    "rank_correlation": correlation, "top_same": len(tops[0] & tops[1]),
                }
                for name, expected in numbers.items():
                    expect(np.isclose(float(row[name]), expected, rtol=1e-6, atol=1e-30),
                           f"compare: {place}:{i}: {name}: expected {expected!r}, found {row[name]}")
        print(f"compare, {sort}, {place}: rank correlation {correlation:.4f}, {len(tops[0] & tops[1])} of 25 the same")


def ranked(values):
    """Ranks, of which equal values share their mean."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts + 1) / 2)[inverse]


def check_readers(file):
    text = run("grad-table", file)
    rows = list(csv.DictReader(io.StringIO(text.decode()), delimiter="\t"))
    expected = {c: np.array([float(row[c]) for row in rows]) for c in rows[0] if c != "site"}
    for name in ["pandas", "polars"]:
        if importlib.util.find_spec(name) is None:
            print(f"{name} is not there: not tried")
            continue
        module = __import__(name)
        if name == "pandas":
            frame = module.read_csv(io.BytesIO(text), sep="\t")
        else:
            frame = module.read_csv(io.BytesIO(text), separator="\t")
        for c, values in expected.items():
            found = frame[c].to_numpy().astype("f8")
            expect(np.allclose(found, values, rtol=1e-12, atol=0, equal_nan=True), f"{name}: {c}: {frame[c].dtype}")
        print(f"{name} reads {len(expected)} columns of numbers")


def expect(condition, what):
    if not condition:
        sys.exit(f"grad-table and numpy disagree: {what}")


if __name__ == "__main__":
    main()
