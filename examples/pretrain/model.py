"""A Llama of transformers with random weights, and its optimizer."""

from __future__ import annotations

import contextlib
import math
from typing import Any, cast

import torch
import transformers
import triangle_attn_op.integrations.transformers  # noqa: F401  makes attn_implementation="triangle" known
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from .arguments import Config
from .data import VOCABULARY

transformers.logging.set_verbosity_error()


def build(
    config: Config, device: torch.device, implementation: str | None = None, seq_length: int | None = None
) -> LlamaForCausalLM:
    """The model of a run; `implementation` and `seq_length` may differ from the run's for measurements. The weights
    depend on the seed alone."""
    torch.manual_seed(config.seed)
    llama = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=config.hidden_size,
        intermediate_size=config.ffn_hidden_size,
        num_hidden_layers=config.num_layers,
        num_attention_heads=config.num_attention_heads,
        num_key_value_heads=config.num_query_groups,
        max_position_embeddings=seq_length or config.seq_length,
        attention_dropout=config.attention_dropout,
        use_cache=False,
        pad_token_id=None,
        bos_token_id=None,
        eos_token_id=None,
    )
    llama._attn_implementation = implementation or config.attn_implementation
    if implementation is None and config.context_parallel_size > 1:
        from triangle_attn_op.integrations import context_parallel

        llama._attn_implementation = context_parallel.NAME
    model: Any = LlamaForCausalLM(llama)
    if config.checkpoint_activations:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    return cast(LlamaForCausalLM, model.to(device))


def optimizer(config: Config, model: torch.nn.Module) -> torch.optim.AdamW:
    """AdamW with weight decay on matrices only."""
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() <= 1]
    groups: list[dict[str, Any]] = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.lr, betas=(config.adam_beta1, config.adam_beta2))


def learning_rate(config: Config, iteration: int) -> float:
    """Linear warm-up, then a cosine down to min_lr at step lr_decay_iters; iterations count from 1."""
    if iteration <= config.lr_warmup_iters:
        return config.lr * iteration / config.lr_warmup_iters
    done = min(1.0, (iteration - config.lr_warmup_iters) / max(1, config.lr_decay_iters - config.lr_warmup_iters))
    return config.min_lr + (config.lr - config.min_lr) * 0.5 * (1 + math.cos(math.pi * done))


def loss(model: torch.nn.Module, batch: dict[str, Any], config: Config) -> Tensor:
    """Mean nats a predicted token; input_ids and labels int64 [B, S], of which S - 1 are predicted in each sequence."""
    low = torch.bfloat16 if config.bf16 else torch.float16 if config.fp16 else None
    device = batch["input_ids"].device.type
    autocast = contextlib.nullcontext() if low is None else torch.autocast(device, dtype=low)
    with autocast:
        # Named so that no key-value cache is made and no mask: all positions are real and in order.
        result: Tensor = model(**batch, use_cache=False).loss
    return result
