#!/usr/bin/env python3
"""The same work in PyTorch, and in Hugging Face's tokenizers: what the filters are compared with.

    peers.py activations --model DIR --layers 0,23   # the scripts' algorithm: a pass of its own for each layer
    peers.py all-layers --model DIR                  # one pass for all layers, as a skilled user writes it
    peers.py features --model DIR --layers 0,23 --sae 'DIR/mlp_out_layer_{layer}/trainer_0'
    peers.py start --model DIR                       # import, load, first batch
    peers.py tokenize --tokenizer DIR --text FILE

float32, on the processor or with --device cuda on a GPU, samples of random tokens of one length, weights without
gradients. Prints JSON: seconds, by layer where there are some, and the MiB that tensors had of a GPU at most. Needs the
virtual environment of `make venv`, or one with a PyTorch for GPUs.
"""
import argparse
import json
import os
import time

REPEATS = 2


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("job", choices=["activations", "all-layers", "features", "start", "tokenize"])
    parser.add_argument("--model")
    parser.add_argument("--layers", default="0")
    parser.add_argument("--sae")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--stride", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tokenizer")
    parser.add_argument("--min-chars", type=int, default=50)
    parser.add_argument("--text")
    options = parser.parse_args()
    options.layers = [int(layer) for layer in options.layers.split(",")]
    print(json.dumps(tokenize(options) if options.job == "tokenize" else gradients(options)))


def tokenize(options):
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(f"{options.tokenizer}/tokenizer.json")
    with open(options.text, encoding="utf-8", newline="\n") as file:
        lines = [line for line in file if len(line.strip()) > options.min_chars]
    start = time.monotonic()
    encodings = tokenizer.encode_batch(lines, add_special_tokens=False)
    seconds = time.monotonic() - start
    return {"seconds": seconds, "tokens": sum(map(len, encodings)), "bytes": sum(len(line.encode()) for line in lines)}


def gradients(options):
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(options.threads)
    torch.set_float32_matmul_precision("highest")
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.float32).eval().requires_grad_(False)
    model.to(options.device)
    ids = torch.randint(0, model.config.vocab_size, (options.samples, options.length)).to(options.device)
    seconds = {}
    if options.job in ("all-layers", "start"):
        seconds = best(lambda: all_layers(model, ids), 1 if options.job == "start" else REPEATS)
        options.layers = []
    for layer in options.layers:
        if options.job == "activations":
            seconds[layer] = best(lambda: activations(model, ids, layer))
        else:
            sae = Autoencoder(options.sae.format(layer=layer), options.device)
            seconds[layer] = best(lambda: features(model, ids, layer, sae, options.stride))
    gpu = torch.cuda.max_memory_allocated() >> 20 if torch.cuda.is_available() else 0
    return {"seconds": seconds, "gpu": gpu}


def best(work, repeats=REPEATS):
    import torch

    times = []
    for _ in range(repeats):
        start = time.monotonic()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.monotonic() - start)
    return min(times)


def with_hook(model, layer, hook, ids):
    handle = model.model.layers[layer].mlp.register_forward_hook(hook)
    try:
        return model(input_ids=ids, labels=ids).loss
    finally:
        handle.remove()


def activations(model, ids, layer):
    """A forward pass of the whole model, and back to the layer's MLP output."""
    import torch

    kept = []

    def keep(_module, _inputs, output):
        kept.append(output.detach().requires_grad_(True))
        return kept[0]

    return torch.autograd.grad(with_hook(model, layer, keep, ids), kept)


def all_layers(model, ids):
    """A forward pass that keeps every layer's MLP output, and one way back to all of them."""
    import torch

    kept = []

    def keep(_module, _inputs, output):
        kept.append(output if output.requires_grad else output.requires_grad_(True))

    handles = [layer.mlp.register_forward_hook(keep) for layer in model.model.layers]
    loss = model(input_ids=ids, labels=ids).loss
    for handle in handles:
        handle.remove()
    return torch.autograd.grad(loss, kept)


def features(model, ids, layer, sae, stride):
    """A pass that records the MLP output, a second with every n-th position rebuilt, and back to the features."""
    import torch

    recorded = []
    with torch.no_grad():
        with_hook(model, layer, lambda _module, _inputs, output: recorded.append(output[:, ::stride].clone()), ids)
        active = sae.encode(recorded[0])
    active.requires_grad_(True)

    def replace(_module, _inputs, output):
        output = output.clone()
        output[:, ::stride] = sae.decode(active)
        return output

    return torch.autograd.grad(with_hook(model, layer, replace, ids), active)


class Autoencoder:
    """A BatchTopKSAE of dictionary_learning."""

    def __init__(self, folder, device):
        import torch

        self.weights = torch.load(f"{folder}/ae.pt", map_location=device, weights_only=True)

    def encode(self, x):
        w = self.weights
        p = ((x - w["b_dec"]) @ w["encoder.weight"].T + w["encoder.bias"]).relu()
        return p * (p > w["threshold"])

    def decode(self, features):
        return features @ self.weights["decoder.weight"].T + self.weights["b_dec"]


if __name__ == "__main__":
    main()
