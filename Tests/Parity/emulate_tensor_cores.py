#!/usr/bin/env python3
"""How far gradients of a trained model are from float64 where its products are those of `--precision split`.

    .build/venv/bin/python Tests/Parity/emulate_tensor_cores.py .build/real/smollm2-135m --text wiki.valid.raw --tokens 40

Needs no GPU: tensor cores are emulated, as Tests/TestSupport/StandInGPU/stand_in.cpp does it, in C that clang or cc
compiles. The linear maps and the output head of one sample's pass through transformers go through the emulation, forward
and back; everything else stays in float64. Prints the largest relative L2 distance of a layer's `mean` and `mean_abs`
gradient at the MLP outputs and of one position's from a pass in float64, for `split` as CUDAOperations/SplitProducts.swift
has it, for pieces of 512 whose scales make up for nothing, and for products in float32. Some seconds a row and 10 tokens.
"""
import argparse
import ctypes
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from gradient_reference import stay_in_float64

SUMS = r"""
#include <math.h>
#include <stdint.h>
#include <string.h>
enum { LANES = 16 };
// The power of two that is `behind` bits behind the leading one of x > 0.
static inline double unit(double x, int behind) {
  uint64_t bits;
  memcpy(&bits, &x, 8);
  bits = (bits & 0x7ff0000000000000) - ((uint64_t)behind << 52);
  memcpy(&x, &bits, 8);
  return x;
}
// out(N,O) = x(N,K) · w(K,O): 16 products and the sum so far, each cut off 25 bits behind the largest, the sum to 24 bits.
void sums(const double *x, const double *w, int N, int K, int O, double *out) {
  for (int n = 0; n < N; n++)
    for (int first = 0; first < O; first += LANES) {
      int lanes = O - first < LANES ? O - first : LANES;
      double sum[LANES] = {0};
      for (int k0 = 0; k0 < K; k0 += 16) {
        int count = K - k0 < 16 ? K - k0 : 16;
        double terms[16][LANES] = {{0}}, largest[LANES], size[LANES], next[LANES];
        for (int k = 0; k < count; k++)
          for (int o = 0; o < lanes; o++) terms[k][o] = x[(long)n * K + k0 + k] * w[(long)(k0 + k) * O + first + o];
        for (int o = 0; o < LANES; o++) largest[o] = fabs(sum[o]);
        for (int k = 0; k < 16; k++)
          for (int o = 0; o < LANES; o++) largest[o] = fmax(largest[o], fabs(terms[k][o]));
        for (int o = 0; o < LANES; o++) {
          size[o] = largest[o] > 1e-280 ? unit(largest[o], 25) : 1;
          next[o] = trunc(sum[o] / size[o]);
        }
        for (int k = 0; k < 16; k++)
          for (int o = 0; o < LANES; o++) next[o] += trunc(terms[k][o] / size[o]);
        for (int o = 0; o < LANES; o++) {
          double s = next[o] * size[o], u = s != 0 ? unit(fabs(s), 23) : 1;
          sum[o] = trunc(s / u) * u;
        }
      }
      for (int o = 0; o < lanes; o++) out[(long)n * O + first + o] = sum[o];
    }
}
"""
SHRINKAGE = 2.0**-30
# How long sums are, and what makes up for each product of them: of most products, of logits, of words' shares.
SPLIT = {"usual": (512, SHRINKAGE), "logits": (1024, SHRINKAGE), "shares": (512, 5 * SHRINKAGE)}
PLAIN = dict.fromkeys(SPLIT, (512, 0))
HELD_WORDS = 8192


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="the folder of a model whose linear maps are torch.nn.Linear")
    parser.add_argument("--text", type=Path, required=True, help="its fourth line of over 300 characters is the sample")
    parser.add_argument("--tokens", type=int, default=40)
    options = parser.parse_args()
    line = [line for line in options.text.read_text("utf8").split("\n") if len(line) > 300][3]
    ids = torch.tensor([AutoTokenizer.from_pretrained(options.model)(line)["input_ids"][:options.tokens]])
    with tempfile.TemporaryDirectory() as folder:
        Emulation.sums = compiled(Path(folder))
    stay_in_float64()
    model = AutoModelForCausalLM.from_pretrained(
        options.model, dtype=torch.float64, attn_implementation="eager").eval().requires_grad_(False)
    for module in model.modules():
        if isinstance(module, torch.nn.Linear) and module is not model.lm_head:
            module.forward = lambda x, m=module: Linear.apply(x, m.weight) + (0 if m.bias is None else m.bias)
    exact = gradients(model, ids)
    for name, how in [("split", SPLIT), ("split, nothing made up for", PLAIN), ("float32", "float32")]:
        Emulation.how = how
        found = gradients(model, ids)
        pairs = list(zip(found, exact))
        mean, magnitude = (max(distance(of(f), of(e)) for f, e in pairs) for of in (mean_of, mean_magnitude_of))
        position = max(distance(*rows) for f, e in pairs for rows in zip(f, e))
        print(f"{name:28} mean {mean:.1e}  mean_abs {magnitude:.1e}  one position {position:.1e}", flush=True)


