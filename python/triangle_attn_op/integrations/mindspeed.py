"""Triangle attention as a MindSpeed feature: `--triangle-attn` in place of `--use-flash-attn`.

    import triangle_attn_op.integrations.mindspeed
    triangle_attn_op.integrations.mindspeed.register()   # before mindspeed.megatron_adaptor
    import mindspeed.megatron_adaptor

MindSpeed is not on PyPI: https://gitcode.com/Ascend/MindSpeed. Written against its feature interface of July 2026,
which runs on Megatron-Core 0.12.1.
"""

from __future__ import annotations

import dataclasses
from argparse import ArgumentParser, Namespace
from contextlib import nullcontext
from typing import Any

import torch
from mindspeed.features_manager.feature import MindSpeedFeature
from torch import Tensor

from ..arguments import add_arguments
from ._megatron_attention import causal_window, dense_attention, is_causal, packed_attention, unsupported

PATCHED = "megatron.core.transformer.dot_product_attention.DotProductAttention.forward"
# Flags of features that bring an attention of their own, or cut the sequence (tp_2d) for one.
CONFLICTS = ("use_flash_attn", "use_fusion_attn_v2", "use_legacy_models", "experimental_attention_variant", "tp_2d")
DEFAULT_PRE_TOCKENS = 65536


class TriangleAttentionFeature(MindSpeedFeature):
    """Replaces the forward of Megatron's `DotProductAttention` where `--triangle-attn` is given."""

    def __init__(self) -> None:
        super().__init__("triangle-attn", optimization_level=2)

    def register_args(self, parser: ArgumentParser) -> None:
        """`--triangle-attn` and `--triangle-block-size`."""
        add_arguments(parser)

    def validate_args(self, args: Namespace) -> None:
        """AssertionError for flags that contradict it or would keep the patch from ever being called; ValueError for
        what it cannot honour.
        """
        if not getattr(args, "triangle_attn", False):
            return
        for conflict in CONFLICTS:
            self.incompatible_check(args, conflict)
        if getattr(args, "transformer_impl", "local") != "local":
            raise AssertionError(f"triangle_attn: expected --transformer-impl local, got {args.transformer_impl}")
        if int(getattr(args, "context_parallel_size", 1) or 1) > 1:
            # MindSpeed's context parallelism brings its own attention and turns --use-flash-attn on.
            raise ValueError(
                "triangle_attn: expected --context-parallel-size 1 with MindSpeed's patch; for context parallelism put "
                "triangle_attn_op.integrations.megatron.with_triangle_attention into the layer spec"
            )
        if getattr(args, "position_embedding_type", None) == "alibi":
            raise ValueError("triangle_attn: ALiBi is not supported, expected another --position-embedding-type")
        window = getattr(args, "window_size", None)
        if window and window[1] != 0:
            raise ValueError(f"triangle_attn: expected a causal --window-size (left, 0), got {tuple(window)}")
        _check_band(args)
        _check_switches(args)

    def pre_register_patches(self, patch_manager: Any, args: Namespace) -> None:
        """Switches off MindSpeed's GenerateMaskFeature by its own flag, before any feature registers its patches.

        Where no mask is given, that feature makes one of `[micro batch, 1, S, S]` and hands it to the attention, packed
        sequences included. Triangle attention is causal by itself.
        """
        args.no_create_attention_mask_in_dataloader = True

    def register_patches(self, patch_manager: Any, args: Namespace) -> None:
        """Registers the patch; MindSpeed applies it."""
        patch_manager.register_patch(PATCHED, dot_product_attention_forward)


def register() -> None:
    """Puts the feature into MindSpeed's list, once; call it before `import mindspeed.megatron_adaptor`, which applies
    the list.
    """
    from mindspeed.features_manager.features_manager import MindSpeedFeaturesManager

    features = MindSpeedFeaturesManager.FEATURES_LIST
    if not any(isinstance(feature, TriangleAttentionFeature) for feature in features):
        features.append(TriangleAttentionFeature())


def dot_product_attention_forward(
    self: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    attn_mask_type: Any = None,
    attention_bias: Tensor | None = None,
    packed_seq_params: Any = None,
) -> Tensor:
    """What `DotProductAttention.forward` becomes; `self` is Megatron's own object.

    Shapes as there: `[s, b, n, d]` -> `[s, b, n * dv]`; packed `[t, n, d]` -> `[t, n, dv]`, which MindSpeed's attention
    wants and Megatron's takes.
    """
    from megatron.core import tensor_parallel

    if attention_bias is not None:
        raise NotImplementedError("attention_bias: not supported by triangle attention, expected None")
    kind = self.attn_mask_type if attn_mask_type is None else attn_mask_type
    if not is_causal(kind) and not (kind.name == "no_mask" and query.shape[0] == 1):
        raise ValueError(f"attn_mask_type: expected a causal one, triangle attention has no other, got {kind}")
    _check_switches(self.config)
    # With query-key layer scaling Megatron divides here and multiplies in the softmax.
    scale = self.softmax_scale * (self.scale_mask_softmax.scale or 1.0)
    window = causal_window(self.config, self.layer_number)
    dropout_p = self.attention_dropout.p if self.attention_dropout.training else 0.0
    forked = dropout_p > 0.0 and not self.config.sequence_parallel
    with tensor_parallel.get_cuda_rng_tracker().fork() if forked else nullcontext():
        if packed_seq_params is None:
            return dense_attention(query, key, value, attention_mask, scale, window, dropout_p).flatten(2)
        packed = _with_leading_zero(packed_seq_params, query.device)
        return packed_attention(query, key, value, attention_mask, packed, scale, window, dropout_p)


def _check_band(args: Namespace) -> None:
    """Flags of --use-flash-attn that MindSpeed's own mask follows without it, and nothing would follow here."""
    for name, default in (("sparse_mode", (0, 2)), ("next_tockens", (0,))):
        if getattr(args, name, default[0]) not in default:
            raise ValueError(
                f"triangle_attn: expected --{name.replace('_', '-')} {default[0]}, triangle attention is causal, got "
                f"{getattr(args, name)}"
            )
    behind = getattr(args, "pre_tockens", DEFAULT_PRE_TOCKENS)
    if behind != DEFAULT_PRE_TOCKENS and behind < getattr(args, "seq_length", 0):
        raise ValueError(
            "triangle_attn: expected --pre-tockens of at least the sequence length, got "
            f"{behind}; for a sliding window set TransformerConfig.window_size"
        )


def _check_switches(source: Any) -> None:
    """Switches of the command line or of a TransformerConfig that change the scores."""
    problem = unsupported(source)
    if problem is not None:
        raise ValueError(f"triangle_attn: {problem}")


def _with_leading_zero(packed: Any, device: torch.device) -> Any:
    """A copy with offsets as the operator takes them, made once a batch.

    MindSpeed's are ends of documents, a tensor or a list; Megatron's begin with 0. A second 0 is an empty document, so
    a 0 is put before a tensor unread, which on an NPU would wait for the device.
    """
    made = getattr(packed, "triangle_offsets", None)
    if made is None:
        offsets = {}
        for name in ("cu_seqlens_q", "cu_seqlens_kv"):
            given = getattr(packed, name)
            ends = given if isinstance(given, Tensor) else torch.tensor(given, dtype=torch.int32)
            offsets[name] = torch.nn.functional.pad(ends.to(device, torch.int32), (1, 0))
        made = dataclasses.replace(packed, **offsets)
        packed.triangle_offsets = made
    return made
