"""Tiny configurations of whatever causal language models the installed transformers has, from its own defaults: sizes
are set by the names of the fields, one layer of each kind is kept. What that gets wrong for a family is in `EXTRA`."""

from __future__ import annotations

import re
from typing import Any

from transformers import AutoConfig, PreTrainedConfig

VOCAB = 96
WINDOW = 7
# A family's fields, by their whole names; the first that matches counts.
SIZES: list[tuple[str, Any]] = [
    (r"codebook_size|audio_vocab_size", 64),
    (r".*vocab_size.*|encoder_hash_byte_group_vocab", VOCAB),
    (r"num_key_value_heads|num_kv_heads|.*num_key_heads|swa_num_key_value_heads|num_global_key_value_heads", 2),
    (r"mamba_n_heads|mamba_num_heads", 8),
    (r".*heads(_per_layer)?|n_head|.*num_attention_heads.*", 4),
    (r"rotary_dim", 4),
    (r"qk_head_dim", 16),
    (r".*head_dim|attention_head_size|d_kv|kv_channels|dim_head|mamba_d_head", 8),
    (r"mamba_d_ssm", 64),
    (r"hidden_size|d_model|n_embd|emb(ed)?_dim|dim|word_embed_proj_dim|attention_hidden_size|lru_width", 32),
    (r"hidden_dim|hidden_size_global|embedding_size|projection_dim|out_hidden_size|output_dim|.*input_dim", 32),
    (r".*intermediate_size.*|.*ffn_dim|.*ffn_hidden_size|n_inner|d_ff|dim_ff|dff|feed_forward_size|mlp_dim", 48),
    (r".*num_(local_|routed_)?experts|n_routed_experts", 4),
    (r".*experts_per_tok(en)?|moe_top_?k|moe_k|top_k_experts", 2),
    (r"n_group|topk_group|num_expert_group|first_k_dense_replace", 1),
    (r".*lora_rank", 16),
    (r".*max_position_embeddings|n_positions|n_ctx|max_seq_len|context_length|model_max_length", 128),
    (r".*sliding_window(_size)?|attention_window_size|local_attention", WINDOW),
    (r"pad_token_id", 0),
    (r"(bos|eos|sep|cls|decoder_start)_token_id", 1),
    (r".*_token_(id|index)", VOCAB - 1),
    (r"is_decoder", True),
]
LAYERS = r"(num_)?((encoder|decoder)_)?(hidden_)?layers|n_layers?|depth|num_blocks"
# Lists with an entry a layer.
KINDS = ("layer_types", "layers_block_type", "mlp_layer_types", "indexer_types")
EVEN_IF_NONE = r"head_dim|num_key_value_heads|n_routed_experts|num_experts_per_tok|(pad|bos|eos|sep)_token_id"
# What the rules get wrong, by family: fields of its configuration, nested ones, and "layers", how many.
EXTRA: dict[str, dict[str, Any]] = {
    "bamba": {"attn_layer_indices": [1]},
    "dbrx": {
        "attn_config": {"kv_n_heads": 2},
        "ffn_config": {"ffn_hidden_size": 48, "moe_num_experts": 4, "moe_top_k": 2},
    },
    "dory": {"n_input_layers": 1, "n_recurrent_layers": 1, "n_output_layers": 1, "layer_types": None},
    "dots1": {"n_shared_experts": 1},
    "gemma3n_text": {"num_kv_shared_layers": 0},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]], "window_size": WINDOW},
    "granitemoehybrid": {"layer_types": ["mamba", "attention"]},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"]},
    "mamba2": {"num_heads": 8},
    "moshi": {"audio_encoder_config": {"codebook_size": 64}},
    "nemotron_h": {"n_groups": 1},
    "recurrent_gemma": {"num_hidden_layers": 3},
    "reformer": {"axial_pos_embds": False, "attn_layers": ["local", "local"], "num_hidden_layers": 2},
    "xlm": {"emb_dim": 32},
    "xmod": {"default_language": "en_XX"},
    "zamba": {
        "attention_hidden_size": 64,
        "attention_head_dim": 16,
        "num_hidden_layers": 4,
        "layers_block_type": ["linear_attention", "hybrid", "linear_attention", "hybrid"],
    },
    "zamba2": {"attention_hidden_size": 64, "attention_head_dim": 16},
    "zaya": {"num_experts_per_tok": 1},
}


def tiny(family: str) -> Any:
    """The family's configuration, as small as its rules allow."""
    config = AutoConfig.for_model(family)
    fields = _small(config)
    for name, value in EXTRA.get(family, {}).items():
        fields[name] = {**fields.get(name, {}), **value} if isinstance(value, dict) else value
    return type(config)(**fields)


def _small(config: PreTrainedConfig) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    values = config.to_dict()
    latent = "qk_nope_head_dim" in values  # whose keys are made for every head
    layers = _one_of_each_kind(values)
    for name, value in values.items():
        if name in config.sub_configs:
            part = getattr(config, name, None)
            if isinstance(part, PreTrainedConfig):
                fields[name] = _small(part)
                if config.sub_configs[name] is AutoConfig:
                    fields[name]["model_type"] = part.model_type
        elif name in KINDS and isinstance(value, list):
            fields[name] = [value[min(i, len(value) - 1)] for i in layers]
        elif isinstance(value, bool):
            if name == "is_decoder":
                fields[name] = True
        elif isinstance(value, int) or (value is None and re.fullmatch(EVEN_IF_NONE, name)):
            small = len(layers) if re.fullmatch(LAYERS, name) else _size(name)
            if small is not None:
                fields[name] = 4 if latent and name == "num_key_value_heads" else small
    return fields


def _one_of_each_kind(values: dict[str, Any]) -> list[int]:
    """Indices of at least two layers, the first of each kind among them."""
    for name in KINDS:
        kinds = values.get(name)
        if isinstance(kinds, list) and kinds:
            first = sorted({kind: i for i, kind in reversed(list(enumerate(kinds)))}.values())
            return first if len(first) > 1 else [first[0], min(first[0] + 1, len(kinds) - 1)]
    return [0, 1]


def _size(name: str) -> Any:
    return next((small for pattern, small in SIZES if re.fullmatch(pattern, name)), None)
