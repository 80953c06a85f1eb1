#!/usr/bin/env python3
"""Runs the SAE pipeline from end to end on the demo model and compares what it saves with PyTorch in float64.

    python Tests/Parity/compare_sae.py --programs .build/release

For strides of 1 and 4 along samples and batches, with and without the error term, with samples as they are and padded,
factored and --dense: runs

    qwen-capture | sae-grad > gradients.ts
    grad-aggregate --mode both --save FOLDER < gradients.ts

and compares every layer's mean and mean_abs, and the summed loss with the SAE in place, with the reference's. Exits 1
when a vector's relative L2 error is above 1e-5 or a loss's above 1e-6.

A feature whose preactivation lies within rounding of the threshold is active in one arithmetic and not in the other,
which is no error of either. So samples are taken that leave a margin: where every preactivation of every layer and
position is at least MARGIN times the threshold away from it, in float64. Their number is printed.
"""
import argparse
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

from compare import (
    HERE, LOSS_TOLERANCE, MODES, ROOT, VECTOR_TOLERANCE, largest, load_reference, relative_l2, run, write_tokens)
import gradient_filters as gf

# Preactivations in float32 are off by about 1e-6 of the threshold here.
MARGIN = 1e-5
PAD_TO = 48
RUNS = [
    dict(stride=1, stride_scope="sample", use_error_term=False, padded=False, flags=[]),
    dict(stride=4, stride_scope="sample", use_error_term=False, padded=False, flags=[]),
    dict(stride=4, stride_scope="sample", use_error_term=False, padded=False, flags=["--dense"]),
    dict(stride=4, stride_scope="sample", use_error_term=False, padded=False, flags=["--embed-basis"]),
    dict(stride=4, stride_scope="batch", use_error_term=False, padded=False, flags=[]),
    dict(stride=4, stride_scope="batch", use_error_term=False, padded=True, flags=[]),
    dict(stride=1, stride_scope="sample", use_error_term=True, padded=False, flags=[]),
    dict(stride=4, stride_scope="sample", use_error_term=True, padded=True, flags=[]),
]


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--programs", type=Path, default=ROOT / ".build/release", help="the folder of the built programs")
    p.add_argument("--device", default="auto", help="where the programs compute: auto, cpu, cuda or cuda:N")
    p.add_argument("--reference", type=Path, default=HERE / "gradient_reference.py")
    a = p.parse_args()
    reference = load_reference(a.reference)
    folder = ROOT / "demo/model"
    pattern = str(ROOT / "demo/saes/mlp_out_layer_{layer}/trainer_0")
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float64, attn_implementation="eager").eval().requires_grad_(False)
    saes = [reference.BatchTopK(pattern.format(layer=layer), torch.float64)
            for layer in range(model.config.num_hidden_layers)]
    weights = [{name: value.double() for name, value in torch.load(
        f"{pattern.format(layer=layer)}/ae.pt", weights_only=True).items()} for layer in range(len(saes))]
    batches = samples_with_margin(folder, model, weights)

    print(f"{'stride':6} {'scope':7} {'error term':10} {'samples':8} {'flags':14} {'layer':>5} "
          f"{'mean':>9} {'mean_abs':>9} {'loss':>9}")
    worst_vector = worst_loss = 0.0
    for choice in RUNS:
        with tempfile.TemporaryDirectory() as work:
            for layer, *errors in compare(a, reference, model, folder, saes, pattern, batches, choice, Path(work)):
                print(f"{choice['stride']:6} {choice['stride_scope']:7} {str(choice['use_error_term']):10} "
                      f"{'padded' if choice['padded'] else 'plain':8} {' '.join(choice['flags']):14} {layer:5} "
                      + " ".join(f"{e:9.1e}" for e in errors), flush=True)
                worst_vector, worst_loss = largest(worst_vector, *errors[:2]), largest(worst_loss, errors[2])
    print(f"the largest error is {worst_vector:.1e} (at most {VECTOR_TOLERANCE:.0e}), "
          f"of a loss {worst_loss:.1e} (at most {LOSS_TOLERANCE:.0e})")
    # Not `>`: a NaN must fail.
    if not (worst_vector <= VECTOR_TOLERANCE and worst_loss <= LOSS_TOLERANCE):
        sys.exit("the programs and the reference disagree")


def samples_with_margin(folder, model, weights, count=9):
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    lines = (ROOT / "demo/sample.txt").read_text(encoding="utf-8").splitlines(keepends=True)
    samples, tried = [], 0
    for line in lines:
        if len(line.strip()) <= 50 or len(samples) == count:
            continue
        # Ragged on purpose.
        ids = tokenizer.encode(line, add_special_tokens=False).ids[: 20 + 5 * (tried % 5)]
        tried += 1
        if margin(model, weights, ids) > MARGIN:
            samples.append(ids)
    print(f"{len(samples)} of {tried} samples keep every preactivation {MARGIN:.0e} thresholds away from its threshold")
    if len(samples) < count:
        sys.exit("too few samples keep the margin")
    return [samples[:4], samples[4:8], samples[8:]]


def margin(model, weights, ids):
    outputs = []
    hooks = [layer.mlp.register_forward_hook(lambda _m, _i, output: outputs.append(output[0]))
             for layer in model.model.layers]
    with torch.no_grad():
        model(input_ids=torch.tensor([ids]))
    for hook in hooks:
        hook.remove()
    smallest = float("inf")
    for x, w in zip(outputs, weights):
        p = (x - w["b_dec"]) @ w["encoder.weight"].T + w["encoder.bias"]
        smallest = min(smallest, float((p / w["threshold"] - 1).abs().min()))
    return smallest


def compare(a, reference, model, folder, saes, pattern, batches, choice, work):
    pad_id = model.config.vocab_size - 1
    pad_to = PAD_TO if choice["padded"] else None
    write_tokens(work / "tokens.ts", batches, pad_to, pad_id)
    run(a, "qwen-capture", ["--model", folder], work / "tokens.ts", work / "activations.ts")
    flags = ["--model", folder, "--sae", pattern, "--stride", choice["stride"],
             "--stride-scope", choice["stride_scope"], *choice["flags"]]
    if choice["use_error_term"]:
        flags.append("--use-error-term")
    run(a, "sae-grad", flags, work / "activations.ts", work / "gradients.ts")
    run(a, "grad-aggregate", ["--mode", "both", "--save", work / "out"], work / "gradients.ts", work / "aggregates.ts")
    for layer, sae in enumerate(saes):
        choices = SimpleNamespace(
            loss_reduction="sum", weighting="position", pad_to=pad_to, pad_id=pad_id, stride=choice["stride"],
            stride_scope=choice["stride_scope"], use_error_term=choice["use_error_term"])
        *vectors, loss, _ = reference.analyse(model, sae, layer, batches, choices)
        name = "loss" if choice["use_error_term"] else f"loss.mlp_out.{layer}"
        found = sum(float(r[name].sum()) for r in gf.records(work / "gradients.ts") if name in r)
        errors = [relative_l2(np.load(work / f"out/layer_{layer}_{mode}_gradients.npy"), vector)
                  for mode, vector in zip(MODES, vectors)]
        yield layer, *errors, abs(found - loss) / loss


if __name__ == "__main__":
    main()
