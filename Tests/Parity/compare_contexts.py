#!/usr/bin/env python3
"""Compares grad-contexts with a search through everything, over the gradients streams that it reads.

    python Tests/Parity/compare_contexts.py --programs .build/release

Gradients of activations and of features, factored, dense, with the decoder embedded and with the error term, at every
position and every 4th, of the demo model, its text and a text of characters that take several tokens. For every --by,
with and without --repeat: the same positions in the same order, but for values that rounding cannot tell apart (1e-12);
activation, gradient and attribution to 1e-6; the activations around; the quantiles' contexts, drawn again from the
definition in docs/contexts.md. Texts must be what the tokenizers library decodes the whole sample to, cut where its
decoding of the tokens so far ends.

Streams made here try what the demo has not: values of which many are equal, in records of any order. One of ten million
active features tells how fast a stream is read, and that memory does not follow its length. Exits 1 where something
disagrees, and names it.
"""
import argparse
import io
import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from compare import ROOT
import gradient_filters as gf
from gradient_filters._frames import FrameWriter
from gradient_filters._safetensors import encoded

sys.path.append(str(ROOT / "Benchmarks"))
import measure  # noqa: E402

MODEL, TEXT = ROOT / "demo/model", ROOT / "demo/sample.txt"
SAES = str(ROOT / "demo/saes/mlp_out_layer_{layer}/trainer_0")
QUANTITIES = ["attribution", "activation", "gradient"]
SAME = 1e-12
# Characters of one to four bytes, of which the demo's tokenizer knows few, and what may not become markup.
HOSTILE = [
    " = Ünïcödé = \n",
    " naïve café — 東京へ行く 👍🏽 «quoted» </script><!-- \\ \" ' & \u202e right to left \u2066 and back \u2069 \x01 \x7f \n",
    " Ελληνικά и кириллица , 한국어 and עברית beside \U0001f469\u200d\U0001f680 and \u0000 zero \n",
]


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--programs", type=Path, default=ROOT / ".build/release", help="the folder of the built programs")
    p.add_argument("--entries", type=int, default=10_000_000, help="active features of the long stream")
    a = p.parse_args()
    global PROGRAMS
    PROGRAMS = a.programs.resolve()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "hostile.txt").write_text("".join(HOSTILE * 3), newline="")
        for text, flags in [(TEXT, ["--max-length", "48"]), (folder / "hostile.txt", ["--max-length", "61"])]:
            check_text(folder, text, flags)
        check_ties(folder)
        check_long_streams(folder, a.entries)


def run(program, *arguments, data=None):
    done = subprocess.run([PROGRAMS / program, *map(str, arguments)], input=data, capture_output=True)
    if done.returncode != 0:
        sys.exit(f"{program} {' '.join(map(str, arguments))}: exit {done.returncode}: {done.stderr.decode()}")
    return done.stdout


def check_text(folder, text, flags):
    """All kinds of streams over a text."""
    tokens = run("wt-tokenize", "-q", "--tokenizer", MODEL, "--batch-size", "3", *flags, text)
    (folder / "tokens.ts").write_bytes(tokens)
    activations = run("qwen-capture", "-q", "--model", MODEL, "--layers", "1,3", "--loss", data=tokens)
    sae = ["sae-grad", "--sae", SAES]
    kinds = {
        "embedded": [*sae, "--embed-basis", "--stride", "1"], "factored": [*sae, "--stride", "1"],
        "every 4th": sae, "dense": [*sae, "--dense"], "error term": [*sae, "--use-error-term", "--stride", "3"],
        "activations": ["act-grad", "--with-activations"],
    }
    samples, decoders = samples_of(tokens), {}
    tokenizer = Tokenizer.from_file(str(MODEL / "tokenizer.json"))
    pieces = {sample: pieces_of(tokenizer, ids) for sample, ids in samples.items()}
    for name, command in kinds.items():
        stream = run(command[0], "-q", "--model", MODEL, *command[1:], data=activations)
        (folder / "gradients.ts").write_bytes(stream)
        records = list(gf.records(stream))
        if name == "embedded":
            decoders = {k[len("basis."):]: v.astype("f8") for r in records for k, v in r.items() if k.startswith("basis.")}
        data = Positions(records, {} if name in ["dense", "activations"] else decoders)
        features = chosen(data)
        count = 0
        for by, repeats, (contexts, window) in itertools.product(QUANTITIES, [False, True], [(3, 5), (12, 200)]):
            asked = ["--features", ",".join(map(name_of, features)), "--by", by, "--contexts", contexts, "--window", window,
                     *["--repeat"] * repeats, "--quantiles", "4", "--per-quantile", "3", "--seed", "9"]
            wanted = [line for f in features for line in search(data, f, by, repeats, contexts, (4, 3, 9))]
            for more in [[], ["--tokens", folder / "tokens.ts"],
                         ["--tokens", folder / "tokens.ts", "--tokenizer", MODEL]]:
                found = lines_of(run("grad-contexts", "-q", *asked, *more, folder / "gradients.ts"))
                where = f"{text.name}, {name}, {' '.join(map(str, asked[2:] + more))}"
                compare(found, wanted, data, by, where)
                known = samples if more else {s: data.known(s) for s in samples}
                shown = pieces if len(more) > 2 else known
                for line in found:
                    check_window(line, data, known[line["sample"]], shown[line["sample"]], window, where)
                count += len(found)
        print(f"{text.name}, {name}: {count} contexts of {len(features)} features", flush=True)


