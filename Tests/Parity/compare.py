#!/usr/bin/env python3
"""Runs the built programs from end to end and compares what they save with PyTorch in float64.

    python Tests/Parity/compare.py --programs .build/release

For every model, with samples as they are and padded: writes a tokens stream, runs

    qwen-capture | act-grad > gradients.ts
    grad-aggregate --mode both --loss-reduction R --weighting W --save FOLDER < gradients.ts

for every loss reduction and weighting, and compares each layer's mean and mean_abs with the reference's by the
relative L2 error, norm(found - expected) / norm(expected), and the summed loss. With padding before the samples,
which the reference does not know, every real position's gradient is compared with transformers' own. Prints a table;
exits 1 when a vector's error is above 1e-5 or a loss's above 1e-6.

Needs of requirements.txt torch, transformers, numpy and safetensors. The models are demo/model and those in
Tests/Golden, unless others are named.
The reference is gradient_reference.py; --reference takes any script that has its `analyse`.
"""
import argparse
import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from transformers import AutoModelForCausalLM

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT / "python"))
import gradient_filters as gf  # noqa: E402

REDUCTIONS, WEIGHTINGS = ["sum", "padded", "sample", "batch"], ["position", "sample", "batch"]
MODES = ["mean", "mean_abs"]
# What the stream says of its batches, which is all that the padded loss depends on.
BATCH_SIZE, MAX_LENGTH = 4, 144
VECTOR_TOLERANCE, LOSS_TOLERANCE = 1e-5, 1e-6


def arguments():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--programs", type=Path, default=ROOT / ".build/release", help="the folder of the built programs")
    p.add_argument("--device", default="auto", help="where the programs compute: auto, cpu, cuda or cuda:N")
    p.add_argument("--reference", type=Path, default=HERE / "gradient_reference.py")
    p.add_argument("--pad-to", type=int, default=144, help="what the padded runs pad to")
    p.add_argument("--save", type=Path, help="keep the streams and arrays in this folder")
    p.add_argument("models", type=Path, nargs="*", metavar="MODEL", help="folders of Qwen2 models")
    a = p.parse_args()
    a.models = a.models or [ROOT / "demo/model", *sorted(x for x in (HERE.parent / "Golden").iterdir() if (x / "config.json").exists())]
    return a


def main():
    a = arguments()
    reference = load_reference(a.reference)
    print(f"{'model':14} {'samples':8} {'layer':>5} {'loss red.':10} {'weighting':10} "
          f"{'mean':>9} {'mean_abs':>9} {'loss':>9}")
    worst = SimpleNamespace(vector=0.0, loss=0.0)
    compared = 0
    for model_folder in a.models:
        model = AutoModelForCausalLM.from_pretrained(
            model_folder, dtype=torch.float64, attn_implementation="eager").eval().requires_grad_(False)
        batches = token_batches(model.config.vocab_size, seed=5)
        for padded in [False, True]:
            with tempfile.TemporaryDirectory() as folder:
                folder = Path(folder)
                if a.save:
                    folder = a.save / f"{model_folder.name}-{'padded' if padded else 'plain'}"
                    folder.mkdir(parents=True, exist_ok=True)
                compared += compare(a, reference, model, model_folder, batches, padded, folder, worst)
        with tempfile.TemporaryDirectory() as folder:
            compared += compare_padding_before(a, model_folder, batches, Path(folder), worst)
    print(f"{compared} vectors compared: the largest error is {worst.vector:.1e} (at most {VECTOR_TOLERANCE:.0e}), "
          f"of a loss {worst.loss:.1e} (at most {LOSS_TOLERANCE:.0e})")
    # Not `>`: a NaN must fail.
    if compared == 0 or not (worst.vector <= VECTOR_TOLERANCE and worst.loss <= LOSS_TOLERANCE):
        sys.exit("the programs and the reference disagree")


