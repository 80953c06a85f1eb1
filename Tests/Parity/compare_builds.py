#!/usr/bin/env python3
"""Runs the same pipelines with two builds of the programs and compares what they save and print, bit for bit.

    python Tests/Parity/compare_builds.py OLD NEW

OLD and NEW are folders of built programs: of the state before a change that must not move any number, and after it. The
pipelines run over demo/ and over a random Qwen2 model with biases, an output head of its own and autoencoders of
several formats: activation gradients and feature gradients, replaced and with the error term, factored, dense and
embedded, strides, padding, all modes, loss reductions and weightings, and partial sums that are merged.

Of each pipeline every .npy file is compared byte by byte, and of what the programs print every number but for times.
Streams are not compared, so that their names and layout may change. All choices that shape a number are given by flags,
so that defaults may change too. Prints a line a pipeline; exits 1 at the first difference, which it names.
"""
import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from itertools import product
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import Qwen2Config, Qwen2ForCausalLM

ROOT = Path(__file__).resolve().parent.parent.parent
TEXT, TOKENIZER = ROOT / "demo/sample.txt", ROOT / "demo/model"
REDUCTIONS, WEIGHTINGS = ["sum", "padded", "sample", "batch"], ["position", "sample", "batch"]
MODES = ["mean_abs", "mean", "both"]
COMPUTE = "--device cpu --precision float32 --threads 2"
# Batches that the number of samples does not fill; samples that the length cuts, and shorter ones.
TOKENS = {
    "plain": "--num-samples 14 --batch-size 4 --max-length 72 --padding none",
    "padded": "--num-samples 7 --batch-size 3 --max-length 64 --padding max-length",
    "shuffled": "--num-samples 9 --batch-size 2 --max-length 40 --padding none --shuffle --seed 7",
}


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("old", type=Path, metavar="OLD", help="a folder of built programs")
    p.add_argument("new", type=Path, metavar="NEW", help="another one")
    builds = [folder.resolve() for folder in vars(p.parse_args()).values()]
    count = 0
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        make_random_model(folder / "model")
        make_autoencoders(folder / "saes", 64, 3)
        models = {
            "demo": (ROOT / "demo/model", ROOT / "demo/saes/mlp_out_layer_{layer}/trainer_0", 4),
            "random": (folder / "model", folder / "saes/{layer}", 3),
        }
        for name, (model, saes, layers) in models.items():
            for title, script in pipelines(model, saes, layers):
                old, new = (result(build, script) for build in builds)
                explain_difference(f"{name}: {title}", old, new)
                arrays, lines = new
                print(f"{name:6}  {title:66} {len(arrays):4} arrays, {len(lines):3} lines", flush=True)
                count += 1
    print(f"{count} pipelines: no difference")


