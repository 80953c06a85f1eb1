"""Small autoencoders in every format, each with what its own library computes from it.

    python3 make_fixtures.py

Writes Fixtures/<case>/: the library's own files, and expected.safetensors with inputs [P, D], features [P, F]
(encode), decoded [P, D] (decode of those features), output_gradients [P, D], and feature_gradients [P, F] (autograd
of sum(decoded * output_gradients) in the features). D = 6, F = 12, P = 5, k = 3. Weights are random, not trained.

published_<loader>... is what SAELens's loaders of published autoencoders make of a release's files, which they find
here instead of on the hub: files of a release's layout under the repository's own name.

Made with torch 2.13, dictionary-learning 0.1.0, sae-lens 6.54.12, eai-sparsify 1.3.3, numpy 2.4. The libraries were
installed without their dependencies; Tests/Parity/library_stand_ins.py stands in for those that nothing here calls.
"""

import json
import shutil
import sys
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import torch
from safetensors.torch import save_file

sys.path.insert(0, str(Path(__file__).parents[2] / "Parity"))
import library_stand_ins  # noqa: F401

from dictionary_learning.dictionary import AutoEncoder, AutoEncoderNew, GatedAutoEncoder, JumpReluAutoEncoder
from dictionary_learning.trainers.batch_top_k import BatchTopKSAE
from dictionary_learning.trainers.matryoshka_batch_top_k import MatryoshkaBatchTopKSAE
from dictionary_learning.trainers.top_k import AutoEncoderTopK
from dictionary_learning.utils import load_dictionary
from sae_lens.loading import pretrained_sae_loaders as loaders
from sae_lens.saes.abstopk_sae import AbsTopKSAE, AbsTopKSAEConfig
from sae_lens.saes.gated_sae import GatedSAE, GatedSAEConfig
from sae_lens.saes.jumprelu_sae import JumpReLUSAE, JumpReLUSAEConfig
from sae_lens.saes.sae import SAE, SAEMetadata
from sae_lens.saes.standard_sae import StandardSAE, StandardSAEConfig
from sae_lens.saes.topk_sae import TopKSAE, TopKSAEConfig
from sparsify.config import SparseCoderConfig
from sparsify.sparse_coder import SparseCoder

WIDTH, FEATURES, POSITIONS, K = 6, 12, 5, 3
FOLDER = Path(__file__).parent / "Fixtures"


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


class Release:
    """A repository's files below Fixtures/<case>/<repository>, where SAELens's loaders look for them."""

    def __init__(self, case, repository):
        self.case, self.repository = new_folder(case), repository
        self.root = self.case / repository.split("/")[1]
        self.root.mkdir()

    def path(self, name):
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        return self.root / name

    def json(self, name, value):
        self.path(name).write_text(json.dumps(value))

    def safetensors(self, name, tensors):
        save_file({key: value.contiguous() for key, value in tensors.items()}, self.path(name))

    def download(self, repo_id, filename, subfolder=None, **_):
        assert repo_id == self.repository
        path = self.root / (f"{subfolder}/{filename}" if subfolder else filename)
        if not path.exists():
            raise loaders.EntryNotFoundError(f"{path} is not there")
        return str(path)

    def expect(self, loader, folder_name, norm_scaling_factor=None):
        """What SAELens computes that reads it as SAE.from_pretrained does, and the place that it says it is for."""
        loaders.hf_hub_download = self.download
        loaders.get_safetensors_tensor_shapes = lambda _, name: {
            key: list(value.shape) for key, value in loaders.load_safetensors_weights(self.root / name).items()}
        overrides = {"device": "cpu", "dtype": "float32"}
        configuration, state, _ = loaders.NAMED_PRETRAINED_SAE_LOADERS[loader](
            repo_id=self.repository, folder_name=folder_name, device="cpu", force_download=False,
            cfg_overrides=overrides)
        # The loader knows the widths of published models alone.
        configuration["d_in"], configuration["d_sae"] = WIDTH, FEATURES
        configuration = loaders.handle_config_defaulting(configuration)
        hook = configuration["metadata"]["hook_name"]
        # Heads would be flattened, which they are.
        configuration["reshape_activations"] = "none"
        sae = SAE.from_dict(configuration)
        sae.process_state_dict_for_loading(state)
        sae.load_state_dict(state, assign=True)
        if configuration.get("normalize_activations") == "expected_average_only_in":
            sae.fold_activation_norm_scaling_factor(norm_scaling_factor)
        sae.to(torch.float32)
        expect(self.case, sae.encode, sae.decode)
        (self.case / "expected.json").write_text(json.dumps({"hook_name": hook}))