def load_reference(path):
    spec = importlib.util.spec_from_file_location("reference", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def token_batches(vocabulary, seed):
    """Ragged batches: short samples, one of two tokens, one longer than an attention tile of 128, a batch of one."""
    rng = np.random.default_rng(seed)
    return [[rng.integers(0, vocabulary, n).tolist() for n in lengths] for lengths in [[5, 17, 2, 130], [61], [9, 33]]]


def compare(a, reference, model, model_folder, batches, padded, folder, worst):
    pad_id = model.config.vocab_size - 1
    layers = range(model.config.num_hidden_layers)
    write_tokens(folder / "tokens.ts", batches, a.pad_to if padded else None, pad_id)
    run(a, "qwen-capture", ["--model", model_folder, "--layers", "0"], folder / "tokens.ts", folder / "activations.ts")
    run(a, "act-grad", ["--model", model_folder], folder / "activations.ts", folder / "gradients.ts")
    found_loss, found_predictions = stream_loss(folder / "gradients.ts")

    for reduction in REDUCTIONS:
        for weighting in WEIGHTINGS:
            saved = folder / f"{reduction}-{weighting}"
            run(a, "grad-aggregate",
                ["--mode", "both", "--loss-reduction", reduction, "--weighting", weighting, "--save", saved],
                folder / "gradients.ts", folder / f"{reduction}-{weighting}.ts")
            choices = SimpleNamespace(
                loss_reduction=reduction, weighting=weighting, pad_to=a.pad_to if padded else None, pad_id=pad_id,
                stride=1, stride_scope="sample", use_error_term=False,
                padded_predictions=BATCH_SIZE * (MAX_LENGTH - 1))
            for layer in layers:
                *vectors, loss, predictions = reference.analyse(model, None, layer, batches, choices)
                if predictions != found_predictions:
                    sys.exit(f"act-grad counted {found_predictions} predictions, the reference {predictions}")
                loss_error = abs(found_loss - loss) / loss
                errors = [
                    relative_l2(np.load(saved / f"layer_{layer}_{mode}_gradients.npy"), vector)
                    for mode, vector in zip(MODES, vectors)]
                print(f"{model_folder.name:14} {'padded' if padded else 'plain':8} {layer:5} {reduction:10} "
                      f"{weighting:10} {errors[0]:9.1e} {errors[1]:9.1e} {loss_error:9.1e}", flush=True)
                worst.vector = largest(worst.vector, *errors)
                worst.loss = largest(worst.loss, loss_error)
    return len(REDUCTIONS) * len(WEIGHTINGS) * len(layers) * len(MODES)


def compare_padding_before(a, model_folder, batches, folder, worst):
    # Eager attention gives NaN to rows that may see nothing.
    model = AutoModelForCausalLM.from_pretrained(
        model_folder, dtype=torch.float64, attn_implementation="sdpa").eval().requires_grad_(False)
    pad_id = model.config.vocab_size - 1
    write_tokens(folder / "tokens.ts", batches, a.pad_to, pad_id, before=True)
    run(a, "qwen-capture", ["--model", model_folder, "--layers", "0"], folder / "tokens.ts", folder / "activations.ts")
    run(a, "act-grad", ["--model", model_folder], folder / "activations.ts", folder / "gradients.ts")
    records = [r for r in gf.records(folder / "gradients.ts") if "loss" in r]
    layers = range(model.config.num_hidden_layers)
    expected, loss = {layer: [] for layer in layers}, 0.0
    for batch in batches:
        ids = torch.tensor([[pad_id] * (a.pad_to - len(sample)) + sample for sample in batch])
        mask = torch.tensor([[0] * (a.pad_to - len(sample)) + [1] * len(sample) for sample in batch])
        outputs = {}
        hooks = [
            model.model.layers[layer].mlp.register_forward_hook(
                lambda _, __, output, layer=layer: outputs.setdefault(layer, output.requires_grad_()))
            for layer in layers]
        logits = model(ids, attention_mask=mask).logits
        total = torch.nn.functional.cross_entropy(
            logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten(), reduction="sum")
        for layer, gradient in zip(layers, torch.autograd.grad(total, [outputs[layer] for layer in layers])):
            expected[layer].append(gradient[mask == 1].numpy())
        loss += total.item()
        for hook in hooks:
            hook.remove()
    loss_error = abs(sum(float(r["loss"].sum()) for r in records) - loss) / loss
    for layer in layers:
        error = relative_l2(
            np.concatenate([r[f"grad.mlp_out.{layer}"] for r in records]), np.concatenate(expected[layer]))
        print(f"{model_folder.name:14} {'before':8} {layer:5} every position {'':6} {error:9.1e} {'':9} "
              f"{loss_error:9.1e}", flush=True)
        worst.vector = largest(worst.vector, error)
    worst.loss = largest(worst.loss, loss_error)
    return len(layers)


def run(a, program, flags, source, destination):
    device = [] if program == "wt-tokenize" else ["--device", a.device]
    with open(source, "rb") as standard_input, open(destination, "wb") as standard_output:
        result = subprocess.run(
            [a.programs / program, "--quiet", *device, *map(str, flags)],
            stdin=standard_input, stdout=standard_output, stderr=subprocess.PIPE, text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"})
    if result.returncode != 0:
        sys.exit(f"{program} failed with exit code {result.returncode}:\n{result.stderr}")


def relative_l2(found, expected):
    if found.shape != expected.shape or found.dtype != np.float32:
        sys.exit(f"expected float32 of shape {expected.shape}, found {found.dtype} of shape {found.shape}")
    return float(np.linalg.norm(found.astype(np.float64) - expected) / np.linalg.norm(expected))


def largest(*errors):
    return float("nan") if any(np.isnan(errors)) else max(errors)


def write_tokens(path, batches, pad_to, pad_id, before=False):
    """A tokens stream, as wt-tokenize would write it."""
    def records():
        number = 0
        for batch in batches:
            padding = [[pad_id] * ((pad_to or len(sample)) - len(sample)) for sample in batch]
            ids = [pad + sample if before else sample + pad for sample, pad in zip(batch, padding)]
            tensors = {
                "input_ids": np.concatenate(ids).astype(np.int32),
                "cu_seqlens": np.cumsum([0] + [len(sample) for sample in ids]),
                "sample_index": np.arange(number, number + len(batch)),
                "document": np.arange(number, number + len(batch)),
            }
            if pad_to:
                tensors["valid_lengths"] = [len(sample) for sample in batch]
            if before:
                tensors["valid_starts"] = [len(pad) for pad in padding]
            yield tensors
            number += len(batch)

    gf.write(path, kind="tokens", records=records(), provenance={
        "samples": str(sum(map(len, batches))), "batches": str(len(batches)), "batch_size": str(BATCH_SIZE),
        "max_length": str(MAX_LENGTH)})


def stream_loss(path):
    """The summed loss and the number of predictions in a gradients stream."""
    loss, predictions = 0.0, 0
    for record in gf.records(path):
        loss += float(record["loss"].sum()) if "loss" in record else 0.0
        predictions += int(record["predictions"].sum()) if "predictions" in record else 0
    return loss, predictions


if __name__ == "__main__":
    main()
