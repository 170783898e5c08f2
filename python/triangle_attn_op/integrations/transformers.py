"""Hugging Face transformers: `attn_implementation="triangle"`.

Importing this module registers the implementation, nothing else is needed:

    import triangle_attn_op.integrations.transformers
    model = AutoModelForCausalLM.from_config(config, attn_implementation="triangle")

Two functions are registered under the one name. `triangle_mask` decides what hides keys: nothing but the causal rule
where it can, key padding or documents beside it, or a mask written out. `triangle_attention_forward` runs the operator.
What passes between them nothing else can read (`OpaqueMask`), so a model that does not go through transformers'
AttentionInterface ends in an error.

`attn_implementation="triangle_or_sdpa"` leaves to sdpa what the operator is not for: layers without a causal rule,
cross-attention, and a learned position bias (encoder-decoder and vision-language models).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
import transformers
from packaging.version import Version
from torch import Tensor, nn

from triangle_attn_op.functional import triangle_attention

NAME = "triangle"
OR_SDPA = "triangle_or_sdpa"
OLDEST = "5.4.0"  # the first whose mask functions take q_length and q_offset instead of cache_position

if Version(transformers.__version__) < Version(OLDEST):
    raise ImportError(f"triangle_attn_op: expected transformers >= {OLDEST}, got {transformers.__version__}")

from transformers.integrations.sdpa_attention import sdpa_attention_forward  # noqa: E402
from transformers.masking_utils import causal_mask_function, eager_mask, prepare_padding_mask, sdpa_mask  # noqa: E402

from triangle_attn_op.integrations import _transformers_continuous  # noqa: E402
from triangle_attn_op.integrations._transformers_mask import (  # noqa: E402
    EAGER,
    BidirectionalMask,
    CausalMask,
    OpaqueMask,
)
from triangle_attn_op.integrations._transformers_packed import (  # noqa: E402
    documents_given,
    documents_in,
    packed_attention,
)
from triangle_attn_op.integrations._transformers_routing import register_for_routing_models  # noqa: E402
from triangle_attn_op.integrations._transformers_rules import chunks_in, free_variables, parts  # noqa: E402

# What the operator takes too: transformers' keyword and the operator's.
_OPERATOR_OPTIONS = {"softcap": "softcap", "s_aux": "sinks"}
# What other implementations take and this one does not; given, each is an error. The value says what to do instead.
_UNSUPPORTED = {
    "position_bias": f'use attn_implementation="{OR_SDPA}" or "eager"',
    "sinks": f"a model's sinks are expected as s_aux; {EAGER}",
    "head_mask": EAGER,
    "cache": "a cache inside the attention is not supported, use generate() or generate_batch()",
}
# What sdpa would ignore, in a layer that is left to it.
_IGNORED_BY_SDPA = {name: f"in a layer left to sdpa; {EAGER}" for name in (*_OPERATOR_OPTIONS, *_UNSUPPORTED)} | {
    "cu_seq_lens_q": "in a layer left to sdpa",
    "cu_seq_lens_k": "in a layer left to sdpa",
}
_NOT_CAUSAL = (
    "expected True, triangle attention is causal; use "
    f'attn_implementation="{OR_SDPA}", which leaves such layers to sdpa, or name the parts of the model: '
    '{"text_config": "triangle", "vision_config": "sdpa"}'
)

_NOT_PASSED: Any = object()  # a model whose attention never mentions sliding_window, which is not the same as None


def register() -> None:
    """Makes both names known to transformers; done on import, harmless when repeated."""
    register_for_routing_models(NAME, triangle_attention_forward, triangle_mask)
    register_for_routing_models(OR_SDPA, triangle_or_sdpa_forward, triangle_or_sdpa_mask)
    _transformers_continuous.register((NAME, OR_SDPA), triangle_attention_forward)


def triangle_attention_forward(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | OpaqueMask | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = _NOT_PASSED,
    is_causal: bool | None = None,
    cu_seq_lens_q: Tensor | None = None,
    cu_seq_lens_k: Tensor | None = None,
    max_length_q: int | None = None,
    max_length_k: int | None = None,
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
        cu_seq_lens_q: packed documents: int32 offsets `[documents + 1]` into the B * Sq queries; cu_seq_lens_k into the
            keys. max_length_q, max_length_k: upper bounds of a document's length. All four or none.
        kwargs: softcap: c * tanh(score / c) in each scaled score's place (Gemma 2). s_aux: `[Hq]`, sinks: a logit a
            head that joins the softmax and carries no value (gpt-oss).

    Returns:
        (`[B, Sq, Hq, Dv]`, None): attention weights are never formed.

    Raises:
        NotImplementedError: what the operator cannot do was asked for (see `_UNSUPPORTED`); the message names it.
        ValueError, TypeError: bad shapes or dtypes.
    """
    if not _is_causal(module, attention_mask, is_causal):
        raise NotImplementedError(f"is_causal: {_NOT_CAUSAL}, got {type(module).__name__}")
    _refuse_unsupported(module, kwargs, _UNSUPPORTED)
    q_length, kv_length = query.shape[2], key.shape[2]
    mask, diagonal, says_everything = _resolved(attention_mask, q_length, kv_length)
    options: dict[str, Any] = {
        "scale": scaling,
        "window_size_left": None if says_everything else _window_size_left(module, sliding_window, kv_length),
        "dropout_p": dropout,
        **{ours: kwargs[name] for name, ours in _OPERATOR_OPTIONS.items() if kwargs.get(name) is not None},
    }
    offsets = {
        "cu_seq_lens_q": cu_seq_lens_q,
        "cu_seq_lens_k": cu_seq_lens_k,
        "max_length_q": max_length_q,
        "max_length_k": max_length_k,
    }
    if isinstance(attention_mask, CausalMask) and attention_mask.intervals is not None:
        options["startend_row_indices"] = attention_mask.intervals
    documents = documents_given(attention_mask, offsets)
    if documents is None and isinstance(attention_mask, CausalMask):
        documents = attention_mask.documents
    if documents is not None:
        return packed_attention(query, key, value, documents, **options), None
    out = triangle_attention(query, key, value, attn_mask=mask, diagonal=diagonal, **options)
    return out.transpose(1, 2).contiguous(), None


