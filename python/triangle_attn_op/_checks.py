"""Every check of the arguments, made before anything runs: the argument's name, what was expected, what came.

They read shapes, dtypes and devices only, never a tensor's values, so they also run under a compiler and on meta
tensors. Sizes that a compiler does not know (unbacked symbols) count as right here; the kernels check them again.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from . import _numbers
from ._numbers import holds

DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
ALIGNMENTS = ("bottom_right", "top_left")


def refusal(message: str) -> Exception:
    """The exception for what a kernel says, which the stable ABI can only raise as a RuntimeError."""
    if message.startswith("npu: "):  # of the installation or of the device, not of the arguments
        return RuntimeError(message)
    if "out of memory" in message:
        return torch.OutOfMemoryError(message)
    if "not supported on the NPU" in message:
        return NotImplementedError(message)
    if "expected float16 or bfloat16" in message:
        return TypeError(message)
    return ValueError(message)


def _shape(t: Tensor) -> str:
    return "[" + ", ".join(str(size) for size in t.shape) + "]"


def _tensor(name: str, value: Any) -> None:
    if not isinstance(value, Tensor):
        raise TypeError(f"{name}: expected a Tensor, got {type(value).__name__}")
    if value.layout is not torch.strided or value.is_nested:
        got = "a nested one" if value.is_nested else str(value.layout)
        raise TypeError(f"{name}: expected a strided tensor, got {got}")


def check_merge(o1: Tensor, lse1: Tensor, o2: Tensor, lse2: Tensor) -> None:
    """o1, o2 [.., Dv], lse1, lse2 [..]."""
    for name, t in (("o1", o1), ("lse1", lse1), ("o2", o2), ("lse2", lse2)):
        _tensor(name, t)
        if not t.dtype.is_floating_point:
            raise TypeError(f"{name}: expected a floating-point tensor, got {t.dtype}")
        if t.device != o1.device:
            raise ValueError(f"{name}: expected o1's device {o1.device}, got {t.device}")
    if o1.dim() == 0:
        raise ValueError("o1: expected [.., Dv], got a tensor of no dimensions")
    if o1.shape != o2.shape:
        raise ValueError(f"o2: expected o1's shape {list(o1.shape)}, got {list(o2.shape)}")
    for name, lse in (("lse1", lse1), ("lse2", lse2)):
        if lse.shape != o1.shape[:-1]:
            raise ValueError(f"{name}: expected {list(o1.shape[:-1])}, got {list(lse.shape)}")


def _qkv(q: Tensor, k: Tensor, v: Tensor, layout: tuple[str, ...]) -> None:
    """Rank, dtype, device, and that k and v agree with q. `layout` names the dimensions, heads at 1 and the head
    dimension last.
    """
    rank = len(layout)
    for name, t in (("q", q), ("k", k), ("v", v)):
        _tensor(name, t)
        if t.dim() != rank:
            raise ValueError(f"{name}: expected {rank} dimensions [{', '.join(layout)}], got shape {_shape(t)}")
    for name, t in (("q", q), ("k", k), ("v", v)):
        if t.dtype not in DTYPES:
            raise TypeError(f"{name}: expected float32, bfloat16, float16 or float64, got {t.dtype}")
        if t.dtype != q.dtype:
            raise TypeError(f"{name}: expected q's dtype {q.dtype}, got {t.dtype}")
        if t.device != q.device:
            raise ValueError(f"{name}: expected q's device {q.device}, got {t.device}")
    heads_q, heads_kv = q.shape[1], k.shape[1]
    batch = "" if rank == 3 else "B, "
    rows = "T" if rank == 3 else "Sk"
    expected = f"[{batch}Hkv, {rows}, {q.shape[-1]}]" if rank == 4 else f"[Tk, Hkv, {q.shape[-1]}]"
    if holds(k.shape[-1] != q.shape[-1]):
        raise ValueError(f"k: expected {expected} with q's head dimension {q.shape[-1]}, got shape {_shape(k)}")
    if holds(heads_q != 0) if holds(heads_kv == 0) else holds(heads_q % heads_kv != 0):
        raise ValueError(f"k: expected {expected} with Hq % Hkv == 0, got Hq = {heads_q}, Hkv = {heads_kv}")
    if any(holds(a != b) for a, b in zip(v.shape[:-1], k.shape[:-1])):
        raise ValueError(f"v: expected k's sizes {_shape(k)} but for the last dimension, got shape {_shape(v)}")
    if rank == 4 and holds(k.shape[0] != q.shape[0]):
        raise ValueError(f"k: expected q's batch size {q.shape[0]}, got shape {_shape(k)}")


def _options(
    scale: float | None,
    alignment: str,
    diagonal: int | None,
    window_size_left: int | None,
    dropout_p: float,
    alibi_slopes: Any,
    softcap: Any,
    sinks: Any,
    startend_row_indices: Any,
    dtype: torch.dtype,
) -> dict[str, Any]:
    """The options with their numbers as the operators take them; `dtype`: q's."""
    if alignment not in ALIGNMENTS:
        raise ValueError(f'alignment: expected "bottom_right" or "top_left", got {alignment!r}')
    if diagonal is not None:
        diagonal = _numbers.integer("diagonal", diagonal, " or None")
        if alignment != "bottom_right":
            raise ValueError(f"diagonal: expected None with alignment {alignment!r}, which it replaces, got {diagonal}")
    if window_size_left is not None:
        window_size_left = _numbers.integer("window_size_left", window_size_left, " or None")
        if holds(window_size_left < 0):
            raise ValueError(f"window_size_left: expected None or an int >= 0, got {window_size_left}")
    dropout_p = _numbers.real("dropout_p", dropout_p)
    if not 0.0 <= dropout_p < 1.0:
        raise ValueError(f"dropout_p: expected 0 <= p < 1, got {dropout_p}")
    return {
        "scale": _numbers.scale(scale, dtype),
        "alignment": alignment,
        "diagonal": diagonal,
        "window_size_left": window_size_left,
        "dropout_p": dropout_p,
        "alibi_slopes": alibi_slopes,
        "softcap": _numbers.softcap(softcap),
        "sinks": sinks,
        "startend_row_indices": startend_row_indices,
    }


