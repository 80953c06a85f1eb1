#!/usr/bin/env python3
"""Compares what sae-effect says of features' ablations with PyTorch in float64, on the demo model.

    python Tests/Parity/compare_effects.py --programs .build/release

For features of two layers' autoencoders and for dimensions of activations at three sites, set to 0 and to their mean,
with strides of 1 and 4, with samples as they are and padded: runs

    qwen-capture > activations.ts
    sae-effect --features LIST --arithmetic ARITHMETIC activations.ts

and compares every feature's effect with that of a forward hook that adds decode(f') - decode(f) to the activation of
the whole model, and what was predicted with autograd's gradient; the standard errors of both, and the firing, too.
Exits 1 when an error is above 1e-5 of the scale of that place's loss differences (the root of the mean square of
(loss with the ablation - loss without) / predictions over its features and samples where that is not 0). With
--arithmetic mixed, the default, an error of an effect may be as large as 1e-7 of the loss a prediction, too: the passes
are in float32, and their rounding does not become smaller where the difference of two losses does. It comes from the
layers and from the logits alike: in PyTorch, with either of the two in float64, the other alone leaves an error of the
same size (1e-7 nats per prediction of a sample, 2e-7 both). So PyTorch's own float32 is measured on the same ablations,
with its cross entropy in float64, and stands beside.

Samples are taken that keep every preactivation away from its threshold, as compare_sae.py does.
"""
import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from compare import HERE, ROOT, largest, load_reference, run, write_tokens
from compare_sae import samples_with_margin

TOLERANCE = 1e-5
# Of the loss, of effects whose passes are in float32.
LOSS_NOISE = {"mixed": 1e-7, "float64": 0.0}
PAD_TO = 48
FEATURES = 24
DIMENSIONS = [0, 5, 64, 127]
# Where a dimension's hook is, and whether what is there is the module's output.
SITES = {
    "mlp_out": (lambda layer: layer.mlp, False), "attn_z": (lambda layer: layer.self_attn.o_proj, True),
    "resid_post": (lambda layer: layer, False),
}


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--programs", type=Path, default=ROOT / ".build/release", help="the folder of the built programs")
    p.add_argument("--device", default="auto", help="where the programs compute: auto, cpu, cuda or cuda:N")
    a = p.parse_args()
    # One short sample a pass: threads would wait for one another.
    torch.set_num_threads(1)
    reference = load_reference(HERE / "gradient_reference.py")
    folder = ROOT / "demo/model"
    pattern = str(ROOT / "demo/saes/mlp_out_layer_{layer}/trainer_0")
    model, single = (reference.load_model(folder, dtype) for dtype in (torch.float64, torch.float32))
    layers = range(model.config.num_hidden_layers)
    weights = [{name: value.double() for name, value in torch.load(
        f"{pattern.format(layer=layer)}/ae.pt", weights_only=True).items()} for layer in layers]
    batches = samples_with_margin(folder, model, weights)
    saes = {("mlp_out", layer): reference.BatchTopK(pattern.format(layer=layer), torch.float64) for layer in (0, 2)}
    dimensions = {(site, layer): None for site in SITES for layer in (1, 3) if (site, layer) != ("resid_post", 3)}

    print(f"{'place':14} {'arithmetic':10} {'ablate':6} {'stride':>6} {'samples':7} {'fire':>4} {'scale':>9} "
          f"{'effect':>9} {'its SE':>9} {'predicted':>9} {'its SE':>9} {'float32':>9}")
    worst, noise = dict.fromkeys(LOSS_NOISE, 0.0), dict.fromkeys(LOSS_NOISE, 0.0)
    peer, exact, disagree = 0.0, 0.0, False
    for parts in (saes, dimensions):
        for ablate in ("zero", "mean"):
            for stride, padded in ((1, False), (4, False), (4, True)):
                with tempfile.TemporaryDirectory() as work:
                    for place, arithmetic, active, scale, loss, errors in compare(
                            a, model, single, folder, pattern, parts, batches, ablate, stride, padded, Path(work)):
                        print(f"{place:14} {arithmetic:10} {ablate:6} {stride:6} {'padded' if padded else 'plain':7} {active:4} "
                              f"{scale:9.1e} " + " ".join(f"{e / scale:9.1e}" for e in errors), flush=True)
                        worst[arithmetic] = largest(worst[arithmetic], *(e / scale for e in errors[2:4]))
                        noise[arithmetic] = largest(noise[arithmetic], *(e / loss for e in errors[:2]))
                        peer = largest(peer, errors[4] / loss)
                        if arithmetic == "float64":
                            exact = largest(exact, *(e / scale for e in errors[:2]))
                        # Not `>`: a NaN must fail.
                        limit = max(TOLERANCE * scale, LOSS_NOISE[arithmetic] * loss)
                        disagree |= not all(e <= limit for e in errors[:2])
                        disagree |= not all(e <= TOLERANCE * scale for e in errors[2:4])
    print(f"float64: the largest error of an effect is {exact:.1e} of the loss differences' scale, of a prediction "
          f"{worst['float64']:.1e} (at most {TOLERANCE:.0e})")
    print(f"mixed: the largest error of a prediction is {worst['mixed']:.1e} of that scale (at most {TOLERANCE:.0e}), of "
          f"an effect {noise['mixed']:.1e} of the loss (at most {LOSS_NOISE['mixed']:.0e}, or {TOLERANCE:.0e} of that "
          f"scale), PyTorch's in float32 {peer:.1e}")
    if disagree:
        sys.exit("sae-effect and PyTorch disagree")


