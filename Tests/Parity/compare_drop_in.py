#!/usr/bin/env python3
"""Runs the drop-in commands on the small model and compares the arrays they save with PyTorch in float64.

    python Tests/Parity/compare_drop_in.py --programs .build/release

Text and tokenizer are read by Hugging Face transformers here, so that everything from the text to the array is
compared: by the project's own definitions at the scripts' scale, and with --match-python by the PyTorch scripts'
(padding to --max_length that is scored too, the stride counted through a batch, the mean over batches). Prints each
array's relative L2 error; exits 1 when one is above 1e-5.
"""
import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from transformers import AutoTokenizer

import gradient_reference as reference

ROOT = Path(__file__).resolve().parent.parent.parent
MODEL, SAES, TEXT = ROOT / "demo/model", "demo/saes/mlp_out_layer_{layer}/trainer_0", ROOT / "demo/sample.txt"
# The last batch is smaller, some samples are shorter than the length and some are cut to it.
SAMPLES, BATCH_SIZE, LENGTH, LAYERS = 14, 4, 96, [0, 3]
TOLERANCE = 1e-5


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--programs", type=Path, default=ROOT / ".build/release", help="the folder of the built programs")
    p.add_argument("--device", default="auto", help="where the programs compute: auto, cpu, cuda or cuda:N")
    a = p.parse_args()
    model = reference.load_model(MODEL, torch.float64)
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    batches = token_batches(tokenizer)
    worst = 0.0
    for script in ["layer-gradient-analysis", "sae-gradient-analysis"]:
        for flags in [[], ["--match-python"], ["--match-python", "--use-error-term"], ["--use-error-term"]]:
            if script == "layer-gradient-analysis" and "--use-error-term" in flags:
                continue
            matches = "--match-python" in flags
            choices = SimpleNamespace(
                loss_reduction="batch" if matches else "padded", weighting="batch" if matches else "position",
                padded_predictions=BATCH_SIZE * (LENGTH - 1), pad_to=LENGTH if matches else None,
                pad_id=tokenizer.pad_token_id, stride=4, stride_scope="batch" if matches else "sample",
                use_error_term="--use-error-term" in flags)
            with tempfile.TemporaryDirectory() as folder:
                saved = run(a, script, flags, folder)
                for layer in LAYERS:
                    sae = None
                    if script == "sae-gradient-analysis":
                        sae = reference.BatchTopK(str(ROOT / SAES).format(layer=layer), torch.float64)
                    vectors = reference.analyse(model, sae, layer, batches, choices)[:2]
                    for mode, expected in zip(["mean", "mean_abs"], vectors):
                        found = np.load(saved / f"layer_{layer}_{mode}_gradients.npy")
                        if found.shape != expected.shape or found.dtype != np.float32:
                            sys.exit(f"expected float32 of {expected.shape}, found {found.dtype} of {found.shape}")
                        error = np.linalg.norm(found.astype(np.float64) - expected) / np.linalg.norm(expected)
                        print(f"{script:24} {' '.join(flags):34} layer {layer} {mode:9} {error:.1e}", flush=True)
                        # A NaN must not be lost.
                        worst = error if np.isnan(error) else max(worst, error)
    print(f"the largest error is {worst:.1e} (at most {TOLERANCE:.0e})")
    if not worst <= TOLERANCE:
        sys.exit("the drop-in commands and the reference disagree")


def token_batches(tokenizer):
    lines = [line for line in TEXT.read_text().splitlines(keepends=True) if len(line.strip()) > 50][:SAMPLES]
    samples = [tokenizer(line, add_special_tokens=False).input_ids[:LENGTH] for line in lines]
    lengths = set(map(len, samples))
    assert len(samples) == SAMPLES and LENGTH in lengths and min(lengths) < LENGTH, lengths
    return [samples[i:i + BATCH_SIZE] for i in range(0, SAMPLES, BATCH_SIZE)]


def run(a, script, flags, folder):
    command = [
        ROOT / "pipelines" / script, "--model_name", MODEL, "--text", TEXT, "--num_samples", SAMPLES, "--batch_size",
        BATCH_SIZE, "--max_length", LENGTH, "--layers", ",".join(map(str, LAYERS)), "--aggregation_mode", "both",
        "--save_outputs", "--output-dir", folder, "--quiet", "--device", a.device, *flags]
    if script == "sae-gradient-analysis":
        command += ["--sae", ROOT / SAES]
    environment = os.environ | {"PATH": f"{a.programs.resolve()}:{os.environ['PATH']}"}
    subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL, env=environment)
    return next(Path(folder).iterdir())


if __name__ == "__main__":
    main()
