#!/usr/bin/env python3
"""What the numbers must be: the project's definitions in PyTorch, written for the reader and not for speed.

For every layer asked for, one full forward and backward pass a batch through Hugging Face transformers and
torch.autograd. The MLP's output of that layer is cut out of the graph and made a leaf (or, with an SAE, rebuilt from
features that are the leaf), and autograd gives the gradient of the summed loss at it.

    gradient_reference.py act --model DIR --tokens tokens.json --layers 0,1,2 --out reference.npz
    gradient_reference.py sae --model DIR --tokens tokens.json --layers 0,1 \\
        --sae 'saes/mlp_out_layer_{layer}/trainer_0' --stride 4 --out reference.npz

tokens.json is {"batches": [[[id, ...], ...], ...]}: batches of samples of token ids, without padding.
reference.npz holds for every layer L: mean.L, mean_abs.L and loss.L (nats, summed), and predictions (their number).

Needs torch, transformers and numpy (requirements.txt beside this file). An SAE is a folder of dictionary_learning
(ae.pt) of class BatchTopKSAE.
"""
import argparse
import json
import time
from dataclasses import dataclass

import numpy as np
import torch
from transformers import AutoModelForCausalLM


def parser():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("kind", choices=["act", "sae"])
    p.add_argument("--model", required=True)
    p.add_argument("--tokens", required=True)
    p.add_argument("--layers", required=True, help="comma-separated")
    p.add_argument("--sae", help="folder of an SAE, with {layer} in it")
    p.add_argument("--stride", type=int, default=4, help="an SAE replaces every stride-th position")
    p.add_argument("--stride-scope", choices=["sample", "batch"], default="sample")
    p.add_argument("--use-error-term", action="store_true")
    p.add_argument("--loss-reduction", choices=["sum", "padded", "sample", "batch"], default="sum")
    p.add_argument("--weighting", choices=["position", "sample", "batch"], default="position")
    p.add_argument("--padded-predictions", type=int,
                   help="what --loss-reduction padded divides by: batch size × (max_length - 1)")
    p.add_argument("--pad-to", type=int, help="pad every sample to this length and score the padding too")
    p.add_argument("--pad-id", type=int, default=151643)
    p.add_argument("--dtype", choices=["float32", "float64"], default="float64")
    p.add_argument("--time", action="store_true")
    p.add_argument("--out")
    return p


def main():
    a = parser().parse_args()
    dtype = getattr(torch, a.dtype)
    model = load_model(a.model, dtype)
    with open(a.tokens) as file:
        batches = json.load(file)["batches"]
    out = {}
    for layer in [int(number) for number in a.layers.split(",")]:
        sae = BatchTopK(a.sae.format(layer=layer), dtype) if a.kind == "sae" else None
        start = time.time()
        out[f"mean.{layer}"], out[f"mean_abs.{layer}"], out[f"loss.{layer}"], out["predictions"] = analyse(
            model, sae, layer, batches, a)
        if a.time:
            print(f"layer {layer}: {time.time() - start:.2f} s", flush=True)
    if a.out:
        np.savez(a.out, **out)


def load_model(name, dtype):
    """A model whose passes are in that type throughout: in float64, transformers' own norms and softmax are not, which
    where a massive activation is on its way puts gradients off by 1e-3."""
    if dtype == torch.float64:
        stay_in_float64()
    model = AutoModelForCausalLM.from_pretrained(name, dtype=dtype, attn_implementation="eager").eval()
    return model.requires_grad_(False)


def stay_in_float64():
    """Has nothing that is in float64 be cast to float32, as the norms' and the softmax's code of transformers do."""
    if hasattr(torch.Tensor, "cast_as_asked"):
        return
    to, to_float, softmax = torch.Tensor.to, torch.Tensor.float, torch.nn.functional.softmax

    def cast(tensor, *types, **named):
        stays = tensor.dtype == torch.float64 and torch.float32 in (*types, named.get("dtype"))
        return tensor if stays else to(tensor, *types, **named)

    torch.Tensor.cast_as_asked = to
    torch.Tensor.to = cast
    torch.Tensor.float = lambda tensor: tensor if tensor.dtype == torch.float64 else to_float(tensor)
    torch.nn.functional.softmax = lambda x, dim=None, dtype=None, **named: softmax(
        x, dim=dim, dtype=None if x.dtype == torch.float64 else dtype, **named)


class BatchTopK:
    """A trained BatchTopK SAE: features above the learned threshold are kept, the others are 0."""

    def __init__(self, folder, dtype):
        state = torch.load(f"{folder}/ae.pt", map_location="cpu", weights_only=True)
        self.weights = {name: value.to(dtype) for name, value in state.items() if value.is_floating_point()}

    def encode(self, x):
        w = self.weights
        features = torch.relu((x - w["b_dec"]) @ w["encoder.weight"].T + w["encoder.bias"])
        return features * (features > w["threshold"])

    def decode(self, features):
        return features @ self.weights["decoder.weight"].T + self.weights["b_dec"]


