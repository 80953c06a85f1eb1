#!/usr/bin/env python3
"""Compares the active features that sae-grad writes, and attributions, with PyTorch's autograd in float64.

    python Tests/Parity/compare_attributions.py --programs .build/release

On the demo model and its autoencoders, by the replaced forward pass and with the error term: the features at every
recorded position are a leaf of autograd's, so that a feature's attribution is its value times its gradient. Compares the
values that sae-grad writes, the average attributions of grad-aggregate, and at every position that the attributions add
up to ⟨decode(f) − b, g⟩. Exits 1 above 1e-5 (relative L2 error, of the sums of the largest).
"""
import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForCausalLM

from compare import HERE, ROOT, load_reference, relative_l2, run, write_tokens
import gradient_filters as gf
from compare_sae import samples_with_margin

TOLERANCE, STRIDE = 1e-5, 4


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--programs", type=Path, default=ROOT / ".build/release", help="the folder of the built programs")
    p.add_argument("--device", default="auto", help="where the programs compute: auto, cpu, cuda or cuda:N")
    a = p.parse_args()
    folder, pattern = ROOT / "demo/model", str(ROOT / "demo/saes/mlp_out_layer_{layer}/trainer_0")
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float64, attn_implementation="eager").eval().requires_grad_(False)
    reference = load_reference(HERE / "gradient_reference.py")
    saes = [reference.BatchTopK(pattern.format(layer=layer), torch.float64)
            for layer in range(model.config.num_hidden_layers)]
    batches = samples_with_margin(folder, model, [sae.weights for sae in saes])
    worst = 0.0
    with tempfile.TemporaryDirectory() as work:
        work = Path(work)
        write_tokens(work / "tokens.ts", batches, None, 0)
        run(a, "qwen-capture", ["--model", folder], work / "tokens.ts", work / "activations.ts")
        for term in [[], ["--use-error-term"]]:
            run(a, "sae-grad", ["--model", folder, "--sae", pattern, "--stride", STRIDE, *term],
                work / "activations.ts", work / "gradients.ts")
            run(a, "grad-aggregate", ["--quantity", "attribution,activation", "--mode", "both", "--save", work / "out"],
                work / "gradients.ts", work / "aggregates.ts")
            for layer, sae in enumerate(saes):
                features, gradients, sums = autograd(model, sae, layer, batches, bool(term))
                found = features_of(work / "gradients.ts", layer, features.shape[1])
                attributions = features * gradients
                W = sae.weights["decoder.weight"].T.numpy()
                g = np.concatenate([r[f"grad.mlp_out.{layer}"] for r in gf.records(work / "gradients.ts")
                                    if f"grad.mlp_out.{layer}" in r]).astype("f8")
                written = ((found @ W) * g).sum(1)
                errors = {
                    "features": relative_l2(found.astype("f4"), features),
                    "mean": relative_l2(load(work, layer, "mean_attributions"), attributions.mean(0)),
                    "mean_abs": relative_l2(load(work, layer, "mean_abs_attributions"), np.abs(attributions).mean(0)),
                    "activation": relative_l2(load(work, layer, "mean_activations"), features.mean(0)),
                    "sum rule": np.abs(attributions.sum(1) - sums).max() / np.abs(sums).max(),
                    "its own sums": np.abs(written - sums).max() / np.abs(sums).max(),
                }
                print(f"layer {layer} {' '.join(term):16} "
                      + ", ".join(f"{name} {error:.1e}" for name, error in errors.items()), flush=True)
                worst = max([worst, *errors.values()], key=lambda e: np.inf if np.isnan(e) else e)
    print(f"the largest error is {worst:.1e} (at most {TOLERANCE:.0e})")
    # Not `>`: a NaN must fail.
    if not worst <= TOLERANCE:
        sys.exit("the programs and autograd disagree")


def load(work, layer, name):
    return np.load(work / f"out/layer_{layer}_{name}.npy")


def autograd(model, sae, layer, batches, keeps_error):
    """Of all recorded positions the features, their gradients, and ⟨decode(f) − b, gradient⟩."""
    features, gradients, sums = [], [], []
    for ids in (ids for batch in batches for ids in batch):
        leaf = {}

        def replace(_module, _inputs, output):
            x = output[:, ::STRIDE].detach()
            leaf["f"] = sae.encode(x).detach().requires_grad_(True)
            leaf["y"] = sae.decode(leaf["f"])
            leaf["y"].retain_grad()
            rebuilt = output.detach().clone()
            rebuilt[:, ::STRIDE] = leaf["y"] + (x - leaf["y"]).detach() if keeps_error else leaf["y"]
            return rebuilt

        hook = model.model.layers[layer].mlp.register_forward_hook(replace)
        logits = model(input_ids=torch.tensor([ids])).logits[0, :-1]
        hook.remove()
        torch.nn.functional.cross_entropy(logits, torch.tensor(ids[1:]), reduction="sum").backward()
        features.append(leaf["f"].detach()[0])
        gradients.append(leaf["f"].grad[0])
        sums.append(((leaf["y"].detach() - sae.weights["b_dec"]) * leaf["y"].grad).sum(-1)[0])
    return [torch.cat(parts).numpy() for parts in [features, gradients, sums]]


def features_of(path, layer, width):
    rows = []
    for record in gf.records(path):
        if f"value.mlp_out.{layer}" not in record:
            continue
        offsets = record[f"cu_active.mlp_out.{layer}"]
        for start, end in zip(offsets, offsets[1:]):
            row = np.zeros(width)
            row[record[f"feature.mlp_out.{layer}"][start:end]] = record[f"value.mlp_out.{layer}"][start:end]
            rows.append(row)
    return np.stack(rows)


if __name__ == "__main__":
    main()