def compiled(folder):
    (folder / "sums.c").write_text(SUMS)
    compiler = shutil.which("clang") or shutil.which("cc")
    subprocess.run([compiler, "-O3", "-march=native", "-ffp-contract=off", "-shared", "-fPIC", "-o", folder / "sums.so",
                    folder / "sums.c", "-lm"], check=True)
    function = ctypes.CDLL(str(folder / "sums.so")).sums
    array = np.ctypeslib.ndpointer(dtype=np.float64, flags="C")
    function.argtypes = [array, array, ctypes.c_int, ctypes.c_int, ctypes.c_int, array]
    return function


class Emulation:
    """Products x(N,K) · w(K,O) as `how` says: None for float64."""

    sums, how = None, None

    @classmethod
    def product(cls, x, w, kind="usual"):
        rows = x.reshape(-1, x.shape[-1])
        if cls.how is None:
            y = rows @ w
        elif cls.how == "float32":
            y = torch.from_numpy((rows.numpy().astype("f4") @ w.numpy().astype("f4")).astype("f8"))
        else:
            y = torch.from_numpy(cls.split(rows.numpy().astype("f4").astype("f8"), w.numpy(), *cls.how[kind]))
        return y.reshape(*x.shape[:-1], -1)

    @classmethod
    def split(cls, x, w, most, shrinkage):
        (high, low, unit), (w_high, w_low, w_unit) = halves(x), halves(w)
        unit *= w_unit
        # Errors of the low parts' sums are 2⁻¹¹ of those of the high parts.
        y = (low @ w_high * (unit / 2048)).astype("f4")
        if w_low.any():
            y = (y + high @ w_low * (unit / 2048)).astype("f4")
        inner = x.shape[1]
        size = -(-inner // -(-inner // most))
        size = -(-size // 64) * 64
        pieces = [(start, min(start + size, inner)) for start in range(0, inner, size)]
        scale = np.float32(unit * (1 + shrinkage * sum((end - start) ** 2 for start, end in pieces) / inner))
        for start, end in pieces:
            part = np.empty((len(x), w.shape[1]))
            cls.sums(np.ascontiguousarray(high[:, start:end]), np.ascontiguousarray(w_high[start:end]), len(x),
                     end - start, w.shape[1], part)
            y = (float(scale) * part + y).astype("f4")
        return y.astype("f8")


def halves(x):
    """x = (high + low / 2¹¹)·unit in half precision."""
    scale = 2.0 ** (14 - np.floor(np.log2(np.abs(x).max())))
    high = (x * scale).astype("f2").astype("f8")
    return high, ((x * scale - high) * 2048).astype("f2").astype("f8"), 1 / scale


class Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight):
        ctx.weight = weight
        return Emulation.product(x, weight.T)

    @staticmethod
    def backward(ctx, dy):
        return Emulation.product(dy, ctx.weight), None


class Head(torch.autograd.Function):
    """The loss in nats, added up; dx as CUDAOperations/CrossEntropy.swift takes it together."""

    @staticmethod
    def forward(ctx, x, weight, targets):
        logits = Emulation.product(x, weight.T, "logits")
        largest = logits.max(1, keepdim=True).values
        ctx.shares, ctx.weight, ctx.targets = (logits - largest).exp(), weight, targets
        return (ctx.shares.sum(1).log() + largest[:, 0] - logits.gather(1, targets[:, None])[:, 0]).sum()

    @staticmethod
    def backward(ctx, d_loss):
        total = ctx.shares.sum(1, keepdim=True)
        own = ctx.shares.gather(1, ctx.targets[:, None])
        others = ctx.shares.scatter(1, ctx.targets[:, None], 0)
        prominent = others * (others >= 0.125)
        dx = prominent @ ctx.weight
        for first in range(0, len(ctx.weight), HELD_WORDS):
            words = slice(first, first + HELD_WORDS)
            dx = dx + Emulation.product((others - prominent)[:, words], ctx.weight[words], "shares")
        return (dx / total - (total - own) / total * ctx.weight[ctx.targets]) * d_loss, None, None


def gradients(model, ids):
    """At each layer's MLP output, but for the last position, whose gradient is 0."""
    kept = []

    def keep(_module, _inputs, output):
        output.requires_grad_() if not output.requires_grad else None
        output.retain_grad()
        kept.append(output)

    hooks = [layer.mlp.register_forward_hook(keep) for layer in model.model.layers]
    last = model.model(input_ids=ids).last_hidden_state[0, :-1]
    Head.apply(last, model.lm_head.weight, ids[0, 1:]).backward()
    for hook in hooks:
        hook.remove()
    return [output.grad[0, :-1].numpy() for output in kept]


def mean_of(rows):
    return rows.mean(0)


def mean_magnitude_of(rows):
    return np.abs(rows).mean(0)


def distance(found, exact):
    return np.linalg.norm(found - exact) / np.linalg.norm(exact)


if __name__ == "__main__":
    main()