@dataclass
class Sample:
    """What one pass says of one sample."""

    batch: int
    gradient: np.ndarray  # (recorded positions, D): of the summed loss
    loss: float  # nats, summed
    predictions: int


def analyse(model, sae, layer, batches, a):
    """mean, mean_abs, loss and predictions of one layer, by the choices in `a` (see `parser`)."""
    samples = gradients(model, sae, layer, batches, a)
    mean, mean_abs = average(
        samples, a.loss_reduction, a.weighting, a.padded_predictions if a.loss_reduction == "padded" else None)
    return mean, mean_abs, sum(s.loss for s in samples), sum(s.predictions for s in samples)


def gradients(model, sae, layer, batches, a):
    """One pass a batch: the gradient of the summed loss at the recorded positions of every sample."""
    samples = []
    for number, batch in enumerate(batches):
        ids, valid = padded(batch, a)
        scored = torch.ones_like(valid) if a.pad_to else valid
        where = recorded_positions(valid, 1 if sae is None else a.stride, a.stride_scope)
        leaf = {}

        def replace(_module, _inputs, output):
            if sae is None:
                leaf["x"] = output.detach().clone().requires_grad_(True)
                return leaf["x"]
            original = output[where]
            leaf["x"] = sae.encode(original).detach().clone().requires_grad_(True)
            rebuilt = sae.decode(leaf["x"])
            if a.use_error_term:
                rebuilt = rebuilt + (original - rebuilt).detach()
            output = output.clone()
            output[where] = rebuilt
            return output

        hook = model.model.layers[layer].mlp.register_forward_hook(replace)
        logits = model(input_ids=ids, attention_mask=valid).logits
        hook.remove()
        log_probabilities = torch.log_softmax(logits[:, :-1], -1)
        losses = -log_probabilities.gather(-1, ids[:, 1:, None])[..., 0] * scored[:, 1:]
        gradient, = torch.autograd.grad(losses.sum(), leaf["x"])
        losses = losses.detach().double()
        if sae is None:
            gradient = gradient[where]
        sample_of = where.nonzero()[:, 0]
        for i in range(len(batch)):
            samples.append(Sample(
                batch=number, gradient=gradient[sample_of == i].double().numpy(),
                loss=float(losses[i].sum()), predictions=int(scored[i, 1:].sum())))
    return samples


def padded(batch, a):
    """The ids (B, T) and which of them are real. Where no padding is asked for, it is there but is not scored."""
    width = a.pad_to or max(2, max(len(sample) for sample in batch))
    ids = torch.full((len(batch), width), a.pad_id if a.pad_to else 0)
    valid = torch.zeros(len(batch), width, dtype=torch.long)
    for i, sample in enumerate(batch):
        ids[i, :len(sample)] = torch.tensor(sample)
        valid[i, :len(sample)] = 1
    return ids, valid


def recorded_positions(valid, stride, scope):
    """(B, T): the real positions 0, stride, 2·stride, ... counted in each sample or through the whole batch."""
    chosen = torch.zeros_like(valid, dtype=torch.bool)
    rows = valid.nonzero()
    parts = [rows] if scope == "batch" else [rows[rows[:, 0] == sample] for sample in range(len(valid))]
    for part in parts:
        chosen[part[::stride, 0], part[::stride, 1]] = True
    return chosen


def average(samples, loss_reduction, weighting, padded_predictions=None):
    """(mean, mean_abs) of c·g: over the positions of a group, then over groups.

    padded_predictions: batch size × (max_length - 1), the predictions of a batch whose samples are all padded.
    """
    batch_predictions = {}
    for s in samples:
        batch_predictions[s.batch] = batch_predictions.get(s.batch, 0) + s.predictions
    groups = {}
    for number, s in enumerate(samples):
        if len(s.gradient) == 0:  # a stride through the whole batch may pass a short sample by
            continue
        # A sample without predictions has gradient 0 whatever it is divided by.
        c = {"sum": 1.0, "padded": padded_predictions and 1 / padded_predictions,
             "sample": 1 / max(s.predictions, 1), "batch": 1 / max(batch_predictions[s.batch], 1)}
        group = {"sample": number, "position": 0, "batch": s.batch}[weighting]
        groups.setdefault(group, []).append(c[loss_reduction] * s.gradient)
    pooled = [np.concatenate(rows) for rows in groups.values()]
    return (np.mean([rows.mean(0) for rows in pooled], axis=0),
            np.mean([np.abs(rows).mean(0) for rows in pooled], axis=0))


if __name__ == "__main__":
    main()