def compare(a, model, single, folder, pattern, parts, batches, ablate, stride, padded, work):
    pad_id = model.config.vocab_size - 1
    write_tokens(work / "tokens.ts", batches, PAD_TO if padded else None, pad_id)
    sites = sorted({site for site, _ in parts})
    run(a, "qwen-capture", ["--model", folder, "--site", ",".join(sites)], work / "tokens.ts", work / "activations.ts")
    samples = [Sample(ids, PAD_TO if padded else len(ids), pad_id, stride) for batch in batches for ids in batch]
    places = {place: Place(model, single, *place, sae, samples) for place, sae in parts.items()}
    names = [f"{site}.{layer}:{feature}" for (site, layer), place in places.items() for feature in place.features]
    flags = ["--model", folder, "--features", ",".join(names), "--ablate", ablate, "--stride", stride]
    if any(parts.values()):
        flags += ["--sae", pattern]
    exact = {place: own.ablations(ablate) for place, own in places.items()}
    for arithmetic in LOSS_NOISE:
        # On the processor whatever is asked for: GPUs have no float64 here.
        device = argparse.Namespace(**vars(a) | {"device": "cpu"}) if arithmetic == "float64" else a
        run(device, "sae-effect", flags + ["--arithmetic", arithmetic], work / "activations.ts", work / "effects.jsonl")
        lines = [json.loads(line) for line in (work / "effects.jsonl").read_text().splitlines()]
        for (site, layer), place in places.items():
            found = {line["feature"]: line for line in lines if line["place"] == f"{site}.{layer}" and "feature" in line}
            assert set(found) == set(place.features)
            yield f"{site}.{layer}", arithmetic, *place.errors(found, *exact[site, layer])


class Sample:
    def __init__(self, ids, length, pad_id, stride):
        self.ids = torch.tensor([ids + [pad_id] * (length - len(ids))])
        self.recorded = list(range(0, len(ids), stride))
        # Padding is never attended to from real tokens, which come before it.
        self.mask = torch.tensor([[1] * len(ids) + [0] * (length - len(ids))])

    def loss(self, model):
        logits = model(input_ids=self.ids, attention_mask=self.mask).logits[0, :-1].double()
        return torch.nn.functional.cross_entropy(logits, self.ids[0, 1:], reduction="sum")

    @property
    def predictions(self):
        return self.ids.shape[1] - 1


