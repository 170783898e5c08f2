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

from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch._functorch.utils import enable_single_level_autograd_function
from torch.utils.flop_counter import register_flop_formula

from . import _library
from ._checks import check_dense, check_differentiable, check_varlen, refusal
from ._numbers import holds
from .flops import attention_flops
from .second_order import double_backward
from .transforms import vmap_operator

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


def dense(
    q: Tensor, k: Tensor, v: Tensor, *, attn_mask: Tensor | None = None, hidden: Tensor | None = None, **options: Any
) -> tuple[Tensor, Tensor]:
    """`attn`'s body, (out, lse). hidden: in attn_mask's place, a bool attention_mask, Megatron's: True where a pair is
    hidden. It is read as it is.
    """
    if all(isinstance(t, Tensor) for t in (q, k, v)):
        q, k, v = autocast(q, k, v)
        options["sinks"] = autocast_sinks(q, options.get("sinks"))
        bounds = options.get("startend_row_indices")
        if isinstance(bounds, Tensor) and bounds.dim() == 4 and q.dim() == 4 and holds(bounds.shape[0] == 1):
            options["startend_row_indices"] = bounds.expand(q.shape[0], -1, -1, -1)
    mask = attn_mask if hidden is None else hidden
    named = "attn_mask" if hidden is None else "attention_mask"
    options = check_dense(q, k, v, attn_mask=mask, mask_name=named, **options)
    if hidden is not None:
        options["mask_hides"] = True
    rng_state = draw_rng_state(q, options["dropout_p"])
    return _forward(q, k, v, mask, None, None, rng_state, *_bends(options), **options)


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


def _bends(options: dict[str, Any]) -> tuple[Any, Any, Any]:
    """The tensors that `attn_lse` takes by position, out of the options."""
    return options.pop("alibi_slopes"), options.pop("sinks"), options.pop("startend_row_indices")


def _forward(*args: Any, **options: Any) -> tuple[Tensor, Tensor]:
    """`attn_lse`, whose kernel's errors come as the exceptions that the checks raise."""
    _tell_dtensor(args[0])
    if torch.compiler.is_compiling():
        return attn_lse(*args, **options)
    try:
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
    mask_hides = options.pop("mask_hides", False)
    if mask_hides and (attn_mask is None or attn_mask.dtype is not torch.bool):
        raise ValueError("mask_hides: expected False without a bool attn_mask")
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


def _check_same_device(q: Tensor, **tensors: Tensor | None) -> None:
    """One meta tensor among others brings a call here, where nothing is computed: an error, not empty results."""
    for name, t in tensors.items():
        if t is not None and t.device != q.device:
            raise ValueError(f"{name}: expected q's device {q.device}, got {t.device}")


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
    startend_row_indices: Tensor | None = None,
    **options: Any,
) -> tuple[Tensor, Tensor]:
    slopes = None if alibi_slopes is None else alibi_slopes.detach()
    options = {"max_q": None, "max_k": None, "alibi_slopes": slopes, "sinks": sinks, **options}
    _check_same_device(q, rng_state=rng_state)
    options["startend_row_indices"] = startend_row_indices
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
    names = (
        "attn_mask",
        "cu_seq_q",
        "cu_seq_k",
        "rng_state",
        "alibi_slopes",
        "sinks",
        "startend_row_indices",
    )
    given = dict.fromkeys(names) | dict(zip(names, args))
    given = {name: None if t is None else t.detach() for name, t in given.items()}
    options = {"max_q": None, "max_k": None, **options}
    _check_same_device(q, lse=lse, dlse=dlse, dout=dout, out=out, **given)
    _check_raw(q, k, v, **{name: t for name, t in given.items() if name != "rng_state"}, **options)
    for name, t, want in (
        ("dout", dout, [*q.shape[:-1], v.shape[-1]]),
        ("out", out, [*q.shape[:-1], v.shape[-1]]),
        ("lse", lse, q.shape[:-1]),
        ("dlse", dlse, q.shape[:-1]),
    ):
        if t is not None and (t.dim() != len(want) or any(holds(a != b) for a, b in zip(t.shape, want))):
            raise ValueError(f"{name}: expected the forward's shape {list(want)}, got {list(t.shape)}")
    sinks = given["sinks"]
    dsinks = lse.new_empty(0 if sinks is None else sinks.shape)
    return like_layout(q, list(q.shape)), like_layout(k, list(k.shape)), like_layout(v, list(v.shape)), dsinks


# Gradients and vmap


