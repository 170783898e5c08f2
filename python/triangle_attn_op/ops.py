"""The operators' Python half: shapes for compilers, gradients, the composites, FLOP counts.

| operator | what it is |
|---|---|
| `triangle::attn`, `triangle::attn_varlen` | composites: check, cast under autocast, draw the random state, call
`attn_lse` |
| `triangle::attn_lse` | forward, one kernel a backend; returns (out, lse), differentiable in both |
| `triangle::attn_backward` | its gradient, an operator of its own |

`attn_backward` takes out and lse of the forward, or those merged over more keys, of which k and v are a part (ring
attention): P = exp(score - lse) is then at most 1, and all arithmetic rests on that. With a smaller lse the NPU's fp16
kernels, which store P times 2^15, overflow to inf or NaN where P reaches 2. In a row whose lse is -inf dlse may hold
anything, NaN too; dout must be finite there as everywhere, as q, k and v must. Its last result is the gradient of the
sinks, float32 `[Hq]` (float64 for float64 input; `[0]` without sinks); where keys were merged, exactly one of the calls
that share out and lse is to be given the sinks.

Schemas: csrc/schema.cpp. Kernels: csrc/cpu_ops.cpp for the CPU, csrc/npu/npu_ops.cpp for the NPU.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from . import _library
from ._checks import check_dense, check_differentiable, check_varlen, refusal
from ._numbers import holds
from .flops import attention_flops

_library.load()
_fragment = torch.library.Library("triangle", "FRAGMENT")  # keeps the composites' registrations alive

attn_lse = torch.ops.triangle.attn_lse.default
attn_backward = torch.ops.triangle.attn_backward.default


# Composites


def autocast(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Casts tensors to the autocast dtype of their device where autocast is on; float64 stays, as in PyTorch, and
    integers do, for the checks to refuse.
    """
    device = tensors[0].device.type
    if device == "meta" or not torch.is_autocast_enabled(device):
        return tensors
    dtype = torch.get_autocast_dtype(device)
    return tuple(t.to(dtype) if t.is_floating_point() and t.dtype is not torch.float64 else t for t in tensors)


def autocast_sinks(q: Tensor, sinks: Any) -> Any:
    """Under autocast sinks of another half precision than q's go up to float32, which is exact."""
    halves = (torch.float16, torch.bfloat16)
    if not isinstance(sinks, Tensor) or sinks.dtype not in halves or sinks.dtype == q.dtype or q.device.type == "meta":
        return sinks
    return sinks.float() if torch.is_autocast_enabled(q.device.type) else sinks


def draw_rng_state(q: Tensor, dropout_p: float) -> Tensor | None:
    """int64 [2] (seed, offset) from the generator of q's device, or None where nothing is dropped."""
    if dropout_p == 0.0:
        return None
    if q.device.type == "npu":  # here, before the state is drawn; the kernel says the same
        raise NotImplementedError(f"dropout_p: not supported on the NPU yet, expected 0.0, got {dropout_p}")
    if not torch.compiler.is_compiling() and type(q).__name__ == "DTensor":
        raise NotImplementedError(f"dropout_p: not supported for DTensor inputs yet, expected 0.0, got {dropout_p}")
    return torch.randint(0, 2**63 - 1, (2,), dtype=torch.int64, device=q.device)


def dense(q: Tensor, k: Tensor, v: Tensor, *, attn_mask: Tensor | None = None, **options: Any) -> tuple[Tensor, Tensor]:
    """`attn`'s body, (out, lse)."""
    if all(isinstance(t, Tensor) for t in (q, k, v)):
        q, k, v = autocast(q, k, v)
        options["sinks"] = autocast_sinks(q, options.get("sinks"))
    options = check_dense(q, k, v, attn_mask=attn_mask, **options)
    rng_state = draw_rng_state(q, options["dropout_p"])
    return _forward(q, k, v, attn_mask, None, None, rng_state, *_bends(options), **options)


def varlen(
    q: Tensor, k: Tensor, v: Tensor, cu_seq_q: Tensor, cu_seq_k: Tensor, max_q: int, max_k: int, **options: Any
) -> tuple[Tensor, Tensor]:
    """`attn_varlen`'s body, (out, lse)."""
    if all(isinstance(t, Tensor) for t in (q, k, v)):
        q, k, v = autocast(q, k, v)
        options["sinks"] = autocast_sinks(q, options.get("sinks"))
    options = check_varlen(q, k, v, cu_seq_q, cu_seq_k, max_q, max_k, **options)
    rng_state = draw_rng_state(q, options["dropout_p"])
    return _forward(q, k, v, None, cu_seq_q, cu_seq_k, rng_state, *_bends(options), **options)


