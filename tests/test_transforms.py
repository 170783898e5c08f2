"""torch.func, double backward, export and AOTInductor, each against SDPA's math path or finite differences."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import reference
import torch
import triangle_attn_op
from torch import Tensor
from torch.func import grad, jacrev, vjp, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from triangle_attn_op import triangle_attention, triangle_attention_varlen

attn, attn_lse = torch.ops.triangle.attn, torch.ops.triangle.attn_lse
CU = torch.tensor([0, 2, 2, 6], dtype=torch.int32)
RNG = torch.tensor([-7, 2**40 + 9])


def qkv(b: int = 2, s: int = 6, sk: int | None = None, lead: tuple[int, ...] = ()) -> tuple[Tensor, ...]:
    """fp64: q [.., b, 4, s, 3], k [.., b, 2, sk, 3], v [.., b, 2, sk, 2]"""
    return tuple(
        torch.randn(*lead, b, h, n, d, dtype=torch.float64) for h, n, d in ((4, s, 3), (2, sk or s, 3), (2, sk or s, 2))
    )


def sdpa(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    causal = torch.ones(q.shape[-2], k.shape[-2], dtype=torch.bool).tril(k.shape[-2] - q.shape[-2])
    mask = causal if mask is None else causal & mask
    with sdpa_kernel(SDPBackend.MATH):
        return torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True)


def bounds(count: int, heads: int) -> Tensor:
    """startend_row_indices [1, heads, 6, count]"""
    generator = torch.Generator().manual_seed(count)
    return torch.randint(0, 7, (1, heads, 6, count), dtype=torch.int32, generator=generator)


def loss(f: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda *args: f(*args).sin().sum()


# Double backward

SECOND: dict[str, Callable[..., Any]] = {
    "plain": lambda *t: triangle_attention(*t, return_lse=True),
    "top-left, scale": lambda *t: triangle_attention(*t, alignment="top_left", scale=0.3, return_lse=True),
    "window": lambda *t: triangle_attention(*t, window_size_left=2, return_lse=True),
    "bool mask": lambda *t: triangle_attention(*t, attn_mask=torch.arange(36).view(6, 6) % 5 < 3),
    "float mask": lambda *t: triangle_attention(*t, attn_mask=torch.arange(24.0).sin().view(4, 1, 6)),
    "rows that see nothing": lambda q, k, v: triangle_attention(q, k[:, :, :4], v[:, :, :4]),
    "intervals": lambda *t: triangle_attention(*t, startend_row_indices=bounds(2, 1), return_lse=True),
    "two intervals, of query heads": lambda *t: triangle_attention(*t, startend_row_indices=bounds(4, 4), diagonal=9),
    "packed intervals": lambda *t: triangle_attention_varlen(
        *(x[0].transpose(0, 1) for x in t), CU, CU, 4, 4, startend_row_indices=bounds(1, 2)
    ),
    "no batch": lambda *t: triangle_attention(*(x[:0] for x in t), return_lse=True),
    "no q dimension": lambda q, k, v: triangle_attention(q[..., :0], k[..., :0], v, return_lse=True),
    "far diagonal": lambda *t: triangle_attention(*t, diagonal=2**63 - 1),
    "dropout": lambda *t: attn_lse(*t, None, None, None, RNG, dropout_p=0.4),
    "packed": lambda *t: triangle_attention_varlen(*(x[0].transpose(0, 1) for x in t), CU, CU, 4, 4, return_lse=True),
    "packed dropout": lambda *t: attn_lse(
        *(x[0].transpose(0, 1) for x in t), None, CU, CU, RNG, max_q=4, max_k=4, dropout_p=0.4
    ),
}


@pytest.mark.parametrize("name", SECOND)
def test_double_backward(name: str) -> None:
    torch.manual_seed(0)
    leaves = tuple(t.requires_grad_() for t in qkv(b=1))
    assert torch.autograd.gradgradcheck(SECOND[name], leaves, fast_mode=name != "plain")


@pytest.mark.parametrize("is_packed", [False, True], ids=["dense", "packed"])
def test_double_backward_of_what_bends_a_score(is_packed: bool) -> None:
    """softcap, slopes for each batch entry or document, and sinks, which have gradients of their own."""
    torch.manual_seed(0)
    q, k, v = qkv(b=1)
    sinks = torch.randn(4, dtype=torch.float64)
    bends = {"softcap": 1.5, "alibi_slopes": torch.rand(3 if is_packed else 1, 4), "return_lse": True}

    def f(q: Tensor, k: Tensor, v: Tensor, sinks: Tensor) -> Any:
        if is_packed:
            flat = (t[0].transpose(0, 1) for t in (q, k, v))
            return triangle_attention_varlen(*flat, CU, CU, 4, 4, sinks=sinks, **bends)
        return triangle_attention(q, k[:, :, :5], v[:, :, :5], sinks=sinks, **bends)  # row 0 sees its sink alone

    assert torch.autograd.gradgradcheck(f, [t.requires_grad_() for t in (q, k, v, sinks)], fast_mode=True)


def second_gradients(options: dict[str, Any], s: int) -> tuple[Tensor, ...]:
    torch.manual_seed(0)
    q, k, v = (t.requires_grad_() for t in qkv(s=s))
    first = torch.autograd.grad(
        loss(lambda *t: triangle_attention(*t, **options))(q, k, v), (q, k, v), create_graph=True
    )
    return torch.autograd.grad(sum(g.square().sum() for g in first), (q, k, v))


@pytest.mark.parametrize(("count", "heads"), [(1, 1), (2, 2), (4, 4)])
def test_double_backward_with_intervals(count: int, heads: int) -> None:
    """Over two block rows, against the bool mask of the same pairs."""
    s = 150
    generator = torch.Generator().manual_seed(count)
    intervals = torch.randint(0, s + 1, (2, heads, s, count), dtype=torch.int32, generator=generator)
    shown = reference.shown_by_intervals(intervals, s).repeat_interleave(4 // heads, dim=1)
    got = second_gradients({"startend_row_indices": intervals}, s)
    for a, b in zip(got, second_gradients({"attn_mask": shown}, s)):
        assert torch.equal(a, b)


@pytest.mark.parametrize("has_sinks", [False, True], ids=["", "sinks"])
def test_double_backward_of_rows_whose_lse_is_large(has_sinks: bool) -> None:
    """All keys of a row hidden by the lowest float: uniform over them, though lse's rounding takes log(sum) away."""
    q, v, lowest = torch.zeros(1, 1, 4, 8), torch.ones(1, 1, 4, 8, requires_grad=True), torch.finfo(torch.float32).min
    sinks = torch.full((1,), lowest) if has_sinks else None
    out = triangle_attention(q, q, v, attn_mask=torch.full((4, 4), lowest), diagonal=3, sinks=sinks)
    dout = torch.ones_like(out, requires_grad=True)
    (dv,) = torch.autograd.grad(out, v, dout, create_graph=True)
    (of_dout,) = torch.autograd.grad(dv.sum(), dout)
    torch.testing.assert_close(of_dout, torch.full_like(of_dout, 4 / 5 if has_sinks else 1.0))


