#!/usr/bin/env python3
r"""Make the demo: a small Qwen2 language model, its tokenizer, and one sparse autoencoder a layer.

From plain text files in WikiText's raw form this script makes, in this order,

1. model/tokenizer.json, model/tokenizer_config.json: a byte-level BPE of 4,096 entries with exactly
   Qwen2's normalizer (NFC), pre-tokenizer (split expression, ByteLevel) and decoder, and
   <|endoftext|> as its last entry;
2. model/config.json, model/model.safetensors: a 4-layer Qwen2ForCausalLM trained on the text and
   rounded to bfloat16;
3. saes/mlp_out_layer_{l}/trainer_0/{ae.pt,config.json}: a BatchTopK SAE (1,024 features, k = 16) of
   every layer's MLP output, trained and written by dictionary_learning's own trainSAE;
4. report.json: the measured numbers, on held-out text that none of the steps has seen.

Everything is seeded (SEED = 0) and runs on one thread of one CPU core, so a rerun on the same kind of
machine with the same packages should come out alike; another CPU rounds differently and ends at
slightly different numbers.

Packages (Python 3.11):

    pip install numpy==2.4.6 safetensors==0.8.0 tokenizers==0.23.3 transformers==5.23.0 tqdm==4.70.1
    pip install torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu
    pip install --no-deps dictionary-learning==0.1.0 einops==0.8.2

The files in this folder come from (WikiText-2 raw: the first 1,000,000 bytes of the training split,
blank lines dropped, and the whole validation split; the test split is held out entirely)

    python train.py --train wiki.train.first-1MB.raw wiki.valid.raw --held-out wiki.test.raw \
        --sample sample.txt --out .

where the first file is: grep -v '^ *$' wiki.train.raw | head -c 1000000. On one shared core the model
takes about 15 minutes and each SAE two to four. (With MALLOC_MMAP_THRESHOLD_=1073741824 and
MALLOC_TRIM_THRESHOLD_=4294967296 in the environment glibc keeps the large buffers between steps, which
saves a fifth of the time and changes no number.) The learning rate is the better of two tried for
200 steps; nothing else was chosen by looking at the held-out text.

Measured by that command, run in two halves (--parts model, then --parts saes; report.json has every digit):

    mean loss, nats per prediction     held-out 4.512, training text 3.360, sample.txt 4.839
                                  (unigrams on held-out text 6.739, uniform 8.318)
    SAE of layer 0, held-out text  variance explained 0.954, L0 15.8, dead features 0
    SAE of layer 1, held-out text  variance explained 0.831, L0 14.8, dead features 0
    SAE of layer 2, held-out text  variance explained 0.791, L0 15.7, dead features 0
    SAE of layer 3, held-out text  variance explained 0.813, L0 15.5, dead features 0
"""

import argparse
import json
import math
import re
import sys
import time
import types
from pathlib import Path

import numpy as np
import torch
import transformers
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

SEED = 0
END_OF_TEXT = "<|endoftext|>"
QWEN2_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
ARTICLE_TITLE = re.compile(r"^ = [^=].* = $")
DEMO_MODEL_NAME = "demo/model"  # what the SAE configurations call the model


# ---------------------------------------------------------------------------------------------- text


def read_lines(path: Path) -> list[str]:
    """The file's lines with their newline, without blank lines and without a last line cut short."""
    text = path.read_bytes().decode("utf-8", errors="ignore")
    return [line for line in text.splitlines(keepends=True) if line.strip() and line.endswith("\n")]


def read_text(paths: list[Path]) -> list[str]:
    return [line for path in paths for line in read_lines(path)]


def token_stream(tokenizer: Tokenizer, lines: list[str]) -> torch.Tensor:
    """All lines, each tokenized by itself, in one row, with <|endoftext|> before each article's title."""
    separator = tokenizer.token_to_id(END_OF_TEXT)
    ids: list[int] = []
    for line, encoding in zip(lines, tokenizer.encode_batch(lines)):
        if ARTICLE_TITLE.match(line.rstrip("\n")):
            ids.append(separator)
        ids.extend(encoding.ids)
    return torch.tensor(ids, dtype=torch.long)


def windows(stream: torch.Tensor, length: int, offset: int = 0) -> torch.Tensor:
    """The stream from `offset` on, cut into rows of `length`; what is left over is dropped."""
    count = (len(stream) - offset) // length
    return stream[offset : offset + count * length].view(count, length)


# ----------------------------------------------------------------------------------------- tokenizer


