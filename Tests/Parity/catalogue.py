#!/usr/bin/env python3
"""How many of the published autoencoders in SAELens's catalogue the programs can use: counted by the programs.

    python Tests/Parity/catalogue.py --programs .build/release [--catalogue pretrained_saes.yaml]

Makes a hub's cache in which every entry of the catalogue has a small file of its release's own layout and name (random
numbers, or none that matter), asks `sae-grad --list-saes` what each is and where it goes, and compares that with the
site that the catalogue's names say. An entry counts that is read, goes to a place, and is of a model whose family
`Families.swift` lists. Prints the counts by release's layout, and what is not covered and why; exits 1 where an entry
goes elsewhere than its names say, where a transcoder is taken for an autoencoder, or where fewer than --least count.

Needs PyYAML, torch, numpy and safetensors. The catalogue is part of sae-lens:
    pip download --no-deps sae-lens==6.54.12 && unzip sae_lens-6.54.12-py3-none-any.whl sae_lens/pretrained_saes.yaml
"""
import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import torch
import yaml
from safetensors.torch import save_file

ROOT = Path(__file__).resolve().parents[2]
# As many features as the largest k that a release's name has.
D, F = 2, 128

# The model_type of transformers behind the catalogue's names for models, by how they begin.
MODEL_TYPES = [
    (r"gemma-2b", "gemma"), (r"gemma-2-", "gemma2"), (r"gemma-3-", "gemma3_text"), (r"gpt2", "gpt2"),
    (r"pythia-", "gpt_neox"), (r"(meta-)?llama-3", "llama"), (r"deepseek-r1-distill-llama", "llama"),
    (r"mistral-7b", "mistral"), (r"qwen2\.5-", "qwen2"), (r"qwen3-30b-a3b", "qwen3_moe"), (r"qwen3-", "qwen3"),
    (r"qwen3\.5-35b-a3b", "qwen3_5_moe"), (r"qwen3\.5-", "qwen3_5"), (r"gpt-oss", "gpt_oss"),
]
TRANSCODERS = {"gemma_2_transcoder", "mwhanna_transcoder", "mntss_clt_layer_transcoder"}
# The sites by what the catalogue's ids and names of releases have; the first that is found.
SITES = [
    (r"hook_resid_pre", {"resid_pre"}), (r"hook_resid_mid", {"resid_mid"}), (r"embedding/", {"resid_pre"}),
    (r"hook_resid_post|-res\b|-res-|resid_post|lxr_|r1_distill", {"resid_post"}),
    (r"hook_z|gemma-scope.*-att\b|gemma-scope.*-att-", {"attn_z"}), (r"hook_attn_out|lxa_|-att-sm", {"attn_out"}),
    (r"mlp|lxm_", {"mlp_out"}), (r"qwen-scope|andyrdt|goodfire", {"resid_post"}),
]


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--programs", type=Path, default=ROOT / ".build/release", help="the folder of the built programs")
    p.add_argument("--catalogue", type=Path, help="sae_lens/pretrained_saes.yaml (default: of the installed sae-lens)")
    p.add_argument("--families", help="model_types to count with, instead of those in Families.swift")
    p.add_argument("--least", type=int, default=9500, help="how many must count")
    a = p.parse_args()
    families = set(a.families.split(",")) if a.families else known_families()
    with open(a.catalogue or installed_catalogue()) as file:
        releases = yaml.load(file, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    with tempfile.TemporaryDirectory() as folder:
        layouts = Layouts(Path(folder))
        entries = [layouts.write(name, release, entry) for name, release in releases.items()
                   for entry in release["saes"]]
        listed = {repository: layouts.listed(a.programs, repository) for repository in {e.repository for e in entries}}
    report(entries, listed, families, a.least)


def known_families():
    """The model_types that the programs' own table lists."""
    text = (ROOT / "Sources/Model/Decoders/Families/Families.swift").read_text()
    table = re.search(r"families: \[String:.*?= \[(.*?)\n  \]", text, re.S).group(1)
    return set(re.findall(r'"(\w+)":', table))


def installed_catalogue():
    import importlib.util
    spec = importlib.util.find_spec("sae_lens")
    if spec is None:
        sys.exit("no catalogue: sae-lens is not installed; --catalogue names its pretrained_saes.yaml")
    return Path(spec.origin).parent / "pretrained_saes.yaml"


class Entry:
    def __init__(self, release, repository, path, model, loader, identifier):
        self.release, self.repository, self.path, self.model = release, repository, path, model
        self.loader, self.identifier = loader, identifier
        self.is_transcoder = loader in TRANSCODERS or path.startswith(("transcoder", "clt"))

    @property
    def family(self):
        name = self.model.split("/")[-1].lower()
        return next((family for pattern, family in MODEL_TYPES if re.match(pattern, name)), name)

    @property
    def sites(self):
        names = f"{self.identifier} {self.path}" if self.loader is None else f"{self.release} {self.identifier}"
        # A hook's own name says most.
        for text in (self.identifier, names, self.release):
            for pattern, sites in SITES:
                if re.search(pattern, text):
                    return sites
        sys.exit(f"{self.release} {self.identifier}: no site in its names")


class Layouts:
    """Files of every release's layout in a hub's cache. Each kind's content is written once and linked."""

    def __init__(self, cache):
        self.cache = cache
        self.templates = cache / "templates"
        self.templates.mkdir()

    def root(self, repository):
        root = self.cache / f"models--{repository.replace('/', '--')}"
        snapshot = root / "snapshots/0123456789abcdef"
        if not snapshot.exists():
            snapshot.mkdir(parents=True)
            (root / "refs").mkdir()
            (root / "refs/main").write_text("0123456789abcdef")
        return snapshot

    def link(self, path, kind, make):
        template = self.templates / kind
        if not template.exists():
            make(template)
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            os.link(template, path)

    def json(self, path, value):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value))

    def listed(self, programs, repository):
        """What sae-grad says of the repository's files, by their names in it."""
        done = subprocess.run(
            [programs / "sae-grad", "--list-saes", repository, "--json"], capture_output=True, text=True,
            env={**os.environ, "HF_HUB_CACHE": str(self.cache)})
        if done.returncode:
            sys.exit(done.stderr)
        return {line["name"]: line for line in map(json.loads, done.stdout.splitlines())}

    def write(self, release_name, release, entry):
        path, loader = str(entry["path"]), release.get("conversion_func")
        made = Entry(release_name, release["repo_id"], path, release["model"], loader, entry["id"])
        getattr(self, loader or "sae_lens")(self.root(made.repository) / path, made)
        return made

    def sae_lens(self, path, entry):
        self.link(path / "sae_weights.safetensors", "sae_lens", lambda file: save_file(upper(), file))
        hook = entry.identifier if "hook_" in entry.identifier else next(iter(entry.sites))
        self.json(path / "cfg.json", {"d_in": D, "d_sae": F, "hook_name": hook, "model_name": entry.model})

    def gemma_2(self, path, _):
        self.link(path / "params.npz", "gemma_2", lambda file: save_npz(file, dict(upper(), threshold=torch.ones(F))))

    gemma_2_transcoder = gemma_2

    def gemma_3(self, path, entry):
        lower = {name.lower(): value for name, value in upper().items()}
        lower["threshold"] = torch.ones(F)
        is_affine = entry.path.endswith("_affine")
        self.link(
            path / "params.safetensors", f"gemma_3_{is_affine}", lambda file: save_file(
                {**lower, **({"affine_skip_connection": torch.ones(D, D)} if is_affine else {})}, file))

    def llama_scope(self, path, entry):
        self.link(path / "checkpoints/final.safetensors", "fnlp", lambda file: save_file(linear(), file))
        layer, site = re.match(r"l(\d+)([ram])_", entry.identifier).groups()
        hook = f"blocks.{layer}.hook_" + {"r": "resid_post", "a": "attn_out", "m": "mlp_out"}[site]
        self.json(path / "hyperparams.json", {
            "hook_point_in": hook, "hook_point_out": hook, "jump_relu_threshold": 0.5,
            "dataset_average_activation_norm": {"in": 1, "out": 1}})

    def llama_scope_r1_distill(self, path, entry):
        self.link(path / "sae_weights.safetensors", "fnlp_r1", lambda file: save_file(
            {**linear(), "log_jumprelu_threshold": torch.ones(F),
             "dataset_average_activation_norm.in": torch.tensor(1.0)}, file))
        layer = re.match(r"l(\d+)r_", entry.identifier).group(1)
        hook = f"blocks.{layer}.hook_resid_post"
        self.json(path / "config.json", {"hook_point_in": hook, "hook_point_out": hook})

    def dictionary_learning_1(self, path, entry):
        top_k = {"b_dec": torch.zeros(D), "k": torch.tensor(1), "threshold": torch.tensor(0.5), **linear("decoder")}
        name, tensors = "BatchTopKSAE", top_k
        if "gated" in entry.path:
            bare = {key: value for key, value in linear("decoder").items() if key != "encoder.bias"}
            name, tensors = "GatedAutoEncoder", {
                **bare, "decoder_bias": torch.zeros(D), "r_mag": torch.zeros(F), "gate_bias": torch.zeros(F),
                "mag_bias": torch.zeros(F)}
        elif "topk" in entry.path:
            name = "AutoEncoderTopK"
        elif "matryoshka" in entry.path.lower():
            name, tensors = "MatryoshkaBatchTopKSAE", {
                **upper(), "k": torch.tensor(1), "threshold": torch.tensor(0.5), "group_sizes": torch.tensor([F])}
        elif re.search("vanilla|standard|panneal", entry.path):
            name, tensors = "AutoEncoder", {**linear("decoder"), "bias": torch.zeros(D)}
        self.link(path / "ae.pt", name, lambda file: torch.save(tensors, file))
        self.json(path / "config.json", {"trainer": {"dict_class": name}})

    def goodfire(self, path, _):
        tensors = {name.replace(".", "_linear."): value for name, value in linear().items()}
        self.link(path, "goodfire", lambda file: torch.save(tensors, file))

    def deepseek_r1(self, path, _):
        self.link(path, "deepseek_r1", lambda file: torch.save(linear(), file))

    def connor_rob_hook_z(self, path, entry):
        self.link(path, "connor_rob_hook_z", lambda file: torch.save(upper(), file))
        layer = re.search(r"_L(\d+)_", entry.path).group(1)
        self.json(path.with_name(path.stem + "_cfg.json"), {
            "act_size": D, "dict_size": F, "act_name": f"blocks.{layer}.attn.hook_z"})

    def qwen_scope(self, path, _):
        transposed = {name: value.T.contiguous() if value.dim() == 2 else value for name, value in upper().items()}
        self.link(path, "qwen_scope", lambda file: torch.save(transposed, file))

    def mwhanna_transcoder(self, path, _):
        self.link(path, "mwhanna", lambda file: save_file(
            {**upper(), "W_enc": torch.ones(F, D), "W_dec": torch.ones(F, D)}, file))

    def mntss_clt_layer_transcoder(self, path, entry):
        name = f"W_enc_{entry.path}"
        self.link(path.with_name(f"{name}.safetensors"), name, lambda file: save_file({name: torch.ones(F, D)}, file))

    def temporal(self, path, _):
        self.link(path / "latest_ckpt.safetensors", "temporal", lambda file: save_file(
            {"D": torch.ones(F, D), "b": torch.ones(1, D), "attn_layers.0.k_ctx.weight": torch.ones(D, D)}, file))


