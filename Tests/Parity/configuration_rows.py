"""Entries of config.json in their spellings, family by family, and what is right for each: see compare_checkpoints.py."""
import copy
import json

from safetensors.torch import load_file, save_file

from families import FULL, SLIDING

ABSENT = object()


def edit(folder, **entries):
    path = folder / "config.json"
    configuration = json.loads(path.read_text())
    change(configuration, entries)
    path.write_text(json.dumps(configuration))


def change(configuration, entries):
    for entry, value in entries.items():
        if value is ABSENT:
            configuration.pop(entry, None)
        else:
            configuration[entry] = copy.deepcopy(value)


def entries(right, **changes):
    return described(changes), lambda folder: edit(folder, **changes), right


def described(changes):
    return ", ".join(f"{k} {'absent' if v is ABSENT else json.dumps(v)}" for k, v in changes.items())


def nested(right, **changes):
    """In text_config, where a model that reads images has the entries of its text half."""
    def apply(folder):
        path = folder / "config.json"
        configuration = json.loads(path.read_text())
        change(configuration["text_config"], changes)
        path.write_text(json.dumps(configuration))
    return f"text_config: {described(changes)}", apply, right


def tied_without_a_head():
    def apply(folder):
        tensors = load_file(folder / "model.safetensors")
        del tensors["lm_head.weight"]
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        edit(folder, tie_word_embeddings=True)
    return "tie_word_embeddings true, without a head", apply, "read"


# Of every family.
COMMON = [
    entries("read"),
    entries("read", initializer_range=0.5, use_cache=False, pad_token_id=3, bos_token_id=1, eos_token_id=[2, 3]),
    entries("read", architectures=["OtherForSequenceClassification"], id2label={"0": "a"}, label2id={"a": 0},
            problem_type="regression"),
    entries("read", output_hidden_states=True, chunk_size_feed_forward=4, is_encoder_decoder=True),
    entries("read, leniently", return_dict=False),
    entries("read", transformers_version=ABSENT, dtype=ABSENT, architectures=ABSENT),
    entries("refused is_causal, strictly", is_causal=False),
    entries("refused quantization_config", quantization_config={}),
    entries("refused unheard_of, strictly", unheard_of=1),
    entries("refused model_type", model_type="unheard_of"),
]
# Their values may be anything.
WITHOUT_EFFECT = {
    "initializer_range", "use_cache", "pad_token_id", "bos_token_id", "eos_token_id", "architectures", "id2label",
    "label2id", "problem_type", "output_hidden_states", "chunk_size_feed_forward", "is_encoder_decoder", "return_dict",
    "transformers_version", "dtype", "attention_dropout", "hidden_dropout", "classifier_dropout", "is_decoder",
    "max_position_embeddings", "resid_pdrop", "embd_pdrop", "attn_pdrop", "summary_type", "summary_use_proj",
    "summary_activation", "summary_proj_to_labels", "summary_first_dropout", "reorder_and_upcast_attn",
}


def sizes():
    """What the weights' shapes follow from."""
    return [
        entries("refused shape", vocab_size=39), entries("refused shape", intermediate_size=17),
        entries("read", num_hidden_layers=1, layer_types=ABSENT),
        entries("refused is missing, strictly", num_hidden_layers=4, layer_types=ABSENT),
        entries("refused hidden_size", hidden_size="24"), entries("refused shape", hidden_size=16, num_attention_heads=2),
        entries("refused shape", num_attention_heads=1, num_key_value_heads=1),
    ]


def norm_and_mlp(epsilon="rms_norm_eps", activation="hidden_act"):
    return [
        entries("read", **{epsilon: 0.1}), entries("read", **{epsilon: ABSENT}), entries(f"refused {epsilon}", **{epsilon: None}),
        entries(f"refused {epsilon}", **{epsilon: float("nan")}),
        *(entries("read", **{activation: name}) for name in [
            ABSENT, "silu", "swish", "gelu", "gelu_python", "gelu_new", "gelu_pytorch_tanh", "gelu_python_tanh", "gelu_fast",
            "gelu_accurate", "relu"]),
        *(entries(f"refused {activation}, strictly", **{activation: name}) for name in ["tanh", "quick_gelu", "relu6", "GELU"]),
        entries("read", attention_dropout=0.5),
    ]


