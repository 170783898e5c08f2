"""Hugging Face transformers: `attn_implementation="triangle"`.

Importing this module registers the implementation, nothing else is needed:

    import triangle_attn_op.integrations.transformers
    model = AutoModelForCausalLM.from_config(config, attn_implementation="triangle")

Two functions are registered under the one name. `triangle_mask` decides what hides keys: nothing but the causal rule
where it can, key padding beside it, or a mask written out; it hands over a `CausalMask`, which nothing but
`triangle_attention_forward` can read. So a layer that does not go through transformers' AttentionInterface cannot
mistake it for another mask: it ends in an error. Models of transformers whose file shows that they do not are refused
when they are made.
"""

from __future__ import annotations

import functools
import inspect
import re
import sys
from collections.abc import Callable
from typing import Any

import torch
import transformers
from packaging.version import Version
from torch import Tensor, nn

from triangle_attn_op.functional import triangle_attention

NAME = "triangle"
OLDEST = "5.4.0"  # the first whose mask functions take q_length and q_offset instead of cache_position

if Version(transformers.__version__) < Version(OLDEST):
    raise ImportError(f"triangle_attn_op: expected transformers >= {OLDEST}, got {transformers.__version__}")

from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel  # noqa: E402
from transformers.masking_utils import causal_mask_function, prepare_padding_mask, sdpa_mask  # noqa: E402

from triangle_attn_op.integrations._transformers_mask import EAGER, NOT_ROUTED, CausalMask  # noqa: E402

# What other implementations take and this one does not; given, each is an error. The value says what to do instead.
_UNSUPPORTED = {
    "position_bias": EAGER,
    "sinks": f"a model's sinks are expected as s_aux; {EAGER}",
    "head_mask": EAGER,
    "cache": "paged caches (continuous batching) are not supported, use generate()",
    "cu_seq_lens_q": "packed documents are recognised by position_ids, with attention_mask=None and use_cache=False",
    "cu_seq_lens_k": "packed documents are recognised by position_ids, with attention_mask=None and use_cache=False",
}

_names: set[str] = set()
_NOT_PASSED: Any = object()  # a model whose attention never mentions sliding_window, which is not the same as None


def register() -> None:
    """Makes `attn_implementation="triangle"` known to transformers; done on import, harmless when repeated."""
    register_for_routing_models(NAME, triangle_attention_forward, triangle_mask)


def register_for_routing_models(name: str, forward: Callable[..., Any], mask: Callable[..., Any]) -> None:
    """Registers an implementation whose masks are `CausalMask`s; models that show no routing are refused under it."""
    AttentionInterface.register(name, forward)
    AttentionMaskInterface.register(name, mask)
    _names.add(name)
    check = PreTrainedModel.get_correct_attn_implementation
    PreTrainedModel.get_correct_attn_implementation = _refusing(check)  # type: ignore[method-assign]


def _refusing(check: Callable[..., str]) -> Callable[..., str]:
    """transformers' check of an implementation's name, which every model runs before it makes its layers, and which
    refuses besides what `shows_no_routing` finds."""
    if getattr(check, "_refuses_for_triangle", False):
        return check

    @functools.wraps(check)
    def checked(self: PreTrainedModel, requested_attention: str | None, *args: Any, **kwargs: Any) -> str:
        if requested_attention in _names and shows_no_routing(type(self)):  # type: ignore[arg-type]
            raise NotImplementedError(f"attn_implementation: {type(self).__name__}: {NOT_ROUTED}; {EAGER}")
        return check(self, requested_attention, *args, **kwargs)

    checked._refuses_for_triangle = True  # type: ignore[attr-defined]
    return checked


@functools.cache
def shows_no_routing(model: Any) -> bool:
    """Whether the file that a model's class or its nearest base with an attention layer is written in makes no use of
    transformers' AttentionInterface. False where no file can be read: then its first forward tells (`CausalMask`)."""
    for base in model.__mro__:
        module = sys.modules.get(base.__module__)
        if base is PreTrainedModel or module is None:
            return False
        try:
            code = inspect.getsource(module)
        except (OSError, TypeError):
            continue
        if re.search(r"^class \w*Attention\w*\(.*Module\):", code, re.MULTILINE):
            return re.search(r"\bALL_ATTENTION_FUNCTIONS\b|\bAttentionInterface\b", code) is None
    return False