def pipelines(model, saes, layers):
    """Titles, and shell scripts that leave arrays in folders of the working folder."""
    def tokens(kind, more=""):
        return (f"wt-tokenize --tokenizer '{TOKENIZER}' --min-chars 50 --skip 0 {TOKENS[kind]} {more} '{TEXT}' "
                f"> tokens.ts")

    def capture(flags="--layers all"):
        return f"qwen-capture --model '{model}' {flags} {COMPUTE} < tokens.ts > activations.ts"

    def gradients(flags, source="activations.ts", destination="gradients.ts"):
        program, _, flags = flags.partition(" ")
        place = f"--sae '{saes}' " if program == "sae-grad" else ""
        return f"{program} --model '{model}' {place}{flags} {COMPUTE} < {source} > {destination}"

    def average(choices, files="gradients.ts", saved="saved"):
        mode, reduction, weighting = choices
        return (f"grad-aggregate --mode {mode} --loss-reduction {reduction} --weighting {weighting} "
                f"--save {saved} {COMPUTE} {files} > {saved}.ts")

    usual = ("both", "sum", "position")
    analyses = {
        "activations": "act-grad --layers all",
        "features": "sae-grad --layers all --stride 4 --stride-scope sample",
        "features, error term": "sae-grad --layers all --stride 4 --stride-scope sample --use-error-term",
    }
    everything = [
        average(choices, saved="-".join(choices)) for choices in product(MODES, REDUCTIONS, WEIGHTINGS)]
    for (title, analysis), kind in product(analyses.items(), TOKENS):
        yield (f"{title}, {kind}: all modes, reductions, weightings",
               [tokens(kind), capture(), gradients(analysis), *everything])

    yield "activations, the lowest layer captured", [
        tokens("plain"), capture("--layers 0"), gradients("act-grad --layers all"), average(usual)]
    last = layers - 1
    yield "activations of some layers, losses captured", [
        tokens("plain"), capture(f"--layers 1-{last} --loss"), gradients(f"act-grad --layers 1,{last}"), average(usual)]
    yield "features of some layers, losses captured", [
        tokens("plain"), capture("--layers all --loss"),
        gradients(f"sae-grad --layers 0,{last} --stride 4 --stride-scope sample"), average(usual)]
    for kind, stride, scope, term in product(
            ["plain", "padded"], [1, 3, 1000], ["sample", "batch"], ["", " --use-error-term"]):
        yield f"features{term}, {kind}: --stride {stride} --stride-scope {scope}", [
            tokens(kind), capture(), gradients(f"sae-grad --layers all --stride {stride} --stride-scope {scope}{term}"),
            average(usual)]
    for form, term in product(["--dense", "--embed-basis"], ["", " --use-error-term"]):
        choices = [("both", "sum", "position"), ("both", "padded", "sample"), ("both", "batch", "batch")]
        yield f"features {form}{term}", [
            tokens("plain"), capture(), gradients(analyses["features"] + f" {form}{term}"),
            *(average(c, saved="-".join(c)) for c in choices)]
    yield "features of layers captured into a file each, merged", [
        tokens("plain"), f"qwen-capture --model '{model}' --layers all --split 'a-{{layer}}.ts' {COMPUTE} < tokens.ts",
        *(gradients(f"sae-grad --layers {layer} --stride 4 --stride-scope sample", f"a-{layer}.ts", f"g-{layer}.ts")
          for layer in range(layers)),
        average(usual, files=" ".join(f"g-{layer}.ts" for layer in range(layers)))]
    for (title, analysis), choices in product(analyses.items(), [usual, ("both", "sample", "sample")]):
        shards = []
        for number, skip in enumerate([0, 5, 9]):
            shards += [
                f"wt-tokenize --tokenizer '{TOKENIZER}' --min-chars 50 --skip {skip} --num-samples {[5, 4, 11][number]} "
                f"--batch-size 4 --max-length 72 --padding none '{TEXT}' > tokens.ts",
                capture(), gradients(analysis, destination=f"g-{number}.ts"),
                f"grad-aggregate --partial --mode {choices[0]} --loss-reduction {choices[1]} --weighting {choices[2]} "
                f"{COMPUTE} g-{number}.ts > sums-{number}.ts"]
        yield f"{title}: three shards, {choices[1]} and {choices[2]}, merged", [
            *shards, average(choices, files="sums-2.ts sums-0.ts sums-1.ts"),
            average(choices, files="g-0.ts g-1.ts g-2.ts", saved="at-once"),
            f"grad-aggregate --partial {COMPUTE} sums-0.ts sums-1.ts > two.ts",
            average(choices, files="two.ts sums-2.ts", saved="in-two-steps"),
            average(choices, files="sums-1.ts g-2.ts", saved="sums-and-gradients")]


def result(build, script):
    """The arrays that a script leaves, as bytes by path, and the numbers that its programs print, a list a line."""
    with tempfile.TemporaryDirectory() as folder:
        lines = []
        for command in script:
            done = subprocess.run(
                ["bash", "-c", command], cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE, text=True, env=os.environ | {"PATH": f"{build}:{os.environ['PATH']}"})
            if done.returncode != 0:
                sys.exit(f"{build}: exit code {done.returncode} of\n{command}\n{done.stderr}")
            lines += [numbers(line) for line in done.stderr.splitlines() if not is_progress(line) and not is_certainty(line)]
        arrays = {str(path.relative_to(folder)): path.read_bytes() for path in sorted(Path(folder).rglob("*.npy"))}
    if not arrays:
        sys.exit(f"{build}: no array was saved by\n" + "\n".join(script))
    return arrays, [line for line in lines if line]