def angles():
    """Of families that name the entries of the rotary embedding as most do."""
    llama3 = dict(factor=6.0, low_freq_factor=1.0, high_freq_factor=3.0, original_max_position_embeddings=20)
    return [
        entries("read", rope_parameters=ABSENT), entries("read", rope_parameters=ABSENT, rope_theta=123.0),
        entries("read", rope_parameters={"rope_theta": 123.0}, rope_theta=7.0),
        entries("read", rope_parameters=ABSENT, rope_theta=7.0, rope_scaling={"type": "linear", "factor": 2.0}),
        entries("read", rope_parameters=ABSENT, rope_scaling={"rope_type": "linear", "factor": 2}),
        entries("read", rope_parameters={"rope_type": "linear", "factor": 3.0, "rope_theta": 30.0}),
        entries("read", rope_parameters={"rope_type": "llama3", "rope_theta": 30.0} | llama3),
        entries("read", rope_parameters=ABSENT, rope_theta=30.0, rope_scaling={"type": "llama3"} | llama3),
        entries("read", rope_parameters={"rope_type": "llama3", "rope_theta": 30.0} | llama3,
                original_max_position_embeddings=9),
        entries("read", max_position_embeddings=11, rope_parameters={
            "rope_type": "llama3", "rope_theta": 30.0, "factor": 6.0, "low_freq_factor": 1.0, "high_freq_factor": 3.0}),
        entries("read", rope_parameters={"rope_theta": 30.0, "partial_rotary_factor": 0.5}),
        entries("read", rope_parameters={"rope_theta": 30.0}, partial_rotary_factor=0.5),
        entries("refused partial_rotary_factor",
                rope_parameters={"rope_type": "linear", "factor": 2.0, "partial_rotary_factor": 0.5}),
        entries("refused partial_rotary_factor", rope_parameters={"rope_type": "linear", "factor": 2.0},
                partial_rotary_factor=0.5),
        entries("refused factor", rope_parameters={"rope_type": "linear"}),
        entries("refused high_freq_factor",
                rope_parameters={"rope_type": "llama3", "factor": 6.0, "low_freq_factor": 1.0}),
        *(entries("refused rope_type", rope_parameters={"rope_type": kind, "factor": 4.0}, max_position_embeddings=8)
          for kind in ["yarn", "dynamic"]),
        entries("refused rope_type", rope_parameters={"rope_type": "longrope", "factor": 4.0}),
        entries("read", max_position_embeddings=8, rope_parameters={"rope_theta": 30.0}),
    ]


def bidirectional():
    return [entries("refused use_bidirectional_attention, strictly", use_bidirectional_attention=True),
            entries("read", use_bidirectional_attention=None)]


