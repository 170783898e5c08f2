"""Tiny models of transformers for the tests of its integration, the same weights in every implementation."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers
import triangle_attn_op
from torch import Tensor
from transformers import AutoModelForCausalLM, LlamaConfig, MistralConfig, Qwen2Config
from triangle_attn_op.integrations import _transformers_packed as packing
from triangle_attn_op.integrations import transformers as integration

transformers.logging.set_verbosity_error()
# The import is slow: once is enough. The models are tiny: more threads would only wait for each other.
MARKS = [pytest.mark.xdist_group("transformers"), pytest.mark.usefixtures("one_thread")]

VOCAB, WINDOW = 96, 7
TIGHT = 1e-4  # against eager in float64, whose softmax is float32 all the same
SIZES: dict[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
    "bos_token_id": None,
    "eos_token_id": None,
}
CONFIGS: dict[str, Any] = {
    "llama": lambda: LlamaConfig(**SIZES),
    "mistral": lambda: MistralConfig(**SIZES, sliding_window=WINDOW),
    # The first layer sees everything, the second a window.
    "qwen2": lambda: Qwen2Config(**SIZES, use_sliding_window=True, sliding_window=WINDOW, max_window_layers=1),
}
MODELS = list(CONFIGS)
CONFIGS["gemma2"] = lambda: transformers.Gemma2Config(
    **SIZES, head_dim=8, query_pre_attn_scalar=8, attn_logit_softcapping=2.0, sliding_window=WINDOW
)
CONFIGS["gpt_oss"] = lambda: transformers.GptOssConfig(
    **SIZES, head_dim=8, sliding_window=WINDOW, num_local_experts=2, num_experts_per_tok=2
)


def build(kind: str, implementation: str, seed: int, dtype: torch.dtype = torch.float64, **changes: Any) -> Any:
    """A tiny model whose attention is far from uniform; the same weights for the same seed, whatever the
    implementation."""
    config = CONFIGS[kind]()
    for name, value in changes.items():
        setattr(config, name, value)
    torch.manual_seed(seed)  # some models draw biases
    model = AutoModelForCausalLM.from_config(config, attn_implementation=implementation)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
            elif name.endswith("sinks"):
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return model.to(dtype).eval()


def pair(kind: str, seed: int, dtype: torch.dtype = torch.float64, **changes: Any) -> tuple[Any, Any]:
    return build(kind, "eager", seed, dtype, **changes), build(kind, "triangle", seed, dtype, **changes)


def tokens(seed: int, *shape: int) -> Tensor:
    return torch.randint(1, VOCAB, shape, generator=torch.Generator().manual_seed(seed + 1))


def padded(length: int, *pads: int) -> Tensor:
    """int64 [B, length]: a row for each pad, positive from the left, negative from the right."""
    mask = torch.ones(len(pads), length, dtype=torch.long)
    for row, pad in zip(mask, pads):
        row[: max(pad, 0)] = 0
        row[length + min(pad, 0) :] = 0
    return mask


class Layer(torch.nn.Module):
    is_causal = True

    def __init__(self, config: Any = None) -> None:
        super().__init__()
        self.config = config


def record_calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Keyword arguments of every call of the operator from now on; the calls still run."""
    seen: list[dict[str, Any]] = []

    def call(q: Tensor, k: Tensor, v: Tensor, **options: Any) -> Any:
        seen.append({"q": q, "k": k, **options})
        return triangle_attn_op.triangle_attention(q, k, v, **options)

    monkeypatch.setattr(integration, "triangle_attention", call)
    return seen


def record_packed(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The offsets of every packed call from now on; a call of the dense operator fails."""
    seen: list[list[int]] = []

    def call(q: Tensor, k: Tensor, v: Tensor, cu_seq_q: Tensor, *args: Any, **options: Any) -> Any:
        seen.append(cu_seq_q.tolist())
        return triangle_attn_op.triangle_attention_varlen(q, k, v, cu_seq_q, *args, **options)

    monkeypatch.setattr(packing, "triangle_attention_varlen", call)
    monkeypatch.setattr(integration, "triangle_attention", None)
    return seen
