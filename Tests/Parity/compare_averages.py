#!/usr/bin/env python3
"""Compares all that grad-aggregate gathers with numpy in float64 over the gradients streams themselves.

    python Tests/Parity/compare_averages.py --programs .build/release

Gradients of activations and of features, factored, dense and with the decoder embedded, of the demo model and its text,
in five shards that are cut inside documents. For every quantity, mode, weighting and loss reduction, and for documents
and samples as units: sums, averages, firing, standard errors, the agreement of the halves, and the share of position 0. The shards' partial sums
are merged in three orders, and in two steps, and must give what one call over all shards gives.

Sums that no product in float32 goes into must agree to 1e-10, the others and everything in float32 to 1e-6 (relative L2
error); the correlation of the halves to 1e-6, and their top 20 but for features that rounding cannot tell apart. Exits 1
where something does not, and names it.
"""
import argparse
import subprocess
import sys
import tempfile
from itertools import product
from pathlib import Path

import numpy as np

from compare import ROOT
import gradient_filters as gf

MODEL, TEXT = ROOT / "demo/model", ROOT / "demo/sample.txt"
SAES = str(ROOT / "demo/saes/mlp_out_layer_{layer}/trainer_0")
# Where each shard begins, in samples; the last one ends where the text does.
CUTS = [0, 4, 5, 11, 19, 30]
ORDERS = [[0, 1, 2, 3, 4], [4, 2, 0, 3, 1], [1, 3, 4, 0, 2]]
EXACT, ROUNDED = 1e-10, 1e-6
QUANTITIES, MODES = ["gradient", "attribution", "activation"], ["mean", "mean_abs"]
PADDED = 3 * 47
# Whose share of position 0 is told.
FIRST = "attribution_mean_abs"
worst = {}


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--programs", type=Path, default=ROOT / ".build/release", help="the folder of the built programs")
    p.add_argument("--from-position", type=int, default=0)
    a = p.parse_args()
    global PROGRAMS
    PROGRAMS = a.programs.resolve()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        kinds = {
            "activations": ["act-grad", "--layers", "1,3", "--with-activations"],
            "factored": ["sae-grad", "--layers", "1,3", "--sae", SAES],
            "dense": ["sae-grad", "--layers", "1,3", "--sae", SAES, "--dense"],
            "embedded": ["sae-grad", "--layers", "1,3", "--sae", SAES, "--embed-basis"],
            "error term": ["sae-grad", "--layers", "1,3", "--sae", SAES, "--use-error-term", "--stride", "3"],
        }
        capture(folder)
        streams = {name: shards(folder, name, command) for name, command in kinds.items()}
        decoders = {k: v.astype("f8") for tensors in gf.records(streams["embedded"][0])
                    for k, v in tensors.items() if k.startswith("basis.")}
        for name, files in streams.items():
            has_decoder = name in ["factored", "embedded", "error term"]
            data = [gather(f, decoders if has_decoder else {}) for f in files]
            check_sum_rule(name, files, decoders)
            for weighting, reduction, unit in product(
                    ["position", "sample", "batch"], ["sum", "padded", "sample", "batch"], ["document", "sample"]):
                flags = ["--quantity", ",".join(QUANTITIES), "--mode", "both", "--weighting", weighting,
                         "--loss-reduction", reduction, "--unit", unit, "--from-position", str(a.from_position)]
                wanted = reference(data, weighting, reduction, unit, a.from_position)
                parts = [folder / f"part-{i}.ts" for i in range(len(files))]
                for file, part in zip(files, parts):
                    part.write_bytes(run("grad-aggregate", "-q", *flags, "--partial", file))
                check(f"{name}, {weighting}, {reduction}, {unit}", run("grad-aggregate", "-q", *flags, *files), wanted,
                      has_decoder)
                for order in ORDERS:
                    merged = run("grad-aggregate", "-q", *(parts[i] for i in order))
                    check(f"{name}, {weighting}, {reduction}, {unit}, merged {order}", merged, wanted, has_decoder)
                two = folder / "two.ts"
                two.write_bytes(run("grad-aggregate", "-q", "--partial", parts[2], parts[1]))
                check(f"{name}, {weighting}, {reduction}, {unit}, in two steps",
                      run("grad-aggregate", "-q", parts[4], two, parts[0], parts[3]), wanted, has_decoder)
            print(f"{name}: done", flush=True)
    for kind, (error, where) in sorted(worst.items()):
        print(f"{kind}: {error:.1e} at most ({where})")