def test_double_backward_with_an_lse_merged_over_more_keys() -> None:
    """Three units in the last place from the call's own: P is exp(-0.375), in the second gradient as in the first."""
    q, v = torch.full((1, 1, 1, 1), 1024.0), torch.ones(1, 1, 1, 8)
    out, own = attn_lse(q, q, v, scale=1.0)
    assert own.item() == 2.0**20
    dout = torch.ones_like(out, requires_grad=True)
    dv = torch.ops.triangle.attn_backward(dout, None, q, q, v, out, own + 0.375, scale=1.0)[2]
    (of_dout,) = torch.autograd.grad(dv.sum(), dout)
    for got in (dv.detach(), of_dout):
        torch.testing.assert_close(got, torch.full_like(got, math.exp(-0.375)))


def test_double_backward_in_block_rows() -> None:
    """Longer than a block, against SDPA; nothing as large as S x S is made."""
    s = 500
    q, k, v = (t.requires_grad_() for t in qkv(b=1, s=s))

    class Largest(TorchDispatchMode):
        numel = 0

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = func(*args, **(kwargs or {}))
            for t in result if isinstance(result, (tuple, list)) else (result,):
                if isinstance(t, Tensor):
                    self.numel = max(self.numel, t.numel())
            return result

    def second(f: Callable[..., Tensor]) -> tuple[Tensor, ...]:
        first = torch.autograd.grad(loss(f)(q, k, v), (q, k, v), create_graph=True)
        return torch.autograd.grad(sum(g.square().sum() for g in first), (q, k, v))

    with Largest() as largest:
        got = second(triangle_attention)
    assert largest.numel <= 4 * 128 * s
    for a, b in zip(got, second(sdpa)):
        torch.testing.assert_close(a, b)


