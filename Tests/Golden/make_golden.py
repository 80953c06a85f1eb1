#!/usr/bin/env python3
"""Makes the small models and the golden files in this folder: what Hugging Face and autograd say in float64.

    python Tests/Golden/make_golden.py

Made with Python 3.11, torch 2.13.0+cpu, transformers 5.23.0, tokenizers 0.23.3, numpy 2.4.6 and safetensors 0.8.0
(../Parity/requirements.txt). Everything is seeded: the same versions on the same machine make the same files. The
numbers come from ../Parity/gradient_reference.py, the project's statement of what they must be.

    f32/            6 query heads and 2 key heads, untied head of 531 words (more than one tile of 512)
    bf16-sharded/   4 query heads and 1 key head, tied head, two files with an index, transformers 4's config.json
    f16/            head_dim not hidden_size / heads, as many key heads as query heads, rope_theta 1e6
    <model>.safetensors and demo.safetensors    the golden numbers of these models and of demo/model

    families/       a small model of every family of ../Parity/families.py, each from a seed of its own

    places.safetensors    of the plain run of f32, for every site S and layer L, act.S.L and grad.S.L, F32 [rows, W]
    families/<name>.safetensors    the tokens and losses of the plain run, and the same two of every place

A golden file's tensors, for a run R of `plain` and `padded`, layer L, sample number i:

    R.input_ids, R.cu_seqlens, R.sample_index, R.valid_lengths   the tokens of all batches, as a tokens stream has them
    R.batches             [batches + 1]: which samples make a batch
    R.loss                F64 [samples]: nats, summed over the sample's predictions
    R.predictions         [samples]
    R.mean.L.<loss reduction>.<weighting>, R.mean_abs.L.…      F64 [D]
    R.rows                the rows of input_ids whose numbers follow; all of them real tokens
    R.resid_mid.L, R.mlp_out.L, R.grad.L    F32 [rows, D], rounded from float64: 6e-8 is far below every tolerance
    R.logits              F32 [rows, V]

Metadata: magic, version, model, command and the versions of the packages.
"""
import argparse
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import safetensors
import torch
import transformers
from safetensors.torch import save_file as save_tensors
from tokenizers import Tokenizer
from transformers import Qwen2Config, Qwen2ForCausalLM

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE.parent / "Parity"))
import families  # noqa: E402
import gradient_reference as reference  # noqa: E402

MAGIC, VERSION = "gradient-filters golden", "1"
REDUCTIONS, WEIGHTINGS = ["batch", "sample", "sum"], ["sample", "position", "batch"]

MODELS = {
    "f32": dict(
        hidden_size=84, intermediate_size=76, num_hidden_layers=3, num_attention_heads=6, num_key_value_heads=2,
        vocab_size=531, rms_norm_eps=1e-6, rope_theta=10000.0, tie_word_embeddings=False),
    "bf16-sharded": dict(
        hidden_size=64, intermediate_size=83, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=1,
        vocab_size=97, rms_norm_eps=1e-5, rope_theta=10000.0, tie_word_embeddings=True),
    "f16": dict(
        hidden_size=40, intermediate_size=57, num_hidden_layers=2, num_attention_heads=3, num_key_value_heads=3,
        head_dim=18, vocab_size=61, rms_norm_eps=1e-6, rope_theta=1000000.0, tie_word_embeddings=False),
}
# Ragged, with a sample of one token, of two, and one longer than an attention tile of 128.
LENGTHS = {
    "f32": [[7, 1, 33], [150, 2, 12]],
    "bf16-sharded": [[9, 20], [1], [131, 5]],
    "f16": [[3, 17, 1], [40]],
}
PAD_TO = {"f32": 152, "bf16-sharded": 140, "f16": 48}