def matrices():
    """An encoder D × F, a decoder F × D and their biases."""
    return random(WIDTH, FEATURES), random(FEATURES, WIDTH), 0.2 * random(FEATURES), 0.2 * random(WIDTH)


def published_gemma_scope():
    for case, repository, folder in [
        ("res", "google/gemma-scope-2b-pt-res", "layer_20/width_16k/average_l0_71"),
        ("att", "google/gemma-scope-9b-pt-att", "layer_3/width_16k/average_l0_12"),
        ("mlp", "google/gemma-scope-2b-pt-mlp", "layer_0/width_65k/average_l0_119"),
        ("embedding", "google/gemma-scope-2b-pt-res", "embedding/width_4k/average_l0_6"),
    ]:
        release = Release(f"published_gemma_2_{case}", repository)
        names = ("W_enc", "W_dec", "b_enc", "b_dec")
        arrays = {name: value.numpy() for name, value in zip(names, matrices())}
        threshold = (0.3 + 0.1 * torch.rand(FEATURES)).numpy()
        np.savez(release.path(f"{folder}/params.npz"), **arrays, threshold=threshold)
        if case == "embedding":
            # The loader scales by the width of Gemma 2 2B; by that of this one here.
            original = loaders.get_gemma_2_config_from_hf
            loaders.get_gemma_2_config_from_hf = lambda *names, **more: {**original(*names, **more), "d_in": WIDTH}
            release.expect("gemma_2", folder)
            loaders.get_gemma_2_config_from_hf = original
        else:
            release.expect("gemma_2", folder)


def published_gemma_scope_2():
    for case, folder, configuration in [
        ("res", "resid_post/layer_12_width_16k_l0_big", {"hf_hook_point_in": "model.layers.12.output"}),
        ("att", "attn_out_all/layer_3_width_16k_l0_small",
         {"hf_hook_point_in": "model.layers.3.self_attn.o_proj.input"}),
        ("mlp", "mlp_out/layer_5_width_16k_l0_medium",
         {"hf_hook_point_in": "model.layers.5.post_feedforward_layernorm.output"}),
        ("att_bare", "attn_out/layer_9_width_16k_l0_small", None),
        ("mlp_bare", "mlp_out_all/layer_17_width_16k_l0_small", None),
    ]:
        release = Release(f"published_gemma_3_{case}", "google/gemma-scope-2-270m-pt")
        names = ("w_enc", "w_dec", "b_enc", "b_dec")
        threshold = 0.3 + 0.1 * torch.rand(FEATURES)
        release.safetensors(f"{folder}/params.safetensors", dict(zip(names, matrices()), threshold=threshold))
        if configuration:
            configuration["hf_hook_point_out"] = configuration["hf_hook_point_in"]
            release.json(f"{folder}/config.json", {
                **configuration, "width": FEATURES, "model_name": "gemma-v3-270m-pt", "architecture": "jump_relu",
                "l0": 20, "affine_connection": False, "type": "sae"})
        release.expect("gemma_3", folder)