def run(program, *arguments, data=None):
    done = subprocess.run([PROGRAMS / program, *map(str, arguments)], input=data, capture_output=True)
    if done.returncode != 0:
        sys.exit(f"{program} {' '.join(map(str, arguments))}: exit {done.returncode}: {done.stderr.decode()}")
    return done.stdout


def capture(folder):
    for i, (first, end) in enumerate(zip(CUTS, CUTS[1:])):
        tokens = run("wt-tokenize", "-q", "--tokenizer", MODEL, "--batch-size", "3", "--max-length", "48", "--skip", first,
                     "--num-samples", end - first, TEXT)
        (folder / f"{i}.acts").write_bytes(run("qwen-capture", "-q", "--model", MODEL, "--loss", data=tokens))


def shards(folder, name, command):
    files = []
    for i in range(len(CUTS) - 1):
        files.append(folder / f"{name}-{i}.ts")
        activations = (folder / f"{i}.acts").read_bytes()
        files[-1].write_bytes(run(command[0], "-q", "--model", MODEL, *command[1:], data=activations))
    return files


def gather(file, decoders):
    """The data records of a shard, with gradients, activations and what fires as matrices in float64."""
    records = []
    for tensors in gf.records(file):
        if "position" not in tensors:
            continue
        record = {k: tensors[k] for k in ["cu_positions", "position", "sample_index", "document", "predictions"]}
        record["places"] = {}
        for name in tensors:
            if not name.startswith("grad."):
                continue
            place = name[len("grad."):]
            g = tensors[name].astype("f8")
            if f"basis.{place}" in decoders:
                g = g @ decoders[f"basis.{place}"].T
            record["places"][place] = (g, dense_activations(tensors, place, g.shape))
        records.append(record)
    return records


def dense_activations(tensors, place, shape):
    if f"act.{place}" in tensors:
        return tensors[f"act.{place}"].astype("f8")
    a = np.zeros(shape)
    offsets = tensors[f"cu_active.{place}"]
    rows = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    a[rows, tensors[f"feature.{place}"]] = tensors[f"value.{place}"]
    return a


def check_sum_rule(name, files, decoders):
    """The attributions of a position add up to what the features add to the rebuilt activation, times the gradient."""
    if name == "activations":
        return
    for file in files:
        for tensors in gf.records(file):
            for key in [k for k in tensors if k.startswith("grad.")]:
                place = key[len("grad."):]
                g, W = tensors[key].astype("f8"), decoders[f"basis.{place}"]
                a = dense_activations(tensors, place, (len(g), len(W)))
                if name == "dense":
                    continue
                attributions, rebuilt = (a * (g @ W.T)).sum(1), ((a @ W) * g).sum(1)
                worst_of("sum rule", np.abs(attributions - rebuilt).max() / np.abs(rebuilt).max(), name, 1e-5)


def reference(shards, weighting, reduction, unit, first):
    """By place and measure: the sum, the average, its standard error, and the halves' correlation and top 20."""
    y, b, zero = {}, {}, {}
    for record in (record for shard in shards for record in shard):
        add_units(y, b, zero, record, weighting, reduction, unit, first)
    keys = sorted(b)
    weights = np.array([b[k] for k in keys])
    total, even = weights.sum(), np.array(keys) % 2 == 0
    wanted = {"units": len(keys)}
    for (place, name), units in y.items():
        rows = np.stack([units[k] for k in keys])
        m, U = rows.sum(0) / total, len(keys)
        halves = [rows[half].sum(0) / weights[half].sum() for half in [even, ~even]]
        wanted[place, name] = dict(
            sum=rows.sum(0), average=m,
            se=np.sqrt(U / (U - 1) * ((rows - m * weights[:, None]) ** 2).sum(0)) / total, halves=halves, U=U)
        if name == FIRST and first == 0:
            wanted[place, name] |= {"first": zero[place]}
    return wanted