def main():
    torch.manual_seed(20)
    torch.set_num_threads(1)  # the order of a sum depends on the threads
    rng = np.random.default_rng(20)
    for name, shape in MODELS.items():
        make_model(HERE / name, name, shape)
        batches = [[rng.integers(0, shape["vocab_size"], n).tolist() for n in batch] for batch in LENGTHS[name]]
        write_golden(name, HERE / name, batches, PAD_TO[name], pad_id=shape["vocab_size"] - 2, rows_per_sample=7)
        if name == "f32":
            write_places(HERE / name, batches, rows_per_sample=7)
    write_golden("demo", ROOT / "demo/model", demo_batches(), 136, pad_id=4095, rows_per_sample=4, logits=False)
    make_families()


def make_families():
    for number, (name, options) in enumerate(families.MODELS.items()):
        torch.manual_seed(100 + number)
        folder = families.make_model(HERE / "families" / name, **options)
        generator = torch.Generator().manual_seed(number)
        batches = [[torch.randint(0, options["vocab_size"], (n,), generator=generator).tolist() for n in batch]
                   for batch in families.LENGTHS]
        write_places(folder, batches, rows_per_sample=6, to=HERE / f"families/{name}.safetensors", with_tokens=True)


def make_model(folder, name, shape):
    """A random model that is far from symmetric: no norm is 1, no bias 0, and its logits spread over several nats."""
    shutil.rmtree(folder, ignore_errors=True)
    shape = dict(shape)
    theta = shape.pop("rope_theta")
    config = Qwen2Config(max_position_embeddings=512, rope_parameters={"rope_type": "default", "rope_theta": theta},
                         use_sliding_window=False, **shape)
    model = Qwen2ForCausalLM(config)
    with torch.no_grad():
        for parameter_name, p in model.named_parameters():
            if "norm" in parameter_name:
                p.copy_(1 + 0.3 * torch.randn_like(p))
            elif p.dim() == 1:
                p.copy_(0.3 * torch.randn_like(p))
            else:
                embedding = 0.2 if config.tie_word_embeddings else 0.5
                p.copy_(torch.randn_like(p) * (embedding if "embed" in parameter_name else 1.2 / p.shape[1] ** 0.5))
    model.to({"f32": torch.float32, "bf16-sharded": torch.bfloat16, "f16": torch.float16}[name])
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    if name == "bf16-sharded":
        shard(folder)
        write_old_config(folder / "config.json", shape | {"rope_theta": theta})


def shard(folder):
    """Two files and an index. (save_pretrained counts shards in megabytes, and these models have none.)"""
    whole = folder / "model.safetensors"
    with safetensors.safe_open(whole, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in sorted(file.keys())}
    whole.unlink()
    weight_map = {}
    for part in range(2):
        file_name = f"model-{part + 1:05}-of-00002.safetensors"
        mine = {name: t for i, (name, t) in enumerate(tensors.items()) if i % 2 == part}
        save_tensors(mine, folder / file_name, metadata={"format": "pt"})
        weight_map |= {name: file_name for name in mine}
    size = sum(t.numel() * t.element_size() for t in tensors.values())
    index = {"metadata": {"total_size": size}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2, sort_keys=True) + "\n")


def write_old_config(path, shape):
    """As transformers 4 and the published Qwen2.5 checkpoints spell it."""
    path.write_text(json.dumps({
        "architectures": ["Qwen2ForCausalLM"], "attention_dropout": 0.0, "hidden_act": "silu", "model_type": "qwen2",
        "initializer_range": 0.02, "max_position_embeddings": 512, "max_window_layers": 28, "sliding_window": 512,
        "torch_dtype": "bfloat16", "transformers_version": "4.43.1", "use_cache": True, "use_sliding_window": False,
    } | shape, indent=2, sort_keys=True) + "\n")


