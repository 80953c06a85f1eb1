#!/usr/bin/env python3
"""Compares the programs on trained models and real text with transformers in float64, beside PyTorch's own float32.

    python Tests/Parity/compare_real_models.py --programs .build/release --text wiki.valid.raw MODEL…

Every line's token ids are compared with the tokenizer's own in transformers; of the first --samples samples the losses,
and the mean and mean_abs of the gradients at every place. Trained models have massive activations, behind which float32
is further from float64 in any program, so PyTorch's own distance stands beside. Fails where ids differ, a sample's loss
is off by more than 2e-6 of it, or an average by more than 1e-5 (relative L2).
"""
import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
import transformers

import families
from compare_places import tensors

LOSS_TOLERANCE, VECTOR_TOLERANCE = 2e-6, 1e-5


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--programs", required=True, type=Path)
    p.add_argument("--text", required=True, type=Path)
    p.add_argument("--samples", type=int, default=6)
    p.add_argument("--ids-only", action="store_true", help="compare the tokenizers alone")
    p.add_argument("models", type=Path, nargs="+", metavar="MODEL")
    a = p.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    failures = []
    for model in a.models:
        failures += compare_ids(a, model)
        if not a.ids_only:
            failures += compare_numbers(a, model)
    if failures:
        sys.exit("\n".join(failures))


def compare_ids(a, model):
    lines = [line for line in a.text.read_bytes().decode().splitlines(keepends=True) if len(line.strip()) > 0]
    found = samples(run(a, "wt-tokenize", "--tokenizer", model, "--min-chars", 0, "--num-samples", len(lines),
                        "--max-length", 1 << 20, a.text))
    expected = transformers.AutoTokenizer.from_pretrained(model)(lines)["input_ids"]
    different = sum(one != other for one, other in zip(found, expected)) + abs(len(found) - len(expected))
    print(f"{model.name}: {len(lines)} lines, {sum(map(len, expected))} tokens, {different} lines with other ids",
          flush=True)
    return [f"{model.name}: {different} lines have other token ids"] if different else []


def compare_numbers(a, model):
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        (scratch / "tokens.ts").write_bytes(
            run(a, "wt-tokenize", "--tokenizer", model, "--num-samples", a.samples, a.text))
        ids = samples((scratch / "tokens.ts").read_bytes())
        captured = run(a, "qwen-capture", "--model", model, "--loss", "--site", "resid_pre", "--layers", 0,
                       source=scratch / "tokens.ts")
        (scratch / "captured.ts").write_bytes(captured)
        exact, exact_losses = by_transformers(model, ids, torch.float64)
        sites = sorted({place.split(".")[0] for place in exact})
        found = tensors(run(a, "act-grad", "--model", model, "--site", ",".join(sites),
                            source=scratch / "captured.ts"))
    single, single_losses = by_transformers(model, ids, torch.float32)
    ours = {place: found[f"grad.{place}"] for place in exact}
    losses = tensors(captured)["loss"]
    loss_errors = [max(abs(x - y) / y for x, y in zip(l, exact_losses)) for l in (losses, single_losses)]
    print(f"{model.name}: {len(ids)} samples, {sum(map(len, ids))} tokens, loss "
          f"{sum(exact_losses) / sum(len(s) - 1 for s in ids):.4f} nats a prediction; a sample's is off by at most "
          f"{loss_errors[0]:.1e}, PyTorch's float32 by {loss_errors[1]:.1e}")
    failures = [f"{model.name}: a loss is off by {loss_errors[0]:.1e}"] if not loss_errors[0] <= LOSS_TOLERANCE else []
    print(f"{'site':12} {'mean':>9} {'float32':>9} {'mean_abs':>9} {'float32':>9}   largest of the layers")
    for site in sites:
        places = [place for place in exact if place.startswith(f"{site}.")]
        columns = []
        for average in (lambda g: g.mean(axis=0), lambda g: np.abs(g).mean(axis=0)):
            for numbers in (ours, single):
                columns.append(max(relative_l2(average(numbers[place]), average(exact[place])) for place in places))
        print(f"{site:12} " + " ".join(f"{error:9.1e}" for error in columns), flush=True)
        for mode, error in (("mean", columns[0]), ("mean_abs", columns[2])):
            # Not `>`: a NaN must fail.
            if not error <= VECTOR_TOLERANCE:
                failures.append(f"{model.name}: {site}: {mode}: off by {error:.1e}")
    return failures


def by_transformers(folder, ids, dtype):
    """The gradients at every place, by rows of all samples, and each sample's loss."""
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="eager")
    model.eval().requires_grad_(False)
    seen, gradients, losses = {}, {}, []
    families.watch(model, seen)
    # So that there is something to differentiate with respect to.
    families.text_model(model).get_input_embeddings().register_forward_hook(
        lambda _module, _inputs, output: output.requires_grad_())
    for sample in ids:
        sample = torch.tensor([sample])
        logits = model(input_ids=sample).logits[0]
        loss = torch.nn.functional.cross_entropy(logits[:-1].double(), sample[0, 1:], reduction="sum")
        loss.backward()
        losses.append(loss.item())
        for place, tensor in seen.items():
            gradients.setdefault(place, []).append(tensor.grad[0].double().numpy())
        seen.clear()
    return {place: np.concatenate(rows) for place, rows in gradients.items()}, losses


def samples(stream):
    """The token ids of each sample of a tokens stream."""
    joined, ends = [], 0
    found = tensors(stream)
    # cu_seqlens begins anew in every record.
    starts = found["cu_seqlens"]
    for start, end in zip(starts, starts[1:]):
        if end > start:
            joined.append(found["input_ids"][ends:ends + end - start].tolist())
            ends += end - start
    return joined


def run(a, program, *flags, source=None):
    device = [] if program == "wt-tokenize" else ["--device", "cpu"]
    with open(source or "/dev/null", "rb") as stdin:
        done = subprocess.run([a.programs / program, "--quiet", *device, *map(str, flags)], stdin=stdin,
                              capture_output=True)
    if done.returncode != 0:
        sys.exit(f"{program} {' '.join(map(str, flags))}: {done.stderr.decode()}")
    return done.stdout


def relative_l2(found, expected):
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


if __name__ == "__main__":
    main()