def test_double_backward_in_low_precision() -> None:
    q, k, v = (t.float().requires_grad_() for t in qkv())
    results = []
    for dtype in (torch.float32, torch.bfloat16):
        out = triangle_attention(q.to(dtype), k.to(dtype), v.to(dtype))
        (first,) = torch.autograd.grad(out.float().square().sum(), q, create_graph=True)
        results.append(torch.autograd.grad(first.square().sum(), (q, k, v)))
    for a, b in zip(*results):
        torch.testing.assert_close(a, b, rtol=0.1, atol=0.1 * float(a.abs().max()))


# torch.func


@pytest.mark.parametrize("entry", [triangle_attention, attn, lambda *t: attn_lse(*t)[0]], ids=["function", "op", "raw"])
def test_torch_func(entry: Callable[..., Tensor]) -> None:
    q, k, v = qkv()
    many = qkv(lead=(3,))[0]
    cotangent = torch.randn(2, 4, 6, 2, dtype=torch.float64)
    both: list[Callable[[Callable[..., Tensor]], Any]] = [
        lambda f: grad(loss(f), (0, 1, 2))(q, k, v),
        lambda f: vjp(f, q, k, v)[1](cotangent),
        lambda f: jacrev(f, (0, 1, 2))(q[:1], k[:1], v[:1]),
        lambda f: grad(lambda x: grad(loss(f))(x, k, v).sin().sum())(q),
        lambda f: jacrev(jacrev(loss(f), 1), 1)(q[:1], k[:1], v[:1]),
        lambda f: vmap(grad(loss(f)), (0, None, None))(many, k, v),
        lambda f: grad(lambda k: vmap(f, (0, None, None))(many, k, v).sin().sum())(k),
        lambda f: vmap(grad(lambda x, y: grad(loss(f))(x, y, v).sin().sum()), (0, None))(many, k),
    ]
    for transform in both:
        got, want = transform(entry), transform(sdpa)
        torch.testing.assert_close(got, want)


def test_torch_func_compiles() -> None:
    q, k, v = qkv()
    compiled = torch.compile(lambda q: grad(loss(triangle_attention))(q, k, v), fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(q), grad(loss(sdpa))(q, k, v))


def kernel_calls(f: Callable[[], Any]) -> tuple[Any, int]:
    before = sum(triangle_attn_op.call_counts().values())
    return f(), sum(triangle_attn_op.call_counts().values()) - before


MAPPED: dict[str, tuple[tuple[int | None, ...], tuple[int, ...]]] = {  # in_dims of q, k, v, mask; the mask's shape
    "q": ((0, None, None, None), (6, 6)),
    "everything": ((0, 0, 0, 0), (3, 2, 1, 6, 6)),
    "other dimensions": ((2, 0, 1, 1), (6, 3, 6)),
    "the mask alone": ((None, None, None, 0), (3, 6, 6)),
    "a mask of the batch": ((None, 0, 0, None), (2, 1, 1, 6)),
}