def demo_batches():
    """Paragraphs of the sample text as wt-tokenize picks them, two of them longer than others are cut."""
    tokenizer = Tokenizer.from_file(str(ROOT / "demo/model/tokenizer.json"))
    lines = [x for x in (ROOT / "demo/sample.txt").read_text().splitlines(keepends=True) if len(x.strip()) > 50]
    ids = [tokenizer.encode(line, add_special_tokens=False).ids for line in lines[:5]]
    cut = [sample[:n] for sample, n in zip(ids, [40, 1, 134, 25, 64])]
    return [cut[:3], cut[3:]]


def write_places(folder, batches, rows_per_sample, to=HERE / "places.safetensors", with_tokens=False):
    """Activations and the gradients of the summed loss at every place, from one backward pass of autograd a sample."""
    model = reference.load_model(folder, torch.float64)
    count = len(families.layers(model))
    seen, kept, losses = {}, {}, []
    families.watch(model, seen)
    samples = [sample for batch in batches for sample in batch]
    for sample in samples:
        ids = torch.tensor([sample])
        # Where the graph begins: at the embedding, whatever it is made of.
        handle = model.get_input_embeddings().register_forward_hook(lambda _m, _i, output: output.requires_grad_())
        logits = model(ids).logits
        handle.remove()
        loss = torch.nn.functional.cross_entropy(logits[0, :-1], ids[0, 1:], reduction="sum")
        loss.backward()
        losses.append(loss.item())
        families.check_equations(seen, count)
        for place, tensor in seen.items():
            gradient = torch.zeros_like(tensor) if tensor.grad is None else tensor.grad
            rows = picked(len(sample), rows_per_sample)
            kept.setdefault(f"plain.act.{place}", []).append(tensor[0, rows].detach())
            kept.setdefault(f"plain.grad.{place}", []).append(gradient[0, rows])
    arrays = {key: torch.cat(values).float().numpy() for key, values in kept.items()}
    if with_tokens:
        starts = np.cumsum([0] + [len(sample) for sample in samples])
        arrays |= {
            "plain.input_ids": np.concatenate(samples).astype(np.int32), "plain.cu_seqlens": starts.astype(np.int32),
            "plain.batches": np.cumsum([0] + [len(batch) for batch in batches]).astype(np.int32),
            "plain.rows": np.concatenate(
                [start + picked(len(sample), rows_per_sample) for start, sample in zip(starts, samples)]).astype(np.int32),
            "plain.loss": np.array(losses)}
    save_arrays(arrays, to, metadata={
        "magic": MAGIC, "version": VERSION, "model": str(folder.relative_to(ROOT)), "layers": str(count),
        "command": "python Tests/Golden/make_golden.py", "torch": torch.__version__,
        "transformers": transformers.__version__})
    sizes = sum(f.stat().st_size for f in [to, *folder.glob("*.safetensors")])
    print(f"{to.stem}: {sum(losses):.4f} nats, {sizes} bytes of model and golden file")


def picked(length, rows_per_sample):
    """A few rows of a sample: its first and last one and some between."""
    return np.unique(np.linspace(0, length - 1, rows_per_sample).round().astype(int))


def write_golden(name, folder, batches, pad_to, pad_id, rows_per_sample, logits=True):
    model = reference.load_model(folder, torch.float64)
    arrays = {}
    for run, width in [("plain", None), ("padded", pad_to)]:
        arrays |= {f"{run}.{key}": value for key, value in golden_run(
            model, batches, width, pad_id, rows_per_sample, logits).items()}
    arrays = {key: np.ascontiguousarray(value) for key, value in arrays.items()}
    save_arrays(arrays, HERE / f"{name}.safetensors", metadata={
        "magic": MAGIC, "version": VERSION, "model": str(folder.relative_to(ROOT)),
        "layers": str(len(model.model.layers)), "command": "python Tests/Golden/make_golden.py", "torch": torch.__version__,
        "transformers": transformers.__version__, "numpy": np.__version__, "safetensors": safetensors.__version__,
    })
    sizes = sum(f.stat().st_size for f in [HERE / f"{name}.safetensors", *folder.glob("*.safetensors")])
    losses = arrays["plain.loss"].sum() / arrays["plain.predictions"].sum()
    print(f"{name}: {losses:.4f} nats per prediction, {sizes} bytes of model and golden file")