def name_of(feature):
    place, index = feature
    return f"{place}:{index}"


def lines_of(output):
    return [json.loads(line) for line in output.decode().splitlines()]


def samples_of(stream):
    """The token ids of each sample."""
    samples = {}
    for r in gf.records(stream):
        for i, number in enumerate(r.get("sample_index", [])):
            samples[int(number)] = r["input_ids"][r["cu_seqlens"][i]:r["cu_seqlens"][i + 1]].tolist()
    return samples


def pieces_of(tokenizer, ids):
    """The text of each token: what it adds to the decoding, a character of several tokens with the last of them."""
    whole, pieces, end = tokenizer.decode(ids, skip_special_tokens=False), [], 0
    for i in range(len(ids)):
        decoded = tokenizer.decode(ids[:i + 1], skip_special_tokens=False)
        common = len(os.path.commonprefix([decoded, whole])) if i + 1 < len(ids) else len(whole)
        pieces.append(whole[end:max(end, common)])
        end = max(end, common)
    assert "".join(pieces) == whole
    return pieces


class Positions:
    """All that is recorded: by place activations and gradients (positions, features), and where each position is."""

    def __init__(self, records, decoders):
        sample, position, token, values = [], [], [], {}
        for r in records:
            if "position" not in r:
                continue
            sample.append(np.repeat(r["sample_index"], np.diff(r["cu_positions"])))
            position.append(r["position"])
            token.append(r["token"])
            for key in [k for k in r if k.startswith("grad.")]:
                place = key[len("grad."):]
                g = r[key].astype("f8")
                if place in decoders:
                    # Row by row, so that equal rows have equal products.
                    g = np.stack([decoders[place] @ row for row in g]) if len(g) else np.zeros((0, len(decoders[place])))
                values.setdefault(place, []).append((g, activations(r, place, g.shape)))
        self.sample, self.position, self.token = map(np.concatenate, [sample, position, token])
        self.g = {place: np.concatenate([g for g, _ in parts]) for place, parts in values.items()}
        self.a = {place: np.concatenate([a for _, a in parts]) for place, parts in values.items()}

    def value(self, feature, by):
        place, index = feature
        g, a = self.g[place][:, index], self.a[place][:, index]
        return {"attribution": a * g, "activation": a, "gradient": g}[by]

    def known(self, sample):
        """The ids of a sample at its recorded positions, None at others, to the last that is recorded."""
        rows = np.flatnonzero(self.sample == sample)
        ids = [None] * (int(self.position[rows].max()) + 1)
        for row in rows:
            ids[self.position[row]] = int(self.token[row])
        return ids


def activations(r, place, shape):
    if f"act.{place}" in r:
        return r[f"act.{place}"].astype("f8")
    a, offsets = np.zeros(shape), r[f"cu_active.{place}"]
    a[np.repeat(np.arange(len(offsets) - 1), np.diff(offsets)), r[f"feature.{place}"]] = r[f"value.{place}"]
    return a