def _slopes(slopes: Tensor, q: Tensor, batch: int) -> None:
    """`batch` counts entries, or documents of packed sequences."""
    _tensor("alibi_slopes", slopes)
    if slopes.dtype is not torch.float32:
        raise TypeError(f"alibi_slopes: expected float32, got {slopes.dtype}")
    heads = q.shape[1]
    wanted = (batch, heads)[2 - slopes.dim() :]
    if slopes.dim() not in (1, 2) or any(holds(size != want) for size, want in zip(slopes.shape, wanted)):
        raise ValueError(f"alibi_slopes: expected shape [{heads}] or [{batch}, {heads}], got {_shape(slopes)}")
    if slopes.device != q.device:
        raise ValueError(f"alibi_slopes: expected q's device {q.device}, got {slopes.device}")


def _sinks(sinks: Tensor, q: Tensor) -> None:
    _tensor("sinks", sinks)
    if sinks.dtype not in (torch.float32, q.dtype):
        raise TypeError(f"sinks: expected float32 or q's dtype {q.dtype}, got {sinks.dtype}")
    if sinks.dim() != 1 or holds(sinks.shape[0] != q.shape[1]):
        raise ValueError(f"sinks: expected shape [{q.shape[1]}], one a query head, got {_shape(sinks)}")
    if sinks.device != q.device:
        raise ValueError(f"sinks: expected q's device {q.device}, got {sinks.device}")


def _startend(t: Tensor, q: Tensor, k: Tensor, batch: int, keys: int) -> None:
    _tensor("startend_row_indices", t)
    if t.dtype is not torch.int32:
        raise TypeError(f"startend_row_indices: expected int32, got {t.dtype}")
    heads_q, heads_kv = q.shape[1], k.shape[1]
    if (
        t.dim() != 4
        or holds(t.shape[0] != batch)
        or (holds(t.shape[1] != 1) and holds(t.shape[1] != heads_kv) and holds(t.shape[1] != heads_q))
        or holds(t.shape[2] != keys)
        or t.shape[3] not in (1, 2, 4)
    ):
        raise ValueError(
            f"startend_row_indices: expected shape [{batch}, 1, {heads_kv} or {heads_q}, {keys}, 1, 2 or 4], got "
            f"{_shape(t)}"
        )
    if t.device != q.device:
        raise ValueError(f"startend_row_indices: expected q's device {q.device}, got {t.device}")


def _bends(q: Tensor, batch: int, alibi_slopes: Tensor | None, sinks: Tensor | None) -> None:
    if alibi_slopes is not None:
        _slopes(alibi_slopes, q, batch)
    if sinks is not None:
        _sinks(sinks, q)


def _mask(name: str, mask: Tensor, q: Tensor, k: Tensor) -> None:
    _tensor(name, mask)
    if mask.dtype is not torch.bool and not mask.dtype.is_floating_point:
        raise TypeError(f"{name}: expected bool (True = may attend) or float (added to the scores), got {mask.dtype}")
    if mask.dtype not in (torch.bool, torch.float32, q.dtype):
        raise TypeError(f"{name}: expected bool, float32 or q's dtype {q.dtype}, got {mask.dtype}")
    if mask.device != q.device:
        raise ValueError(f"{name}: expected q's device {q.device}, got {mask.device}")
    full = (q.shape[0], q.shape[1], q.shape[2], k.shape[2])
    if mask.dim() > 4 or any(
        holds(size != 1) and holds(size != want) for size, want in zip(reversed(mask.shape), reversed(full))
    ):
        raise ValueError(
            f"{name}: expected a shape that broadcasts to [B, Hq, Sq, Sk] = [{', '.join(map(str, full))}] "
            f"(at most 4 dimensions, the head dimension 1 or Hq), got {_shape(mask)}"
        )