def save_arrays(arrays, path, metadata):
    """As safetensors' own save_file does, which writes the metadata in another order each time."""
    order = sorted(arrays, key=lambda name: (-arrays[name].itemsize, name))
    header, offset = {"__metadata__": dict(sorted(metadata.items()))}, 0
    for name in order:
        a = arrays[name]
        dtype = {"float64": "F64", "float32": "F32", "int64": "I64", "int32": "I32"}[str(a.dtype)]
        header[name] = {"dtype": dtype, "shape": a.shape, "data_offsets": [offset, offset + a.nbytes]}
        offset += a.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(arrays[name].tobytes() for name in order))


def golden_run(model, batches, pad_to, pad_id, rows_per_sample, with_logits):
    a = argparse.Namespace(pad_to=pad_to, pad_id=pad_id, stride=1, stride_scope="sample")
    layers = range(len(model.model.layers))
    out = {}

    # The tokens, as a tokens stream has them.
    flat = [sample for batch in batches for sample in batch]
    lengths = [len(sample) for sample in flat]
    ids = [sample + [pad_id] * ((pad_to or len(sample)) - len(sample)) for sample in flat]
    starts = np.cumsum([0] + [len(sample) for sample in ids])
    out["input_ids"] = np.concatenate(ids).astype(np.int32)
    out["cu_seqlens"] = starts.astype(np.int32)
    out["sample_index"] = np.arange(len(flat), dtype=np.int64)
    if pad_to:
        out["valid_lengths"] = np.array(lengths, np.int32)
    out["batches"] = np.cumsum([0] + [len(batch) for batch in batches]).astype(np.int32)

    chosen = [picked(n, rows_per_sample) for n in lengths]
    out["rows"] = np.concatenate([starts[i] + rows for i, rows in enumerate(chosen)]).astype(np.int32)

    for layer in layers:
        samples = reference.gradients(model, None, layer, batches, a)
        gradients = np.concatenate([s.gradient[chosen[i]] for i, s in enumerate(samples)])
        out[f"grad.{layer}"] = gradients.astype(np.float32)
        for reduction in REDUCTIONS:
            for weighting in WEIGHTINGS:
                mean, mean_abs = reference.average(samples, reduction, weighting)
                out[f"mean.{layer}.{reduction}.{weighting}"] = mean
                out[f"mean_abs.{layer}.{reduction}.{weighting}"] = mean_abs
    out["loss"] = np.array([s.loss for s in samples])
    out["predictions"] = np.array([s.predictions for s in samples], np.int32)

    seen = {}
    hooks = []
    for layer, block in enumerate(model.model.layers):
        hooks.append(block.mlp.register_forward_hook(keep(seen, f"mlp_out.{layer}")))
        # What the second norm is given is the residual stream between attention and MLP.
        hooks.append(block.post_attention_layernorm.register_forward_pre_hook(keep(seen, f"resid_mid.{layer}")))
    kept = {}
    with torch.no_grad():
        first = 0
        for batch in batches:
            batch_ids, valid = reference.padded(batch, a)
            seen["logits"] = model(input_ids=batch_ids, attention_mask=valid).logits
            for key, value in seen.items():
                kept.setdefault(key, []).extend(value[i, chosen[first + i]] for i in range(len(batch)))
            first += len(batch)
    for hook in hooks:
        hook.remove()
    if not with_logits:
        del kept["logits"]
    return out | {key: torch.cat(values).float().numpy() for key, values in kept.items()}


def keep(seen, key):
    def hook(_module, inputs, output=None):
        seen[key] = (inputs[0] if output is None else output).detach().clone()
    return hook


if __name__ == "__main__":
    main()