def chosen(data):
    """Features of every place that fire at some positions, often and seldom."""
    features = []
    for place in sorted(data.a):
        firing = (data.a[place] != 0).sum(0)
        order = [i for i in np.argsort(firing, kind="stable") if firing[i] > 0]
        features += [(place, int(i)) for i in [order[0], order[len(order) // 2], order[-1], order[-2]]]
    return features


# The definitions


def search(data, feature, by, repeats, contexts, draw):
    """The rows of a feature's contexts, each with its rank and quantile."""
    values = np.abs(data.value(feature, by))
    rows = np.flatnonzero(values)
    order = sorted(rows, key=lambda r: (-values[r], data.sample[r], data.position[r]))
    largest, seen = [], set()
    for row in order:
        if repeats or data.sample[row] not in seen:
            largest.append(row)
        seen.add(data.sample[row])
    lines = [(feature, None, rank + 1, row) for rank, row in enumerate(largest[:contexts])]
    parts, each, seed = draw
    state = seed
    for byte in name_in_full(feature).encode():
        state = mixed(state, byte)
    chance = {r: mixed(mixed(state, int(data.sample[r])), int(data.position[r])) >> 11 for r in rows}
    drawn = sorted(rows, key=lambda r: (chance[r], data.sample[r], data.position[r]))[:max(64, 8 * parts * each)]
    ranked = [r for r in order if r in set(drawn)]
    seen = set()
    for part in range(parts):
        kept = []
        for row in sorted(ranked[len(ranked) * part // parts:len(ranked) * (part + 1) // parts], key=drawn.index):
            if len(kept) < each and (repeats or data.sample[row] not in seen):
                kept.append(row)
                seen.add(data.sample[row])
        kept.sort(key=order.index)
        lines += [(feature, part + 1, rank + 1, row) for rank, row in enumerate(kept)]
    return lines


def name_in_full(feature):
    return f"{feature[0]}:{feature[1]}"


def mixed(state, number):
    """SplitMix64's next number."""
    mask = (1 << 64) - 1
    z = ((state ^ number) + 0x9E3779B97F4A7C15) & mask
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & mask
    z = (z ^ z >> 27) * 0x94D049BB133111EB & mask
    return z ^ z >> 31


def compare(found, wanted, data, by, where):
    expect(len(found) == len(wanted), f"{where}: expected {len(wanted)} lines, found {len(found)}")
    for line, (feature, quantile, rank, row) in zip(found, wanted):
        names = (line["place"], line["feature"], line.get("quantile"), line["rank"], line["by"])
        expect(names == (*feature, quantile, rank, by), f"{where}: expected {feature, quantile, rank}, found {names}")
        own = np.flatnonzero((data.sample == line["sample"]) & (data.position == line["position"]))
        expect(len(own) == 1, f"{where}: no such position: {line}")
        value = data.value(feature, by)
        near = abs(abs(value[own[0]]) - abs(value[row])) <= SAME * abs(value[row])
        expect(own[0] == row or near and value[own[0]] != value[row],
               f"{where}: {feature}, {rank}: expected sample {data.sample[row]}, position {data.position[row]}, found {line}")
        for quantity in QUANTITIES:
            close(line[quantity], data.value(feature, quantity)[own[0]], f"{where}: {quantity}: {line}")


def check_window(line, data, ids, shown, window, where):
    """The tokens around, and the activations at those positions that are recorded."""
    position = line["position"]
    expect(line["token"] == shown[position], f"{where}: token: expected {shown[position]!r}, found {line}")
    for side, positions in [("before", range(max(0, position - window), position)),
                            ("after", range(position + 1, min(len(ids), position + 1 + window)))]:
        expect(line[side] == [shown[p] for p in positions], f"{where}: {side}: {line}")
        values = line[f"activations_{side}"]
        expect(len(values) == len(positions), f"{where}: activations_{side}: {line}")
        rows = {int(data.position[r]): r for r in np.flatnonzero(data.sample == line["sample"])}
        for p, value in zip(positions, values):
            if p not in rows:
                expect(value is None, f"{where}: an activation at position {p}, which is not recorded: {line}")
            else:
                close(value, data.a[line["place"]][rows[p], line["feature"]], f"{where}: activations_{side}: {line}")


def close(found, expected, what):
    expect(found is not None and abs(found - expected) <= 1e-6 * abs(expected), f"{what}: expected {expected!r}")


# Streams made here


def write_stream(path, records):
    """By the package's frames, as its `write` takes no decoders."""
    with io.FileIO(path, "w") as file:
        frames = FrameWriter(file)
        frames.write(encoded({"record": "begin", "format": "tensor-stream/2", "kind": "gradients", "places": "mlp_out.0"}, {}))
        count = size = 0
        for tensors in records:
            contents = encoded({"record": "data", "batch": str(count)}, tensors)
            frames.write(contents)
            count, size = count + 1, size + contents.size
        frames.write(encoded({"record": "end", "records": str(count), "bytes": str(size)}, {}), stored=True)


def rows_of(lengths, first):
    return {
        "cu_positions": np.cumsum([0, *lengths], dtype=np.int32),
        "position": np.concatenate([np.arange(n, dtype=np.int32) for n in lengths]),
        "token": np.concatenate([np.arange(n, dtype=np.int32) for n in lengths]),
        "sample_index": np.arange(first, first + len(lengths), dtype=np.int64),
        "document": np.arange(first, first + len(lengths), dtype=np.int64),
        "predictions": np.array([n - 1 for n in lengths], np.int32),
    }


def check_ties(folder):
    """Of values on a coarse grid most are equal to others; records come in any order."""
    generator, dice = np.random.default_rng(3), random.Random(3)
    records, first = [], 0
    for _ in range(12):
        lengths = [dice.randint(1, 9) for _ in range(dice.randint(1, 7))]
        count = sum(lengths)
        grid = lambda: generator.integers(-2, 3, (count, 5)).astype(np.float32) / 2
        records.append({**rows_of(lengths, first), "grad.mlp_out.0": grid(), "act.mlp_out.0": grid()})
        first += len(lengths)
    data = Positions(records, {})
    features = [("mlp_out.0", i) for i in range(5)]
    count = 0
    for order in range(3):
        dice.shuffle(records)
        write_stream(folder / "ties.ts", records)
        for by, repeats, contexts in itertools.product(QUANTITIES, [False, True], [1, 2, 7, 40, 1000]):
            found = lines_of(run("grad-contexts", "-q", "--features", ",".join(map(name_of, features)), "--by", by,
                                 "--contexts", contexts, *["--repeat"] * repeats, "--quantiles", "3", "--seed", order,
                                 folder / "ties.ts"))
            wanted = [line for f in features for line in search(data, f, by, repeats, contexts, (3, 2, order))]
            compare(found, wanted, data, by, f"ties, --by {by}, {contexts}, repeat {repeats}")
            count += len(found)
    print(f"ties: {count} contexts")


def check_long_streams(folder, entries):
    """Time and memory of a stream, and of its first eighth."""
    runs = {}
    for share in [8, 1]:
        path = folder / "long.ts"
        write_stream(path, long_records(entries // share))
        size = path.stat().st_size
        features = ",".join(f"0:{i}" for i in range(0, 4000, 200))
        for by in QUANTITIES:
            # So that at most an eighth of it, 32 MB, is read ahead, however much memory the machine has.
            took = measure.run(["prlimit", f"--data={256 << 20}", PROGRAMS / "grad-contexts", "-q", "--features", features,
                                "--by", by, "--quantiles", "5", path])
            runs[share, by] = took.processes[0].private
            print(f"{entries // share} active features, {size / 1e6:.0f} MB, --by {by}: {took.seconds:.2f} s, "
                  f"{size / 1e6 / took.seconds:.0f} MB/s, {runs[share, by]:.0f} MB of memory", flush=True)
    for by in QUANTITIES:
        expect(runs[1, by] < runs[8, by] + 48, f"memory follows the stream's length: {runs}")


def long_records(entries, width=64, features=4096, active=64, rows=8192):
    """Features of an autoencoder with 4,096, of which 64 are active at each position; gradients of all are too many to be
    written here, so that there is one factor for each position, and the decoder is in the stream."""
    generator = np.random.default_rng(4)
    yield {"basis.mlp_out.0": generator.standard_normal((features, width), np.float32)}
    step = features // active
    for number in range(entries // (rows * active) + 1):
        listed = np.arange(active, dtype=np.int32) * step + generator.integers(0, step, (rows, active), np.int32)
        yield {
            **rows_of([128] * (rows // 128), number * (rows // 128)),
            "grad.mlp_out.0": generator.standard_normal((rows, width), np.float32),
            "cu_active.mlp_out.0": np.arange(rows + 1, dtype=np.int64) * active,
            "feature.mlp_out.0": listed.reshape(-1),
            "value.mlp_out.0": generator.random(rows * active, np.float32) + 0.1,
        }


def expect(condition, what):
    if not condition:
        sys.exit(f"grad-contexts and the search through everything disagree: {what}")


if __name__ == "__main__":
    main()