def add_units(y, b, zero, record, weighting, reduction, unit, first):
    """Adds a record to the units' totals, by place and measure, to their weights, and to what position 0 has of FIRST."""
    starts = list(zip(record["cu_positions"], record["cu_positions"][1:]))
    kept = record["position"] >= first
    sizes = [kept[s:e].sum() for s, e in starts]
    predictions = record["predictions"]
    for i, (s, e) in enumerate(starts):
        if sizes[i] == 0:
            continue
        w = {"position": 1, "sample": 1 / sizes[i], "batch": 1 / sum(sizes)}[weighting]
        c = {"sum": 1, "padded": 1 / PADDED, "sample": 1 / max(predictions[i], 1),
             "batch": 1 / max(predictions.sum(), 1)}[reduction]
        key = int(record["document" if unit == "document" else "sample_index"][i])
        b[key] = b.get(key, 0) + w * sizes[i]
        rows = np.arange(s, e)[kept[s:e]]
        for place, (g, a) in record["places"].items():
            g, a = g[rows], a[rows]
            values = {"gradient": c * g, "attribution": c * a * g, "activation": a}
            for quantity, mode in product(QUANTITIES, MODES):
                x = values[quantity]
                rows_of = w * (np.abs(x) if mode == "mean_abs" else x)
                add(y, place, measure(quantity, mode), key, rows_of.sum(0))
                if measure(quantity, mode) == FIRST:
                    zero[place] = zero.get(place, 0) + rows_of[record["position"][rows] == 0].sum(0)
            add(y, place, "firing", key, w * (a != 0).sum(0))


def add(y, place, name, key, values):
    units = y.setdefault((place, name), {})
    units[key] = units.get(key, 0) + values


def measure(quantity, mode):
    return mode if quantity == "gradient" else f"{quantity}_{mode}"


def sum_name(name):
    if name == "firing":
        return "firing_sum"
    return "_".join(["sum" if part == "mean" else part for part in name.split("_")])


def check(what, stream, wanted, has_decoder):
    tensors = {k: v for record in gf.records(stream) for k, v in record.items()}
    for (place, name), expected in ((k, v) for k, v in wanted.items() if k != "units"):
        if name == "firing" and f"firing.{place}" not in tensors and "activations" in what:
            continue
        # The signed sum is one vector's product in float64, and attributions are sums in float64.
        exact = not (has_decoder and name == "mean_abs")
        where = f"{what}: {name}.{place}"
        compare("sums" if exact else "sums of float32 products", tensors[f"{sum_name(name)}.{place}"], expected["sum"],
                where, EXACT if exact else ROUNDED)
        compare("averages", tensors[f"{name}.{place}"], expected["average"], where, ROUNDED)
        if "first" in expected:
            compare("sums", tensors[f"first_sum.{place}"], expected["first"], where, EXACT)
            with np.errstate(invalid="ignore"):
                share = expected["first"] / expected["sum"]
            compare("shares of position 0", np.nan_to_num(tensors[f"first_share.{place}"]), np.nan_to_num(share), where,
                    ROUNDED)
        elif f"first_sum.{place}" in tensors and name == FIRST:
            sys.exit(f"{where}: a share of position 0, which was left out")
        compare("standard errors", tensors[f"{name}_se.{place}"], expected["se"], where, ROUNDED)
        halves = tensors.get(f"{name}_halves.{place}")
        even, odd = expected["halves"]
        r = np.corrcoef(even, odd)[0, 1]
        if np.isnan(r):
            continue
        worst_of("correlation of the halves", abs(halves[0] - r), where, ROUNDED)
        worst_of("reliability", abs(halves[1] - 2 * r / (1 + r)), where, 1e-5)
        if r > 0:
            R = 2 * r / (1 + r)
            worst_of("units for 0.9", abs(halves[3] / (expected["U"] * 9 * (1 - R) / R) - 1), where, 1e-4)
        check_overlap(int(halves[2]), even, odd, where)


def check_overlap(found, even, odd, where):
    tops, near = [], 0
    for half in [np.abs(even), np.abs(odd)]:
        order = np.lexsort((np.arange(len(half)), -half))
        tops.append(set(order[:20]))
        edge = half[order[19]]
        near += (np.abs(half - edge) <= 1e-5 * edge).sum() - 1
    if abs(found - len(tops[0] & tops[1])) > near:
        sys.exit(f"{where}: {found} of the top 20, expected {len(tops[0] & tops[1])}")


def compare(kind, found, expected, where, tolerance):
    worst_of(kind, np.linalg.norm(found - expected) / max(np.linalg.norm(expected), 1e-300), where, tolerance)


def worst_of(kind, error, where, tolerance):
    if not error <= tolerance:
        sys.exit(f"{where}: {kind}: {error:.2e}, expected at most {tolerance:.0e}")
    if error >= worst.get(kind, (-1, ""))[0]:
        worst[kind] = (error, where)


if __name__ == "__main__":
    main()