def _bends(options: dict[str, Any]) -> tuple[Any, Any]:
    """alibi_slopes and sinks, which `attn_lse` takes by position, out of the options."""
    return options.pop("alibi_slopes"), options.pop("sinks")


def _forward(*args: Any, **options: Any) -> tuple[Tensor, Tensor]:
    """`attn_lse`, whose kernel's errors come as the exceptions that the checks raise."""
    _tell_dtensor(args[0])
    if torch.compiler.is_compiling():
        return attn_lse(*args, **options)
    try:
        if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (*args[:3], args[8])):
            return _Attention.apply(options, *args)
        return attn_lse(*args, **options)
    except RuntimeError as error:
        raise translated(error) from None


def translated(error: RuntimeError) -> Exception:
    """The stable ABI knows RuntimeError only: an error of ours as what it is, any other as it came."""
    prefix, _, message = str(error).partition("triangle_attn_op: ")
    return error if prefix or not message else refusal(message)


def _tell_dtensor(q: Tensor) -> None:
    """Registers where DTensors of the operators may lie, when the first one comes: importing DTensor takes long."""
    if type(q).__name__ == "DTensor":
        from .distributed import sharding  # noqa: F401  registers by being imported


_fragment.impl("attn", lambda *args, **options: dense(*args, **options)[0], "CompositeImplicitAutograd")
_fragment.impl("attn_varlen", lambda *args, **options: varlen(*args, **options)[0], "CompositeImplicitAutograd")


# Shapes


def like_layout(like: Tensor, sizes: list[int]) -> Tensor:
    """An empty tensor of `sizes` whose leading dimensions are ordered in memory as `like`'s are (ties: B, S, H), the
    last one innermost.
    """
    order = [0, 2, 1] if len(sizes) == 4 else [0, 1]
    for end in range(
        len(order), 1, -1
    ):  # bubble sort: stable, and only neighbours are compared, which keeps guards few
        for i in range(end - 1):
            if _less(like.stride(order[i]), like.stride(order[i + 1])):
                order[i], order[i + 1] = order[i + 1], order[i]
    order.append(len(sizes) - 1)
    inverse = [order.index(dim) for dim in range(len(sizes))]
    return like.new_empty([sizes[dim] for dim in order]).permute(inverse)


def _less(a: Any, b: Any) -> bool:
    """a < b of two strides; where a compiler does not know their symbols, a multiple counts as more (equal it would be
    in a dimension of size 1, whose stride means nothing).
    """
    if holds(a < b):
        return True
    if holds(a >= b) or holds(a == 0):
        return False
    return holds(b % a == 0)


def _check_raw(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    attn_mask: Tensor | None,
    cu_seq_q: Tensor | None,
    cu_seq_k: Tensor | None,
    **options: Any,
) -> None:
    if cu_seq_q is None or cu_seq_k is None:
        if cu_seq_q is not None or cu_seq_k is not None:
            raise ValueError("cu_seq_q, cu_seq_k: expected both or neither")
        max_q, max_k = options.pop("max_q"), options.pop("max_k")
        if max_q is not None or max_k is not None:
            raise ValueError(f"max_q, max_k: expected None without cu_seq_q and cu_seq_k, got {max_q} and {max_k}")
        check_dense(q, k, v, attn_mask=None if attn_mask is None else attn_mask.detach(), **options)
        return
    if attn_mask is not None:
        raise ValueError("attn_mask: not supported for packed sequences, expected None")
    max_q, max_k = (0 if n is None else n for n in (options.pop("max_q"), options.pop("max_k")))
    check_varlen(q, k, v, cu_seq_q, cu_seq_k, max_q, max_k, **options)


@torch.library.register_fake("triangle::attn_lse")
def _attn_lse_fake(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    attn_mask: Tensor | None = None,
    cu_seq_q: Tensor | None = None,
    cu_seq_k: Tensor | None = None,
    rng_state: Tensor | None = None,
    alibi_slopes: Tensor | None = None,
    sinks: Tensor | None = None,
    **options: Any,
) -> tuple[Tensor, Tensor]:
    slopes = None if alibi_slopes is None else alibi_slopes.detach()
    options = {"max_q": None, "max_k": None, "alibi_slopes": slopes, "sinks": sinks, **options}
    _check_raw(q, k, v, attn_mask, cu_seq_q, cu_seq_k, **options)
    out = like_layout(q, [*q.shape[:-1], v.shape[-1]])
    lse = q.new_empty(q.shape[:-1], dtype=torch.float64 if q.dtype is torch.float64 else torch.float32)
    return out, lse


