"""transformers models over a context-parallel group: `attn_implementation="triangle_context_parallel"`.

    import triangle_attn_op.integrations.context_parallel as cp

    model = AutoModelForCausalLM.from_config(config, attn_implementation="triangle_context_parallel")
    layout = ContextLayout.zigzag(seq_length, dist.get_world_size(group))
    with cp.context_parallel(layout, group):
        loss = model(**split_batch(batch, layout, dist.get_rank(group))).loss
        loss.backward()

Every rank holds its own tokens with their position ids; the loss is over its own tokens, so gradients are averaged over
the group as over data-parallel ranks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch.distributed as dist
from torch import Tensor, nn
from transformers.masking_utils import causal_mask_function

from ..distributed import ContextLayout, ring_attention, ulysses_attention
from ._transformers_mask import CausalMask
from ._transformers_packed import free_variables
from ._transformers_routing import register_for_routing_models
from .transformers import _NOT_PASSED, _window_size_left

NAME = "triangle_context_parallel"
_ATTENTIONS = {"ring": ring_attention, "all_to_all": ulysses_attention}


@dataclass(frozen=True)
class _Active:
    layout: ContextLayout
    group: dist.ProcessGroup | None
    attention: Any


# A plain global: backward, which may recompute a layer, can run in a thread of its own.
_active: _Active | None = None


@contextmanager
def context_parallel(
    layout: ContextLayout, group: dist.ProcessGroup | None = None, method: Literal["ring", "all_to_all"] = "ring"
) -> Iterator[None]:
    """Within it, models with this attention implementation attend over `group` (the default group where None); wraps
    forward and backward.

    A layout with cu_seq is for packed documents, in a batch of one row.

    Raises:
        ValueError: an unknown method, or a layout for another number of ranks.
    """
    global _active
    if method not in _ATTENTIONS:
        raise ValueError(f"method: expected one of {sorted(_ATTENTIONS)}, got {method!r}")
    if layout.ranks != dist.get_world_size(group):
        raise ValueError(
            f"layout: expected one of the group's {dist.get_world_size(group)} ranks, got one of {layout.ranks}"
        )
    before, _active = _active, _Active(layout, group, _ATTENTIONS[method])
    try:
        yield
    finally:
        _active = before


def attention_forward(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: CausalMask | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = _NOT_PASSED,
    is_causal: bool | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """transformers' attention interface: query `[B, Hq, local, D]`, key, value `[B, Hkv, local, D]` -> `[B, local, Hq,
    D]`.
    """
    if _active is None:
        raise RuntimeError(
            f"{NAME}: expected to be called within triangle_attn_op.integrations.context_parallel.context_parallel()"
        )
    if isinstance(attention_mask, CausalMask):
        is_causal = True
    elif attention_mask is not None:
        raise ValueError(f"attention_mask: not supported by {NAME}, expected None")
    if not (getattr(module, "is_causal", True) if is_causal is None else is_causal):
        raise ValueError(f"is_causal: expected True, {NAME} has no other attention")
    for name in ("position_bias", "s_aux", "sinks", "softcap", "head_mask", "cache", "cu_seq_lens_q", "cu_seq_lens_k"):
        if kwargs.get(name) is not None:
            raise NotImplementedError(f"{name}: not supported by {NAME}")
    if kwargs.get("output_attentions"):
        raise ValueError(f"output_attentions: not supported by {NAME}, which never forms the probabilities")
    query, key, value = (t.to(value.dtype) for t in (query, key, value))  # a rotary embedding in float32 widens q and k
    options: dict[str, Any] = {
        "group": _active.group,
        "layout": _active.layout,
        "scale": scaling,
        "window_size_left": _window_size_left(module, sliding_window, _active.layout.length),
        "dropout_p": dropout,
    }
    if _active.layout.cu_seq is None:
        return _active.attention(query, key, value, **options).transpose(1, 2), None
    if query.shape[0] != 1:
        raise ValueError(f"query: expected a batch of one row of packed documents, got shape {list(query.shape)}")
    return _active.attention(*(t[0].transpose(0, 1) for t in (query, key, value)), **options).unsqueeze(0), None


def no_mask(
    batch_size: int,
    q_length: int,
    kv_length: int,
    *args: Any,
    mask_function: Callable[..., Any] = causal_mask_function,
    attention_mask: Tensor | None = None,
    **kwargs: Any,
) -> CausalMask:
    """transformers' mask interface: the layout says it all, which only `attention_forward` knows.

    Raises:
        ValueError: padding, or positions that restart where the layout has one sequence.
        NotImplementedError: a rule that the layout does not know of: bidirectional, chunked, a model's own overlay.
    """
    if attention_mask is not None and not bool(attention_mask.bool().all()):
        raise ValueError(
            f"attention_mask: padding is not supported by {NAME}; pack documents (a layout with cu_seq) instead"
        )
    if "allow_is_bidirectional_skip" in kwargs:  # only transformers' bidirectional masks pass it
        raise NotImplementedError(f"is_causal: expected True, {NAME} has no other attention")
    _check_rule(mask_function)
    return CausalMask((batch_size, 1, q_length, kv_length))


def _check_rule(rule: Callable[..., Any]) -> None:
    """Passes the causal rule, a window (the layers pass its size), and packed documents, for which transformers takes
    the jumps of local positions.
    """
    if rule is causal_mask_function:
        return
    free = free_variables(rule)
    if getattr(rule, "__name__", "") == "and_mask" and "mask_functions" in free:
        for part in free["mask_functions"]:
            _check_rule(part)
    elif free.keys() == {"mask_function", "position_ids"}:
        _check_positions(free["position_ids"])
        _check_rule(free["mask_function"])
    elif free.keys() != {"sliding_window"} and free.keys() != {"packed_sequence_mask"}:
        raise NotImplementedError(
            f"mask_function: expected the causal rule, a sliding window or packed documents, {NAME} has no other "
            f"attention, got {getattr(rule, '__qualname__', rule)}"
        )


def _check_positions(position_ids: Tensor) -> None:
    """Documents that restart their positions need a layout that knows of them."""
    if _active is None or _active.layout.cu_seq is not None:
        return
    expected = _active.layout.position_ids(dist.get_rank(_active.group)).to(position_ids.device)
    if position_ids.shape[-1] != expected.numel():
        return  # the attention will say so
    ahead = position_ids - expected
    if bool((ahead != ahead[..., :1]).any()):
        raise ValueError(
            f"position_ids: expected this rank's tokens of one sequence in the layout {_active.layout.name!r}, got "
            f"{position_ids[0].tolist()[:8]}...; packed documents need a layout with cu_seq"
        )


register_for_routing_models(NAME, attention_forward, no_mask)
