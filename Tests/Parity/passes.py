"""One sample's passes through transformers, at places and with autoencoders; and reading the programs' streams."""
import sys
from pathlib import Path

import numpy as np
import torch

import families
from gradient_reference import load_model

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "python"))
import gradient_filters as gf  # noqa: E402

# A feature is near its threshold where this share of the activation more or less changes whether it is active.
CHANGE = 1e-5


class Watched:
    """A model, and the gradients at all of its places."""

    def __init__(self, folder, dtype):
        self.model, self.seen = load_model(folder, dtype), {}
        families.watch(self.model, self.seen)
        # So that there is something to differentiate with respect to.
        families.text_model(self.model).get_input_embeddings().register_forward_hook(
            lambda _module, _inputs, output: output.requires_grad_())

    def gradients(self, sample):
        loss = next_token_loss(self.model, sample)
        loss.backward()
        gradients = {place: tensor.grad[0].double().numpy() for place, tensor in self.seen.items()}
        self.seen.clear()
        return loss.item(), gradients


def feature_gradients(model, sae, layer, site, sample, stride, with_error_term=False):
    """The loss of a sample of which every stride-th activation is rebuilt, the features' gradients (positions, features),
    and what the autoencoder is given (positions, width)."""
    kept = {}

    def edit(x):
        positions = torch.arange(0, x.shape[1], stride)
        x = x.detach()
        kept["x"] = recorded = x[0, positions]
        kept["leaf"] = sae.encode(recorded).requires_grad_()
        rebuilt = sae.decode(kept["leaf"])
        error = (recorded - rebuilt).detach() if with_error_term else 0
        return x.index_copy(1, positions, (rebuilt + error)[None])

    handles = hooks(families.layers(model)[layer], site, edit)
    loss = next_token_loss(model, sample)
    for handle in handles:
        handle.remove()
    (gradients,) = torch.autograd.grad(loss, kept["leaf"])
    return loss.item(), gradients.double().numpy(), kept["x"]


def near_ties(sae, x, *others):
    """At which positions of x other features are active for activations that differ by rounding: such as `others` have."""
    active = sae.encode(x) != 0
    changed = [x * (1 - CHANGE), x * (1 + CHANGE), *(other.double() for other in others)]
    return torch.stack([((sae.encode(other) != 0) != active).any(dim=1) for other in changed]).any(dim=0)


def next_token_loss(model, sample):
    """In float64 from the logits on, for any model: PyTorch's float32 sums over a large vocabulary are off by 1e-5, which
    would hide how far the model itself is."""
    sample = torch.tensor([sample])
    logits = model(input_ids=sample).logits[0]
    return torch.nn.functional.cross_entropy(logits[:-1].double(), sample[0, 1:], reduction="sum")


def hooks(block, site, edit):
    """Registers what puts edit(x) in the place of the activation x at a site of a layer."""
    def replace_input(_module, inputs):
        return (edit(inputs[0]), *inputs[1:])

    def replace_output(_module, _inputs, output):
        return (edit(output[0]), *output[1:]) if isinstance(output, tuple) else edit(output)

    places = families.places(block)
    if site == "resid_mid":
        # What attention adds is changed so that the sum is the one that is wanted.
        before = {}
        remember = block.register_forward_pre_hook(lambda _module, inputs: before.update(x=inputs[0]))
        return [remember, places["attn_out"][0].register_forward_hook(
            lambda _module, _inputs, output: edit(before["x"] + output) - before["x"])]
    module, side = places[site]
    return [module.register_forward_pre_hook(replace_input) if side == "input"
            else module.register_forward_hook(replace_output)]


def samples(stream):
    """The token ids of each sample of a tokens stream."""
    joined, ends = [], 0
    found = tensors(stream)
    # cu_seqlens begins anew in every record.
    starts = found["cu_seqlens"]
    for start, end in zip(starts, starts[1:]):
        if end > start:
            joined.append(found["input_ids"][ends:ends + end - start].tolist())
            ends += end - start
    return joined


def tensors(data):
    """The tensors of all data records, joined by name."""
    joined = {}
    for record in gf.records(data):
        for name, value in record.items():
            joined.setdefault(name, []).append(value)
    return {name: np.concatenate(values) for name, values in joined.items()}