def triangle_or_sdpa_forward(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | OpaqueMask | None,
    is_causal: bool | None = None,
    position_bias: Tensor | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """As `triangle_attention_forward`, and transformers' sdpa for a layer that is not causal or has a position bias."""
    causal = _is_causal(module, attention_mask, is_causal)
    if causal and position_bias is None:
        return triangle_attention_forward(module, query, key, value, attention_mask, is_causal=True, **kwargs)
    _refuse_unsupported(module, kwargs, _IGNORED_BY_SDPA)
    if position_bias is not None:
        if "position_bias" not in inspect.signature(sdpa_attention_forward).parameters:
            raise NotImplementedError(
                f"position_bias: not supported by sdpa in transformers {transformers.__version__}; {EAGER}"
            )
        kwargs["position_bias"] = position_bias
    mask: Any = attention_mask
    if isinstance(attention_mask, CausalMask):
        window = _window_size_left(module, kwargs.get("sliding_window", _NOT_PASSED), key.shape[2])
        mask = _written_out(attention_mask, query, window)
    elif isinstance(attention_mask, BidirectionalMask):
        mask = attention_mask.written
    return sdpa_attention_forward(module, query, key, value, mask, is_causal=causal, **kwargs)


def _is_causal(module: nn.Module, mask: Tensor | OpaqueMask | None, is_causal: bool | None) -> bool:
    """Whether a layer is causal. The mask knows best: some layers ask whether there is one instead of saying so."""
    if isinstance(mask, OpaqueMask):
        return isinstance(mask, CausalMask)
    return getattr(module, "is_causal", True) if is_causal is None else is_causal


def _written_out(mask: CausalMask, query: Tensor, window_size_left: int | None) -> Tensor:
    """bool `[B or 1, 1, Sq, Sk]`, for the few layers that sdpa computes under a causal rule."""
    if mask.written is not None:
        return mask.written
    q_length, kv_length = mask.shape[2:]
    p = torch.arange(q_length, device=query.device).unsqueeze(1) + kv_length - q_length
    j = torch.arange(kv_length, device=query.device)
    seen = (j <= p) if window_size_left is None else (j <= p) & (j >= p - window_size_left)
    if mask.documents is not None:
        offsets = mask.documents.cu_seq_q
        ids = torch.searchsorted(offsets, torch.arange(mask.shape[0] * q_length, device=query.device), right=True)
        ids = ids.view(mask.shape[0], 1, q_length)
        return seen & (ids.unsqueeze(3) == ids.unsqueeze(2))
    if mask.intervals is not None:
        seen = seen & (torch.arange(q_length, device=query.device).unsqueeze(1) < mask.intervals.transpose(2, 3))
    return seen.expand(mask.shape[0], 1, -1, -1) if mask.padding is None else seen & mask.padding


def _resolved(
    mask: Tensor | OpaqueMask | None, q_length: int, kv_length: int
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
    diagonal, written = None, mask
    if isinstance(mask, CausalMask):
        if mask.written is None:
            return mask.padding, None, mask.intervals is not None
        diagonal, written = mask.diagonal, mask.written
    assert isinstance(written, Tensor)  # a BidirectionalMask does not come this far
    if diagonal is not None:
        return written, diagonal, True
    # A diagonal of Sk - 1 hides nothing. torch.jit.trace makes tensors of sizes; a trace keeps those it saw.
    return written, int(kv_length) - 1 if torch.jit.is_tracing() else kv_length - 1, True


def triangle_mask(
    batch_size: int,
    q_length: int,
    kv_length: int,
    q_offset: int | Tensor = 0,
    kv_offset: int = 0,
    mask_function: Callable[..., Any] = causal_mask_function,
    attention_mask: Tensor | OpaqueMask | None = None,
    local_size: int | None = None,
    allow_is_causal_skip: bool = True,
    config: Any = None,
    **kwargs: Any,
) -> Tensor | OpaqueMask | None:
    """What a forward pass hides, in as little memory as possible; called once a pass for each kind of layer.

    Query i stands at position q_offset + i, key j at kv_offset + j. Where the last query stands on the last key,
    `triangle_attention_forward` hides the same pairs by itself. Where it does not (a static cache, whose tail is still
    empty) or where the rule is another one (a model's own overlay), the mask is written out; packed documents in
    torch.jit.trace only, chunks (Llama 4) in a trace, in compiled code and in pieces over a cache.

    Returns:
        A CausalMask; a float tensor where the model asks for one to compute with; None where one query sees every key,
        which any model reads rightly. A BidirectionalMask for layers that are not causal, which is an error once such a
        layer uses it.
    """
    shape = (batch_size, 1, q_length, kv_length)
    if isinstance(attention_mask, OpaqueMask):
        return attention_mask  # `generate` made it in advance, for a static cache
    if "allow_is_bidirectional_skip" in kwargs:  # only transformers' bidirectional masks pass it
        return BidirectionalMask(shape)
    # The flag is off wherever anything was laid over the causal rule or its window. A chunked layer (its local_size is
    # no window) keeps it on.
    window = None if local_size is None else _config_window(config)
    causal_only = allow_is_causal_skip and (
        mask_function is causal_mask_function if local_size is None else window == local_size
    )
    if causal_only and q_length > 1 and _ends_together(q_length, kv_length, q_offset, kv_offset):
        return CausalMask(shape, padding=_key_padding(attention_mask, kv_length, kv_offset))
    if causal_only and q_length == 1 and attention_mask is None and _ends_together(1, kv_length, q_offset, kv_offset):
        return None
    if not allow_is_causal_skip and mask_function is causal_mask_function:
        # The model wants a tensor to compute with (an indexer's choice of keys). Eager's is one that any layer reads
        # rightly.
        kwargs.setdefault("dtype", torch.float32)
        kwargs["attention_mask"] = attention_mask
        asked: Any = eager_mask
        mask: Tensor = asked(batch_size, q_length, kv_length, q_offset, kv_offset, mask_function, **kwargs)
        return mask
    if attention_mask is None and window == local_size and not torch.jit.is_tracing():
        documents = documents_in(mask_function, window)
        if documents is not None and q_length == kv_length:
            return CausalMask(shape, documents=documents)
    if q_length == kv_length > 1 and not _tracing() and _ends_together(q_length, kv_length, q_offset, kv_offset):
        chunks = chunks_in(mask_function)
        if chunks is not None:
            padding = _key_padding(attention_mask, kv_length, kv_offset)
            return CausalMask(shape, padding=padding, intervals=_ends_of_chunks(*chunks, kv_length, kv_offset))
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
    return CausalMask(shape, written=written, diagonal=int(q_offset) - kv_offset if known else None)


def triangle_or_sdpa_mask(*args: Any, **kwargs: Any) -> Tensor | OpaqueMask | None:
    """`triangle_mask`, and what sdpa would be given in layers that are not causal."""
    mask = triangle_mask(*args, **kwargs)
    if isinstance(mask, BidirectionalMask) and not isinstance(kwargs.get("attention_mask"), OpaqueMask):
        return BidirectionalMask(mask.shape, sdpa_mask(*args, **kwargs))
    return mask


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


def _ends_of_chunks(size: int, left_padding: Tensor, length: int, offset: int) -> Tensor:
    """startend_row_indices int32 `[B, 1, Sk, 1]`: a key hides the rows from the next chunk on. Chunks begin behind the
    padding.
    """
    place = torch.arange(length, device=left_padding.device) + offset - left_padding.unsqueeze(1)
    end = (torch.div(place, size, rounding_mode="floor") + 1) * size + left_padding.unsqueeze(1) - offset
    return end.clamp(max=length).int()[:, None, :, None].contiguous()


def _within_causal(mask_function: Callable[..., Any]) -> bool:
    """Whether a mask function shows no key right of the diagonal, by its structure; False where that is not known.

    Known are the causal rule, whatever is intersected with it, and packed documents: their positions are remapped to
    those within the document, which keeps the order of tokens, but only beside the test that both tokens are of one
    document.
    """
    if mask_function is causal_mask_function:
        return True
    intersected = parts(mask_function)
    same_document = any("packed_sequence_mask" in free_variables(part) for part in intersected)
    for part in intersected:
        remapped = free_variables(part)
        if same_document and "position_ids" in remapped and "mask_function" in remapped:
            part = remapped["mask_function"]
        if _within_causal(part):
            return True
    return False


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


def _refuse_unsupported(module: nn.Module, kwargs: dict[str, Any], refused: dict[str, str]) -> None:
    if kwargs.get("output_attentions") or getattr(getattr(module, "config", None), "output_attentions", False):
        raise NotImplementedError(f"output_attentions: attention weights are never formed; {EAGER}")
    for name, instead in refused.items():
        if kwargs.get(name) is not None:
            raise NotImplementedError(f"{name}: not supported by triangle attention; {instead}")


def _tracing() -> bool:
    return torch.compiler.is_compiling() or torch.jit.is_tracing()


register()
