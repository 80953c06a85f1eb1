#!/usr/bin/env python3
"""Compares the programs on trained models and real text with transformers in float64, beside PyTorch's own float32.

    python Tests/Parity/compare_real_models.py --programs .build/release --text wiki.valid.raw --samples 40 \\
        --sae 'smollm2-135m=saes/mlp_out_layer_{layer}/trainer_0' .build/real/smollm2-135m .build/real/gemma-3-270m

Every line's token ids are compared with the tokenizer's own in transformers, and the text that is made of them, whole and
token by token (see compare_contexts.py); of the first --samples samples the losses, and the gradients at every place: their mean and mean_abs over all positions, and each position by itself. With --sae
also the gradients of the features of BatchTopK autoencoders of dictionary_learning (others: compare_sae_libraries.py),
put in place of the activation and with the error term. Trained models have massive activations, behind which float32 is
further from float64 in any program, so PyTorch's own distance stands beside.

Prints tables in Markdown, and on standard error how far it is. Fails where ids differ, and where a distance is above
its limit. Samples are compared one after another, so that their number costs time alone.

A feature whose preactivation lies within rounding of its threshold is active in one arithmetic and not in the other,
which is no error of either: a replaced pass is compared on the samples in which no feature is that near, and it is said
how many have one.
"""
import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import transformers

import families
from compare_contexts import pieces_of, rows_of, write_stream
from gradient_reference import BatchTopK, load_model
from passes import Watched, feature_gradients, near_ties, samples
import gradient_filters as gf

STRIDE = 4


def main():
    a = arguments()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    # The programs compute beside it, and threads that wait for one another on a shared core take ten times as long.
    torch.set_num_threads(1)
    failures = []
    for model in a.models:
        print(f"\n### {model.name}\n")
        failures += compare_ids(a, model)
        if not a.ids_only:
            with tempfile.TemporaryDirectory() as scratch:
                failures += compare_numbers(a, model, Path(scratch))
    if failures:
        sys.exit("\n".join(failures))


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--programs", required=True, type=Path)
    p.add_argument("--text", required=True, type=Path)
    p.add_argument("--samples", type=int, default=6)
    p.add_argument("--max-length", type=int, default=128, help="tokens of a sample at most (default: 128)")
    p.add_argument("--sae", action="append", default=[], metavar="MODEL=TEMPLATE",
                   help="autoencoders of the model of this name, {layer} being the layer; may be repeated")
    p.add_argument("--ids-only", action="store_true", help="compare the tokenizers alone")
    p.add_argument("--average-limit", type=float, default=1e-5, help="relative L2, of a place's mean and mean_abs")
    p.add_argument("--position-limit", type=float, default=1e-4, help="relative L2, of one position's gradient")
    p.add_argument("--loss-limit", type=float, default=2e-6, help="relative, of a sample's loss")
    p.add_argument("models", type=Path, nargs="+", metavar="MODEL")
    a = p.parse_args()
    a.saes = {}
    for pair in a.sae:
        model, _, template = pair.partition("=")
        if model not in {folder.name for folder in a.models}:
            p.error(f"--sae: expected MODEL=TEMPLATE with one of the models' names, found {pair}")
        a.saes.setdefault(model, []).append(template)
    return a


def compare_ids(a, model):
    lines = [line for line in a.text.read_bytes().decode().splitlines(keepends=True) if len(line.strip()) > 0]
    tokens = run(a, "wt-tokenize", "--tokenizer", model, "--min-chars", 0, "--num-samples", len(lines),
                 "--max-length", 1 << 20, a.text)
    found = samples(tokens)
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    expected = tokenizer(lines)["input_ids"]
    different = sum(one != other for one, other in zip(found, expected)) + abs(len(found) - len(expected))
    print(f"Token ids of all {len(lines)} lines, {sum(map(len, expected))} tokens: {different} lines differ.", flush=True)
    wrong = sum(pieces != pieces_of(tokenizer.backend_tokenizer, ids)
                for pieces, ids in zip(decoded(a, model, tokens, found), found, strict=True))
    print(f"The text of them, token by token: {wrong} lines differ.", flush=True)
    return [f"{model.name}: {count} lines {have}" for count, have in [
        (different, "have other token ids"), (wrong, "are decoded to other text")] if count]