LINEAR = {"rope_type": "linear", "factor": 3.0}
# By the names of families.MODELS.
ROWS = {
    "llama": COMMON + sizes() + norm_and_mlp() + angles() + [
        entries("read", attention_bias=False), entries("read", mlp_bias=False), entries("read", attention_bias=ABSENT),
        entries("refused shape", head_dim=12), entries("refused shape", head_dim=None),
        entries("refused shape", num_key_value_heads=3), entries("refused shape", num_key_value_heads=ABSENT),
        entries("read", pretraining_tp=1), entries("refused pretraining_tp, strictly", pretraining_tp=2),
        entries("refused rope_interleaved, strictly", rope_interleaved=True),
        entries("read", tie_word_embeddings=True),
    ],
    "llama-linear": [
        entries("read"), entries("refused lm_head.weight is missing", tie_word_embeddings=False),
        entries("refused lm_head.weight is missing", tie_word_embeddings=ABSENT),
    ],
    "mistral": COMMON + sizes() + norm_and_mlp() + angles() + [
        entries("read", sliding_window=4), entries("read", sliding_window=None), entries("read", sliding_window=ABSENT),
        entries("read", sliding_window=39), entries("read", sliding_window=40), entries("read", sliding_window=1),
        entries("refused sliding_window, strictly", sliding_window=0),
        entries("refused layer_types, strictly", layer_types=[FULL, FULL]),
        entries("refused shape", head_dim=14), entries("refused head_dim", head_dim=None),
        entries("refused shape", num_key_value_heads=4), entries("refused num_key_value_heads", num_key_value_heads=ABSENT),
        entries("refused attention_bias, strictly", attention_bias=True), entries("read", attention_bias=False),
        entries("read", tie_word_embeddings=True),
        tied_without_a_head(),
    ],
    "qwen3": COMMON + sizes() + norm_and_mlp() + angles() + [
        entries("refused layer_types", use_sliding_window=False), entries("refused layer_types", use_sliding_window=ABSENT),
        entries("read", use_sliding_window=False, layer_types=ABSENT),
        entries("read", sliding_window=5), entries("read", sliding_window=5, layer_types=ABSENT, max_window_layers=0),
        entries("read", layer_types=ABSENT, max_window_layers=2), entries("read", layer_types=ABSENT, max_window_layers=3),
        entries("read", layer_types=ABSENT, max_window_layers=ABSENT), entries("read", layer_types=[SLIDING, FULL, FULL]),
        entries("read", layer_types=["attention", FULL, SLIDING]),
        entries("refused layer_types", layer_types=[FULL, FULL]),
        entries("refused layer_types", use_sliding_window=False, layer_types=[SLIDING] * 3),
        entries("read", attention_bias=False), entries("refused shape", head_dim=10),
        entries("refused head_dim, strictly", head_dim=0), entries("refused head_dim", head_dim=None), entries("refused shape", head_dim=ABSENT),
        entries("refused shape", num_key_value_heads=3), entries("refused shape", num_key_value_heads=None),
        entries("refused num_key_value_heads", num_key_value_heads=ABSENT),
        entries("refused lm_head.weight is missing", tie_word_embeddings=False),
    ],
    "gemma": COMMON + sizes() + norm_and_mlp() + angles() + bidirectional() + [
        entries("read", attention_bias=ABSENT), entries("refused is missing, strictly", attention_bias=True),
        entries("read", hidden_activation=None), entries("read", hidden_activation="gelu_pytorch_tanh"),
        entries("refused hidden_activation, strictly", hidden_activation="relu"),
        entries("refused shape", head_dim=10), entries("refused shape", head_dim=ABSENT),
        entries("refused shape", num_key_value_heads=3), entries("refused num_key_value_heads", num_key_value_heads=ABSENT),
        entries("refused lm_head.weight is missing", tie_word_embeddings=False),
    ],
    "gemma2": COMMON + sizes() + norm_and_mlp(activation="hidden_activation") + angles() + bidirectional() + [
        entries("read", sliding_window=4), entries("read", sliding_window=ABSENT), entries("read", layer_types=ABSENT),
        entries("read", layer_types=[FULL] * 3), entries("read", layer_types=[FULL, SLIDING, SLIDING]),
        entries("refused sliding_window", layer_types=[FULL] * 3, sliding_window=None),
        entries("refused sliding_window", sliding_window=None),
        entries("read", sliding_window=6, sliding_window_size=6),
        entries("refused sliding_window_size, strictly", sliding_window_size=7),
        entries("read", attn_logit_softcapping=None), entries("read", attn_logit_softcapping=0.7),
        entries("read", attn_logit_softcapping=ABSENT), entries("read", final_logit_softcapping=None),
        entries("read", final_logit_softcapping=5.0), entries("read", final_logit_softcapping=ABSENT),
        entries("read", query_pre_attn_scalar=4), entries("read", query_pre_attn_scalar=ABSENT),
        entries("refused query_pre_attn_scalar", query_pre_attn_scalar=0),
        entries("read", hidden_act="gelu_pytorch_tanh", cache_implementation="hybrid"),
        entries("refused hidden_act, strictly", hidden_act="silu"),
        entries("refused is missing, strictly", attention_bias=True), entries("refused shape", head_dim=8),
        entries("refused shape", num_key_value_heads=1), entries("refused shape", num_key_value_heads=ABSENT),
        entries("refused lm_head.weight is missing", tie_word_embeddings=False),
    ],
    "gemma3": COMMON + sizes() + norm_and_mlp(activation="hidden_activation") + bidirectional() + [
        entries("read", sliding_window=4), entries("read", sliding_window=ABSENT), entries("read", layer_types=ABSENT),
        entries("read", layer_types=ABSENT, sliding_window_pattern=2),
        entries("read", layer_types=ABSENT, sliding_window_pattern=1, _sliding_window_pattern=3),
        entries("read", layer_types=[FULL, FULL, SLIDING]), entries("refused sliding_window", sliding_window=None),
        entries("refused attn_logit_softcapping, strictly", attn_logit_softcapping=2.0),
        entries("read", attn_logit_softcapping=None), entries("read", final_logit_softcapping=2.0),
        entries("read", query_pre_attn_scalar=4), entries("read", query_pre_attn_scalar=ABSENT),
        entries("read", rope_parameters=ABSENT), entries("read", rope_parameters=None, rope_theta=50.0),
        entries("read", rope_parameters=ABSENT, rope_local_base_freq=33.0, rope_theta=50.0),
        entries("read", rope_parameters=ABSENT, rope_scaling=LINEAR),
        entries("read", rope_parameters=ABSENT, rope_scaling={"type": "linear", "factor": 3.0}),
        entries("read", rope_parameters=ABSENT, rope_scaling=LINEAR | {"rope_theta": 9.0}),
        entries("read", rope_scaling={"factor": 2.0}), entries("read", rope_scaling=None),
        entries("read", rope_parameters={FULL: {"rope_theta": 4.0}}, rope_local_base_freq=33.0),
        entries("read", rope_parameters={SLIDING: LINEAR}, rope_theta=33.0),
        entries("read", rope_parameters={FULL: None, SLIDING: {"rope_type": "default"}}, rope_theta=33.0),
        entries("refused rope_parameters.rope_theta, strictly", rope_parameters={"rope_theta": 5.0}),
        entries("refused rope_type", rope_parameters={FULL: {"rope_type": "yarn", "factor": 2.0}}),
        entries("refused rope_type", rope_parameters=ABSENT, rope_scaling={"rope_type": "dynamic", "factor": 2.0},
                max_position_embeddings=8),
        entries("refused hidden_act, strictly", hidden_act="silu"), entries("read", max_position_embeddings=8),
        entries("refused is missing, strictly", attention_bias=True), entries("refused shape", head_dim=10),
        entries("refused shape", num_key_value_heads=1), entries("refused shape", num_key_value_heads=ABSENT),
        entries("refused lm_head.weight is missing", tie_word_embeddings=False),
    ],
    "gemma3-images": [
        entries("read"), entries("read", image_token_index=3, boi_token_index=4, eoi_token_index=5, mm_tokens_per_image=9),
        entries("read", initializer_range=0.5), nested("read", sliding_window=3),
        nested("read", query_pre_attn_scalar=5), nested("read", rope_parameters=ABSENT, rope_scaling=LINEAR),
        nested("refused final_logit_softcapping, strictly", final_logit_softcapping=1.0),
        nested("refused text_config.num_hidden_layers", num_hidden_layers=0),
        nested("refused text_config.hidden_size", hidden_size="28"), nested("refused shape", intermediate_size=17),
        nested("refused tie_word_embeddings, strictly", tie_word_embeddings=False),
        entries("refused tie_word_embeddings", tie_word_embeddings=False),
        entries("refused unheard_of, strictly", unheard_of=3), nested("refused unheard_of, strictly", unheard_of=3),
        entries("refused hidden_size, strictly", hidden_size=3),
    ],
    "gpt2": COMMON + norm_and_mlp("layer_norm_epsilon", "activation_function") + [
        entries("refused shape", vocab_size=39), entries("refused shape", n_inner=32), entries("refused shape", n_inner=None),
        entries("refused shape", n_inner=ABSENT), entries("read", n_layer=1), entries("refused is missing, strictly", n_layer=3),
        entries("refused shape", n_embd=16), entries("refused n_embd", n_embd="20"), entries("read", n_head=2),
        entries("refused n_head", n_head=3), entries("refused shape", n_positions=41), entries("read", n_ctx=7),
        entries("read", scale_attn_weights=False), entries("read", scale_attn_by_inverse_layer_idx=False),
        entries("read", scale_attn_by_inverse_layer_idx=ABSENT, scale_attn_weights=ABSENT),
        entries("refused scale_attn_weights", scale_attn_weights=None),
        entries("read", reorder_and_upcast_attn=True), entries("refused add_cross_attention, strictly", add_cross_attention=True),
        entries("read", attn_pdrop=0.5, resid_pdrop=0.3, embd_pdrop=0.2),
        entries("read", summary_type="last", summary_use_proj=False, summary_activation="tanh",
                summary_proj_to_labels=False, summary_first_dropout=0.3),
        entries("refused lm_head.weight is missing", tie_word_embeddings=False),
    ],
    "gpt_neox": COMMON + norm_and_mlp("layer_norm_eps") + [
        entries("refused shape", vocab_size=39), entries("refused shape", intermediate_size=17),
        entries("read", num_hidden_layers=1), entries("refused is missing, strictly", num_hidden_layers=3),
        entries("refused shape", hidden_size=12), entries("refused num_attention_heads", num_attention_heads=5),
        entries("read", num_attention_heads=2), entries("read", use_parallel_residual=False),
        entries("read", use_parallel_residual=ABSENT), entries("refused use_parallel_residual", use_parallel_residual=None),
        entries("read", attention_bias=False), entries("read", attention_bias=ABSENT),
        entries("read", hidden_dropout=0.3, classifier_dropout=0.4, is_decoder=True, max_position_embeddings=8),
        entries("read", rope_parameters=ABSENT), entries("read", rope_parameters=ABSENT, rotary_pct=1.0),
        entries("read", rope_parameters=ABSENT, rotary_pct=0.7, rotary_emb_base=50),
        entries("read", rope_parameters=ABSENT, rotary_pct=0.5, rotary_emb_base=50, rope_scaling=LINEAR),
        entries("read", rope_parameters=ABSENT, rotary_pct=0.5, partial_rotary_factor=0.5, rope_theta=10000),
        entries("read", rope_parameters={"rope_theta": 44.0}, rotary_pct=0.5, rotary_emb_base=50),
        entries("read", rope_parameters=LINEAR | {"partial_rotary_factor": 0.5}),
        entries("refused rope_theta, strictly", rope_parameters=ABSENT, rope_theta=50.0),
        entries("refused partial_rotary_factor, strictly", rope_parameters=ABSENT, partial_rotary_factor=0.5),
        entries("refused rotary_pct", rope_parameters=ABSENT, rotary_pct=1.5),
        entries("refused rope_type", rope_parameters={"rope_type": "yarn", "factor": 2.0}, max_position_embeddings=8),
        entries("read", tie_word_embeddings=True),
    ],
    "gpt_neox-sequential": [
        entries("read"), entries("read", use_parallel_residual=True),
        entries("refused is missing, strictly", attention_bias=True),
        entries("refused lm_head.weight is missing", tie_word_embeddings=False),
    ],
}