@torch.library.register_fake("triangle::attn_backward")
def _attn_backward_fake(
    dout: Tensor,
    dlse: Tensor | None,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    lse: Tensor,
    *args: Any,
    **options: Any,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    sinks = args[5] if len(args) > 5 else options.get("sinks")
    dsinks = lse.new_empty(0 if sinks is None else sinks.shape)
    return like_layout(q, list(q.shape)), like_layout(k, list(k.shape)), like_layout(v, list(v.shape)), dsinks


# Gradients


def _setup_context(
    ctx: Any, inputs: tuple[Any, ...], keyword_only_inputs: dict[str, Any], output: tuple[Tensor, Tensor]
) -> None:
    q, k, v, *by_reference = inputs  # mask, cu_seq, rng state, slopes, sinks
    out, lse = output
    ctx.save_for_backward(q, k, v, out, lse, *by_reference)
    ctx.options = keyword_only_inputs
    ctx.set_materialize_grads(False)


def _backward(ctx: Any, dout: Tensor | None, dlse: Tensor | None) -> tuple[Tensor | None, ...]:
    q, k, v, out, lse, *by_reference = ctx.saved_tensors
    if dout is None and dlse is None:
        return (None,) * (3 + len(by_reference))
    if dout is None:
        dout = torch.zeros_like(out)
    try:
        dq, dk, dv, dsinks = attn_backward(dout, dlse, q, k, v, out, lse, *by_reference, **ctx.options)
    except RuntimeError as error:
        raise translated(error) from None
    sinks = by_reference[-1]
    return dq, dk, dv, *(None for _ in by_reference[1:]), None if sinks is None else dsinks.to(sinks.dtype)


class _Attention(torch.autograd.Function):
    """The gradient registered below, without register_autograd's wrapper, which lists a schema's arguments once for
    each of them: 0.2 ms a call here.
    """

    @staticmethod
    def forward(ctx: Any, options: dict[str, Any], *args: Any) -> tuple[Tensor, Tensor]:
        output = attn_lse(*args, **options)
        _setup_context(ctx, args, options, output)
        return output

    @staticmethod
    def backward(ctx: Any, dout: Tensor | None, dlse: Tensor | None) -> tuple[Tensor | None, ...]:
        return (None, *_backward(ctx, dout, dlse))


def _no_double_backward(ctx: Any, *gradients: Tensor | None) -> None:
    raise NotImplementedError("triangle attention: double backward is not supported yet")


class _GuardedLibrary(torch.library.Library):
    """Puts `check_differentiable` before the autograd kernels: the raw operators refuse what the composites refuse."""

    def impl(self, op_name: Any, fn: Any, dispatch_key: str = "", **options: Any) -> None:
        names = [a.name for a in getattr(torch.ops.triangle, op_name).default._schema.arguments]
        mask_at, slopes_at, sinks_at = (names.index(name) for name in ("attn_mask", "alibi_slopes", "sinks"))

        def guarded(keyset: Any, *args: Any, **kwargs: Any) -> Any:
            mask, slopes, sinks = (args[at] if len(args) > at else None for at in (mask_at, slopes_at, sinks_at))
            check_differentiable(mask, slopes, *args[:mask_at], sinks)
            _tell_dtensor(args[0])
            return fn(keyset, *args, **kwargs)

        super().impl(op_name, guarded, dispatch_key, **options)


_autograd = _GuardedLibrary("triangle", "FRAGMENT")
torch.library.register_autograd("triangle::attn_lse", _backward, setup_context=_setup_context, lib=_autograd)
torch.library.register_autograd("triangle::attn_backward", _no_double_backward, lib=_autograd)


# FLOPs


@register_flop_formula(torch.ops.triangle.attn_lse)
def _attn_lse_flops(q: Any, k: Any, v: Any, *args: Any, out_shape: Any = None, **options: Any) -> int:
    return attention_flops(q, k, v, *args, backward=False, **options)


@register_flop_formula(torch.ops.triangle.attn_backward)
def _attn_backward_flops(
    dout: Any, dlse: Any, q: Any, k: Any, v: Any, out: Any, lse: Any, *args: Any, out_shape: Any = None, **options: Any
) -> int:
    return attention_flops(q, k, v, *args, backward=True, **options)