def fnlp_tensors():
    encoder, decoder, encoder_bias, decoder_bias = matrices()
    return {"encoder.weight": encoder.T, "encoder.bias": encoder_bias, "decoder.weight": decoder.T,
            "decoder.bias": decoder_bias}


def published_llama_scope():
    norm = 1.75
    for site, hook in [("R", "hook_resid_post"), ("A", "hook_attn_out"), ("M", "hook_mlp_out")]:
        release = Release(f"published_llama_scope_{site.lower()}", f"fnlp/Llama3_1-8B-Base-LX{site}-8x")
        folder = f"Llama3_1-8B-Base-L15{site}-8x"
        release.safetensors(f"{folder}/checkpoints/final.safetensors", fnlp_tensors())
        hook = f"blocks.15.{hook}"
        release.json(f"{folder}/hyperparams.json", {
            "hook_point_in": hook, "hook_point_out": hook, "use_decoder_bias": True,
            "apply_decoder_bias_to_pre_encoder": False, "expansion_factor": 2, "d_model": WIDTH, "d_sae": FEATURES,
            "norm_activation": "dataset-wise", "dataset_average_activation_norm": {"in": norm, "out": norm},
            "use_glu_encoder": False, "sparsity_include_decoder_norm": True, "act_fn": "jumprelu",
            "jump_relu_threshold": 0.25, "top_k": 50})
        release.expect("llama_scope", folder, WIDTH**0.5 / norm)

    release = Release("published_llama_scope_r1_distill", "fnlp/Llama-Scope-R1-Distill")
    folder, hook = "800M-Slimpajama-0-OpenR1-Math-220k/L7R", "blocks.7.hook_resid_post"
    release.safetensors(f"{folder}/sae_weights.safetensors", {
        **fnlp_tensors(), "log_jumprelu_threshold": torch.log(0.3 + 0.2 * torch.rand(FEATURES)),
        "dataset_average_activation_norm.in": torch.tensor(norm),
        "dataset_average_activation_norm.out": torch.tensor(norm)})
    release.json(f"{folder}/config.json", {
        "hook_point_in": hook, "hook_point_out": hook, "expansion_factor": FEATURES // WIDTH, "d_model": WIDTH,
        "norm_activation": "dataset-wise", "act_fn": "jumprelu", "sparsity_include_decoder_norm": True, "top_k": 50})
    release.expect("llama_scope_r1_distill", folder, WIDTH**0.5 / norm)


def published_torch_files():
    encoder, decoder, encoder_bias, decoder_bias = matrices()
    release = Release("published_goodfire", "Goodfire/Llama-3.1-8B-Instruct-SAE-l19")
    name = "Llama-3.1-8B-Instruct-SAE-l19.pth"
    torch.save(
        {"encoder_linear.weight": encoder.T, "encoder_linear.bias": encoder_bias, "decoder_linear.weight": decoder.T,
         "decoder_linear.bias": decoder_bias}, release.path(name))
    release.expect("goodfire", name)

    release = Release("published_deepseek_r1", "qresearch/DeepSeek-R1-Distill-Llama-8B-SAE-l19")
    name = "DeepSeek-R1-Distill-Llama-8B-SAE-l19.pt"
    torch.save(fnlp_tensors(), release.path(name))
    release.expect("deepseek_r1", name)

    release = Release("published_connor_rob_hook_z", "ckkissane/attn-saes-gpt2-small-all-layers")
    name = "gpt2-small_L5_Hcat_z_lr1.20e-03_l11.80e+00_ds12_bs4096_v9"
    torch.save(dict(zip(("W_enc", "W_dec", "b_enc", "b_dec"), matrices())), release.path(f"{name}.pt"))
    release.json(f"{name}_cfg.json", {
        "act_size": WIDTH, "dict_size": FEATURES, "act_name": "blocks.5.attn.hook_z", "model_name": "gpt2-small",
        "layer": 5, "head": "cat", "site": "z", "l1_coeff": 1.8, "enc_dtype": "fp32"})
    release.expect("connor_rob_hook_z", f"{name}.pt")

    release = Release("published_qwen_scope", f"Qwen/SAE-Res-Qwen3-1.7B-Base-W32K-L0_{K}")
    encoder, decoder, encoder_bias, decoder_bias = matrices()
    torch.save({"W_enc": encoder.T.contiguous(), "W_dec": decoder.T.contiguous(), "b_enc": encoder_bias,
                "b_dec": decoder_bias}, release.path("layer11.sae.pt"))
    release.expect("qwen_scope", "layer11.sae.pt")