def is_progress(line):
    """Lines that come by the clock, and tell how long it still takes."""
    return re.search(r"\d+ of \d+ \w+, .* s left", line) is not None


def is_certainty(line):
    """Lines on standard errors, which builds of before had none of."""
    return "±" in line or "standard errors" in line


def numbers(line):
    """All numbers of a line but for `in 0.3 s (3243 tokens/s)`."""
    line = re.sub(r"in [\d.]+ s \([\d.,]+[^)]*/s\)", "", line)
    return re.findall(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?", line)


def explain_difference(title, old, new):
    """Exits with the first difference, where there is one."""
    (old_arrays, old_lines), (new_arrays, new_lines) = old, new
    if old_arrays.keys() != new_arrays.keys():
        sys.exit(f"{title}: other arrays: {', '.join(sorted(old_arrays.keys() ^ new_arrays.keys()))}")
    for name, content in old_arrays.items():
        if content == new_arrays[name]:
            continue
        a, b = (array(content) for content in [content, new_arrays[name]])
        if a.shape != b.shape or a.dtype != b.dtype:
            sys.exit(f"{title}: {name}: {a.dtype} of shape {a.shape}, then {b.dtype} of shape {b.shape}")
        places = np.flatnonzero(a.view(np.uint32) != b.view(np.uint32))
        if len(places) == 0:
            sys.exit(f"{title}: {name}: the headers differ")
        sys.exit(f"{title}: {name}: {len(places)} of {a.size} numbers differ, the first at {places[0]}: "
                 f"{a[places[0]]!r}, then {b[places[0]]!r}")
    for before, after in zip(old_lines, new_lines):
        if before != after:
            sys.exit(f"{title}: printed: {' '.join(before)}, then {' '.join(after)}")
    if len(old_lines) != len(new_lines):
        sys.exit(f"{title}: printed: {len(old_lines)} lines with numbers, then {len(new_lines)}")


def array(content):
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.seek(0)
        return np.load(file)


def make_random_model(folder):
    """Grouped queries, biases that are not 0, a head of its own, in float32."""
    torch.manual_seed(11)
    model = Qwen2ForCausalLM(Qwen2Config(
        vocab_size=4096, hidden_size=64, intermediate_size=96, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=512, tie_word_embeddings=False, initializer_range=0.2))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1:
                parameter.normal_(1 if "norm" in name else 0, 0.2)
    model.save_pretrained(folder)


def make_autoencoders(folder, width, layers, features=160):
    """Random ones: SAELens' JumpReLU with inputs that are normalised, SAELens' top-k, dictionary_learning's ReLU."""
    torch.manual_seed(12)
    for layer in range(layers):
        place = folder / str(layer)
        place.mkdir(parents=True)
        encoder, decoder = torch.randn(width, features) * 0.2, torch.randn(features, width) * 0.2
        biases = dict(b_enc=torch.randn(features) * 0.1, b_dec=torch.randn(width) * 0.1)
        settings = dict(d_in=width, d_sae=features, dtype="float32", device="cpu", apply_b_dec_to_input=False,
                        reshape_activations="none", metadata=dict(hook_name=f"blocks.{layer}.hook_mlp_out"))
        if layer == 0:
            settings |= dict(architecture="jumprelu", normalize_activations="layer_norm")
            tensors = dict(W_enc=encoder, W_dec=decoder, threshold=torch.full((features,), 1.0), **biases)
        elif layer == 1:
            settings |= dict(architecture="topk", k=8, normalize_activations="none", rescale_acts_by_decoder_norm=True)
            tensors = dict(W_enc=encoder, W_dec=decoder, **biases)
        else:
            torch.save({"encoder.weight": encoder.T.contiguous(), "encoder.bias": biases["b_enc"],
                        "decoder.weight": decoder.T.contiguous(), "bias": biases["b_dec"]}, place / "ae.pt")
            (place / "config.json").write_text(json.dumps({"trainer": {
                "dict_class": "AutoEncoder", "layer": layer, "activation_dim": width, "dict_size": features}}))
            continue
        save_file(tensors, place / "sae_weights.safetensors")
        (place / "cfg.json").write_text(json.dumps(settings))


if __name__ == "__main__":
    main()
