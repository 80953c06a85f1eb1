"""Small random models of every family, and where their places are in transformers' modules."""
import json
import shutil

import safetensors.torch
import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM

FULL, SLIDING = "full_attention", "sliding_attention"

# Odd shapes, grouped heads, and options that the family's published models have on or off; windows, and the lengths that
# scaled angles were trained on, that are shorter than the samples. "as" is what config.json is written as besides.
MODELS = {
    "llama": dict(
        model_type="llama", dtype="bfloat16", vocab_size=53, hidden_size=30, intermediate_size=22, num_hidden_layers=2,
        num_attention_heads=3, num_key_value_heads=1, head_dim=8, attention_bias=True, mlp_bias=True,
        max_position_embeddings=128, rope_parameters=dict(
            rope_type="llama3", rope_theta=50.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
            original_max_position_embeddings=16)),
    "llama-linear": dict(
        model_type="llama", dtype="float16", vocab_size=61, hidden_size=24, intermediate_size=31, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=True, rms_norm_eps=1e-3,
        max_position_embeddings=16, rope_parameters=dict(rope_type="linear", rope_theta=100.0, factor=2.5)),
    "mistral": dict(
        model_type="mistral", dtype="bfloat16", vocab_size=47, hidden_size=28, intermediate_size=23, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, head_dim=10, sliding_window=7),
    "qwen3": dict(
        model_type="qwen3", dtype="bfloat16", vocab_size=59, hidden_size=26, intermediate_size=27, num_hidden_layers=3,
        num_attention_heads=3, num_key_value_heads=1, head_dim=8, tie_word_embeddings=True, attention_bias=True,
        use_sliding_window=True, sliding_window=9, max_window_layers=1),
    "gemma": dict(
        model_type="gemma", dtype="float16", vocab_size=71, hidden_size=24, intermediate_size=29, num_hidden_layers=2,
        num_attention_heads=3, num_key_value_heads=1, head_dim=12),
    "gemma2": dict(
        model_type="gemma2", dtype="bfloat16", vocab_size=43, hidden_size=24, intermediate_size=25, num_hidden_layers=3,
        num_attention_heads=4, num_key_value_heads=2, head_dim=10, sliding_window=6, query_pre_attn_scalar=17,
        attn_logit_softcapping=1.5, final_logit_softcapping=2.0),
    "gemma3": dict(
        model_type="gemma3_text", dtype="bfloat16", vocab_size=57, hidden_size=28, intermediate_size=21,
        num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2, head_dim=8, sliding_window=5,
        query_pre_attn_scalar=11, layer_types=[SLIDING, FULL, SLIDING], rope_parameters={
            FULL: dict(rope_type="linear", rope_theta=300.0, factor=4.0),
            SLIDING: dict(rope_type="default", rope_theta=20.0)}),
    "gpt2": dict(
        model_type="gpt2", dtype="float32", vocab_size=50, n_embd=20, n_inner=33, n_layer=2, n_head=4, n_positions=40,
        scale_attn_by_inverse_layer_idx=True),
    "gpt_neox": dict(
        model_type="gpt_neox", dtype="float16", vocab_size=52, hidden_size=24, intermediate_size=37, num_hidden_layers=2,
        num_attention_heads=3, rope_parameters=dict(
            rope_type="default", rope_theta=100.0, partial_rotary_factor=0.6)),
    "gpt_neox-sequential": dict(
        model_type="gpt_neox", dtype="float32", vocab_size=41, hidden_size=20, intermediate_size=19, num_hidden_layers=2,
        num_attention_heads=2, use_parallel_residual=False, attention_bias=False, tie_word_embeddings=True),
}
# Of batches of samples: of one token, of two, and longer than windows and original lengths.
LENGTHS = [[5, 1, 23], [2, 40]]


