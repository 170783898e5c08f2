"""PyTorch citizenship: opcheck, torch.compile, export, autocast, AD modes, FLOPs, checkpointing, inference mode."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
import torch._dynamo.testing
import triangle_attn_op
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts
from torch.utils.flop_counter import FlopCounterMode
from triangle_attn_op import merge_attention, triangle_attention, triangle_attention_varlen

attn, attn_lse, attn_backward = torch.ops.triangle.attn, torch.ops.triangle.attn_lse, torch.ops.triangle.attn_backward
CU = torch.tensor([0, 13, 40], dtype=torch.int32)
RNG = torch.tensor([7, 9])


def qkv(
    b: int = 2,
    hq: int = 4,
    hkv: int = 2,
    s: int = 40,
    d: int = 32,
    dv: int = 32,
    dtype: torch.dtype = torch.float32,
    grad: bool = False,
) -> tuple[Tensor, ...]:
    return tuple(torch.randn(b, h, s, n, dtype=dtype, requires_grad=grad) for h, n in ((hq, d), (hkv, d), (hkv, dv)))


def packed(grad: bool = False) -> tuple[Tensor, ...]:
    return tuple(torch.randn(40, h, 16, requires_grad=grad) for h in (4, 2, 2))


LSE_CASES: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "plain": (qkv(), {}),
    "with gradient": (qkv(grad=True), {}),
    "bf16, Dv": (qkv(dtype=torch.bfloat16, dv=16, grad=True), {}),
    "transposed": (tuple(t.transpose(1, 2).contiguous().transpose(1, 2).detach().requires_grad_() for t in qkv()), {}),
    "last dimension strided": (
        tuple(t.transpose(2, 3).contiguous().transpose(2, 3).detach().requires_grad_() for t in qkv()),
        {},
    ),
    "expanded": (tuple(t[:1].expand(2, -1, -1, -1) for t in qkv()), {}),
    "mask, window, scale": ((*qkv(grad=True), torch.rand(2, 1, 40, 40) > 0.3), {"window_size_left": 9, "scale": 0.2}),
    "float mask": ((*qkv(grad=True), torch.randn(40, 40)), {"alignment": "top_left"}),
    "diagonal": (qkv(grad=True), {"diagonal": 3}),
    "packed": ((*packed(grad=True), None, CU, CU), {"max_q": 27, "max_k": 27}),
    "dropout": ((*qkv(grad=True), None, None, None, RNG), {"dropout_p": 0.4}),
    "softcap, slopes, sinks": (
        (*qkv(grad=True), None, None, None, None, torch.rand(2, 4), torch.randn(4, requires_grad=True)),
        {"softcap": 2.0},
    ),
    "packed, bf16 sinks": (
        (*(t.bfloat16() for t in packed()), None, CU, CU, None, None, torch.randn(4).bfloat16().requires_grad_()),
        {"max_q": 27, "max_k": 27},
    ),
    "intervals": (
        (*qkv(grad=True), None, None, None, None, None, None, torch.randint(0, 41, (2, 2, 40, 4), dtype=torch.int32)),
        {},
    ),
    "empty": (qkv(s=0, grad=True), {}),
    "fp64": (qkv(dtype=torch.float64, grad=True), {}),
}


@pytest.mark.parametrize("name", LSE_CASES)
def test_opcheck_attn_lse(name: str) -> None:
    args, options = LSE_CASES[name]
    torch.library.opcheck(attn_lse.default, args, options)


@pytest.mark.parametrize("name", LSE_CASES)
def test_opcheck_attn_backward(name: str) -> None:
    args, options = LSE_CASES[name]
    args = tuple(t.detach() if isinstance(t, Tensor) else t for t in args)
    out, lse = attn_lse(*args, **options)
    torch.library.opcheck(
        attn_backward.default, (torch.randn_like(out), torch.randn_like(lse), *args[:3], out, lse, *args[3:]), options
    )


def test_opcheck_composites() -> None:
    torch.library.opcheck(attn.default, qkv(grad=True), {"window_size_left": 5})
    torch.library.opcheck(torch.ops.triangle.attn_varlen.default, (*packed(grad=True), CU, CU, 27, 27))


@pytest.mark.parametrize(("dynamic", "dtype"), [(True, torch.float32), (False, torch.bfloat16)])
def test_compile_forward_and_backward(dynamic: bool, dtype: torch.dtype) -> None:
    def f(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return attn(q * 2.0, k, v) + triangle_attention(q, k, v, window_size_left=7)

    compiled = torch.compile(f, fullgraph=True, dynamic=dynamic)
    for s in (40, 17):
        leaves = qkv(s=s, dtype=dtype, grad=True)
        twins = tuple(t.detach().clone().requires_grad_() for t in leaves)
        got, want = compiled(*leaves), f(*twins)
        torch.testing.assert_close(got, want)
        got.sum().backward()
        want.sum().backward()
        for a, b in zip(leaves, twins):
            torch.testing.assert_close(a.grad, b.grad)


def test_compile_does_not_recompile_for_every_length() -> None:
    torch._dynamo.reset()
    count = torch._dynamo.testing.CompileCounter()
    compiled = torch.compile(lambda q, k, v: triangle_attention(q, k, v), fullgraph=True, dynamic=True, backend=count)
    for s in (16, 33, 40, 77, 128):
        compiled(*qkv(s=s))
    assert count.frame_count <= 1


def test_compile_everything_at_once() -> None:
    """lse, masks, transposed views, dropout and packed sequences in one graph."""

    def f(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, cu: Tensor) -> Tensor:
        out, lse = triangle_attention(
            q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), attn_mask=mask, return_lse=True
        )
        flat = out.transpose(1, 2).flatten(0, 1)
        again = triangle_attention_varlen(flat, flat[:, ::2], flat[:, ::2], cu, cu, 80, 80)
        return again.sum() + lse.masked_fill(lse == -torch.inf, 0.0).sum()

    q, k, v = (torch.randn(2, 40, h, 16, requires_grad=True) for h in (4, 2, 2))
    mask = torch.rand(2, 1, 40, 40) > 0.2
    cu = torch.tensor([0, 30, 80], dtype=torch.int32)
    want = f(q, k, v, mask, cu)
    got = torch.compile(f, fullgraph=True)(q, k, v, mask, cu)
    torch.testing.assert_close(got, want)
    for a, b in zip(torch.autograd.grad(got, (q, k, v)), torch.autograd.grad(want, (q, k, v))):
        torch.testing.assert_close(a, b)


def test_compile_dropout() -> None:
    q, k, v = qkv(grad=True)
    compiled = torch.compile(lambda q, k, v: triangle_attention(q, k, v, dropout_p=0.5), fullgraph=True)
    first, second = compiled(q, k, v), compiled(q, k, v)
    assert not torch.equal(first, second)
    first.sum().backward()


def test_compile_reports_bad_input() -> None:
    with pytest.raises(Exception, match="Hq % Hkv == 0"):
        torch.compile(lambda q, k: triangle_attention(q, k, k), fullgraph=True)(
            torch.zeros(1, 3, 4, 8), torch.zeros(1, 2, 4, 8)
        )


class Block(nn.Module):
    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return triangle_attention(q, k, v, window_size_left=20)


def test_export() -> None:
    seq = torch.export.Dim("seq", min=2, max=4096)
    shapes = {name: {2: seq} for name in ("q", "k", "v")}
    program = torch.export.export(Block(), qkv(), dynamic_shapes=shapes)
    args = qkv(s=71)
    torch.testing.assert_close(program.module()(*args), Block()(*args))
    assert any("triangle.attn" in str(node.target) for node in program.graph.nodes)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast(dtype: torch.dtype) -> None:
    q, k, v = qkv(grad=True)
    mask = torch.randn(40, 40)
    want, want_lse = triangle_attention(q.to(dtype), k.to(dtype), v.to(dtype), attn_mask=mask, return_lse=True)
    with torch.autocast("cpu", dtype=dtype):
        assert torch.equal(attn(q, k, v, attn_mask=mask), want)
        out, lse = triangle_attention(q, k, v, attn_mask=mask, return_lse=True)
        # Rotary embeddings leave q and k in fp32 beside a bf16 v: cast, then checked.
        assert torch.equal(triangle_attention(q, k, v.to(dtype), attn_mask=mask), want)
        flat = tuple(t.detach() for t in packed())
        assert triangle_attention_varlen(*flat, CU, CU, 27, 27).dtype == dtype
        assert triangle_attention(*(t.double() for t in (q, k, v))).dtype == torch.float64
        compiled = torch.compile(lambda q, k, v: attn(q, k, v, attn_mask=mask), fullgraph=True, backend="aot_eager")(
            q, k, v
        )
    assert torch.equal(out, want)
    assert torch.equal(compiled, want)
    assert torch.equal(lse, want_lse)
    assert lse.dtype == torch.float32
    out.sum().backward()
    assert q.grad is not None
    assert q.grad.dtype == torch.float32


GRADCHECK: dict[str, dict[str, Any]] = {
    "plain": {},
    "top-left": {"alignment": "top_left"},
    "window": {"window_size_left": 3},
    "diagonal": {"diagonal": 2},
    "mask": {"attn_mask": torch.rand(2, 1, 7, 11) > 0.4},
    "float mask": {"attn_mask": torch.randn(7, 11, dtype=torch.float64)},
}


@pytest.mark.parametrize("name", GRADCHECK)
def test_gradcheck(name: str) -> None:
    q, k, v = (
        torch.randn(2, h, s, d, dtype=torch.float64, requires_grad=True)
        for h, s, d in ((4, 7, 5), (2, 11, 5), (2, 11, 3))
    )

    def f(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        out, lse = triangle_attention(q, k, v, return_lse=True, **GRADCHECK[name])
        return out, lse.masked_fill(lse == -torch.inf, 0.0)  # finite differences of -inf mean nothing

    assert torch.autograd.gradcheck(f, (q, k, v), fast_mode=False)


def test_gradcheck_varlen_and_dropout() -> None:
    q, k, v = (torch.randn(12, h, 5, dtype=torch.float64, requires_grad=True) for h in (4, 2, 2))
    cu = torch.tensor([0, 5, 5, 12], dtype=torch.int32)
    assert torch.autograd.gradcheck(
        lambda q, k, v: triangle_attention_varlen(q, k, v, cu, cu, 7, 7, return_lse=True), (q, k, v)
    )
    dense = tuple(torch.randn(1, 2, 9, 4, dtype=torch.float64, requires_grad=True) for _ in range(3))
    assert torch.autograd.gradcheck(lambda *t: attn_lse(*t, None, None, None, RNG, dropout_p=0.3), dense)


def test_only_lse_is_differentiated() -> None:
    q, k, v = qkv(grad=True)
    _, lse = triangle_attention(q, k, v, return_lse=True)
    dq, dk, dv = torch.autograd.grad(lse.sum(), (q, k, v), allow_unused=True)
    assert dq.abs().sum() > 0
    assert dk.abs().sum() > 0
    assert (dv == 0).all()


@pytest.mark.parametrize("entry", [attn, triangle_attention])
def test_forward_mode_raises(entry: Any) -> None:
    q, k, v = qkv()
    with forward_ad.dual_level(), pytest.raises(NotImplementedError, match="forward-mode AD"):
        entry(forward_ad.make_dual(q, torch.ones_like(q)), k, v)
    with forward_ad.dual_level():  # no tangent: an ordinary call
        entry(q, k, v)
    with pytest.raises((NotImplementedError, RuntimeError)):
        torch.func.jvp(lambda x: entry(x, k, v), (q,), (torch.ones_like(q),))


def test_raw_operators_raise_where_a_gradient_would_be_lost() -> None:
    """Without a rule PyTorch makes tangents zero and leaves a mask without a gradient, both in silence."""
    q, k, v = qkv()
    out, lse = attn_lse(q, k, v)
    with forward_ad.dual_level():
        for t in (0, 1, 2):
            leaves = [forward_ad.make_dual(x, torch.ones_like(x)) if i == t else x for i, x in enumerate((q, k, v))]
            with pytest.raises(NotImplementedError, match="forward-mode AD"):
                attn_lse(*leaves)
        with pytest.raises(NotImplementedError, match="forward-mode AD"):
            attn_backward(forward_ad.make_dual(out, torch.ones_like(out)), None, q, k, v, out, lse)
        attn_backward(out, None, q, k, v, *attn_lse(q, k, v))  # no tangent: ordinary calls
    mask = torch.randn(40, 40, requires_grad=True)
    with pytest.raises(ValueError, match="attn_mask: expected requires_grad=False"):
        attn_lse(q, k, v, mask)
    with pytest.raises(ValueError, match="attn_mask: expected requires_grad=False"):
        attn_backward(out, None, q, k, v, out, lse, mask)
    with torch.no_grad():
        attn_lse(q, k, v, mask)


@pytest.mark.parametrize(
    "entry", [triangle_attention, lambda *t, **o: attn_lse(*t, o["attn_mask"])], ids=["eager", "raw"]
)
def test_saved_for_backward_is_what_was_given_and_the_result(entry: Any) -> None:
    """q, k, v, out, lse and the mask, each by reference: no copy, nothing else; and inputs are never written."""
    q, k, v = (t.transpose(1, 2).contiguous().transpose(1, 2).requires_grad_() for t in qkv(dv=16))
    mask = torch.rand(2, 1, 40, 40) > 0.3
    inputs = (q, k, v, mask)
    copies, saved = [t.detach().clone() for t in inputs], []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        result = entry(q, k, v, attn_mask=mask)
    out = result if isinstance(result, Tensor) else result[0]
    given = {t.data_ptr() for t in (*inputs, out)}
    assert {t.data_ptr() for t in saved} > given
    assert [tuple(t.shape) for t in saved if t.data_ptr() not in given] == [(2, 4, 40)]  # lse
    out.sum().backward()
    assert all(torch.equal(a, b) for a, b in zip(inputs, copies))


@pytest.mark.parametrize("cut", [0, 7, 20, 40])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_merged_parts_are_the_whole(cut: int, dtype: torch.dtype) -> None:
    """Keys before and from `cut` on, attended apart and merged, with gradients; rows may see nothing of one part, or of
    both."""
    leaves = tuple(t.detach().requires_grad_() for t in qkv(dtype=dtype))
    q, k, v = leaves
    mask = torch.ones(40, 40, dtype=torch.bool)
    mask[5:8] = False  # empty rows

    def part(begin: int, end: int) -> tuple[Tensor, Tensor]:
        return triangle_attention(
            q, k[:, :, begin:end], v[:, :, begin:end], attn_mask=mask[:, begin:end], diagonal=-begin, return_lse=True
        )

    want, want_lse = triangle_attention(q, k, v, attn_mask=mask, return_lse=True)
    got, got_lse = merge_attention(*part(0, cut), *part(cut, 40))
    assert got.dtype == dtype
    assert (got_lse[:, :, 5:8] == -torch.inf).all()
    assert (got[:, :, 5:8] == 0).all()
    tolerance = {"rtol": 1e-9, "atol": 1e-9} if dtype is torch.float64 else {"rtol": 2e-2, "atol": 4e-2}
    torch.testing.assert_close(got, want, **tolerance)
    torch.testing.assert_close(got_lse, want_lse, **tolerance)
    weights = torch.randn_like(want), torch.randn_like(want_lse)
    sums = [
        (out * weights[0]).sum() + (lse.masked_fill(lse == -torch.inf, 0.0) * weights[1]).sum()
        for out, lse in ((got, got_lse), (want, want_lse))
    ]
    for a, b in zip(*(torch.autograd.grad(s, leaves) for s in sums)):
        assert a.isfinite().all()
        if dtype is torch.float64:
            torch.testing.assert_close(a, b, **tolerance)


def brute_force_pairs(sq: int, sk: int, diagonal: int, window: int | None) -> int:
    return sum(
        max(0, min(i + diagonal, sk - 1) - max(0, i + diagonal - window if window is not None else 0) + 1)
        for i in range(sq)
    )


@pytest.mark.parametrize(("sq", "sk"), [(40, 40), (7, 40), (40, 7), (1, 9), (5, 0)])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"alignment": "top_left"},
        {"diagonal": -3},
        {"diagonal": 60},
        {"window_size_left": 4},
        {"window_size_left": 0, "diagonal": 3},
    ],
)
def test_flops_are_exact(sq: int, sk: int, options: dict[str, Any]) -> None:
    q, k, v = torch.randn(2, 4, sq, 24, requires_grad=True), torch.randn(2, 2, sk, 24), torch.randn(2, 2, sk, 16)
    diagonal = options.get("diagonal", 0 if "alignment" in options else sk - sq)
    pairs = 2 * 4 * brute_force_pairs(sq, sk, diagonal, options.get("window_size_left"))
    with FlopCounterMode(display=False) as counter:
        out = attn(q, k, v, **options)
    assert counter.get_total_flops() == 2 * (24 + 16) * pairs
    with FlopCounterMode(display=False) as counter:
        out.sum().backward()
    assert counter.get_total_flops() == 2 * (3 * 24 + 2 * 16) * pairs


def test_flops_of_packed_sequences_are_a_bound() -> None:
    with FlopCounterMode(display=False) as counter:
        triangle_attention_varlen(*packed(), CU, CU, 27, 27)
    assert 2 * 32 * 4 * (13 * 14 // 2 + 27 * 28 // 2) <= counter.get_total_flops() <= 2 * 32 * 4 * 40 * 27


def test_selective_checkpointing_names_the_operator() -> None:
    weights = torch.randn(32, 32, requires_grad=True)
    x = qkv(hkv=4)[0]

    def forwards(save: bool) -> int:
        """Forward kernels that one step with checkpointing runs."""

        def policy(ctx: Any, op: Any, *args: Any, **options: Any) -> CheckpointPolicy:
            saved = save and op is attn_lse.default
            return CheckpointPolicy.MUST_SAVE if saved else CheckpointPolicy.PREFER_RECOMPUTE

        def block(x: Tensor) -> Tensor:
            return attn(x @ weights, x, x).sin()

        before = sum(n for name, n in triangle_attn_op.call_counts().items() if "forward" in name)
        contexts = partial(create_selective_checkpoint_contexts, policy)
        checkpoint(block, x, use_reentrant=False, context_fn=contexts).sum().backward()
        return sum(n for name, n in triangle_attn_op.call_counts().items() if "forward" in name) - before

    assert (forwards(save=True), forwards(save=False)) == (1, 2)


def test_checkpoint_recomputes_the_same_dropout() -> None:
    q, k, v = qkv(grad=True)
    torch.manual_seed(0)
    plain = torch.autograd.grad(triangle_attention(q, k, v, dropout_p=0.5).sum(), q)[0]
    torch.manual_seed(0)
    again = torch.autograd.grad(
        checkpoint(lambda *t: triangle_attention(*t, dropout_p=0.5), q, k, v, use_reentrant=False).sum(), q
    )[0]
    assert torch.equal(plain, again)


def test_inference_mode_meta_and_inputs_unchanged() -> None:
    args = qkv()
    copies = [t.clone() for t in args]
    with torch.inference_mode():
        out = attn(*args)
    assert all(torch.equal(a, b) for a, b in zip(args, copies))
    meta = attn(*(t.to("meta") for t in args))
    assert (meta.shape, meta.stride()) == (out.shape, out.stride())


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 2, 1, 3), (2, 0, 1, 3), (1, 0, 2, 3)])
def test_result_follows_the_layout_of_q(order: tuple[int, ...]) -> None:
    inverse = [order.index(i) for i in range(4)]
    q, k, v = (t.permute(order).contiguous().permute(inverse).detach().requires_grad_() for t in qkv(hkv=4, dv=16))
    out = attn(q, k, v)
    assert out.permute(order).is_contiguous()
    for leaf, grad in zip((q, k, v), torch.autograd.grad(out.sum(), (q, k, v))):
        assert grad.stride() == leaf.stride()
    if order == (0, 2, 1, 3):
        assert out.transpose(1, 2).flatten(2).data_ptr() == out.data_ptr()


def test_layout_of_ties() -> None:
    """Strides that say nothing about an order give B, S, H; the fake kernel says the same."""
    q, k, v = (torch.randn(1, 1, 1, 8).expand(2, 3, 5, 8) for _ in range(3))
    out = attn(q, k, v)
    assert out.transpose(1, 2).is_contiguous()
    assert attn(*(t.to("meta").expand(2, 3, 5, 8) for t in (torch.empty(1, 1, 1, 8),) * 3)).stride() == out.stride()
    rows = torch.randn(1, 1, 8).expand(6, 3, 8)
    cu = torch.tensor([0, 6], dtype=torch.int32)
    assert triangle_attention_varlen(rows, rows, rows, cu, cu, 6, 6).is_contiguous()


def test_results_are_fresh_and_strided_inputs_are_not_copied() -> None:
    q, k, v = (t.transpose(1, 2).contiguous().transpose(1, 2) for t in qkv())
    out = attn(q, k, v)
    assert out.data_ptr() not in {t.data_ptr() for t in (q, k, v)}
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], record_shapes=True) as profile:
        attn(q, k, v)
    names = {event.key for event in profile.key_averages()}
    assert "triangle::attn_lse" in names
    (event,) = [event for event in profile.events() if event.name == "triangle::attn_lse"]
    assert event.input_shapes[:3] == [list(t.shape) for t in (q, k, v)]
    assert not names & {"aten::clone", "aten::contiguous", "aten::copy_"}


def test_vmap() -> None:
    q, k, v = (torch.randn(3, 1, 2, 9, 8) for _ in range(3))
    want = torch.stack([attn(*row) for row in zip(q, k, v)])
    torch.testing.assert_close(torch.func.vmap(attn)(q, k, v), want)


def test_autocast_takes_sinks_of_another_half() -> None:
    q, k, v = qkv()
    sinks = torch.randn(4).half()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = triangle_attention(q, k, v, sinks=sinks)
    want = triangle_attention(q.bfloat16(), k.bfloat16(), v.bfloat16(), sinks=sinks.float())
    assert torch.equal(got, want)


def test_gradcheck_of_bent_scores() -> None:
    q, k, v = qkv(b=1, s=9, d=8, dv=8, dtype=torch.float64, grad=True)
    sinks = torch.randn(4, dtype=torch.float64, requires_grad=True)
    slopes = torch.rand(4)

    def f(q: Tensor, k: Tensor, v: Tensor, sinks: Tensor) -> tuple[Tensor, Tensor]:
        return triangle_attention(q, k, v, softcap=1.5, alibi_slopes=slopes, sinks=sinks, return_lse=True)

    assert torch.autograd.gradcheck(f, (q, k, v, sinks))


def test_merge_of_parts_one_of_which_has_the_sinks() -> None:
    q, k, v = qkv(s=60, dtype=torch.float64, grad=True)
    sinks = torch.randn(4, dtype=torch.float64, requires_grad=True)
    slopes = torch.rand(4)
    leaves = (q, k, v, sinks)
    bends = {"softcap": 2.0, "alibi_slopes": slopes, "return_lse": True}
    want = triangle_attention(q, k, v, sinks=sinks, **bends)
    # Keys 0 .. 24 and the rest; positions of the second part count from its first key.
    near = triangle_attention(q, k[:, :, 25:], v[:, :, 25:], diagonal=-25, sinks=sinks, **bends)
    far = triangle_attention(q, k[:, :, :25], v[:, :, :25], diagonal=0, **bends)
    got = merge_attention(*near, *far)
    for a, b in zip(got, want):
        torch.testing.assert_close(a, b)
    weights = [torch.randn_like(t) for t in want]
    grads = (torch.autograd.grad(result, leaves, weights) for result in (got, want))
    for a, b in zip(*grads):
        torch.testing.assert_close(a, b)


def test_compile_bent_scores() -> None:
    q, k, v = qkv(grad=True)
    sinks = torch.randn(4, requires_grad=True)

    def f(q: Tensor, k: Tensor, v: Tensor, slopes: Tensor, sinks: Tensor) -> Tensor:
        return triangle_attention(q, k, v, softcap=2.0, alibi_slopes=slopes, sinks=sinks).square().sum()

    slopes = torch.rand(4)
    got, want = torch.compile(f, fullgraph=True)(q, k, v, slopes, sinks), f(q, k, v, slopes, sinks)
    torch.testing.assert_close(got, want)
    for a, b in zip(torch.autograd.grad(got, (q, k, v, sinks)), torch.autograd.grad(want, (q, k, v, sinks))):
        torch.testing.assert_close(a, b)
