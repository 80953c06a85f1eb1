#!/usr/bin/env python3
"""Reads models' folders as people have them with the built programs and with transformers, and compares the loss.

    python Tests/Parity/compare_checkpoints.py --programs .build/release

A tiny random model of each family is changed in one respect a row: an entry of config.json in one of its spellings, or what
lies in the folder. Each row says what is right:

    read                 both compute the same loss, to a relative 1e-5
    refused WORDS        qwen-capture stops with exit code 65 or 66 and one line that has these words, and transformers
                         stops as well, or computes another loss than that of the model without the change
    refused WORDS, strictly       as above, where transformers reads the model as it would without the change, or may
    read, leniently      the loss of the model without the change, where transformers stops

Prints a table; exits 1 where a row is otherwise, where an entry of a family's configuration class is in no row, and where no
row of an entry that is not listed as without effect has another loss or is refused. Needs of requirements.txt torch,
transformers, numpy and safetensors.
"""
import argparse
import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, Qwen2Config, Qwen2ForCausalLM

from compare import ROOT, write_tokens
import gradient_filters as gf
from configuration_rows import ABSENT, ROWS, WITHOUT_EFFECT, edit, entries
from families import FULL, SLIDING

TOLERANCE = 1e-5
# Smaller differences than this are no other computation, at the sizes of these models.
DIFFERENT = 1e-4
LAYERS = 3
NORM = "model.norm.weight"


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--programs", type=Path, default=ROOT / ".build/release", help="the folder of the built programs")
    a = p.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as scratch:
        run = Run(a.programs, Path(scratch))
        bases = {"qwen2": make_model(run.scratch / "qwen2", False), "qwen2, tied": make_model(run.scratch / "tied", True)}
        run.rows("qwen2", "config.json", ENTRIES, bases)
        run.rows("qwen2", "the folder", LAYOUTS, bases)
        for name, rows in ROWS.items():
            run.rows(name, "config.json", rows, {name: base(run.scratch / name, name)})
    print(f"{run.count} rows, {run.failures} of them otherwise than is right")
    if run.failures or run.forgotten():
        sys.exit("the programs and transformers disagree, or rows are missing")


def base(folder, name):
    if name == "gemma3-images":
        return make_model_that_reads_images(folder)
    return Path(shutil.copytree(ROOT / "Tests/Golden/families" / name, folder))


class Run:
    def __init__(self, programs, scratch):
        self.programs, self.scratch = programs, scratch
        self.count = self.failures = 0
        # By configuration class: the rows of each entry, and the entries of which a row had an effect.
        self.named, self.effective = {}, {}

    def rows(self, family, title, rows, bases):
        generator = torch.Generator().manual_seed(3)
        limit = 300 if family == "qwen2" else 39
        samples = [torch.randint(0, limit, (n,), generator=generator).tolist() for n in (40, 17)]
        write_tokens(self.scratch / "tokens.ts", [samples], None, 0)
        normal = {name: program_loss(self.programs, folder, self.scratch)[0] for name, folder in bases.items()}
        # Of a model that reads images too, what its text half is computed by.
        configuration = type(AutoConfig.from_pretrained(bases[family]).get_text_config())
        print(f"\n{family + ', ' + title:58} {'right':12} {'found':>12} {'transformers':>13}")
        for name, change, right in rows:
            own = "qwen2, tied" if family == "qwen2" and "tied" in name else family
            folder = self.scratch / "model"
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(bases[own], folder)
            change(folder)
            found, message = program_loss(self.programs, folder, self.scratch)
            expected = reference_loss(folder, samples)
            fault = judge(right, found, message, expected, normal[own])
            shown = ["refused" if x is None else f"{x:.6f}" for x in (found, expected)]
            print(f"{name[:58]:58} {right.split(' ')[0]:12} {shown[0]:>12} {shown[1]:>13}" +
                  (f"  {fault}: {message.strip()}" if fault else ""), flush=True)
            self.failures += fault is not None
            self.count += 1
            fields = {f.name for f in dataclasses.fields(configuration) if re.search(rf"(^|[ ,]){f.name} ", name)}
            self.named.setdefault(configuration, set()).update(fields)
            if found is None or abs(found - normal[own]) > DIFFERENT * normal[own]:
                self.effective.setdefault(configuration, set()).update(fields)

    def forgotten(self):
        """Prints entries without a row, and those that no row shows to have an effect; whether there are any."""
        faults = False
        for configuration, named in self.named.items():
            fields = {f.name for f in dataclasses.fields(configuration)}
            silent = fields - self.effective[configuration] - WITHOUT_EFFECT
            for what, names in [("no row changes", fields - named), ("no row shows the effect of", silent)]:
                if names:
                    print(f"{configuration.__name__}: {what} {', '.join(sorted(names))}")
                    faults = True
        return faults


