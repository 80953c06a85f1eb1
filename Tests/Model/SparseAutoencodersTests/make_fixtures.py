"""Small autoencoders in every format, each with what its own library computes from it.

    python3 make_fixtures.py

Writes Fixtures/<case>/: the library's own files, and expected.safetensors with inputs [P, D], features [P, F]
(encode), decoded [P, D] (decode of those features), output_gradients [P, D], and feature_gradients [P, F] (autograd
of sum(decoded * output_gradients) in the features). D = 6, F = 12, P = 5, k = 3. Weights are random, not trained.

Made with torch 2.13, dictionary-learning 0.1.0, sae-lens 6.54.12, eai-sparsify 1.3.3, numpy 2.4. The libraries were
installed without their dependencies; those that only training needs are stood in for below.
"""

import importlib.abc
import importlib.machinery
import json
import shutil
import sys
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import torch
from safetensors.torch import save_file

WIDTH, FEATURES, POSITIONS, K = 6, 12, 5, 3
FOLDER = Path(__file__).parent / "Fixtures"


class StandIns(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Modules that are imported at the top of the libraries and used in training only."""

    NAMES = {"transformer_lens", "datasets", "schedulefree", "accelerate", "transformers", "wandb", "nnsight", "babe",
             "dotenv", "nltk", "plotly", "bitsandbytes", "pandas", "tqdm", "pydantic"}

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in self.NAMES:
            return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec):
        module = MagicMock(name=spec.name)
        module.__path__, module.__spec__, module.__name__ = [], spec, spec.name
        return module

    def exec_module(self, module):
        if module.__name__ == "transformer_lens.hook_points":
            module.HookPoint = torch.nn.Identity
        if module.__name__ == "transformer_lens.HookedTransformer":
            module.HookedRootModule = type("HookedRootModule", (torch.nn.Module,), {"setup": lambda self: None})


sys.meta_path.append(StandIns())

from dictionary_learning.dictionary import AutoEncoder, AutoEncoderNew, GatedAutoEncoder, JumpReluAutoEncoder
from dictionary_learning.trainers.batch_top_k import BatchTopKSAE
from dictionary_learning.trainers.matryoshka_batch_top_k import MatryoshkaBatchTopKSAE
from dictionary_learning.trainers.top_k import AutoEncoderTopK
from dictionary_learning.utils import load_dictionary
from sae_lens.saes.abstopk_sae import AbsTopKSAE, AbsTopKSAEConfig
from sae_lens.saes.gated_sae import GatedSAE, GatedSAEConfig
from sae_lens.saes.jumprelu_sae import JumpReLUSAE, JumpReLUSAEConfig
from sae_lens.saes.sae import SAEMetadata
from sae_lens.saes.standard_sae import StandardSAE, StandardSAEConfig
from sae_lens.saes.topk_sae import TopKSAE, TopKSAEConfig
from sparsify.config import SparseCoderConfig
from sparsify.sparse_coder import SparseCoder


def random(*shape):
    return torch.randn(*shape)


def expect(folder, encode, decode):
    inputs, output_gradients = 2 * random(POSITIONS, WIDTH), random(POSITIONS, WIDTH)
    with torch.no_grad():
        features = encode(inputs).float()
    leaf = features.clone().requires_grad_()
    decoded = decode(leaf).float()
    (decoded * output_gradients).sum().backward()
    save_file(
        {"inputs": inputs, "output_gradients": output_gradients, "features": features, "decoded": decoded.detach(),
         "feature_gradients": leaf.grad},
        folder / "expected.safetensors")


def new_folder(name):
    folder = FOLDER / name
    folder.mkdir(parents=True)
    torch.manual_seed(sum(map(ord, name)))
    return folder


def dictionary_learning():
    for name, make in {
        "auto_encoder": lambda: AutoEncoder(WIDTH, FEATURES),
        "auto_encoder_new": lambda: AutoEncoderNew(WIDTH, FEATURES),
        "gated": lambda: GatedAutoEncoder(WIDTH, FEATURES),
        "top_k": lambda: AutoEncoderTopK(WIDTH, FEATURES, K),
        "batch_top_k": lambda: BatchTopKSAE(WIDTH, FEATURES, K),
        "matryoshka": lambda: MatryoshkaBatchTopKSAE(WIDTH, FEATURES, K, [4, 8]),
        "jump_relu": lambda: JumpReluAutoEncoder(WIDTH, FEATURES),
    }.items():
        folder = new_folder(f"dictionary_learning_{name}")
        dictionary = make()
        # Whatever is 0 at first, or the same for all features, gets values that tell.
        for key, value in dictionary.state_dict().items():
            if "bias" in key or key.startswith("b_") or key == "r_mag":
                value.copy_(0.2 * random(*value.shape))
            if key == "threshold":
                value.copy_(0.3 + 0.1 * torch.rand(value.shape))
            if key in ("encoder.weight", "W_enc"):
                value.add_(0.05 * random(*value.shape))
        state = {key: value.cpu() for key, value in dictionary.state_dict().items()}
        if name == "matryoshka":
            # What training under bfloat16 autocast leaves.
            state["b_dec"] = state["b_dec"].to(torch.bfloat16)
        torch.save(state, folder / "ae.pt")
        trainer = {
            "dict_class": type(dictionary).__name__, "activation_dim": WIDTH, "dict_size": FEATURES, "layer": 3,
            "lm_name": "Qwen/Qwen2.5-0.5B", "submodule_name": "mlp_out_layer_3", "wandb_name": name}
        if "top_k" in name or name == "matryoshka":
            trainer["k"] = K
        (folder / "config.json").write_text(json.dumps({"trainer": trainer}, indent=4))
        loaded, _ = load_dictionary(str(folder), "cpu")
        expect(folder, loaded.encode, loaded.decode)


def sae_lens():
    metadata = dict(model_name="Qwen/Qwen2.5-0.5B", hook_name="blocks.3.hook_mlp_out", prepend_bos=False)
    for name, cls, config_class, options in [
        ("standard", StandardSAE, StandardSAEConfig, {}),
        ("standard_bfloat16", StandardSAE, StandardSAEConfig, dict(dtype="bfloat16", apply_b_dec_to_input=False)),
        ("standard_layer_norm", StandardSAE, StandardSAEConfig, dict(normalize_activations="layer_norm")),
        ("standard_constant_norm", StandardSAE, StandardSAEConfig,
         dict(normalize_activations="constant_norm_rescale")),
        ("gated", GatedSAE, GatedSAEConfig, {}),
        ("jumprelu", JumpReLUSAE, JumpReLUSAEConfig, {}),
        ("topk", TopKSAE, TopKSAEConfig, dict(k=K, rescale_acts_by_decoder_norm=True)),
        ("abstopk", AbsTopKSAE, AbsTopKSAEConfig, dict(k=K)),
    ]:
        folder = new_folder(f"saelens_{name}")
        sae = cls(config_class(d_in=WIDTH, d_sae=FEATURES, metadata=SAEMetadata(**metadata), **options))
        for key, value in sae.state_dict().items():
            value.copy_(0.2 + 0.1 * torch.rand(value.shape) if key == "threshold" else 0.4 * random(*value.shape))
        sae.save_model(folder)
        loaded = cls.load_from_disk(folder, dtype="float32") if "dtype" in options else cls.load_from_disk(folder)
        expect(folder, loaded.encode, loaded.decode)


def sparsify():
    for name in ("topk", "groupmax"):
        folder = new_folder(f"sparsify_{name}") / "layers.3.mlp"
        coder = SparseCoder(WIDTH, SparseCoderConfig(num_latents=FEATURES, k=K, activation=name))
        with torch.no_grad():
            coder.encoder.bias.copy_(0.2 * random(FEATURES))
            coder.b_dec.copy_(0.2 * random(WIDTH))
        coder.save_to_disk(folder)
        loaded = SparseCoder.load_from_disk(folder)

        def encode(x):
            found = loaded.encode(x)
            return torch.zeros(POSITIONS, FEATURES).scatter_(1, found.top_indices, found.top_acts)

        # decode takes the k kept features; autograd through all of them needs all of them as its input.
        def decode(f):
            everything = torch.arange(FEATURES).expand(POSITIONS, FEATURES)
            return loaded.decode(f, everything)

        expect(folder.parent, encode, decode)


def gemma_scope():
    folder = new_folder("gemma_scope")
    params = {
        "W_enc": random(WIDTH, FEATURES), "W_dec": random(FEATURES, WIDTH), "b_enc": 0.2 * random(FEATURES),
        "b_dec": 0.2 * random(WIDTH), "threshold": 0.5 + 0.2 * torch.rand(FEATURES)}
    np.savez(folder / "params.npz", **{key: value.numpy() for key, value in params.items()})

    # The formulas of the release's own notebook.
    def encode(x):
        pre = x @ params["W_enc"] + params["b_enc"]
        return (pre > params["threshold"]) * torch.relu(pre)

    expect(folder, encode, lambda f: f @ params["W_dec"] + params["b_dec"])


def numpy_forms():
    """The arrays of gemma_scope, as numpy writes them otherwise: all the same numbers, but for float16."""
    folder = new_folder("numpy_forms")
    with np.load(FOLDER / "gemma_scope" / "params.npz") as stored:
        params = dict(stored)
    fortran = {key: np.asfortranarray(value) for key, value in params.items()}
    np.savez_compressed(folder / "compressed.npz", **params)
    np.savez_compressed(folder / "compressed_fortran.npz", **fortran)
    np.savez(folder / "fortran.npz", **fortran)
    np.savez(folder / "float16.npz", **{key: value.astype("<f2") for key, value in params.items()})
    np.savez(folder / "float64.npz", **{key: value.astype("<f8") for key, value in params.items()})
    np.savez(folder / "big_endian.npz", **{key: value.astype(">f4") for key, value in params.items()})
    np.savez(folder / "lower_case.npz", **{key.replace("W_", "w_"): value for key, value in params.items()})
    np.savez(folder / "extra.npz", notes=np.array("hello"), step=np.int64(3), settings=np.array({"a": 1}, object),
             **params)


def qwen_scope():
    folder = new_folder(f"qwen_scope-L0_{K}")
    params = {
        "W_enc": random(FEATURES, WIDTH), "W_dec": random(WIDTH, FEATURES), "b_enc": 0.2 * random(FEATURES),
        "b_dec": 0.2 * random(WIDTH)}
    torch.save(params, folder / "layer0.sae.pt")

    # As sae-lens's loader takes it.
    def encode(x):
        pre = x @ params["W_enc"].T + params["b_enc"]
        values, indices = pre.topk(K, dim=-1)
        return torch.zeros_like(pre).scatter_(-1, indices, torch.relu(values))

    expect(folder, encode, lambda f: f @ params["W_dec"].T + params["b_dec"])


if __name__ == "__main__":
    shutil.rmtree(FOLDER, ignore_errors=True)
    for make in (dictionary_learning, sae_lens, sparsify, gemma_scope, numpy_forms, qwen_scope):
        make()
