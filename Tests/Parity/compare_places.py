#!/usr/bin/env python3
"""Compares the programs with PyTorch in float64 at every place of a small model of every family: activations, gradients
of the loss, and feature gradients of a random autoencoder there, replaced and with the error term.

    python Tests/Parity/compare_places.py --programs .build/release

Prints the largest relative L2 error of each site and fails above 1e-5. Needs the packages of requirements.txt.
"""
import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import safetensors.numpy
import torch
import transformers

import families
import gradient_reference as reference
from passes import hooks, tensors
import gradient_filters as gf

GOLDEN = Path(__file__).resolve().parents[1] / "Golden"
# The first one's heads are 54 wide together, its residual stream 40.
MODELS = [GOLDEN / "f16"] + [GOLDEN / "families" / name for name in families.MODELS]
HOOKS = {"resid_pre": "hook_resid_pre", "attn_z": "attn.hook_z", "attn_out": "hook_attn_out",
         "resid_mid": "hook_resid_mid", "mlp_out": "hook_mlp_out", "resid_post": "hook_resid_post"}
FEATURES, STRIDE, TOLERANCE = 96, 4, 1e-5
LENGTHS = [[9, 2, 30], [40, 5]]


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--programs", required=True, type=Path)
    programs = p.parse_args().programs.resolve()
    transformers.logging.disable_progress_bar()
    worst = max(compare(programs, folder) for folder in MODELS)
    print(f"worst relative L2 error: {worst:.1e}")
    if not worst < TOLERANCE:
        sys.exit(f"expected less than {TOLERANCE}")


def compare(programs, folder):
    """Prints and returns the largest error of a model."""
    torch.manual_seed(3)
    rng = np.random.default_rng(3)
    model = reference.load_model(folder, torch.float64)
    batches = [[rng.integers(0, model.config.vocab_size, n).tolist() for n in batch] for batch in LENGTHS]
    layers = families.layers(model)
    sites = list(families.places(layers[0]))
    worst = 0.0
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        write_tokens(scratch / "tokens.ts", batches)

        def run(program, *arguments, source):
            with open(scratch / source, "rb") as stdin:
                done = subprocess.run([programs / program, "--quiet", "--device", "cpu", "--model", folder, *arguments],
                                      stdin=stdin, capture_output=True)
            if done.returncode != 0:
                sys.exit(f"{program} {' '.join(map(str, arguments))}: {done.stderr.decode()}")
            return done.stdout

        captured = run("qwen-capture", "--site", ",".join(sites), source="tokens.ts")
        (scratch / "captured.ts").write_bytes(captured)
        activations = tensors(captured)
        saes = {(site, layer): write_sae(scratch, folder, site, layer, activations[f"act.{site}.{layer}"].shape[1])
                for site in sites for layer in range(len(layers))}
        gradients = tensors(run("act-grad", "--site", ",".join(sites), source="captured.ts"))
        for site in sites:
            path = scratch / "saes" / "{site}.{layer}"
            replaced = tensors(run("sae-grad", "--site", site, "--sae", path, "--dense", source="captured.ts"))
            held = tensors(run("sae-grad", "--site", site, "--sae", path, "--dense", "--use-error-term",
                               source="captured.ts"))
            errors = {}
            for layer in range(len(layers)):
                exact = exact_numbers(model, batches, site, layers[layer], saes[site, layer])
                place = f"{site}.{layer}"
                for what, found in [("activation", activations[f"act.{place}"]),
                                    ("gradient", gradients[f"grad.{place}"]),
                                    ("replaced", replaced[f"grad.{place}"]), ("error term", held[f"grad.{place}"])]:
                    error = np.linalg.norm(found - exact[what]) / np.linalg.norm(exact[what])
                    errors[what] = max(errors.get(what, 0), error)
            print(f"{folder.name:20} {site:10} " + ", ".join(f"{what} {error:.1e}" for what, error in errors.items()),
                  flush=True)
            worst = max(worst, *errors.values())
    return worst


def exact_numbers(model, batches, site, layer, sae):
    found = {}
    for ids in [torch.tensor([sample]) for batch in batches for sample in batch]:
        positions = torch.arange(0, ids.shape[1], STRIDE)
        for what in ["gradient", "replaced", "error term"]:
            kept = {}

            def edit(x):
                """The activation x (1,N,W) with a leaf in it: itself, or the features that rebuild some rows."""
                x = x.detach()
                kept["activation"] = x[0]
                if what == "gradient":
                    kept["leaf"] = leaf = x.clone().requires_grad_()
                    return leaf
                features = torch.relu(x[0, positions] @ sae["W_enc"] + sae["b_enc"])
                kept["leaf"] = leaf = features.detach().requires_grad_()
                rebuilt = leaf @ sae["W_dec"] + sae["b_dec"]
                error = (x[0, positions] - rebuilt).detach() if what == "error term" else 0
                return x.index_copy(1, positions, (rebuilt + error)[None])

            handles = hooks(layer, site, edit)
            logits = model(input_ids=ids).logits[0]
            for handle in handles:
                handle.remove()
            loss = torch.nn.functional.cross_entropy(logits[:-1], ids[0, 1:], reduction="sum")
            (gradient,) = torch.autograd.grad(loss, kept["leaf"])
            found.setdefault(what, []).append(gradient[0] if what == "gradient" else gradient)
        found.setdefault("activation", []).append(kept["activation"])
    return {what: torch.cat(rows).numpy() for what, rows in found.items()}


def write_sae(scratch, model, site, layer, width):
    """A SAELens autoencoder of random numbers that says where it belongs."""
    sae = {"W_enc": torch.randn(width, FEATURES) * 0.3, "b_enc": torch.randn(FEATURES) * 0.1,
           "W_dec": torch.randn(FEATURES, width) * 0.1, "b_dec": torch.randn(width) * 0.1}
    folder = scratch / "saes" / f"{site}.{layer}"
    folder.mkdir(parents=True)
    safetensors.numpy.save_file({name: t.numpy() for name, t in sae.items()}, folder / "sae_weights.safetensors")
    (folder / "cfg.json").write_text(json.dumps({
        "architecture": "standard", "d_in": width, "d_sae": FEATURES, "dtype": "float32",
        "apply_b_dec_to_input": False, "normalize_activations": "none", "reshape_activations": "none",
        "metadata": {"model_name": model.name, "hook_name": f"blocks.{layer}.{HOOKS[site]}",
                     "sae_lens_version": "6.0.0"}}))
    return {name: t.double() for name, t in sae.items()}


def write_tokens(path, batches):
    """A tokens stream, as wt-tokenize would write it."""
    firsts = np.cumsum([0] + [len(batch) for batch in batches])
    gf.write(path, kind="tokens", records=({
        "input_ids": np.concatenate([np.array(s, np.int32) for s in batch]),
        "cu_seqlens": np.cumsum([0] + [len(s) for s in batch]),
        "sample_index": np.arange(first, first + len(batch)),
        "document": np.arange(first, first + len(batch))} for first, batch in zip(firsts, batches)))


if __name__ == "__main__":
    main()
