"""`TriangleAttention`: a drop-in for AscendSpeed's module of that name, fused wherever the fused kernels can do what
was asked.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from .ops import autocast, dense

MaskedSoftmax = Callable[[Tensor, Tensor], Tensor]


class TriangleAttention(nn.Module):
    """Causal attention on the blocks on and below the diagonal.

    Args:
        block_size: height of the block rows on the callable path; the fused kernels choose their own tiles and ignore
            it.
        masked_softmax_func: None, or Megatron's `FusedScaleMaskSoftmax` (AscendSpeed's `NPUFusedScaleMaskSoftmax`),
            whose `.scale` is honoured (None:
            1/sqrt(D)): the fused kernel runs. Any other callable is called as `f(scores, mask)` for each block row,
            with the raw scores q k^T
            float32 `[b, n, rows, cols]` and a bool mask (True = hidden, the causal rule included) that broadcasts to
            them.
        dropout_func: None or `nn.Dropout`: fused (active in training only, as ever). Any other callable is called on
            the probabilities in v's dtype.

    Raises:
        ValueError, TypeError: at construction for a softmax that this module cannot honour; in `forward` for bad input,
            naming the argument.

    Source: AscendSpeed, `TriangleAttention`.
    """

    def __init__(
        self,
        block_size: int = 1024,
        masked_softmax_func: MaskedSoftmax | None = None,
        dropout_func: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        if isinstance(block_size, bool) or not isinstance(block_size, int) or block_size < 1:
            raise ValueError(f"block_size: expected an int >= 1, got {block_size!r}")
        for name, value in (("masked_softmax_func", masked_softmax_func), ("dropout_func", dropout_func)):
            if value is not None and not callable(value):
                raise TypeError(f"{name}: expected a callable or None, got {type(value).__name__}")
        self.block_size = block_size
        self.masked_softmax_func = masked_softmax_func
        self.dropout_func = dropout_func
        self._softmax_is_fusable = masked_softmax_func is None or _is_megatron_softmax(masked_softmax_func)
        if masked_softmax_func is not None and self._softmax_is_fusable:
            _check_megatron_softmax(masked_softmax_func)

    def forward(self, q: Tensor, k: Tensor, v: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """q `[b, n, s, d]`, k and v `[b, n or its divisor, sk, d]`; attention_mask bool, True = masked out,
        `[s, sk]` or 4 dimensions that broadcast to `[b, n, s, sk]`; read in place and saved for the backward as it
        is, so that layers share one.

        Returns `[b, s, n*d]`. The last query sees the last key (bottom-right alignment). A row with nothing to see is
        0.
        """
        if attention_mask is not None and (
            not isinstance(attention_mask, Tensor) or attention_mask.dtype is not torch.bool
        ):
            got = attention_mask.dtype if isinstance(attention_mask, Tensor) else type(attention_mask).__name__
            raise TypeError(f"attention_mask: expected a bool Tensor (True = masked out) or None, got {got}")
        if attention_mask is not None and attention_mask.dim() == 3:  # of b or of n? both are in use
            raise ValueError(
                "attention_mask: expected [s, sk] or 4 dimensions that broadcast to [b, n, s, sk], "
                f"got shape {list(attention_mask.shape)}"
            )
        dropout = self.dropout_func
        fusable_dropout = dropout is None or type(dropout) is nn.Dropout
        if (
            self._softmax_is_fusable
            and fusable_dropout
            and not (isinstance(dropout, nn.Dropout) and dropout.training and dropout.p >= 1.0)
        ):
            out, _ = dense(
                q,
                k,
                v,
                hidden=attention_mask,
                scale=self._scale(),
                window_size_left=self._window(),
                dropout_p=dropout.p if isinstance(dropout, nn.Dropout) and dropout.training else 0.0,
            )
        else:
            out = self._block_rows(q, k, v, attention_mask)
        return out.transpose(1, 2).flatten(2)

    def extra_repr(self) -> str:
        return f"block_size={self.block_size}, fused_softmax={self._softmax_is_fusable}"

    def _scale(self) -> float | None:
        return getattr(self.masked_softmax_func, "scale", None) if self._softmax_is_fusable else None

    def _window(self) -> int | None:
        window = getattr(self.masked_softmax_func, "window_size", None) if self._softmax_is_fusable else None
        return None if window is None or window[0] < 0 else int(window[0])

    def _block_rows(self, q: Tensor, k: Tensor, v: Tensor, attention_mask: Tensor | None) -> Tensor:
        """The callable path: for each block row its lower-triangle columns only, in PyTorch operations, so autograd
        follows.
        """
        q, k, v = autocast(q, k, v)  # as the fused path does
        # Bad input gets the fused path's messages: shapes are checked on meta tensors, where nothing is computed.
        for name, t in (("k", k), ("v", v), ("attention_mask", attention_mask)):
            if t is not None and t.device != q.device:
                raise ValueError(f"{name}: expected q's device {q.device}, got {t.device}")
        meta_mask = None if attention_mask is None else attention_mask.to("meta")
        dense(*(t.detach().to("meta") for t in (q, k, v)), hidden=meta_mask)
        sq, sk = q.shape[2], k.shape[2]
        rows = [
            self._block_row(q[:, :, begin : begin + self.block_size], k, v, attention_mask, begin + sk - sq, begin)
            for begin in range(0, sq, self.block_size)
        ]
        return torch.cat(rows, dim=2) if rows else q.new_zeros((*q.shape[:3], v.shape[-1]))

    def _block_row(
        self, q: Tensor, k: Tensor, v: Tensor, attention_mask: Tensor | None, position: int, begin: int
    ) -> Tensor:
        """q `[b, n, rows, d]`, the block row whose first query has diagonal position `position` and index `begin` ->
        `[b, n, rows, dv]`.
        """
        batch, heads, count, dim = q.shape
        groups, cols = k.shape[1], min(max(position + count, 0), k.shape[2])
        if cols == 0 or q.numel() == 0:
            return q.new_zeros((batch, heads, count, v.shape[-1]))
        grouped = q.float().reshape(batch, groups, -1, dim)  # heads of a group share K and V, which are not repeated
        with _without_autocast(q.device.type):  # scores are fp32 always
            scores = (grouped @ k[:, :, :cols].float().transpose(-1, -2)).reshape(batch, heads, count, cols)
        i = torch.arange(position, position + count, device=q.device).unsqueeze(-1)
        hidden = (torch.arange(cols, device=q.device) > i)[None, None]
        window = self._window()
        if window is not None:
            hidden = hidden | (torch.arange(cols, device=q.device) < i - window)[None, None]
        if attention_mask is not None:
            mask = attention_mask.reshape((1,) * (4 - attention_mask.dim()) + tuple(attention_mask.shape))
            mask = mask if mask.shape[2] == 1 else mask[:, :, begin : begin + count]
            hidden = hidden | (mask if mask.shape[3] == 1 else mask[..., :cols])
        if self._softmax_is_fusable:
            scale = self._scale()
            probabilities = _masked_softmax(scores * (1.0 / math.sqrt(dim) if scale is None else scale), hidden)
        else:
            assert self.masked_softmax_func is not None
            probabilities = self.masked_softmax_func(scores, hidden)
        probabilities = probabilities.to(v.dtype)
        if self.dropout_func is not None:
            probabilities = self.dropout_func(probabilities)
        out = probabilities.reshape(batch, groups, -1, cols) @ v[:, :, :cols]
        return out.reshape(batch, heads, count, v.shape[-1])


def _without_autocast(device: str) -> AbstractContextManager[Any]:
    known = torch.amp.is_autocast_available(device)  # not for meta
    return torch.autocast(device, enabled=False) if known else nullcontext()


def _masked_softmax(scores: Tensor, hidden: Tensor) -> Tensor:
    """Softmax over the visible columns; a row with none is 0, not NaN."""
    masked = scores.masked_fill(hidden, -torch.inf)
    empty = hidden.all(-1, keepdim=True)
    return torch.softmax(masked.masked_fill(empty, 0.0), dim=-1).masked_fill(empty, 0.0)


def _is_megatron_softmax(function: Any) -> bool:
    """Megatron's scale-mask-softmax (or AscendSpeed's subclass) with Megatron's mask function, by name: neither package
    need be importable.
    """
    names = {cls.__name__ for cls in type(function).__mro__}
    mask_func = getattr(function, "mask_func", None)
    return (
        bool(names & {"FusedScaleMaskSoftmax", "NPUFusedScaleMaskSoftmax"})
        and getattr(mask_func, "__name__", "") == "attention_mask_func"
    )


def _check_megatron_softmax(function: Any) -> None:
    """Refuses query-key layer scaling: its scale is the layer's number, meant for scores that were divided by it
    before.
    """
    scale = getattr(function, "scale", None)
    if scale is not None and not 0 < scale < 1:
        raise ValueError(
            f"masked_softmax_func: expected scale None or 1/norm_factor below 1, got {scale}: "
            "query-key layer scaling (--apply-query-key-layer-scaling) is not supported"
        )
    window = getattr(function, "window_size", None)
    if window is not None and window[1] not in (0, -1):
        raise ValueError(f"masked_softmax_func: expected a causal window (left, 0), got window_size = {tuple(window)}")