@pytest.mark.parametrize("name", MAPPED)
def test_vmap_is_one_call(name: str) -> None:
    dims, shape = MAPPED[name]
    single, many = qkv(), qkv(lead=(3,))
    args = [t if dim is None else m.movedim(0, dim) for t, m, dim in zip(single, many, dims)]
    mask = torch.rand(shape) > 0.3

    def f(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        out, lse = triangle_attention(q, k, v, attn_mask=mask, return_lse=True)
        return out, lse

    got, calls = kernel_calls(lambda: vmap(f, dims)(*args, mask))
    assert calls == 1
    rows = [f(*(t if dim is None else t.select(dim, n) for t, dim in zip((*args, mask), dims))) for n in range(3)]
    for a, parts in zip(got, zip(*rows)):
        assert torch.equal(a, torch.stack(parts))


@pytest.mark.parametrize("batched_offsets", [True, False])
def test_vmap_of_packed_sequences_is_one_call(batched_offsets: bool) -> None:
    many = [torch.randn(3, 6, h, 4) for h in (4, 2, 2)]
    cu = torch.tensor([[0, 2, 6], [0, 6, 6], [0, 1, 6]] if batched_offsets else [0, 2, 6], dtype=torch.int32)
    dim = 0 if batched_offsets else None

    def f(q: Tensor, k: Tensor, v: Tensor, cu: Tensor) -> Tensor:
        return triangle_attention_varlen(q, k, v, cu, cu, 6, 6)

    got, calls = kernel_calls(lambda: vmap(f, (0, 0, 0, dim))(*many, cu))
    assert calls == 1
    want = [f(*(t[n] for t in many), cu[n] if batched_offsets else cu) for n in range(3)]
    assert torch.equal(got, torch.stack(want))
    leaves = [t.requires_grad_() for t in many]
    mapped = vmap(f, (0, 0, 0, dim))(*leaves, cu)
    single = torch.stack([f(*(t[n] for t in leaves), cu[n] if batched_offsets else cu) for n in range(3)])
    for a, b in zip(*(torch.autograd.grad(out.square().sum(), leaves) for out in (mapped, single))):
        assert torch.equal(a, b)


def bent(name: str, n: int | None) -> dict[str, Tensor]:
    """An argument of four heads and 9 rows, of entry n or of all."""
    of = (lambda t: t) if n is None else (lambda t: t[n])
    g = torch.Generator().manual_seed(4)
    rows = torch.randint(0, 9, (3, 1, 1, 9, 1), generator=g, dtype=torch.int32)
    return {
        "slopes": {"alibi_slopes": of(torch.rand(3, 4, generator=g))},
        "slopes of a batch": {"alibi_slopes": of(torch.rand(3, 2, 4, generator=g))},
        "intervals": {"startend_row_indices": of(rows)},
        "intervals of a batch": {"startend_row_indices": of(rows.expand(3, 2, 1, 9, 1).contiguous())},
    }[name]


@pytest.mark.parametrize("name", ["slopes", "slopes of a batch", "intervals", "intervals of a batch"])
@pytest.mark.parametrize("same", [True, False], ids=["same", "each its own"])
def test_vmap_of_what_bends_a_score_is_one_call(name: str, same: bool) -> None:
    """Forward and backward: the bits of each entry alone."""
    g = torch.Generator().manual_seed(5)
    q, k, v = (torch.randn(3, 2, h, 9, 8, generator=g) for h in (4, 2, 2))
    arguments = bent(name, 0 if same else None)

    def f(q: Tensor, k: Tensor, v: Tensor, arguments: dict[str, Tensor]) -> tuple[Tensor, ...]:
        out, back = vjp(lambda *t: triangle_attention(*t, **arguments), q, k, v)
        return (out, *back(out))

    got, calls = kernel_calls(lambda: vmap(f, (0, 0, 0, None if same else 0))(q, k, v, arguments))
    assert calls == 2
    for n in range(3):
        for a, b in zip(got, f(q[n], k[n], v[n], bent(name, 0 if same else n))):
            assert torch.equal(a[n], b)


@pytest.mark.parametrize(("dim", "expected"), [(None, 1), (0, 3)], ids=["same", "each its own"])
def test_vmap_with_sinks_folds_the_forward_where_they_are_the_same(dim: int | None, expected: int) -> None:
    q, k, v = (torch.randn(3, 2, h, 9, 8) for h in (4, 2, 2))
    sinks = torch.rand(4) if dim is None else torch.rand(3, 4)

    def f(q: Tensor, k: Tensor, v: Tensor, sinks: Tensor) -> Tensor:
        return triangle_attention(q, k, v, sinks=sinks)

    got, calls = kernel_calls(lambda: vmap(f, (0, 0, 0, dim))(q, k, v, sinks))
    assert calls == expected
    assert torch.equal(got, torch.stack([f(q[n], k[n], v[n], sinks if dim is None else sinks[n]) for n in range(3)]))


def test_vmap_with_dropout() -> None:
    """Pairs are counted by batch entry: each call draws as it would alone, so it loops."""
    q, k, v = qkv(lead=(3,))
    got = vmap(lambda *t: attn_lse(*t, None, None, None, RNG, dropout_p=0.5)[0])(q, k, v)
    want = [attn_lse(q[n], k[n], v[n], None, None, None, RNG, dropout_p=0.5)[0] for n in range(3)]
    assert torch.equal(got, torch.stack(want))


# Export


class Everything(torch.nn.Module):
    def forward(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        return triangle_attention(q * 2.0, k, v, attn_mask=mask, scale=q.shape[-1] ** -0.5)


def export_arguments(b: int, s: int, d: int = 16) -> tuple[Tensor, ...]:
    return (*(torch.randn(b, h, s, d) for h in (4, 2, 2)), torch.rand(b, 1, s, s) > 0.2)


def exported() -> Any:
    batch, seq = torch.export.Dim("batch", min=2, max=64), torch.export.Dim("seq", min=2, max=4096)
    sizes = {0: batch, 2: seq}
    shapes = {"q": sizes, "k": sizes, "v": sizes, "mask": {0: batch, 2: seq, 3: seq}}
    return torch.export.export(Everything(), export_arguments(3, 24), dynamic_shapes=shapes)


def test_export_with_every_size_dynamic() -> None:
    program = exported().module()
    auto = {i: torch.export.Dim.DYNAMIC for i in range(4)}
    wide = torch.export.export(
        Everything(),
        export_arguments(3, 24),
        dynamic_shapes={"q": auto, "k": auto, "v": auto, "mask": {0: auto[0], 2: auto[2], 3: auto[3]}},
    ).module()
    for b, s in ((3, 24), (5, 71)):
        args = export_arguments(b, s)
        torch.testing.assert_close(program(*args), Everything()(*args))
        torch.testing.assert_close(wide(*args), Everything()(*args))


def test_aot_inductor_package(tmp_path: Path) -> None:
    # What is compiled once: neither headers in advance nor the optimiser would pay.
    quick = {"aot_inductor.compile_wrapper_opt_level": "O0", "aot_inductor.precompile_headers": False}
    file = str(tmp_path / "model.pt2")
    path = torch._inductor.aoti_compile_and_package(exported(), package_path=file, inductor_configs=quick)
    model = torch._inductor.aoti_load_package(path)
    for b, s in ((3, 24), (2, 71)):
        args = export_arguments(b, s)
        torch.testing.assert_close(model(*args), Everything()(*args))