def upper():
    return {"W_enc": torch.ones(D, F), "W_dec": torch.ones(F, D), "b_enc": torch.zeros(F), "b_dec": torch.zeros(D)}


def linear(without_bias=""):
    tensors = {"encoder.weight": torch.ones(F, D), "encoder.bias": torch.zeros(F), "decoder.weight": torch.ones(D, F),
               "decoder.bias": torch.zeros(D)}
    tensors.pop(f"{without_bias}.bias", None)
    return tensors


def save_npz(path, tensors):
    with open(path, "wb") as file:
        np.savez(file, **{name: value.numpy() for name, value in tensors.items()})


def report(entries, listed, families, least):
    rows, reasons, wrong = {}, Counter(), []
    for entry in entries:
        row = rows.setdefault(entry.loader or "sae_lens", Counter())
        row["dictionaries"] += 1
        row["transcoders"] += entry.is_transcoder
        found = listed[entry.repository]
        # Two layouts have an entry's file below its folder, or under a longer name.
        line = (found.get(entry.path) or found.get(f"W_enc_{entry.path}.safetensors")
                or found.get(f"{entry.path}/latest_ckpt.safetensors"))
        if line is None:
            wrong.append(f"{entry.release} {entry.path}: not listed")
        elif entry.is_transcoder:
            if "refused" not in line:
                wrong.append(f"{entry.release} {entry.path}: a transcoder is taken for an autoencoder")
        elif "refused" in line:
            reasons[f"{entry.loader}: {line['refused']}"] += 1
        elif entry.family not in families:
            reasons[f"no family {entry.family}"] += 1
        elif (line["place"] or "").split(".")[0] not in entry.sites:
            wrong.append(f"{entry.release} {entry.path}: goes to {line['place']}, its names say {entry.sites}")
        else:
            row["covered"] += 1
    print(f"{'layout':28} {'dictionaries':>12} {'transcoders':>11} {'covered':>8}")
    for name, row in sorted(rows.items(), key=lambda row: -row[1]["dictionaries"]):
        print(f"{name:28} {row['dictionaries']:12} {row['transcoders']:11} {row['covered']:8}")
    total = sum(rows.values(), Counter())
    wanted = total["dictionaries"] - total["transcoders"]
    print(f"{'all':28} {total['dictionaries']:12} {total['transcoders']:11} {total['covered']:8}")
    print(f"{total['covered']} of the {wanted} that are no transcoders "
          f"({100 * total['covered'] / wanted:.1f} %), with the families {', '.join(sorted(families))}")
    for reason, count in reasons.most_common():
        print(f"not covered: {count:5}  {reason}")
    for line in wrong[:20]:
        print(f"wrong: {line}")
    if wrong or total["covered"] < least:
        sys.exit(f"{len(wrong)} are wrong, {total['covered']} are covered, of which at least {least} are wanted")


if __name__ == "__main__":
    main()