def triangle_attention_forward(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | CausalMask | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = _NOT_PASSED,
    is_causal: bool | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Causal attention of one layer, called by the model.

    Args:
        module: the layer; its `is_causal` and `config` are read.
        query: `[B, Hq, Sq, D]`; key `[B, Hkv, Sk, D]` and value `[B, Hkv, Sk, Dv]`, the cache included.
        attention_mask: None: the last query sees the last key, and the causal rule and the window hold. A CausalMask:
            as `triangle_mask` decided. A tensor, bool (True = may attend) or float (added to the scores),
            `[B, 1 or Hq, Sq, Sk]`: the mask says everything, as in transformers' own implementations, and neither
            causal rule nor window is added.
        dropout: probability, 0.0 in evaluation.
        scaling: of the scores; None is 1/sqrt(D).
        sliding_window: a query sees itself and the sliding_window - 1 keys before it.
        is_causal: overrides the module's.
        softcap: c * tanh(score / c) in each scaled score's place (Gemma 2).
        s_aux: `[Hq]`, sinks: a logit a head that joins the softmax and carries no value (gpt-oss).

    Returns:
        (`[B, Sq, Hq, Dv]`, None): attention weights are never formed.

    Raises:
        NotImplementedError: what the operator cannot do was asked for (see `_UNSUPPORTED`); the message names it.
        ValueError, TypeError: bad shapes or dtypes.
    """
    if isinstance(attention_mask, CausalMask):
        is_causal = True  # such a mask is made for no other layer; some layers ask instead whether there is a mask
    _refuse_unsupported(module, is_causal, kwargs)
    q_length, kv_length = query.shape[2], key.shape[2]
    mask, diagonal, says_everything = _resolved(attention_mask, q_length, kv_length)
    window = None if says_everything else _window_size_left(module, sliding_window, kv_length)
    out = triangle_attention(
        query,
        key,
        value,
        attn_mask=mask,
        scale=scaling,
        diagonal=diagonal,
        window_size_left=window,
        dropout_p=dropout,
        softcap=softcap,
        sinks=s_aux,
    )
    return out.transpose(1, 2).contiguous(), None


def _resolved(
    mask: Tensor | CausalMask | None, q_length: int, kv_length: int
) -> tuple[Tensor | None, int | None, bool]:
    """(the operator's attn_mask, its diagonal, whether the mask says everything)."""
    if mask is None:
        return None, None, False
    if len(mask.shape) != 4:
        raise ValueError(f"attention_mask: expected 4 dimensions [B, 1 or Hq, Sq, Sk], got shape {list(mask.shape)}")
    if tuple(mask.shape[-2:]) != (q_length, kv_length):
        raise ValueError(
            f"attention_mask: expected a shape of [B, 1 or Hq, {q_length}, {kv_length}], got {list(mask.shape)}"
        )
    if isinstance(mask, CausalMask):
        if mask.written is None:
            return mask.padding, None, False
        if mask.diagonal is not None:
            return mask.written, mask.diagonal, True
        mask = mask.written
    # A diagonal of Sk - 1 hides nothing. torch.jit.trace makes tensors of sizes; a trace keeps those it saw.
    return mask, int(kv_length) - 1 if torch.jit.is_tracing() else kv_length - 1, True


def triangle_mask(
    batch_size: int,
    q_length: int,
    kv_length: int,
    q_offset: int | Tensor = 0,
    kv_offset: int = 0,
    mask_function: Callable[..., Any] = causal_mask_function,
    attention_mask: Tensor | CausalMask | None = None,
    local_size: int | None = None,
    allow_is_causal_skip: bool = True,
    config: Any = None,
    **kwargs: Any,
) -> CausalMask | None:
    """What a forward pass hides, in as little memory as possible; called once a pass for each kind of layer.

    Query i stands at position q_offset + i, key j at kv_offset + j. Where the last query stands on the last key,
    `triangle_attention_forward` hides the same pairs by itself. Where it does not (a static cache, whose tail is still
    empty) or where the rule is another one (packed documents, chunked attention, a model's own overlay), the mask is
    written out.

    Returns:
        A CausalMask; None where one query sees every key, which any model reads rightly.

    Raises:
        NotImplementedError: bidirectional attention.
    """
    if isinstance(attention_mask, CausalMask):
        return attention_mask  # `generate` made it in advance, for a static cache
    if "allow_is_bidirectional_skip" in kwargs:  # only transformers' bidirectional masks pass it
        raise NotImplementedError(f"is_causal: expected True, triangle attention is causal; {EAGER}")
    # The flag is off wherever anything was laid over the causal rule or its window. A chunked layer (its local_size is
    # no window) keeps it on.
    causal_only = allow_is_causal_skip and (
        mask_function is causal_mask_function if local_size is None else local_size == _config_window(config)
    )
    if causal_only and q_length > 1 and _ends_together(q_length, kv_length, q_offset, kv_offset):
        padding = _key_padding(attention_mask, kv_length, kv_offset)
        return CausalMask((batch_size, 1, q_length, kv_length), padding=padding)
    if causal_only and q_length == 1 and attention_mask is None and _ends_together(1, kv_length, q_offset, kv_offset):
        return None
    written_out: Any = sdpa_mask  # upstream annotates an int offset, and None as a possible result
    written: Tensor = written_out(
        batch_size=batch_size,
        q_length=q_length,
        kv_length=kv_length,
        q_offset=q_offset,
        kv_offset=kv_offset,
        mask_function=mask_function,
        attention_mask=attention_mask,
        local_size=local_size,
        allow_is_causal_skip=False,
        **kwargs,
    )
    known = q_length > 1 and not _tracing() and _within_causal(mask_function)
    return CausalMask(
        (batch_size, 1, q_length, kv_length), written=written, diagonal=int(q_offset) - kv_offset if known else None
    )


def _ends_together(q_length: int, kv_length: int, q_offset: int | Tensor, kv_offset: int) -> bool:
    """Whether the last query stands on the last key. No compiler looks into a static cache's offset."""
    if isinstance(q_offset, Tensor) and _tracing():
        return False
    return bool(q_offset + q_length == kv_offset + kv_length)


def _key_padding(attention_mask: Tensor | None, kv_length: int, kv_offset: int) -> Tensor | None:
    """bool `[B, 1, 1, Sk]` from transformers' `[B, positions]`, or None where it is known to hide nothing."""
    padding = prepare_padding_mask(attention_mask, kv_length, kv_offset)
    if padding is None:
        return None
    padding = padding[:, kv_offset : kv_offset + kv_length]
    # Looked into only where that costs no synchronisation with a device.
    if padding.device.type == "cpu" and not _tracing() and bool(padding.all()):
        return None
    return padding[:, None, None, :]


def _within_causal(mask_function: Callable[..., Any]) -> bool:
    """Whether a mask function shows no key right of the diagonal, by its structure; False where that is not known.

    Known are the causal rule, whatever is intersected with it, and packed documents: their positions are remapped to
    those within the document, which keeps the order of tokens, but only beside the test that both tokens are of one
    document.
    """
    if mask_function is causal_mask_function:
        return True
    free = _free_variables(mask_function)
    parts = free.get("mask_functions", ())
    if getattr(mask_function, "__name__", "") != "and_mask":
        return False
    same_document = any("packed_sequence_mask" in _free_variables(part) for part in parts)
    for part in parts:
        remapped = _free_variables(part)
        if same_document and "position_ids" in remapped and "mask_function" in remapped:
            part = remapped["mask_function"]
        if _within_causal(part):
            return True
    return False


def _free_variables(function: Callable[..., Any]) -> dict[str, Any]:
    code, closure = getattr(function, "__code__", None), getattr(function, "__closure__", None)
    if code is None or closure is None:
        return {}
    return dict(zip(code.co_freevars, (cell.cell_contents for cell in closure)))


def _config_window(config: Any) -> int | None:
    """The config's sliding window; None for a model with chunked attention, whose chunk may be mistaken for it."""
    chunked = getattr(config, "attention_chunk_size", None) is not None
    return None if chunked else getattr(config, "sliding_window", None)


def _window_size_left(module: nn.Module, sliding_window: int | None, kv_length: int) -> int | None:
    if sliding_window is None:
        return None
    if sliding_window is not _NOT_PASSED:
        return sliding_window - 1
    config = getattr(module, "config", None)
    window = getattr(config, "sliding_window", None)
    kinds, layer = getattr(config, "layer_types", None), getattr(module, "layer_idx", None)
    sliding = kinds is None or layer is None or kinds[layer] == "sliding_attention"
    if window is not None and sliding and kv_length > window:
        # transformers' mask for such a layer is left to the operator's window, which needs to be told.
        raise NotImplementedError(
            f"sliding_window: {type(module).__name__} has a window of {window} in its config but does not pass it to "
            f"the attention; {EAGER}"
        )
    return None


def _refuse_unsupported(module: nn.Module, is_causal: bool | None, kwargs: dict[str, Any]) -> None:
    if is_causal is None:
        is_causal = getattr(module, "is_causal", True)
    if not is_causal:
        raise NotImplementedError(
            f"is_causal: expected True, triangle attention is causal, got {type(module).__name__}; {EAGER}"
        )
    if kwargs.get("output_attentions") or getattr(getattr(module, "config", None), "output_attentions", False):
        raise NotImplementedError(f"output_attentions: attention weights are never formed; {EAGER}")
    for name, instead in _UNSUPPORTED.items():
        if kwargs.get(name) is not None:
            raise NotImplementedError(f"{name}: not supported by triangle attention; {instead}")


def _tracing() -> bool:
    return torch.compiler.is_compiling() or torch.jit.is_tracing()


register()