def train_tokenizer(lines: list[str], vocab_size: int) -> Tokenizer:
    """A BPE of Qwen2's scheme; the special token follows the last merge, as in Qwen2's own files."""
    byte_level = {"add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    tokenizer = Tokenizer(models.BPE(continuing_subword_prefix="", end_of_word_suffix=""))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN2_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(**byte_level),
        ]
    )
    tokenizer.post_processor = processors.ByteLevel(**byte_level)
    tokenizer.decoder = decoders.ByteLevel(**byte_level)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - 1,  # one entry is left for <|endoftext|>
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(lines, trainer)
    tokenizer.add_special_tokens([END_OF_TEXT])
    if tokenizer.get_vocab_size() != vocab_size:
        raise SystemExit(f"the text gave only {tokenizer.get_vocab_size()} entries, not {vocab_size}")
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, folder: Path, max_length: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "add_bos_token": False,
        "add_prefix_space": False,
        "bos_token": None,
        "clean_up_tokenization_spaces": False,
        "eos_token": END_OF_TEXT,
        "errors": "replace",
        "model_max_length": max_length,
        "pad_token": END_OF_TEXT,
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": None,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")


# --------------------------------------------------------------------------------------------- model


def new_model(tokenizer: Tokenizer) -> transformers.Qwen2ForCausalLM:
    end = tokenizer.token_to_id(END_OF_TEXT)
    config = transformers.Qwen2Config(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        rms_norm_eps=1e-6,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        tie_word_embeddings=True,
        bos_token_id=end,
        eos_token_id=end,
        use_cache=False,  # while training
    )
    torch.manual_seed(SEED)
    return transformers.Qwen2ForCausalLM(config)