def judge(right, found, message, expected, normal):
    """What is wrong with a row; None where nothing is."""
    same = lambda x, y, tolerance: x is not None and y is not None and abs(x - y) <= tolerance * abs(y)
    if right == "read":
        return None if same(found, expected, TOLERANCE) else "WRONG"
    if right == "read, leniently":
        return None if same(found, normal, TOLERANCE) and expected is None else "WRONG"
    words, strictly = right.removeprefix("refused ").removesuffix(", strictly"), right.endswith(", strictly")
    if found is not None or words not in message or message.count("\n") != 1:
        return "NOT REFUSED AS IT SHOULD BE"
    if not strictly and same(expected, normal, DIFFERENT):
        return "REFUSED WITHOUT NEED"
    return None


def make_model(folder, tied):
    torch.manual_seed(0)
    model = Qwen2ForCausalLM(Qwen2Config(
        vocab_size=300, hidden_size=64, intermediate_size=96, num_hidden_layers=LAYERS, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=512, tie_word_embeddings=tied, initializer_range=0.2)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1:
                parameter.normal_(1.0 if "norm" in name else 0.0, 0.2)
    model.save_pretrained(folder)
    return folder


def make_model_that_reads_images(folder):
    """The text half is that of the golden model, under the names that the first files have."""
    text = AutoConfig.from_pretrained(ROOT / "Tests/Golden/families/gemma3")
    text.final_logit_softcapping = None
    torch.manual_seed(0)
    config = AutoConfig.for_model("gemma3", text_config=text.to_dict(), mm_tokens_per_image=4, vision_config=dict(
        hidden_size=8, intermediate_size=9, num_hidden_layers=1, num_attention_heads=2, image_size=28, patch_size=14))
    model = AutoModelForCausalLM.from_config(config)
    golden = load_file(ROOT / "Tests/Golden/families/gemma3/model.safetensors")
    own = {"model.language_model." + name.removeprefix("model."): tensor for name, tensor in golden.items()}
    state = {name: own.get(name, tensor) for name, tensor in model.state_dict().items()}
    assert set(own) < set(state), "transformers names them otherwise"
    folder.mkdir()
    config.save_pretrained(folder)
    old = {("language_model.model." + name.removeprefix("model.language_model.") if "language_model" in name else
            name.removeprefix("model.")): tensor.clone() for name, tensor in state.items() if name != "lm_head.weight"}
    save_file(old, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def program_loss(programs, folder, scratch):
    """The summed loss by qwen-capture, and what it said; None for the loss where it stopped as it should."""
    with open(scratch / "tokens.ts", "rb") as tokens, open(scratch / "capture.ts", "wb") as output:
        result = subprocess.run(
            [programs / "qwen-capture", "--quiet", "--loss", "--layers", "0", "--device", "cpu", "--model", folder],
            stdin=tokens, stdout=output, stderr=subprocess.PIPE, text=True, timeout=60)
    if result.returncode in (65, 66):
        return None, result.stderr
    if result.returncode != 0:
        return float("nan"), result.stderr
    return sum(float(r["loss"].sum()) for r in gf.records(scratch / "capture.ts") if "loss" in r), result.stderr


def reference_loss(folder, samples):
    """The summed loss by transformers; None where it does not load or does not run the model."""
    try:
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).double().eval()
        total = 0.0
        for sample in samples:
            ids = torch.tensor([sample])
            with torch.no_grad():
                logits = model(input_ids=ids, return_dict=True).logits[0]
            total += torch.nn.functional.cross_entropy(logits[:-1].double(), ids[0, 1:], reduction="sum").item()
        return total
    except Exception:
        return None


# Rows of config.json of Qwen2.


ENTRIES = [
    entries("read"),
    # The base of the rotary embedding's angles and what else is said of them.
    entries("read", rope_parameters=ABSENT, rope_theta=123.0),
    entries("read", rope_parameters=ABSENT),
    entries("read", rope_parameters={"rope_theta": 123.0}),
    entries("read", rope_parameters={"rope_theta": 123.0, "rope_type": "default"}, rope_theta=7.0),
    entries("read", rope_parameters={"rope_type": "default"}, rope_theta=123),
    entries("read", rope_parameters={"rope_theta": 123.0}, rope_scaling={"type": "default"}),
    entries("read", rope_parameters={"rope_theta": 123.0}, rope_scaling={"rope_theta": 9.0}, rope_theta=7.0),
    entries("read", rope_parameters={"rope_theta": 123.0}, rope_scaling={"factor": 2.0}, rope_theta=7.0),
    entries("read", rope_parameters=None, rope_scaling=None, rope_theta=123.0),
    entries("read", rope_parameters={"rope_theta": 123.0}, rope_scaling={}),
    entries("read", rope_scaling={"type": "linear", "rope_type": "default", "factor": 2.0}),
    entries("read", partial_rotary_factor=0.5),
    entries("read", rope_scaling={"type": "linear", "factor": 2.0}),
    entries("read", rope_scaling={"rope_type": "linear", "factor": 2.0}),
    entries("read", rope_scaling={"type": "default", "rope_type": "linear", "factor": 2.0}),
    entries("read", rope_parameters={"rope_type": "linear", "factor": 2.0}),
    entries("read", rope_parameters={"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1, "high_freq_factor": 4,
                                     "original_max_position_embeddings": 16, "rope_theta": 30.0}),
    entries("refused rope_scaling.factor", rope_scaling={"rope_type": "linear"}),
    entries("refused rope_parameters.type", rope_parameters={"type": "yarn", "factor": 4.0, "rope_theta": 123.0}),
    entries("refused rope_scaling.rope_type", rope_scaling={"rope_type": "dynamic", "factor": 2.0},
            max_position_embeddings=16),
    entries("refused rope_scaling.type", rope_scaling={"type": "mrope", "mrope_section": [2, 3, 3]}),
    entries("refused rope_scaling.rope_type", rope_scaling={"rope_type": None}),
    entries("refused rope_parameters.full_attention",
            rope_parameters={FULL: {"rope_type": "default", "rope_theta": 5.0}}),
    entries("refused rope_theta", rope_parameters=ABSENT, rope_theta=None),
    entries("refused rope_theta", rope_parameters=ABSENT, rope_theta="1e6"),
    # What attention sees.
    entries("refused is_causal", is_causal=False),
    entries("read", is_causal=True),
    entries("read", is_causal=None),
    entries("refused is_causal", is_causal="false"),
    entries("read", use_sliding_window=False, sliding_window=4, max_window_layers=0, layer_types=ABSENT),
    entries("read", use_sliding_window=True, sliding_window=4, max_window_layers=LAYERS, layer_types=ABSENT),
    entries("read", use_sliding_window=True, sliding_window=4, max_window_layers=28, layer_types=ABSENT),
    entries("read", use_sliding_window=True, sliding_window=4, max_window_layers=ABSENT, layer_types=ABSENT),
    entries("read", use_sliding_window=True, sliding_window=None, max_window_layers=0, layer_types=ABSENT),
    entries("read", use_sliding_window=True, sliding_window=4, max_window_layers=0, layer_types=[FULL] * LAYERS),
    entries("read", use_sliding_window=True, sliding_window=4, max_window_layers=1, layer_types=ABSENT),
    entries("read", use_sliding_window=True, sliding_window=4, layer_types=[FULL, SLIDING, FULL]),
    entries("read", use_sliding_window=True, sliding_window=4, max_window_layers=0, layer_types=ABSENT),
    entries("refused layer_types", layer_types=[SLIDING] * LAYERS),
    entries("refused layer_types", layer_types=[FULL]),
    entries("read", layer_types=["attention"] * LAYERS),
    entries("refused use_sliding_window", use_sliding_window="true"),
    # Sizes.
    entries("read, leniently", hidden_size=64.0),
    entries("refused hidden_size", hidden_size="64"),
    entries("refused lm_head.weight", vocab_size=299),
    entries("refused shape", intermediate_size=95),
    entries("refused num_key_value_heads", num_key_value_heads=ABSENT),
    entries("refused shape", num_key_value_heads=None),
    entries("read", num_attention_heads=2, num_key_value_heads=1),
    entries("refused shape", head_dim=32),
    entries("read, leniently", head_dim=None),
    entries("read", num_hidden_layers=2, layer_types=ABSENT),
    entries("refused model.layers.3", num_hidden_layers=4, layer_types=ABSENT),
    # Norms, activation, head.
    entries("read", rms_norm_eps=0.1),
    entries("read", rms_norm_eps=ABSENT),
    entries("refused rms_norm_eps", rms_norm_eps=None),
    entries("refused rms_norm_eps", rms_norm_eps=float("nan")),
    entries("read", hidden_act="swish"),
    entries("read", hidden_act=ABSENT),
    entries("read", hidden_act="gelu"),
    entries("refused hidden_act", hidden_act="quick_gelu"),
    entries("refused hidden_act", hidden_act="SiLU"),
    entries("read", tie_word_embeddings=ABSENT),
    entries("refused tie_word_embeddings", tie_word_embeddings="true"),
    entries("read", attention_bias=False),
    # What chooses or changes the model as a whole.
    entries("refused model_type", model_type="Qwen2"),
    entries("refused model_type", model_type=ABSENT),
    entries("refused quantization_config", quantization_config={}),
    entries("read", quantization_config=None),
    entries("refused per_layer_config", per_layer_config={"0": {"intermediate_size": 32}}),
    entries("refused transformers_weights", transformers_weights="other.safetensors"),
    entries("refused configuration_files", configuration_files=["config.4.0.0.json"]),
    entries("refused text_config", text_config={"hidden_size": 32}),
    entries("refused pruned_heads, strictly", pruned_heads={"0": [1]}),
    entries("read", auto_map={"AutoModelForCausalLM": "modeling_other.Other"}),
    # What has no effect, and what nobody knows.
    entries("read", initializer_range=float("nan")),
    entries("read", temperature=float("inf"), top_p=float("-inf")),
    entries("read", architectures=["Qwen2ForSequenceClassification"], id2label={"0": "a"}, label2id={"a": 0},
            problem_type="regression"),
    entries("read", bos_token_id=1, eos_token_id=[2, 3], is_encoder_decoder=True),
    entries("read, leniently", return_dict=False),
    entries("read", architectures=ABSENT, transformers_version=ABSENT, dtype=ABSENT),
    entries("read", torch_dtype="bfloat16", dtype=ABSENT),
    entries("read", attention_dropout=0.5, max_position_embeddings=8, use_cache=False, pad_token_id=-1),
    entries("read", _attn_implementation="eager", _name_or_path="a/b", unsloth_fixed=True, use_mrope=True),
    entries("read", output_hidden_states=True, is_decoder=True, chunk_size_feed_forward=4),
    entries("refused unheard_of, strictly", unheard_of=1),
]

# Rows of the folder.


def tensors_of(folder):
    return load_file(folder / "model.safetensors")


def save(folder, tensors, name="model.safetensors"):
    save_file({k: v.contiguous().clone() for k, v in tensors.items()}, folder / name, metadata={"format": "pt"})


def with_tensors(change):
    def apply(folder):
        save(folder, change(tensors_of(folder)))
    return apply


def renamed(rule):
    return with_tensors(lambda tensors: {rule(name): tensor for name, tensor in tensors.items()})


def without_file(folder):
    tensors = tensors_of(folder)
    (folder / "model.safetensors").unlink()
    return tensors


def as_torch(name="pytorch_model.bin", change=lambda tensors: tensors, **options):
    return lambda folder: torch.save(change(without_file(folder)), folder / name, **options)


def sharded(folder, names=("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"), **options):
    tensors = without_file(folder)
    halves = [{k: v for i, (k, v) in enumerate(sorted(tensors.items())) if i % 2 == half} for half in (0, 1)]
    for half, name in zip(halves, names):
        if name.endswith(".bin"):
            torch.save(half, folder / name)
        else:
            save(folder, half, name)
    write_index(folder, {k: name for half, name in zip(halves, names) for k in half}, **options)


def write_index(folder, weight_map, kind="model.safetensors"):
    (folder / f"{kind}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def other_norm(tensors):
    return tensors | {NORM: tensors[NORM] * 2}


def single_beside_an_older_index(folder):
    save(folder, other_norm(tensors_of(folder)), "old.safetensors")
    write_index(folder, {k: "old.safetensors" for k in tensors_of(folder)})


def safetensors_beside_bin(folder):
    torch.save(other_norm(tensors_of(folder)), folder / "pytorch_model.bin")


def sharded_beside_bin(folder):
    torch.save(other_norm(tensors_of(folder)), folder / "pytorch_model.bin")
    sharded(folder)


def index_that_is_wrong(folder):
    sharded(folder)
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    first, second = sorted(set(index["weight_map"].values()))
    swapped = {k: second if v == first else first for k, v in index["weight_map"].items()}
    write_index(folder, swapped)


def shards_with_one_tensor_twice(folder):
    tensors = tensors_of(folder)
    sharded(folder)
    second = folder / "model-00002-of-00002.safetensors"
    save(folder, load_file(second) | {NORM: tensors[NORM] * 2}, second.name)
    first = folder / "model-00001-of-00002.safetensors"
    save(folder, load_file(first) | {NORM: tensors[NORM]}, first.name)


def linked(folder):
    store = folder.parent / "store.safetensors"
    shutil.move(folder / "model.safetensors", store)
    (folder / "model.safetensors").symlink_to(store)


def linked_shards(folder):
    sharded(folder)
    for file in sorted(folder.glob("model-*")):
        shutil.move(file, folder.parent / file.name)
        file.symlink_to(Path("..") / file.name)


def missing_shard(folder):
    sharded(folder)
    (folder / "model-00002-of-00002.safetensors").unlink()


def without_index(folder):
    sharded(folder)
    (folder / "model.safetensors.index.json").unlink()


def in_subfolder(folder):
    tensors = without_file(folder)
    (folder / "original").mkdir()
    save(folder, tensors, "original/model.safetensors")
    write_index(folder, {k: "original/model.safetensors" for k in tensors})


def moved(name):
    return lambda folder: (folder / "model.safetensors").rename(folder / name)


def replaced(content):
    return lambda folder: (folder / "model.safetensors").write_bytes(content)


def cut(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:100_000])


def dangling(folder):
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to("/nowhere/blob")


def pipe(folder):
    (folder / "model.safetensors").unlink()
    os.mkfifo(folder / "model.safetensors")


def tied_with_own_head(folder):
    tensors = tensors_of(folder)
    save(folder, tensors | {"lm_head.weight": tensors["model.embed_tokens.weight"].flip(0)})


def shared_and_strided(tensors):
    """Views of one storage, a transposed one, and parameters, as pickles of trained models have them."""
    norms = [k for k in tensors if "layernorm" in k]
    together = torch.cat([tensors[k] for k in norms])
    views = {k: together[i * 64:(i + 1) * 64] for i, k in enumerate(norms)}
    name = "model.layers.0.mlp.up_proj.weight"
    turned = {name: torch.nn.Parameter(tensors[name].t().contiguous().t())}
    return tensors | views | turned


def extra(**tensors):
    return with_tensors(lambda own: own | {k: v for k, v in tensors.items()})


LAYOUTS = [
    ("one file", lambda folder: None, "read"),
    ("bf16", with_tensors(lambda t: {k: v.bfloat16() for k, v in t.items()}), "read"),
    ("f16", with_tensors(lambda t: {k: v.half() for k, v in t.items()}), "read"),
    ("two files and an index", sharded, "read"),
    ("one file beside an older save's index", single_beside_an_older_index, "read"),
    ("one file beside a pytorch_model.bin", safetensors_beside_bin, "read"),
    ("two files and an index beside a pytorch_model.bin", sharded_beside_bin, "read"),
    ("an index that names the other file of each tensor", index_that_is_wrong, "read"),
    ("two files that have one tensor both", shards_with_one_tensor_twice, "read"),
    ("pytorch_model.bin", as_torch(), "read"),
    ("pytorch_model.bin, shared and strided storages", as_torch(change=shared_and_strided), "read"),
    ("pytorch_model.bin, bf16", as_torch(change=lambda t: {k: v.bfloat16() for k, v in t.items()}), "read"),
    ("pytorch_model.bin, tied, both names",
     as_torch(change=lambda t: t | {"lm_head.weight": t["model.embed_tokens.weight"]}), "read"),
    ("two .bin files and an index",
     lambda folder: sharded(folder, names=("pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"),
                            kind="pytorch_model.bin"), "read"),
    ("a link", linked, "read"),
    ("an index and links", linked_shards, "read"),
    ("without model. before the names", renamed(lambda name: name.removeprefix("model.")), "read"),
    ("tied, without model. before the names", renamed(lambda name: name.removeprefix("model.")), "read"),
    ("model. twice before the names", renamed(lambda name: "model." + name), "read"),
    ("module. before the names (DDP)", renamed(lambda name: "module." + name), "refused is missing"),
    ("_orig_mod. before the names (torch.compile)", renamed(lambda name: "_orig_mod." + name), "refused is missing"),
    ("base_model.model. before the names (peft)", renamed(lambda name: "base_model.model." + name), "refused adapter"),
    ("tied, under the head's name",
     renamed(lambda name: "lm_head.weight" if "embed_tokens" in name else name), "read"),
    ("tied, both names",
     with_tensors(lambda t: t | {"lm_head.weight": t["model.embed_tokens.weight"].clone()}), "read"),
    ("tied, with a head of its own", tied_with_own_head, "read"),
    ("without a head", with_tensors(lambda t: {k: v for k, v in t.items() if k != "lm_head.weight"}),
     "refused lm_head.weight is missing"),
    ("without an embedding", with_tensors(lambda t: {k: v for k, v in t.items() if "embed_tokens" not in k}),
     "refused embed_tokens.weight is missing"),
    ("without a norm", with_tensors(lambda t: {k: v for k, v in t.items() if k != NORM}), "refused is missing"),
    ("without biases", with_tensors(lambda t: {k: v for k, v in t.items() if not k.endswith("bias")}), "read"),
    ("without one bias",
     with_tensors(lambda t: {k: v for k, v in t.items() if k != "model.layers.1.self_attn.q_proj.bias"}),
     "refused self_attn.q_proj.bias is missing"),
    ("more layers than config.json says",
     lambda folder: edit(folder, num_hidden_layers=2, layer_types=ABSENT), "read"),
    ("angles and a classifier besides",
     extra(**{"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(8), "score.weight": torch.ones(2, 64)}), "read"),
    ("a bias that Qwen2 has not", extra(**{"model.layers.0.self_attn.o_proj.bias": torch.ones(64)}), "read"),
    ("int8",
     with_tensors(lambda t: {k: v.to(torch.int8) if "proj.weight" in k else v for k, v in t.items()}),
     "refused quantised"),
    ("GPTQ's names",
     renamed(lambda name: name.replace("proj.weight", "proj.qweight")), "refused quantised"),
    ("a scale (fp8)", extra(**{"model.layers.0.mlp.up_proj.weight_scale_inv": torch.ones(1, 1)}),
     "refused quantised, strictly"),
    ("an adapter besides",
     lambda folder: (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA"})),
     "refused adapter_config.json, strictly"),
    ("missing shard", missing_shard, "refused model-00002-of-00002.safetensors"),
    ("shards without their index", without_index, "refused without an index"),
    ("an index that names a file in a subfolder", in_subfolder, "read"),
    ("a variant alone", moved("model.fp16.safetensors"), "refused model.fp16.safetensors, a variant"),
    ("a GGUF alone", moved("model.gguf"), "refused GGUF"),
    ("a half download", moved("model.safetensors.incomplete"), "refused did not finish"),
    ("a Git LFS pointer", replaced(b"version https://git-lfs.github.com/spec/v1\noid sha256:7\n"), "refused Git LFS"),
    ("a web page", replaced(b"<!DOCTYPE html>\n<html></html>\n"), "refused web page"),
    ("an empty file", replaced(b""), "refused empty"),
    ("a file that is cut", cut, "refused cut off"),
    ("a link to nowhere", dangling, "refused not there"),
    ("a pipe", pipe, "refused a pipe"),
]


if __name__ == "__main__":
    main()
