#!/usr/bin/env python3
"""Trains autoencoders with sae-lens and dictionary-learning, saves them as they do, and compares what the programs make
of the files with the libraries in float64.

    python Tests/Parity/compare_sae_libraries.py --programs .build/release
    python Tests/Parity/compare_sae_libraries.py --programs .build/release --model .build/real/gemma-3-270m \\
        --places resid_post.9,attn_z.11 --text wiki.valid.raw --samples 400 --max-length 128 --features 2048 --k 32 \\
        --only BatchTopK,jumprelu --stride 4 --save saes

Some steps for each class of either library, on the activations at a place of a model, the demo's unless another is
named. Compared are the loss with what is rebuilt (encode and decode) in the activation's place at every --stride-th
position, and every feature's gradient there, active or not; PyTorch's own distance in float32 stands beside. Exits 1
where a relative L2 error is above 1e-5 or a loss's above 1e-6. Where the libraries are not installed (see
library_stand_ins.py), says so and exits 0.

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

# Read when tqdm is imported.
os.environ["TQDM_DISABLE"] = "1"

import numpy as np
import torch

import library_stand_ins  # noqa: F401
from compare import LOSS_TOLERANCE, ROOT, VECTOR_TOLERANCE, largest, relative_l2, run, write_tokens
from compare_places import HOOKS
from gradient_reference import load_model
from passes import feature_gradients, near_ties, samples, tensors

COMPARED = 4


def main():
    a = arguments()
    torch.set_num_threads(1)
    models = [load_model(a.model, dtype) for dtype in (torch.float64, torch.float32)]
    print(f"{'place':14} {'library':20} {'class':24} {'explained':>9} {'L0':>6} {'gradients':>9} {'float32':>9} "
          f"{'loss':>9} {'float32':>9}")
    errors = []
    for place in a.places.split(","):
        errors += compare_place(a, models, place)
    if not errors:
        return
    vector, loss = (largest(*column) for column in zip(*errors))
    print(f"the largest error is {vector:.1e} (at most {VECTOR_TOLERANCE:.0e}), "
          f"of a loss {loss:.1e} (at most {LOSS_TOLERANCE:.0e})")
    # Not `>`: a NaN must fail.
    if not (vector <= VECTOR_TOLERANCE and loss <= LOSS_TOLERANCE):
        sys.exit("the programs and the libraries disagree")


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--programs", type=Path, default=ROOT / ".build/release", help="the folder of the built programs")
    p.add_argument("--device", default="auto", help="where the programs compute: auto, cpu, cuda or cuda:N")
    p.add_argument("--model", type=Path, default=ROOT / "demo/model")
    p.add_argument("--places", default="mlp_out.2", help="such as mlp_out.2,resid_post.9 (default: mlp_out.2)")
    p.add_argument("--text", type=Path, default=ROOT / "demo/sample.txt")
    p.add_argument("--samples", type=int, default=200, help="to train on (default: 200)")
    p.add_argument("--max-length", type=int, default=40, help="tokens of a sample at most (default: 40)")
    p.add_argument("--features", type=int, default=256)
    p.add_argument("--k", type=int, default=8, help="active features of a row that is aimed at (default: 8)")
    p.add_argument("--steps", type=int, default=150)
    p.add_argument("--rows", type=int, default=256, help="of a step (default: 256)")
    p.add_argument("--stride", type=int, default=1)
    p.add_argument("--only", help="classes, such as BatchTopK,jumprelu (default: all)")
    p.add_argument("--save", type=Path, help="keep the autoencoders: FOLDER/MODEL/LIBRARY-CLASS/SITE_layer_N")
    return p.parse_args()


def compare_place(a, models, place):
    """Prints a row for each class, and gives the errors of gradients and losses."""
    site, layer = place.split(".")[0], int(place.split(".")[1])
    errors = []
    with tempfile.TemporaryDirectory() as work:
        work = Path(work)
        ids, rows = activations(a, site, layer, work)
        for library, makers in [("dictionary_learning", dictionary_learning), ("sae_lens", sae_lens)]:
            try:
                classes, load = makers(a, site, layer, rows)
            except ImportError as error:
                print(f"{library}: skipped, as it is not installed: {error}")
                continue
            for name, train in classes.items():
                if a.only and name not in a.only.split(","):
                    continue
                class_name = name.replace(", ", "-").replace(" ", "_")
                folder = (a.save or work) / a.model.name / f"{library}-{class_name}" / f"{site}_layer_{layer}"
                folder.parent.mkdir(parents=True, exist_ok=True)
                torch.manual_seed(sum(map(ord, name)))
                train(folder)
                saes = [load(folder, dtype) for dtype in ("float64", "float32")]
                l0, numbers = compare(a, models, saes, site, layer, ids, folder, work)
                print(f"{place:14} {library:20} {name:24} {explained(saes[1], rows):9.3f} {l0:6.1f} "
                      + " ".join(f"{error:9.1e}" for error in numbers), flush=True)
                errors.append((numbers[0], numbers[2]))
    return errors


def activations(a, site, layer, work):
    """The samples' token ids, and what is at the place behind each one's first token.

    The first token's activations are many times as large in trained models, and left out by those who train.
    """
    tokens = work / "tokens.ts"
    run(a, "wt-tokenize", ["--tokenizer", a.model, "--num-samples", a.samples, "--max-length", a.max_length, a.text],
        os.devnull, tokens)
    run(a, "qwen-capture", ["--model", a.model, "--site", site, "--layers", layer], tokens, work / "captured.ts")
    ids = samples(tokens.read_bytes())
    captured = tensors((work / "captured.ts").read_bytes())[f"act.{site}.{layer}"]
    is_first = np.zeros(len(captured), bool)
    is_first[np.cumsum([0] + [len(sample) for sample in ids[:-1]])] = True
    return ids, torch.from_numpy(captured[~is_first])


def explained(sae, rows):
    """How much of the variance of the rows."""
    with torch.no_grad():
        rows = rows[:4096]
        rest = rows - sae.decode(sae.encode(rows))
        return float(1 - rest.square().sum() / (rows - rows.mean(0)).square().sum())


def dictionary_learning(a, site, layer, rows):
    """By class, what trains one and saves it into a folder; and what loads it from there."""
    from dictionary_learning.trainers.batch_top_k import BatchTopKTrainer
    from dictionary_learning.trainers.gdm import GatedSAETrainer
    from dictionary_learning.trainers.jumprelu import JumpReluTrainer
    from dictionary_learning.trainers.matryoshka_batch_top_k import MatryoshkaBatchTopKTrainer
    from dictionary_learning.trainers.standard import StandardTrainer
    from dictionary_learning.trainers.top_k import TopKTrainer
    from dictionary_learning.utils import load_dictionary

    # Its names of submodules are the user's; of attention heads' outputs, the module's that reads them.
    submodule = f"model.layers.{layer}.self_attn.o_proj.input" if site == "attn_z" else f"{site}_layer_{layer}"
    common = dict(steps=a.steps, activation_dim=rows.shape[1], dict_size=a.features, layer=layer, lm_name=a.model.name,
                  submodule_name=submodule, warmup_steps=10, seed=1, device="cpu", lr=1e-3)
    top = dict(k=a.k, threshold_start_step=20)
    classes = {
        "Standard": lambda: StandardTrainer(sparsity_warmup_steps=20, l1_penalty=0.1, **common),
        "Gated": lambda: GatedSAETrainer(sparsity_warmup_steps=20, l1_penalty=0.1, **common),
        "JumpReLU": lambda: JumpReluTrainer(sparsity_warmup_steps=20, target_l0=a.k, **common),
        "TopK": lambda: TopKTrainer(**top, **common),
        "BatchTopK": lambda: BatchTopKTrainer(**top, **common),
        "MatryoshkaBatchTopK": lambda: MatryoshkaBatchTopKTrainer(group_fractions=[0.25, 0.75], **top, **common),
    }
    # As trainSAE does with normalize_activations.
    norm = float(rows.square().sum(1).mean().sqrt())

    def train(make, folder):
        trainer = make()
        for step in range(a.steps):
            trainer.update(step, rows[torch.randint(len(rows), (a.rows,))] / norm)
        trainer.ae.scale_biases(norm)
        # What trainSAE writes when it has finished.
        folder.mkdir(exist_ok=True)
        torch.save({name: value.cpu() for name, value in trainer.ae.state_dict().items()}, folder / "ae.pt")
        (folder / "config.json").write_text(json.dumps({"trainer": trainer.config}, indent=4, default=str))

    def load(folder, dtype):
        return load_dictionary(str(folder), "cpu")[0].to(getattr(torch, dtype))

    return {name: lambda folder, make=make: train(make, folder) for name, make in classes.items()}, load


def sae_lens(a, site, layer, rows):
    """As `dictionary_learning`."""
    from sae_lens.config import SAETrainerConfig
    from sae_lens.saes import batchtopk_sae, gated_sae, jumprelu_sae, matryoshka_batchtopk_sae, standard_sae, topk_sae
    from sae_lens.saes.sae import SAE, SAEMetadata
    from sae_lens.training.sae_trainer import SAETrainer

    def common(normalize_activations="expected_average_only_in"):
        return dict(
            d_in=rows.shape[1], d_sae=a.features, normalize_activations=normalize_activations,
            metadata=SAEMetadata(model_name=a.model.name, hook_name=f"blocks.{layer}.{HOOKS[site]}"))

    def standard(l1_coefficient=2, **options):
        return standard_sae.StandardTrainingSAE(standard_sae.StandardTrainingSAEConfig(
            l1_coefficient=l1_coefficient, l1_warm_up_steps=20, **common(**options)))

    classes = {
        "standard": standard,
        "standard, layer_norm": lambda: standard(normalize_activations="layer_norm"),
        "standard, as it comes": lambda: standard(normalize_activations="none", l1_coefficient=0.1),
        "gated": lambda: gated_sae.GatedTrainingSAE(gated_sae.GatedTrainingSAEConfig(
            l1_coefficient=2, l1_warm_up_steps=20, **common())),
        "jumprelu": lambda: jumprelu_sae.JumpReLUTrainingSAE(jumprelu_sae.JumpReLUTrainingSAEConfig(
            l0_coefficient=2, l0_warm_up_steps=20, **common())),
        "topk": lambda: topk_sae.TopKTrainingSAE(topk_sae.TopKTrainingSAEConfig(k=a.k, **common())),
        "batchtopk": lambda: batchtopk_sae.BatchTopKTrainingSAE(batchtopk_sae.BatchTopKTrainingSAEConfig(
            k=a.k, topk_threshold_lr=0.05, **common())),
        "matryoshka_batchtopk": lambda: matryoshka_batchtopk_sae.MatryoshkaBatchTopKTrainingSAE(
            matryoshka_batchtopk_sae.MatryoshkaBatchTopKTrainingSAEConfig(
                k=a.k, topk_threshold_lr=0.05, matryoshka_widths=[a.features // 4, a.features], **common())),
    }

    def train(make, folder):
        def batches():
            while True:
                yield rows[torch.randint(len(rows), (a.rows,))]

        sae = make()
        SAETrainer(
            SAETrainerConfig(
                total_training_samples=a.steps * a.rows, train_batch_size_samples=a.rows, lr=1e-3, lr_end=1e-4,
                n_batches_for_norm_estimate=20),
            sae, batches()).fit()
        sae.save_inference_model(folder)

    def load(folder, dtype):
        return SAE.load_from_disk(folder, dtype=dtype)

    return {name: lambda folder, make=make: train(make, folder) for name, make in classes.items()}, load


def compare(a, models, saes, site, layer, ids, folder, work):
    """The mean L0; the errors of gradients and loss, each of the programs and of PyTorch in float32."""
    exact, single, kept, active = [], [], [], []
    for sample in ids:
        found = [feature_gradients(*numbers, layer, site, sample, a.stride) for numbers in zip(models, saes)]
        (*_, x), (*_, single_x) = found
        with torch.no_grad():
            if near_ties(saes[0], x, single_x).any():
                continue
            active.append((saes[0].encode(x) != 0).sum(1).double())
        for losses, numbers in zip((exact, single), found):
            losses.append(numbers[:2])
        kept.append(sample)
        if len(kept) == COMPARED:
            break
    else:
        sys.exit(f"{folder.name}: too few samples keep their features under a small change")
    place = f"{site}.{layer}"
    write_tokens(work / "kept.ts", [kept], None, 0)
    run(a, "qwen-capture", ["--model", a.model, "--site", site, "--layers", layer], work / "kept.ts", work / "kept-act.ts")
    run(a, "sae-grad", ["--model", a.model, "--sae", folder, "--site", site, "--layers", layer, "--stride", a.stride,
                        "--dense"], work / "kept-act.ts", work / "gradients.ts")
    found = tensors((work / "gradients.ts").read_bytes())
    ours = (float(found[f"loss.{place}"].sum()), found[f"grad.{place}"])
    (loss, gradients), other = ((sum(n[0] for n in numbers), np.concatenate([n[1] for n in numbers]))
                                for numbers in (exact, single))
    return float(torch.cat(active).mean()), [
        relative_l2(ours[1], gradients), relative_l2(other[1].astype(np.float32), gradients),
        abs(ours[0] - loss) / loss, abs(other[0] - loss) / loss]


if __name__ == "__main__":
    main()