def decoded(a, model, tokens, ids):
    """The text of each token of all samples, which grad-contexts shows around the first of each."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "tokens.ts").write_bytes(tokens)
        count = len(ids)
        record = {**rows_of([1] * count, 0), "token": np.array([sample[0] for sample in ids], np.int32),
                  "predictions": np.array([len(sample) - 1 for sample in ids], np.int32)}
        ones = np.ones((count, 1), np.float32)
        write_stream(folder / "firsts.ts", [{**record, "grad.mlp_out.0": ones, "act.mlp_out.0": ones}])
        lines = run(a, "grad-contexts", "--features", "mlp_out.0:0", "--contexts", count, "--window", 100_000,
                    "--tokens", folder / "tokens.ts", "--tokenizer", model, folder / "firsts.ts").splitlines()
    # Of equal ones the lower sample comes first.
    return [[line["token"], *line["after"]] for line in map(json.loads, lines)]


def compare_numbers(a, model, scratch):
    (scratch / "tokens.ts").write_bytes(run(
        a, "wt-tokenize", "--tokenizer", model, "--num-samples", a.samples, "--max-length", a.max_length, a.text))
    ids = samples((scratch / "tokens.ts").read_bytes())
    predictions = sum(len(sample) - 1 for sample in ids)
    print(f"{len(ids)} samples, {sum(map(len, ids))} tokens, {predictions} predictions.\n")
    failures = compare_activations(a, model, ids, scratch)
    for template in a.saes.get(model.name, []):
        for layer, folder in existing(template):
            failures += compare_features(a, model, template, layer, folder, ids, scratch)
    return [f"{model.name}: {failure}" for failure in failures]


class Distances:
    """How far the averages of vectors are from exact ones, and the furthest of the vectors themselves."""

    def __init__(self):
        self.count, self.sums, self.furthest, self.where = 0, None, 0.0, None

    def add(self, found, exact, sample):
        """The vectors (positions, width) of one sample."""
        # Else sums of what the programs write would be in float32, too.
        found = found.astype(np.float64)
        sums = np.array([[x.sum(axis=0), np.abs(x).sum(axis=0)] for x in (exact, found)])
        self.sums = sums if self.sums is None else self.sums + sums
        sizes, errors = (np.linalg.norm(x, axis=1) for x in (exact, found - exact))
        # Behind the last position there is nothing to predict: its gradient is 0 and must be.
        with np.errstate(divide="ignore", invalid="ignore"):
            errors = np.where((errors == 0) & (sizes == 0), 0, errors / sizes)
        at = int(np.argmax(errors))  # A NaN is the largest.
        if not errors[at] <= self.furthest:
            self.furthest, self.where = float(errors[at]), f"sample {sample}, position {at}"

    @property
    def averages(self):
        """Of mean and of mean_abs, relative L2."""
        exact, found = self.sums
        return [float(np.linalg.norm(x - y) / np.linalg.norm(y)) for x, y in zip(found, exact)]


class Losses:
    def __init__(self):
        self.exact, self.ours, self.single, self.predictions = [], [], [], 0

    def add(self, sample, exact, ours, single):
        self.predictions += len(sample) - 1
        for losses, loss in zip((self.exact, self.ours, self.single), (exact, ours, single)):
            losses.append(float(loss))

    def error(self, losses):
        return float(np.max([abs(x - y) / y for x, y in zip(losses, self.exact)]))


def compare_activations(a, model, ids, scratch):
    """Prints the tables of losses and of gradients at all sites; gives what is above its limit."""
    captured = scratch / "captured.ts"
    captured.write_bytes(run(
        a, "qwen-capture", "--model", model, "--loss", "--site", "resid_pre", "--layers", 0,
        source=scratch / "tokens.ts"))
    exact, single = (Watched(model, dtype) for dtype in (torch.float64, torch.float32))
    sites = list(families.places(families.layers(exact.model)[0]))
    losses, places = Losses(), {}
    found = by_sample(a, "act-grad", "--model", model, "--site", ",".join(sites), source=captured)
    for number, (sample, ours) in enumerate(progress(model.name, zip(ids, found), len(ids))):
        exact_loss, exact_gradients = exact.gradients(sample)
        single_loss, single_gradients = single.gradients(sample)
        losses.add(sample, exact_loss, ours["loss"], single_loss)
        for place, gradients in exact_gradients.items():
            pair = places.setdefault(place, (Distances(), Distances()))
            pair[0].add(ours[f"grad.{place}"], gradients, number)
            pair[1].add(single_gradients[place], gradients, number)
    failures = print_losses(a, losses)
    print(HEADER.format("site"))
    for site in sites:
        pairs = {place: pair for place, pair in places.items() if place.startswith(f"{site}.")}
        failures += print_row(a, site, pairs)
    return failures


def compare_features(a, model, template, layer, folder, ids, scratch):
    """Prints the table of feature gradients of one autoencoder; gives what is above its limit."""
    (listed,) = run(a, "sae-grad", "--list-saes", folder, "--json").splitlines()
    place = json.loads(listed)["place"]
    site = place.split(".")[0]
    captured = scratch / "place.ts"
    captured.write_bytes(run(
        a, "qwen-capture", "--model", model, "--loss", "--site", site, "--layers", layer, source=scratch / "tokens.ts"))
    exact, single = ((load_model(model, dtype), BatchTopK(folder, dtype)) for dtype in (torch.float64, torch.float32))
    replaced, error_term = (
        by_sample(a, "sae-grad", "--model", model, "--sae", template, "--site", site, "--layers", layer,
                  "--stride", STRIDE, "--dense", *flags, source=captured) for flags in ([], ["--use-error-term"]))
    activations = by_sample(None, None, source=captured)
    losses, features = Losses(), {"replaced": (Distances(), Distances()), "error term": (Distances(), Distances())}
    positions = near = left_out = 0
    streams = zip(ids, activations, replaced, error_term)
    for number, (sample, captures, *ours) in enumerate(progress(f"{model.name}, {place}", streams, len(ids))):
        for (name, pair), found in zip(features.items(), ours):
            (loss, gradients, x), (single_loss, single_gradients, single_x) = (
                feature_gradients(*numbers, layer, site, sample, STRIDE, name == "error term") for numbers in (exact, single))
            if name == "replaced":
                ours_x = torch.from_numpy(captures[f"act.{place}"][::STRIDE])
                ties = near_ties(exact[1], x, ours_x, single_x)
                positions, near, left_out = positions + len(ties), near + int(ties.sum()), left_out + bool(ties.any())
                if ties.any():
                    continue
                losses.add(sample, loss, found[f"loss.{place}"], single_loss)
            pair[0].add(found[f"grad.{place}"], gradients, number)
            pair[1].add(single_gradients, gradients, number)
    print(f"\nFeatures of {'/'.join(folder.parts[-2:])} at {place}: at {near} of {positions} positions one is within "
          f"rounding of its threshold; the {left_out} of {len(ids)} samples with such a position are left out where the "
          f"activation is replaced.\n")
    failures = []
    if losses.exact:
        failures += print_losses(a, losses, "loss with it")
    print(HEADER.format("features"))
    for name, pair in features.items():
        if pair[0].sums is not None:
            failures += print_row(a, name, {place: pair})
    return failures


def print_losses(a, losses, name="loss"):
    print(f"| {name} | nats per prediction | a sample's, relative error at most |\n|---|---|---|")
    for what, numbers in (("float64", losses.exact), ("the programs", losses.ours), ("PyTorch, float32", losses.single)):
        error = "" if numbers is losses.exact else f"{losses.error(numbers):.1e}"
        print(f"| {what} | {sum(numbers) / losses.predictions:.7f} | {error} |")
    print(flush=True)
    return above(f"{name} of a sample", losses.error(losses.ours), a.loss_limit)


HEADER = (
    "| {} | mean | PyTorch's | ratio | mean_abs | PyTorch's | ratio | one position | PyTorch's | ratio |\n"
    + "|---" * 10 + "|")


def print_row(a, name, pairs):
    """The largest distances of any of the places, of the programs and of PyTorch in float32."""
    columns, failures = [], []
    for what, limit, distance in [
            ("mean", a.average_limit, lambda d: d.averages[0]), ("mean_abs", a.average_limit, lambda d: d.averages[1]),
            ("one position", a.position_limit, lambda d: d.furthest)]:
        distances = {place: [distance(d) for d in pair] for place, pair in pairs.items()}
        ours, single = np.max(list(distances.values()), axis=0)
        columns += [f"{ours:.1e}", f"{single:.1e}", f"{ours / single:.2f}"]
        place = max(distances, key=lambda place: distances[place][0])
        at = f", {pairs[place][0].where}" if what == "one position" else ""
        failures += above(f"{name}: {what} at {place}{at}", ours, limit)
    print(f"| {name} | " + " | ".join(columns) + " |", flush=True)
    return failures


def above(what, error, limit):
    # Not `>`: a NaN must fail.
    return [] if error <= limit else [f"{what}: off by {error:.1e}, at most {limit:.0e} is expected"]


def by_sample(a, program, *flags, source):
    """The tensors of one sample after another of what a program writes, or of the stream `source` where it is None."""
    with open(source, "rb") as stdin:
        command = [a.programs / program, "--quiet", "--device", "cpu", *map(str, flags)] if program else ["cat"]
        with subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE) as running:
            for record in gf.records(running.stdout):
                starts = record["cu_positions"] if "cu_positions" in record else record["cu_seqlens"]
                for sample, (start, end) in enumerate(zip(starts, starts[1:])):
                    yield {name: value[start:end] if name.startswith(("grad.", "act.")) else value[sample]
                           for name, value in record.items() if name.startswith(("grad.", "act.", "loss"))}
    if running.returncode != 0:
        sys.exit(f"{program} {' '.join(map(str, flags))}: exit code {running.returncode}")


def run(a, program, *flags, source=None):
    computes = program not in ["wt-tokenize", "grad-contexts"] and "--list-saes" not in flags
    command = [a.programs / program, *(["--device", "cpu"] if computes else []), "--quiet", *map(str, flags)]
    with open(source or "/dev/null", "rb") as stdin:
        done = subprocess.run(command, stdin=stdin, capture_output=True)
    if done.returncode != 0:
        sys.exit(f"{program} {' '.join(map(str, flags))}: {done.stderr.decode()}")
    return done.stdout


def existing(template):
    """The layers of which there is an autoencoder, and its folder."""
    folders = [(layer, Path(template.format(layer=layer))) for layer in range(200)]
    found = [(layer, folder) for layer, folder in folders if folder.exists()]
    return found or sys.exit(f"{template}: expected autoencoders there, found none")


def progress(name, items, count):
    start = said = time.monotonic()
    for done, item in enumerate(items):
        if time.monotonic() - said > 15:
            said = time.monotonic()
            print(f"{name}: {done} of {count} samples, {said - start:.0f} s", file=sys.stderr, flush=True)
        yield item
    print(f"{name}: {count} samples, {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