def new_optimizer(model: torch.nn.Module, options: argparse.Namespace) -> torch.optim.Optimizer:
    """AdamW that decays matrices only, neither biases nor norm weights."""
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    vectors = [p for p in model.parameters() if p.ndim < 2]
    groups = [
        {"params": matrices, "weight_decay": options.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=options.lr, betas=(0.9, 0.98))


def learning_rate(step: int, options: argparse.Namespace) -> float:
    """Linear warm-up, then half a cosine down to nothing."""
    if step < options.warmup:
        return options.lr * (step + 1) / options.warmup
    done = (step - options.warmup) / max(1, options.steps - options.warmup)
    return options.lr * 0.5 * (1 + math.cos(math.pi * done))


def training_batches(stream: torch.Tensor, options: argparse.Namespace):
    """Batches without end: every epoch cuts the stream at another offset and shuffles the rows."""
    generator = torch.Generator().manual_seed(SEED)
    while True:
        offset = int(torch.randint(options.length, (1,), generator=generator))
        rows = windows(stream, options.length, offset)
        order = torch.randperm(len(rows), generator=generator)
        for at in range(0, len(rows) - options.batch + 1, options.batch):
            yield rows[order[at : at + options.batch]]


@torch.no_grad()
def mean_loss(model: torch.nn.Module, rows) -> float:
    """Mean cross-entropy in nats over every predicted token of the rows (all but each row's first)."""
    model.eval()
    total, count = 0.0, 0
    for row in rows:
        row = row.view(-1, row.shape[-1])
        predicted = row.shape[0] * (row.shape[1] - 1)
        total += model(input_ids=row, labels=row).loss.item() * predicted
        count += predicted
    model.train()
    return total / count


def unigram_loss(stream: torch.Tensor, rows: torch.Tensor, vocab_size: int) -> float:
    """The same mean for the best guess without context: the training text's frequencies (add one)."""
    counts = torch.bincount(stream, minlength=vocab_size).double() + 1
    return -(counts / counts.sum()).log()[rows[:, 1:]].mean().item()


def train_model(model, stream: torch.Tensor, held_out: torch.Tensor, options: argparse.Namespace) -> None:
    optimizer = new_optimizer(model, options)
    began, running = time.time(), None
    for step, rows in zip(range(options.steps), training_batches(stream, options)):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, options)
        loss = model(input_ids=rows, labels=rows).loss
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        running = loss.item() if running is None else 0.98 * running + 0.02 * loss.item()
        if (step + 1) % options.log_every == 0:
            held = mean_loss(model, held_out[:: max(1, len(held_out) // 64)].split(8))
            print(
                f"step {step + 1}/{options.steps}  training {running:.3f}  held-out (part) {held:.3f}"
                f"  {time.time() - began:.0f} s",
                flush=True,
            )


def make_model(out: Path, tokenizer: Tokenizer, lines: dict[str, list[str]], options) -> dict:
    stream = token_stream(tokenizer, lines["train"])
    held_out_stream = token_stream(tokenizer, lines["held_out"])
    held_out = windows(held_out_stream, options.length)
    print(f"{len(stream)} tokens to train on, {len(held_out_stream)} held out", flush=True)
    model = new_model(tokenizer)
    train_model(model, stream, held_out, options)
    model.config.use_cache = True
    model.to(torch.bfloat16).save_pretrained(out / "model")
    model.float()  # the rounded weights, computed with in float32
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "training_tokens": len(stream),
        "epochs": round(options.steps * options.batch * options.length / len(stream), 2),
        "held_out_tokens": len(held_out_stream),
        "held_out_loss": mean_loss(model, held_out.split(8)),
        "training_loss": mean_loss(model, windows(stream, options.length)[::8].split(8)),
        "unigram_loss": unigram_loss(stream, held_out, tokenizer.get_vocab_size()),
        "uniform_loss": math.log(tokenizer.get_vocab_size()),
    }


# ---------------------------------------------------------------------------------------------- SAEs


def import_dictionary_learning():
    """dictionary_learning's trainSAE, BatchTopKTrainer and BatchTopKSAE.

    The package's buffer, evaluation and training modules import nnsight (to record activations) and
    wandb (to log) at their top. Neither is used here: activations come from a forward hook and nothing
    is logged elsewhere. Empty modules stand in for the two while the package is imported, and only then.
    """
    stand_ins = {"nnsight": types.ModuleType("nnsight"), "wandb": types.ModuleType("wandb")}
    stand_ins["nnsight"].LanguageModel = object  # named in type annotations
    missing = {name: module for name, module in stand_ins.items() if name not in sys.modules}
    sys.modules.update(missing)
    try:
        from dictionary_learning.trainers.batch_top_k import BatchTopKSAE, BatchTopKTrainer
        from dictionary_learning.training import trainSAE
    finally:
        for name in missing:
            del sys.modules[name]
    return trainSAE, BatchTopKTrainer, BatchTopKSAE


@torch.no_grad()
def mlp_outputs(model, layer: int, rows: torch.Tensor) -> torch.Tensor:
    """The layer's MLP output at every position of the rows, one position a row."""
    kept: list[torch.Tensor] = []
    hook = model.model.layers[layer].mlp.register_forward_hook(
        lambda module, inputs, output: kept.append(output.flatten(0, 1).clone())
    )
    try:
        for batch in rows.split(64):
            model.model(input_ids=batch)
    finally:
        hook.remove()
    return torch.cat(kept)


class ActivationBatches:
    """Shuffled batches of activations without end, with the `config` trainSAE writes as "buffer"."""

    def __init__(self, activations: torch.Tensor, contexts: int, length: int, batch: int, seed: int):
        self.activations, self.batch, self.seed = activations, batch, seed
        self.config = {
            "d_submodule": activations.shape[1],
            "io": "out",
            "n_ctxs": contexts,
            "ctx_len": length,
            "refresh_batch_size": 64,
            "out_batch_size": batch,
            "device": "cpu",
        }

    def __iter__(self):
        generator = torch.Generator().manual_seed(self.seed)
        while True:
            order = torch.randperm(len(self.activations), generator=generator)
            for at in range(0, len(order) - self.batch + 1, self.batch):
                yield self.activations[order[at : at + self.batch]]


@torch.no_grad()
def sae_quality(sae, activations: torch.Tensor) -> dict:
    """Variance explained, mean number of active features and dead features, features by threshold."""
    residual, active, fired = torch.zeros(()), 0.0, torch.zeros(sae.dict_size, dtype=torch.bool)
    for rows in activations.split(4096):
        features = sae.encode(rows)
        residual = residual + (rows - sae.decode(features)).square().sum()
        active += (features > 0).sum().item()
        fired |= (features > 0).any(dim=0)
    variance = (activations - activations.mean(dim=0)).square().sum()
    return {
        "variance_explained": 1 - (residual / variance).item(),
        "l0": active / len(activations),
        "dead_features": int((~fired).sum()),
        "threshold": sae.threshold.item(),
    }


def make_sae(out: Path, model, layer: int, training: torch.Tensor, held_out: torch.Tensor, options) -> dict:
    trainSAE, BatchTopKTrainer, BatchTopKSAE = import_dictionary_learning()
    folder = out / "saes" / f"mlp_out_layer_{layer}"
    batches = ActivationBatches(
        mlp_outputs(model, layer, training), *training.shape, options.sae_batch, SEED + layer
    )
    configuration = {
        "trainer": BatchTopKTrainer,
        "steps": options.sae_steps,
        "activation_dim": model.config.hidden_size,
        "dict_size": options.sae_features,
        "k": options.sae_k,
        "layer": layer,
        "lm_name": DEMO_MODEL_NAME,
        "lr": options.sae_lr,
        "warmup_steps": options.sae_steps // 20,
        "decay_start": options.sae_steps * 3 // 4,
        "threshold_start_step": options.sae_steps // 4,
        "threshold_beta": 0.99,
        "seed": SEED + layer,
        "device": "cpu",
        "submodule_name": f"mlp_out_layer_{layer}",
    }
    trainSAE(
        batches,
        [configuration],
        steps=options.sae_steps,
        save_dir=str(folder),
        normalize_activations=True,
        device="cpu",
    )
    sae = BatchTopKSAE.from_pretrained(str(folder / "trainer_0" / "ae.pt"))
    return sae_quality(sae, mlp_outputs(model, layer, held_out))


def make_saes(out: Path, lines: dict[str, list[str]], options) -> dict:
    tokenizer = Tokenizer.from_file(str(out / "model" / "tokenizer.json"))
    model = transformers.Qwen2ForCausalLM.from_pretrained(out / "model", dtype=torch.float32).eval()
    training = windows(token_stream(tokenizer, lines["train"]), options.sae_length)
    held_out = windows(token_stream(tokenizer, lines["held_out"]), options.sae_length)
    quality = {}
    for layer in range(model.config.num_hidden_layers):
        quality[f"mlp_out_layer_{layer}"] = make_sae(out, model, layer, training, held_out, options)
        print(layer, quality[f"mlp_out_layer_{layer}"], flush=True)
    return quality


# ------------------------------------------------------------------------------------------ the rest


def sample_loss(folder: Path, path: Path, shortest: int = 50) -> dict:
    """The saved model's mean loss over a text's lines of more than `shortest` characters, line by line."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    model = transformers.Qwen2ForCausalLM.from_pretrained(folder, dtype=torch.float32)
    lines = [line for line in read_lines(path) if len(line.rstrip("\n")) > shortest]
    longest = model.config.max_position_embeddings
    rows = [torch.tensor(encoding.ids[:longest]) for encoding in tokenizer.encode_batch(lines)]
    return {
        "paragraphs": len(rows),
        "tokens": sum(map(len, rows)),
        "loss": mean_loss(model, rows),
        "mean_of_paragraph_losses": float(np.mean([mean_loss(model, [row]) for row in rows])),
    }


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Train the demo's tokenizer, Qwen2 model and SAEs.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--train", nargs="+", type=Path, required=True, metavar="FILE", help="text to train on")
    parser.add_argument("--held-out", type=Path, required=True, metavar="FILE", help="text to measure on")
    parser.add_argument("--sample", type=Path, metavar="FILE", help="another text to report the loss of")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where model/ and saes/ go")
    parser.add_argument("--parts", nargs="+", choices=["model", "saes"], default=["model", "saes"])
    parser.add_argument("--vocab-size", type=int, default=4096)
    parser.add_argument("--length", type=int, default=256, help="tokens in a training row")
    parser.add_argument("--batch", type=int, default=4, help="rows in a training step")
    parser.add_argument("--steps", type=int, default=4500)
    parser.add_argument("--warmup", type=int, default=150)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--weight-decay", type=float, default=0.1)
    parser.add_argument("--log-every", type=int, default=250)
    parser.add_argument("--sae-features", type=int, default=1024)
    parser.add_argument("--sae-k", type=int, default=16)
    parser.add_argument("--sae-length", type=int, default=128, help="tokens in a row whose activations are taken")
    parser.add_argument("--sae-batch", type=int, default=1024, help="activations in a training step")
    parser.add_argument("--sae-steps", type=int, default=2500)
    parser.add_argument("--sae-lr", type=float, default=1e-3)
    return parser.parse_args()


def main() -> None:
    options = parse_arguments()
    torch.set_num_threads(1)
    lines = {"train": read_text(options.train), "held_out": read_text([options.held_out])}
    report_path = options.out / "report.json"
    report = json.loads(report_path.read_text()) if report_path.exists() else {}
    if "model" in options.parts:
        tokenizer = train_tokenizer(lines["train"], options.vocab_size)
        save_tokenizer(tokenizer, options.out / "model", max_length=512)
        report["model"] = make_model(options.out, tokenizer, lines, options)
    if "saes" in options.parts:
        report["saes"] = make_saes(options.out, lines, options)
    if options.sample:
        report["sample"] = sample_loss(options.out / "model", options.sample)
    report_path.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