def published_dictionary_learning():
    """The classes that SAELens reads with the same meaning as their own library."""
    for name, make, k in [
        ("gated", lambda: GatedAutoEncoder(WIDTH, FEATURES), None),
        ("top_k", lambda: AutoEncoderTopK(WIDTH, FEATURES, K), K),
        ("batch_top_k", lambda: BatchTopKSAE(WIDTH, FEATURES, K), K),
        ("matryoshka", lambda: MatryoshkaBatchTopKSAE(WIDTH, FEATURES, K, [4, 8]), K),
        ("jump_relu", lambda: JumpReluAutoEncoder(WIDTH, FEATURES), None),
        ("auto_encoder", lambda: AutoEncoder(WIDTH, FEATURES), None),
    ]:
        release = Release(f"published_dictionary_learning_1_{name}", "canrager/lm_sae")
        folder = f"pythia70m_sweep_{name}/resid_post_layer_3/trainer_4"
        dictionary = make()
        for key, value in dictionary.state_dict().items():
            if value.dtype == torch.float32:
                value.copy_(0.3 + 0.1 * torch.rand(value.shape) if key == "threshold" else 0.4 * random(*value.shape))
        torch.save(dictionary.state_dict(), release.path(f"{folder}/ae.pt"))
        trainer = {"dict_class": type(dictionary).__name__, "activation_dim": WIDTH, "dict_size": FEATURES, "layer": 3,
                   "lm_name": "EleutherAI/pythia-70m-deduped", "submodule_name": None, "wandb_name": name}
        release.json(f"{folder}/config.json", {
            "trainer": {**trainer, **({"k": k} if k else {})}, "buffer": {"ctx_len": 128, "io": "out"}})
        release.expect("dictionary_learning_1", folder)


def published_sae_lens():
    """Version 5's own files: hook_z by its older names, and a scale that SAELens's list folds in."""
    metadata = {"d_in": WIDTH, "d_sae": FEATURES, "dtype": "float32", "model_name": "gpt2-small", "hook_point_layer": 4,
                "hook_point_head_index": None, "prepend_bos": True, "device": "cpu"}
    for case, hook, more, scale, repository, folder in [
        ("hook_z", "blocks.4.attn.hook_z", {}, None, "some/attention-saes", "layer_4"),
        ("scaled", "blocks.4.hook_resid_post", {"normalize_activations": True}, 0.21381938399317255,
         "jbloom/Gemma-2b-Residual-Stream-SAEs", "gemma_2b_blocks.12.hook_resid_post_16384"),
    ]:
        release = Release(f"published_sae_lens_{case}", repository)
        release.safetensors(
            f"{folder}/sae_weights.safetensors", dict(zip(("W_enc", "W_dec", "b_enc", "b_dec"), matrices())))
        release.json(f"{folder}/cfg.json", {**metadata, "hook_point": hook, **more})
        release.expect("sae_lens", folder, scale)


if __name__ == "__main__":
    shutil.rmtree(FOLDER, ignore_errors=True)
    for make in (
        dictionary_learning, sae_lens, sparsify, gemma_scope, numpy_forms, qwen_scope, published_gemma_scope,
        published_gemma_scope_2, published_llama_scope, published_torch_files, published_dictionary_learning,
        published_sae_lens,
    ):
        make()
