#!/usr/bin/env python3
"""Trains autoencoders with sae-lens and dictionary-learning, saves them as they do, and compares what the programs make
of the files with the libraries in float64.

    python Tests/Parity/compare_sae_libraries.py --programs .build/release

On the demo model's MLP outputs of one layer, some steps for each class of either library. Compared are the loss with
what is rebuilt (encode and decode) in the activation's place at every position, and every feature's gradient there,
active or not. Exits 1 where a relative L2 error is above 1e-5 or a loss's above 1e-6. Where the libraries are not
installed (see library_stand_ins.py), says so and exits 0.

A feature whose preactivation lies within rounding of its threshold is active in one arithmetic and not in the other,
which is no error of either: samples are taken whose active features stay the same under a change of the activations by
1e-5.
"""
import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

# Read when tqdm is imported.
os.environ["TQDM_DISABLE"] = "1"

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

import library_stand_ins  # noqa: F401
from compare import (
    HERE, LOSS_TOLERANCE, ROOT, VECTOR_TOLERANCE, largest, load_reference, read_records, relative_l2, run, write_tokens)

LAYER, FEATURES, K, STEPS, ROWS = 2, 256, 8, 150, 256
SAMPLES = 4
CHANGE = 1e-5


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--programs", type=Path, default=ROOT / ".build/release", help="the folder of the built programs")
    p.add_argument("--device", default="auto", help="where the programs compute: auto, cpu, cuda or cuda:N")
    a = p.parse_args()
    reference = load_reference(HERE / "gradient_reference.py")
    folder = ROOT / "demo/model"
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float64, attn_implementation="eager").eval().requires_grad_(False)
    samples = tokenized(folder)
    activations = [capture(model, sample) for sample in samples]
    rows = torch.cat(activations).float()

    print(f"{'library':20} {'class':24} {'samples':>7} {'L0':>6} {'gradients':>9} {'loss':>9}")
    worst_vector = worst_loss = 0.0
    compared = 0
    for library, makers in [("dictionary_learning", dictionary_learning), ("sae_lens", sae_lens)]:
        try:
            classes = makers(rows)
        except ImportError as error:
            print(f"{library}: skipped, as it is not installed: {error}")
            continue
        for name, train in classes.items():
            with tempfile.TemporaryDirectory() as work:
                torch.manual_seed(sum(map(ord, name)))
                sae = train(Path(work) / "sae")
                kept = [sample for sample, x in zip(samples, activations) if is_clear(sae, x)][:SAMPLES]
                if len(kept) < SAMPLES:
                    sys.exit(f"{library} {name}: too few samples keep their features under a small change")
                l0, vector, loss = compare(a, reference, model, folder, sae, [kept], Path(work))
            print(f"{library:20} {name:24} {len(kept):7} {l0:6.1f} " + f"{vector:9.1e} {loss:9.1e}", flush=True)
            worst_vector, worst_loss = largest(worst_vector, vector), largest(worst_loss, loss)
            compared += 1
    if not compared:
        return
    print(f"the largest error is {worst_vector:.1e} (at most {VECTOR_TOLERANCE:.0e}), "
          f"of a loss {worst_loss:.1e} (at most {LOSS_TOLERANCE:.0e})")
    # Not `>`: a NaN must fail.
    if not (worst_vector <= VECTOR_TOLERANCE and worst_loss <= LOSS_TOLERANCE):
        sys.exit("the programs and the libraries disagree")


def tokenized(folder):
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    lines = (ROOT / "demo/sample.txt").read_text(encoding="utf-8").splitlines(keepends=True)
    return [tokenizer.encode(line, add_special_tokens=False).ids[:20 + 5 * (number % 5)]
            for number, line in enumerate(line for line in lines if len(line.strip()) > 50)]


def capture(model, ids):
    outputs = []
    hook = model.model.layers[LAYER].mlp.register_forward_hook(lambda _m, _i, output: outputs.append(output[0]))
    with torch.no_grad():
        model(input_ids=torch.tensor([ids]))
    hook.remove()
    return outputs[0]


def is_clear(sae, x):
    """Whether the same features are active for activations that differ by rounding."""
    with torch.no_grad():
        active = [sae.encode(x * factor) != 0 for factor in (1, 1 - CHANGE, 1 + CHANGE)]
    return bool((active[0] == active[1]).all() and (active[0] == active[2]).all())