class Place:
    """A place's activations of every sample, the gradients there, and what the loss becomes with others."""

    def __init__(self, model, single, site, layer, sae, samples):
        self.model, self.single, self.sae, self.samples = model, single, sae, samples
        self.module_of, self.is_input = lambda model: SITES[site][0](model.model.layers[layer]), SITES[site][1]
        self.x, self.g, self.losses = [], [], []
        for sample in samples:
            kept = []

            def keep(x):
                kept.append(x.detach().requires_grad_(True))
                return kept[0]

            loss = self.hooked(model, sample, keep)
            loss.backward()
            self.x.append(kept[0].detach()[0])
            self.g.append(kept[0].grad[0])
            self.losses.append(float(loss.detach()))
        self.values = [self.encode(x[s.recorded]) for x, s in zip(self.x, samples)]
        self.firing = torch.cat(self.values).ne(0).double().mean(0)
        self.features = DIMENSIONS if sae is None else self.firing.argsort(descending=True)[:FEATURES].tolist()

    def hooked(self, model, sample, change):
        module = self.module_of(model)
        if self.is_input:
            handle = module.register_forward_pre_hook(lambda _m, args: (change(args[0]),))
        else:
            handle = module.register_forward_hook(
                lambda _m, _i, out: (change(out[0]), *out[1:]) if isinstance(out, tuple) else change(out))
        try:
            return sample.loss(model)
        finally:
            handle.remove()

    def encode(self, x):
        return x if self.sae is None else self.sae.encode(x)

    def decode(self, f):
        return f if self.sae is None else self.sae.decode(f)

    def ablations(self, ablate):
        """What every feature's line must say, with what the effect is in float32, and the effects in single samples."""
        targets = torch.cat(self.values).mean(0) if ablate == "mean" else torch.zeros(self.values[0].shape[1]).double()
        lines, scales = {}, []
        with torch.no_grad():
            single_losses = [float(self.hooked(self.single, sample, lambda x: x)) for sample in self.samples]
        for feature in self.features:
            effects, singles, predictions = [], [], []
            for sample, x, g, f, loss, single_loss in zip(
                    self.samples, self.x, self.g, self.values, self.losses, single_losses):
                changed = f.clone()
                changed[:, feature] = targets[feature]
                difference = torch.zeros_like(x)
                difference[sample.recorded] = self.decode(changed) - self.decode(f)
                with torch.no_grad():
                    ablated = float(self.hooked(self.model, sample, lambda value: value + difference))
                    single = float(self.hooked(self.single, sample, lambda value: value + difference.type(value.dtype)))
                effects.append((ablated - loss) / sample.predictions)
                singles.append((single - single_loss) / sample.predictions)
                predictions.append(float((difference * g).sum()) / sample.predictions)
            lines[feature] = [np.mean(effects), standard_error(effects), np.mean(predictions),
                              standard_error(predictions), np.mean(singles)]
            scales += [e for e in effects if e != 0]
        return lines, scales

    def errors(self, found, lines, scales):
        worst = [0.0] * 5
        for feature, (*exact, single) in lines.items():
            line = found[feature]
            names = ["effect", "effect_se", "predicted", "predicted_se"]
            errors = [abs(line[name] - e) for name, e in zip(names, exact)] + [abs(single - exact[0])]
            worst = [largest(w, error) for w, error in zip(worst, errors)]
            if abs(line["firing"] - float(self.firing[feature])) > 1e-12:
                sys.exit(f"feature {feature} fires at {self.firing[feature]} of the positions, found {line['firing']}")
        loss = sum(self.losses) / sum(s.predictions for s in self.samples)
        return len(self.features), float(np.sqrt(np.mean(np.square(scales)))), loss, worst


def standard_error(values):
    return float(np.std(values, ddof=1) / np.sqrt(len(values)))


if __name__ == "__main__":
    main()