def make_model(folder, **options):
    """A random model that is far from symmetric: no norm is 1, no bias 0, and its logits spread over several nats."""
    shutil.rmtree(folder, ignore_errors=True)
    dtype = getattr(torch, options.pop("dtype", "float32"))
    config = AutoConfig.for_model(**options)
    model = AutoModelForCausalLM.from_config(config).float()
    offset = 0 if "gemma" in options["model_type"] else 1
    tied = config.tie_word_embeddings
    with torch.no_grad():
        for name, p in model.named_parameters():
            random = torch.randn(p.shape)
            if p.dim() == 1:
                p.copy_(random * 0.3 + (offset if is_norm(name) else 0))
            elif name.endswith(("embed_tokens.weight", "embed_in.weight", "wte.weight", "wpe.weight")):
                p.copy_(random * (0.2 if tied else 0.5))
            else:
                fan_in = p.shape[0] if options["model_type"] == "gpt2" and "lm_head" not in name else p.shape[1]
                p.copy_(random * 1.2 / fan_in ** 0.5)
    model.to(dtype).save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    return folder


def is_norm(name):
    return name.endswith("weight") and any(part in name for part in ["norm", "ln_1", "ln_2", "ln_f"])


def text_model(model):
    """The decoder in a model with a head, also where it is the text half of one that reads images."""
    base = model.base_model
    return getattr(base, "language_model", base)


def layers(model):
    base = text_model(model)
    return base.h if hasattr(base, "h") else base.layers


def places(layer):
    """By site the module of a layer at which it is, and whether it is what the module is given or what it gives."""
    attention = next(getattr(layer, name) for name in ["self_attn", "attn", "attention"] if hasattr(layer, name))
    output = next(getattr(attention, name) for name in ["o_proj", "c_proj", "dense"] if hasattr(attention, name))
    # A norm behind attention or the MLP gives what is added to the stream.
    surrounding = hasattr(layer, "post_feedforward_layernorm")
    norm = next(getattr(layer, name) for name in [
        "pre_feedforward_layernorm", "post_attention_layernorm", "ln_2"] if hasattr(layer, name))
    sites = {
        "resid_pre": (layer, "input"), "attn_z": (output, "input"),
        "attn_out": (layer.post_attention_layernorm if surrounding else output, "output"),
        "resid_mid": (norm, "input"),
        "mlp_out": (layer.post_feedforward_layernorm if surrounding else layer.mlp, "output"),
        "resid_post": (layer, "output")}
    if getattr(layer, "use_parallel_residual", False):
        del sites["resid_mid"]
    return sites


def watch(model, seen):
    """Puts the tensor at every place into `seen` on each forward pass, and keeps its gradient."""
    def hook(place, of_input):
        def keep(_module, inputs, output=None):
            tensor = inputs[0] if of_input else output[0] if isinstance(output, tuple) else output
            tensor.retain_grad()
            seen[place] = tensor
        return keep

    for number, layer in enumerate(layers(model)):
        for site, (module, side) in places(layer).items():
            if side == "input":
                module.register_forward_pre_hook(hook(f"{site}.{number}", True))
            else:
                module.register_forward_hook(hook(f"{site}.{number}", False))


def check_equations(seen, count):
    """What the places are, whatever the modules are called: the sums that the residual stream is."""
    def same(x, y):
        assert torch.allclose(x, y, rtol=1e-12, atol=1e-12), "a place is not where it is said to be"

    for l in range(count):
        at = {site: seen[f"{site}.{l}"] for site in
              ["resid_pre", "attn_out", "resid_mid", "mlp_out", "resid_post"] if f"{site}.{l}" in seen}
        if "resid_mid" in at:
            same(at["resid_mid"], at["resid_pre"] + at["attn_out"])
            same(at["resid_post"], at["resid_mid"] + at["mlp_out"])
        else:
            same(at["resid_post"], at["resid_pre"] + at["attn_out"] + at["mlp_out"])
        if l > 0:
            same(at["resid_pre"], seen[f"resid_post.{l - 1}"])