def dictionary_learning(rows):
    """By class, what trains one, saves it into a folder and gives it as load_dictionary does, in float64."""
    from dictionary_learning.trainers.batch_top_k import BatchTopKTrainer
    from dictionary_learning.trainers.gdm import GatedSAETrainer
    from dictionary_learning.trainers.jumprelu import JumpReluTrainer
    from dictionary_learning.trainers.matryoshka_batch_top_k import MatryoshkaBatchTopKTrainer
    from dictionary_learning.trainers.standard import StandardTrainer
    from dictionary_learning.trainers.top_k import TopKTrainer
    from dictionary_learning.utils import load_dictionary

    common = dict(steps=STEPS, activation_dim=rows.shape[1], dict_size=FEATURES, layer=LAYER, lm_name="demo/model",
                  submodule_name=f"mlp_out_layer_{LAYER}", warmup_steps=10, seed=1, device="cpu", lr=1e-3)
    top = dict(k=K, threshold_start_step=20)
    classes = {
        "Standard": lambda: StandardTrainer(sparsity_warmup_steps=20, l1_penalty=0.02, **common),
        "Gated": lambda: GatedSAETrainer(sparsity_warmup_steps=20, l1_penalty=0.02, **common),
        "JumpReLU": lambda: JumpReluTrainer(sparsity_warmup_steps=20, target_l0=K, **common),
        "TopK": lambda: TopKTrainer(**top, **common),
        "BatchTopK": lambda: BatchTopKTrainer(**top, **common),
        "MatryoshkaBatchTopK": lambda: MatryoshkaBatchTopKTrainer(group_fractions=[0.25, 0.75], **top, **common),
    }

    def train(make, folder):
        trainer = make()
        for step in range(STEPS):
            trainer.update(step, rows[torch.randint(len(rows), (ROWS,))])
        # What trainSAE writes when it has finished.
        folder.mkdir()
        torch.save({name: value.cpu() for name, value in trainer.ae.state_dict().items()}, folder / "ae.pt")
        (folder / "config.json").write_text(json.dumps({"trainer": trainer.config}, indent=4, default=str))
        return load_dictionary(str(folder), "cpu")[0].double()

    return {name: lambda folder, make=make: train(make, folder) for name, make in classes.items()}


def sae_lens(rows):
    from sae_lens.config import SAETrainerConfig
    from sae_lens.saes import batchtopk_sae, gated_sae, jumprelu_sae, matryoshka_batchtopk_sae, standard_sae, topk_sae
    from sae_lens.saes.sae import SAE, SAEMetadata
    from sae_lens.training.sae_trainer import SAETrainer

    def common():
        return dict(
            d_in=rows.shape[1], d_sae=FEATURES,
            metadata=SAEMetadata(model_name="demo/model", hook_name=f"blocks.{LAYER}.hook_mlp_out"))

    def standard(**options):
        return standard_sae.StandardTrainingSAE(standard_sae.StandardTrainingSAEConfig(
            l1_coefficient=0.02, l1_warm_up_steps=20, **common(), **options))

    classes = {
        "standard": standard,
        "standard, layer_norm": lambda: standard(normalize_activations="layer_norm"),
        "standard, average norm": lambda: standard(normalize_activations="expected_average_only_in"),
        "gated": lambda: gated_sae.GatedTrainingSAE(gated_sae.GatedTrainingSAEConfig(
            l1_coefficient=0.02, l1_warm_up_steps=20, **common())),
        "jumprelu": lambda: jumprelu_sae.JumpReLUTrainingSAE(jumprelu_sae.JumpReLUTrainingSAEConfig(
            l0_coefficient=0.02, l0_warm_up_steps=20, **common())),
        "topk": lambda: topk_sae.TopKTrainingSAE(topk_sae.TopKTrainingSAEConfig(k=K, **common())),
        "batchtopk": lambda: batchtopk_sae.BatchTopKTrainingSAE(batchtopk_sae.BatchTopKTrainingSAEConfig(
            k=K, topk_threshold_lr=0.05, **common())),
        "matryoshka_batchtopk": lambda: matryoshka_batchtopk_sae.MatryoshkaBatchTopKTrainingSAE(
            matryoshka_batchtopk_sae.MatryoshkaBatchTopKTrainingSAEConfig(
                k=K, topk_threshold_lr=0.05, matryoshka_widths=[64, FEATURES], **common())),
    }

    def train(make, folder):
        def batches():
            while True:
                yield rows[torch.randint(len(rows), (ROWS,))]

        sae = make()
        SAETrainer(
            SAETrainerConfig(
                total_training_samples=STEPS * ROWS, train_batch_size_samples=ROWS, lr=1e-3, lr_end=1e-4,
                n_batches_for_norm_estimate=20),
            sae, batches()).fit()
        sae.save_inference_model(folder)
        return SAE.load_from_disk(folder, dtype="float64")

    return {name: lambda folder, make=make: train(make, folder) for name, make in classes.items()}


def compare(a, reference, model, folder, sae, batches, work):
    """The mean L0, and the errors of gradients and loss."""
    write_tokens(work / "tokens.ts", batches, None, 0)
    run(a, "qwen-capture", ["--model", folder, "--layers", LAYER], work / "tokens.ts", work / "activations.ts")
    run(a, "sae-grad", ["--model", folder, "--sae", work / "sae", "--layers", LAYER, "--stride", 1, "--dense"],
        work / "activations.ts", work / "gradients.ts")
    choices = SimpleNamespace(
        loss_reduction="sum", weighting="position", pad_to=None, pad_id=0, stride=1, stride_scope="sample",
        use_error_term=False)
    expected = reference.gradients(model, sae, LAYER, batches, choices)
    place = f"mlp_out.{LAYER}"
    records = [record for record in read_records(work / "gradients.ts") if f"grad.{place}" in record]
    gradients = np.concatenate([record[f"grad.{place}"] for record in records])
    with torch.no_grad():
        active = torch.cat([sae.encode(capture(model, sample)) != 0 for batch in batches for sample in batch])
    losses = sum(float(record[f"loss.{place}"].sum()) for record in records)
    loss = sum(sample.loss for sample in expected)
    return (float(active.sum(1).double().mean()),
            relative_l2(gradients, np.concatenate([sample.gradient for sample in expected])),
            abs(losses - loss) / loss)


if __name__ == "__main__":
    main()