class _Differentiable(torch.autograd.Function):
    """An operator with its gradient, as its autograd kernel runs it.

    torch.library.register_autograd makes one too, but it raises under torch.func.grad, vjp and jacrev, and lists the
    schema's arguments once for each of them: 0.2 ms a call here.
    """

    @classmethod
    def apply_here(cls, *args: Any) -> Any:
        """`apply` of this level alone: the dispatcher brings the levels of torch.func here one after the other."""
        if not torch._C._are_functorch_transforms_active():
            return cls.apply(*args)
        with enable_single_level_autograd_function():
            return super(torch.autograd.Function, cls).apply(*args)  # type: ignore[misc]

    @classmethod
    def register(cls, op: Any) -> None:
        """Makes this the autograd kernel of `op`, behind `check_differentiable`: the raw operators refuse what the
        composites refuse.
        """
        names = [a.name for a in op._schema.arguments if not a.kwarg_only]
        mask_at, slopes_at, sinks_at = (names.index(name) for name in ("attn_mask", "alibi_slopes", "sinks"))

        def kernel(keyset: Any, *args: Any, **options: Any) -> Any:
            mask, slopes, sinks = (args[at] if len(args) > at else None for at in (mask_at, slopes_at, sinks_at))
            check_differentiable(mask, slopes, *args[:mask_at], sinks)
            _tell_dtensor(args[0])

            def below(*tensors: Tensor | None) -> Any:
                # A Function's forward runs without gradients, which outer levels of torch.func want all the same.
                nested = torch._C._are_functorch_transforms_active()
                with torch._C._AutoDispatchBelowAutograd(), torch.set_grad_enabled(grad) if nested else nullcontext():
                    return op.redispatch(keyset & torch._C._after_autograd_keyset, *tensors, **options)

            grad = torch.is_grad_enabled()

            if grad and any(t is not None and t.requires_grad for t in args):
                # The dispatcher drops arguments that have their defaults.
                return cls.apply_here(below, options, *args, *(None for _ in names[len(args) :]))
            return below(*args)

        _fragment.impl(op._schema.name.partition("::")[2], kernel, "Autograd", with_keyset=True)


class _Attention(_Differentiable):
    @staticmethod
    def forward(ctx: Any, below: Any, options: dict[str, Any], *args: Any) -> tuple[Tensor, Tensor]:
        out, lse = below(*args)
        q, k, v, *by_reference = args  # mask, cu_seq, rng state, slopes, sinks, intervals
        ctx.save_for_backward(q, k, v, out, lse, *by_reference)
        ctx.options = options
        ctx.set_materialize_grads(False)
        return out, lse

    @staticmethod
    def backward(ctx: Any, dout: Tensor | None, dlse: Tensor | None) -> tuple[Tensor | None, ...]:
        q, k, v, out, lse, *by_reference = ctx.saved_tensors
        if dout is None and dlse is None:
            return (None,) * (5 + len(by_reference))
        if dout is None:
            dout = torch.zeros_like(out)
        try:
            *gradients, dsinks = attn_backward(dout, dlse, q, k, v, out, lse, *by_reference, **ctx.options)
        except RuntimeError as error:
            raise translated(error) from None
        sinks = by_reference[5]
        of_sinks = None if sinks is None else dsinks.to(sinks.dtype)
        return (None, None, *gradients, *(None for _ in range(5)), of_sinks, None)


class _AttentionBackward(_Differentiable):
    @staticmethod
    def forward(ctx: Any, below: Any, options: dict[str, Any], *args: Any) -> tuple[Tensor, ...]:
        ctx.save_for_backward(*args)
        ctx.options = options
        ctx.set_materialize_grads(False)
        return below(*args)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        *results, of_sinks = double_backward(gradients, ctx.saved_tensors, ctx.options)
        return (None, None, *results, *(None for _ in range(5)), of_sinks, None)


_Attention.register(attn_lse)
_AttentionBackward.register(attn_backward)
torch.library.register_vmap(attn_lse, partial(vmap_operator, attn_lse, 0))
torch.library.register_vmap(attn_backward, partial(vmap_operator, attn_backward, 2))


# FLOPs


@register_flop_formula(torch.ops.triangle.attn_lse)
def _attn_lse_flops(q: Any, k: Any, v: Any, *args: Any, out_shape: Any = None, **options: Any) -> int:
    return attention_flops(q, k, v, *args, backward=False, **options)


@register_flop_formula(torch.ops.triangle.attn_backward)
def _attn_backward_flops(
    dout: Any, dlse: Any, q: Any, k: Any, v: Any, out: Any, lse: Any, *args: Any, out_shape: Any = None, **options: Any
) -> int:
    return attention_flops(q, k, v, *args, backward=True, **options)