def check_differentiable(mask: Tensor | None, slopes: Tensor | None, *tensors: Tensor | None) -> None:
    """Refuses what PyTorch would leave without a gradient in silence: an attn_mask or alibi_slopes that want one, and
    tangents of forward-mode AD.
    """
    for name, constant in (("attn_mask", mask), ("alibi_slopes", slopes)):
        if constant is not None and constant.requires_grad and torch.is_grad_enabled():
            raise ValueError(
                f"{name}: expected requires_grad=False, its gradient is not computed; pass {name}.detach()"
            )
    if torch.autograd.forward_ad._current_level < 0:
        return
    for t in (mask, slopes, *tensors):
        if t is not None and torch.autograd.forward_ad.unpack_dual(t).tangent is not None:
            raise NotImplementedError(
                "triangle attention: forward-mode AD is not supported yet, use reverse mode (backward)"
            )


def check_dense(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    attn_mask: Tensor | None = None,
    scale: float | None = None,
    alignment: str = "bottom_right",
    diagonal: int | None = None,
    window_size_left: int | None = None,
    dropout_p: float = 0.0,
    alibi_slopes: Tensor | None = None,
    softcap: float | None = None,
    sinks: Tensor | None = None,
    mask_name: str = "attn_mask",
    startend_row_indices: Tensor | None = None,
) -> dict[str, Any]:
    """q [B, Hq, Sq, D], k [B, Hkv, Sk, D], v [B, Hkv, Sk, Dv]: ValueError, TypeError or NotImplementedError names the
    argument. Returns the options as the operators take them.
    """
    _tensor("q", q)
    bends = alibi_slopes, softcap, sinks, startend_row_indices
    options = _options(scale, alignment, diagonal, window_size_left, dropout_p, *bends, q.dtype)
    _qkv(q, k, v, ("B", "H", "S", "D"))
    if attn_mask is not None:
        _mask(mask_name, attn_mask, q, k)
    _bends(q, q.shape[0], alibi_slopes, sinks)
    if startend_row_indices is not None:
        _startend(startend_row_indices, q, k, q.shape[0], k.shape[2])
    check_differentiable(attn_mask, alibi_slopes, q, k, v, sinks)
    return options


def check_varlen(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    cu_seq_q: Tensor,
    cu_seq_k: Tensor,
    max_q: int,
    max_k: int,
    *,
    scale: float | None = None,
    alignment: str = "bottom_right",
    diagonal: int | None = None,
    window_size_left: int | None = None,
    dropout_p: float = 0.0,
    alibi_slopes: Tensor | None = None,
    softcap: float | None = None,
    sinks: Tensor | None = None,
    startend_row_indices: Tensor | None = None,
) -> dict[str, Any]:
    """q [Tq, Hq, D], k [Tk, Hkv, D], v [Tk, Hkv, Dv], cu_seq_* int32 [documents + 1]; the offsets' values are the
    operator's to check. Returns the options as the operators take them, max_q and max_k among them.
    """
    _tensor("q", q)
    bends = alibi_slopes, softcap, sinks, startend_row_indices
    options = _options(scale, alignment, diagonal, window_size_left, dropout_p, *bends, q.dtype)
    _qkv(q, k, v, ("T", "H", "D"))
    for name, t in (("cu_seq_q", cu_seq_q), ("cu_seq_k", cu_seq_k)):
        _tensor(name, t)
        if t.dtype is not torch.int32:
            raise TypeError(f"{name}: expected int32 [documents + 1], got {t.dtype}")
        if t.dim() != 1 or holds(t.shape[0] < 1):
            raise ValueError(f"{name}: expected int32 [documents + 1], got shape {_shape(t)}")
        if t.device != q.device:
            raise ValueError(f"{name}: expected q's device {q.device}, got {t.device}")
        if not t.is_contiguous():
            raise ValueError(f"{name}: expected a contiguous tensor, got strides {tuple(t.stride())}")
    if holds(cu_seq_q.shape[0] != cu_seq_k.shape[0]):
        raise ValueError(f"cu_seq_k: expected cu_seq_q's {cu_seq_q.shape[0]} entries, got {cu_seq_k.shape[0]}")
    for name, value in (("max_q", max_q), ("max_k", max_k)):
        options[name] = _numbers.integer(name, value)
        if holds(options[name] < 0):
            raise ValueError(f"{name}: expected an upper bound of a document's length, >= 0, got {value}")
    _bends(q, cu_seq_q.shape[0] - 1, alibi_slopes, sinks)
    if startend_row_indices is not None:
        _startend(startend_row_indices, q, k, 1, k.shape[0])
    check_differentiable(None, alibi_slopes, q, k, v, sinks)
    return options
