"""`TriangleAttention`, and each thing that AscendSpeed's module of that name gets wrong."""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
from typing import Any

import pytest
import reference
import torch
import triangle_attn_op
from torch import Tensor, nn
from triangle_attn_op import TriangleAttention, add_arguments, triangle_attention


def qkv(
    b: int = 2,
    n: int = 4,
    s: int = 50,
    d: int = 16,
    kv: int | None = None,
    sk: int | None = None,
    dv: int | None = None,
    dtype: torch.dtype = torch.float32,
) -> list[Tensor]:
    kv, sk, dv = n if kv is None else kv, s if sk is None else sk, d if dv is None else dv
    return [torch.randn(*shape, dtype=dtype) for shape in ((b, n, s, d), (b, kv, sk, d), (b, kv, sk, dv))]


def expected(q: Tensor, k: Tensor, v: Tensor, hidden: Tensor | None = None, scale: float | None = None) -> Tensor:
    out, _ = reference.attention(
        q.double(), k.double(), v.double(), attn_mask=None if hidden is None else ~hidden, scale=scale
    )
    return out.transpose(1, 2).flatten(2).to(q.dtype)


def attention_mask_func(scores: Tensor, mask: Tensor) -> Tensor:
    return scores.masked_fill(mask, -10000.0)


class FusedScaleMaskSoftmax(nn.Module):
    """The parts of Megatron's class that matter here."""

    def __init__(self, scale: float | None, mask_func: Any = attention_mask_func) -> None:
        super().__init__()
        self.scale, self.mask_func = scale, mask_func

    def forward(self, scores: Tensor, mask: Tensor) -> Tensor:
        raise AssertionError("the fused kernel must run instead")


class NPUFusedScaleMaskSoftmax(FusedScaleMaskSoftmax):
    pass


def plain_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    return torch.softmax((scores * 0.5).masked_fill(mask, -10000.0), -1)


@pytest.mark.parametrize(("s", "block"), [(50, 16), (50, 1024), (7, 16), (64, 16), (1, 1), (33, 32)])
def test_any_length_any_block(s: int, block: int) -> None:
    q, k, v = qkv(s=s)
    out = TriangleAttention(block)(q, k, v, None)
    assert out.shape == (2, s, 64)
    torch.testing.assert_close(out, expected(q, k, v))
    torch.testing.assert_close(TriangleAttention(block, plain_softmax)(q, k, v), expected(q, k, v, scale=0.5))


def test_results_do_not_depend_on_the_block() -> None:
    q, k, v = qkv(s=130)
    assert torch.equal(TriangleAttention(16)(q, k, v), TriangleAttention(1000)(q, k, v))


@pytest.mark.parametrize("func", [None, plain_softmax], ids=["fused", "callable"])
def test_every_call_has_its_own_mask_and_length(func: Any) -> None:
    module = TriangleAttention(16, func)
    scale = None if func is None else 0.5
    for s in (40, 40, 25, 70):
        q, k, v = qkv(s=s)
        hidden = torch.rand(2, 1, s, s) > 0.7
        hidden[..., 0] = False  # every row sees a key
        torch.testing.assert_close(module(q, k, v, hidden), expected(q, k, v, hidden, scale))
        torch.testing.assert_close(module(q, k, v, None), expected(q, k, v, scale=scale))


def test_an_exception_leaves_nothing_behind() -> None:
    fail = True

    def softmax(scores: Tensor, mask: Tensor) -> Tensor:
        if fail:
            raise RuntimeError("boom")
        return plain_softmax(scores, mask)

    module = TriangleAttention(16, softmax)
    q, k, v = qkv()
    with pytest.raises(RuntimeError, match="boom"):
        module(q, k, v, torch.ones(2, 1, 50, 50, dtype=torch.bool))
    fail = False
    torch.testing.assert_close(module(q, k, v), expected(q, k, v, scale=0.5))


@pytest.mark.parametrize("func", [None, plain_softmax], ids=["fused", "callable"])
def test_causal_is_stated_and_stays(func: Any) -> None:
    """A mask that hides nothing above the diagonal does not make attention bidirectional."""
    q, k, v = qkv()
    out = TriangleAttention(16, func)(q, k, v, torch.zeros(1, 1, 50, 50, dtype=torch.bool))
    torch.testing.assert_close(out, expected(q, k, v, scale=None if func is None else 0.5))


def test_default_scale() -> None:
    q, k, v = qkv(d=64)
    torch.testing.assert_close(TriangleAttention()(q, k, v), expected(q, k, v, scale=1 / 8))


@pytest.mark.parametrize("cls", [FusedScaleMaskSoftmax, NPUFusedScaleMaskSoftmax])
@pytest.mark.parametrize("scale", [None, 0.07])
def test_megatron_softmax_is_fused(cls: Any, scale: float | None) -> None:
    q, k, v = qkv()
    torch.testing.assert_close(TriangleAttention(16, cls(scale))(q, k, v), expected(q, k, v, scale=scale))


def test_megatron_softmax_beside_another_dropout() -> None:
    """Not fused then: its scale is applied all the same, and so is its window."""
    q, k, v = qkv()
    softmax = FusedScaleMaskSoftmax(0.07)
    out = TriangleAttention(16, softmax, lambda p: p * 2)(q, k, v)
    torch.testing.assert_close(out, 2 * expected(q, k, v, scale=0.07))
    softmax.window_size = (9, 0)
    far = torch.arange(50)[:, None] - torch.arange(50)[None] > 9
    torch.testing.assert_close(TriangleAttention(16, softmax)(q, k, v), expected(q, k, v, far, scale=0.07))
    out = TriangleAttention(16, softmax, lambda p: p * 2)(q, k, v)
    torch.testing.assert_close(out, 2 * expected(q, k, v, far, scale=0.07))
    softmax.window_size = (-1, 0)  # no window
    torch.testing.assert_close(TriangleAttention(16, softmax)(q, k, v), expected(q, k, v, scale=0.07))
    softmax.window_size = (9, 2)
    with pytest.raises(ValueError, match=r"masked_softmax_func: expected a causal window \(left, 0\), got .* \(9, 2\)"):
        TriangleAttention(16, softmax)


@pytest.mark.parametrize("scale", [1.0, 3, -0.5, 0])
def test_layer_scaling_is_refused(scale: float) -> None:
    with pytest.raises(ValueError, match="masked_softmax_func: expected scale None or 1/norm_factor below 1, got"):
        TriangleAttention(16, FusedScaleMaskSoftmax(scale))


def test_other_callables_are_called_even_with_a_scale() -> None:
    seen: list[tuple[tuple[int, ...], torch.dtype, Tensor]] = []

    def softmax(scores: Tensor, mask: Tensor) -> Tensor:
        seen.append((tuple(scores.shape), scores.dtype, mask))
        return plain_softmax(scores, mask)

    softmax.scale = 0.1  # type: ignore[attr-defined]
    q, k, v = qkv(s=40, dtype=torch.float16)
    out = TriangleAttention(16, softmax)(q, k, v)
    assert out.dtype == torch.float16
    assert [shape for shape, _, _ in seen] == [
        (2, 4, 16, 16),
        (2, 4, 16, 32),
        (2, 4, 8, 40),
    ]  # lower-triangle columns only
    assert all(dtype is torch.float32 for _, dtype, _ in seen)
    for row, (shape, _, mask) in enumerate(seen):
        assert mask.dtype is torch.bool
        i = torch.arange(shape[2])[:, None] + 16 * row
        assert torch.equal(mask.expand(shape)[0, 0], torch.arange(shape[3])[None] > i)  # True = hidden, causal included
    # Another mask function means another softmax: it is called too.
    other = FusedScaleMaskSoftmax(0.1, mask_func=lambda s, m: s)
    with pytest.raises(AssertionError, match="the fused kernel must run"):
        TriangleAttention(16, other)(q, k, v)


def test_fp16_scores_do_not_overflow() -> None:
    q, k, v = qkv(d=64, dtype=torch.float16)
    q, k = q * 60, k * 60  # q k^T reaches 200000, beyond fp16
    for module in (
        TriangleAttention(16),
        TriangleAttention(16, lambda s, m: torch.softmax((s / 8).masked_fill(m, -torch.inf), -1)),
    ):
        out = module(q, k, v)
        assert out.isfinite().all()
        torch.testing.assert_close(out, expected(q, k, v), rtol=2e-2, atol=2e-3)


@pytest.mark.parametrize("func", [None, plain_softmax], ids=["fused", "callable"])
@pytest.mark.parametrize("shape", [{"sk": 80}, {"sk": 30}, {"kv": 2}, {"kv": 1, "dv": 24}, {"s": 1, "sk": 40, "kv": 2}])
def test_shapes_ascendspeed_crashes_on(shape: dict[str, int], func: Any) -> None:
    q, k, v = qkv(**shape)
    out = TriangleAttention(16, func)(q, k, v, None)
    want = expected(q, k, v, scale=None if func is None else 0.5)
    if (
        func is not None and k.shape[2] < q.shape[2]
    ):  # rows above the first key: what the callable makes of nothing is its own
        out, want = out[:, q.shape[2] - k.shape[2] :], want[:, q.shape[2] - k.shape[2] :]
    torch.testing.assert_close(out, want)


@pytest.mark.parametrize("func", [None, plain_softmax], ids=["fused", "callable"])
@pytest.mark.parametrize("mask_shape", [(50, 50), (2, 1, 50, 50), (1, 1, 50, 50), (2, 4, 50, 50), (2, 1, 1, 50)])
def test_mask_shapes(mask_shape: tuple[int, ...], func: Any) -> None:
    q, k, v = qkv()
    hidden = torch.rand(mask_shape) > 0.6
    hidden[..., 0] = False
    torch.testing.assert_close(
        TriangleAttention(16, func)(q, k, v, hidden), expected(q, k, v, hidden, None if func is None else 0.5)
    )


def test_fully_masked_rows_are_zero() -> None:
    q, k, v = qkv()
    hidden = torch.zeros(2, 1, 50, 50, dtype=torch.bool)
    hidden[:, :, 10:20] = True
    leaves = [t.requires_grad_() for t in (q, k, v)]
    out = TriangleAttention()(q, k, v, hidden)
    assert (out[:, 10:20] == 0).all()
    out.sum().backward()
    assert all(t.grad is not None and t.grad.isfinite().all() for t in leaves)


@pytest.mark.parametrize("func", [None, plain_softmax], ids=["fused", "callable"])
@pytest.mark.parametrize("mask", [torch.zeros(50, 50), torch.zeros(50, 50, dtype=torch.uint8), [[True]]])
def test_mask_must_be_bool(mask: Any, func: Any) -> None:
    with pytest.raises(TypeError, match=r"attention_mask: expected a bool Tensor \(True = masked out\) or None, got"):
        TriangleAttention(16, func)(*qkv(), mask)


def test_bad_shapes_have_the_same_message_on_both_paths() -> None:
    q, k, v = qkv()
    for module in (TriangleAttention(16), TriangleAttention(16, plain_softmax)):
        with pytest.raises(ValueError, match="Hq % Hkv == 0, got Hq = 4, Hkv = 3"):
            module(q, k[:, :3], v[:, :3])
        with pytest.raises(ValueError, match="attention_mask: expected a shape that broadcasts"):
            module(q, k, v, torch.zeros(3, 50, dtype=torch.bool))
        # Of b or of n? With b == n both would fit.
        with pytest.raises(ValueError, match=r"attention_mask: expected .* 4 dimensions .* got shape \[4, 50, 50\]"):
            module(q[:, :2], k[:, :2], v[:, :2], torch.zeros(4, 50, 50, dtype=torch.bool))
        for name, arguments in (
            ("k", (q, k.to("meta"), v)),
            ("v", (q, k, v.to("meta"))),
            ("attention_mask", (q, k, v, torch.zeros(50, 50, dtype=torch.bool, device="meta"))),
        ):
            with pytest.raises(ValueError, match=f"^{name}: expected q's device cpu, got meta"):
                module(*arguments)


def test_layers_share_one_mask() -> None:
    """The mask is read as it was given and saved by reference: no inverted copy, also where it is an expanded view."""
    q, k, v = (t.requires_grad_() for t in qkv())
    hidden = (torch.rand(2, 1, 50, 50) > 0.6).expand(2, 4, 50, 50)
    saved: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        first = TriangleAttention()(q, k, v, hidden).unflatten(2, (4, 16)).transpose(1, 2)
        out = TriangleAttention()(first, k, v, hidden)
    masks = [t for t in saved if t.dtype is torch.bool]
    assert {(t.data_ptr(), t.stride()) for t in masks} == {(hidden.data_ptr(), hidden.stride())}
    assert len(masks) == 2
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        torch.autograd.grad(out.sum(), q)
        TriangleAttention()(q, k, v, hidden)
    assert not {event.key for event in profile.key_averages()} & {"aten::logical_not", "aten::bitwise_not"}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_a_hidden_mask_has_the_bits_of_its_inverse(dtype: torch.dtype) -> None:
    q, k, v = (t.requires_grad_() for t in qkv(s=70, kv=2, dtype=dtype))
    hidden = torch.rand(70, 2, 1, 70).permute(1, 2, 0, 3) > 0.6
    results = []
    for out in (
        TriangleAttention()(q, k, v, hidden),
        triangle_attention(q, k, v, attn_mask=~hidden).transpose(1, 2).flatten(2),
    ):
        results.append((out, *torch.autograd.grad(out.float().square().sum(), (q, k, v))))
    assert all(torch.equal(a, b) for a, b in zip(*results))


def test_layout_and_view() -> None:
    """[b, s, n, d] projections in, [b, s, n*d] out: a view, no copy and never [s, b, h]."""
    q, k, v = (torch.randn(2, 50, 4, 16).transpose(1, 2) for _ in range(3))
    out = TriangleAttention()(q, k, v)
    assert out.shape == (2, 50, 64)
    assert out.is_contiguous()


def test_dropout_is_wired() -> None:
    q, k, v = qkv(s=200, d=16)
    module = TriangleAttention(64, None, nn.Dropout(0.5))
    before = triangle_attn_op.call_counts()
    first, second = module(q, k, v), module(q, k, v)
    assert sum(triangle_attn_op.call_counts().values()) == sum(before.values()) + 2  # fused
    assert not torch.equal(first, second)
    ones = TriangleAttention(64, None, nn.Dropout(0.5))(q, k, torch.ones_like(v))
    assert abs(float(ones[:, 50:].mean()) - 1.0) < 0.05  # kept pairs are scaled by 1 / (1 - p)
    torch.manual_seed(3)
    again = module(q, k, v)
    torch.manual_seed(3)
    assert torch.equal(module(q, k, v), again)
    module.eval()
    torch.testing.assert_close(module(q, k, v), expected(q, k, v))
    assert torch.equal(TriangleAttention(64, None, nn.Dropout(0.0))(q, k, v), module(q, k, v))


def test_other_dropout_is_honoured_exactly() -> None:
    q, k, v = qkv()
    out = TriangleAttention(16, None, lambda p: p * 2)(q, k, v)
    torch.testing.assert_close(out, 2 * expected(q, k, v))
    out = TriangleAttention(16, plain_softmax, nn.Dropout(0.5).eval())(q, k, v)
    torch.testing.assert_close(out, expected(q, k, v, scale=0.5))
    assert (TriangleAttention(16, None, nn.Dropout(1.0))(q, k, v) == 0).all()


def test_callable_path_has_gradients() -> None:
    leaves = [t.double().requires_grad_() for t in qkv(b=1, n=2, s=9, d=3, kv=1)]
    got = TriangleAttention(4, plain_softmax)(*leaves).sum()
    out, _ = reference.attention(*leaves, scale=0.5)
    for a, b in zip(torch.autograd.grad(got, leaves), torch.autograd.grad(out.sum(), leaves)):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)  # the callable path's scores are fp32


def test_callable_path_under_autocast() -> None:
    """q, k, v are cast, as in the fused path, and may come mixed; scores stay fp32; gradients reach fp32 leaves."""
    seen: list[torch.dtype] = []

    def softmax(scores: Tensor, mask: Tensor) -> Tensor:
        seen.append(scores.dtype)
        return plain_softmax(scores, mask)

    q, k, v = (t.requires_grad_() for t in qkv(s=40))
    cast = [t.detach().bfloat16() for t in (q, k, v)]
    scores = cast[0][:, :, :16].float() @ cast[1][:, :, :16].float().transpose(-1, -2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = TriangleAttention(16, softmax)(q, k, v.bfloat16())
        exact: list[Tensor] = []
        TriangleAttention(16, lambda s, m: exact.append(s) or plain_softmax(s, m))(q, k, v)
    assert out.dtype == torch.bfloat16
    assert set(seen) == {torch.float32}
    assert torch.equal(exact[0], scores)
    torch.testing.assert_close(out, expected(*cast, scale=0.5), rtol=2e-2, atol=2e-2)
    assert torch.autograd.grad(out.sum(), q)[0].dtype == torch.float32


@pytest.mark.parametrize("func", [None, plain_softmax], ids=["fused", "callable"])
def test_meta(func: Any) -> None:
    out = TriangleAttention(16, func)(*(t.to("meta") for t in qkv(kv=2, dv=24)))
    assert (out.device.type, tuple(out.shape)) == ("meta", (2, 50, 96))


def test_nothing_of_size_s_squared_is_saved() -> None:
    q, k, v = (t.requires_grad_() for t in qkv(s=300))
    sizes: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t, lambda t: t):
        TriangleAttention(64)(q, k, v)
    assert sizes
    assert max(sizes) <= q.numel()


def test_import_failure_is_an_error(tmp_path: Any) -> None:
    """A package without its library does not import, rather than warn and fall back."""
    program = (
        "import pathlib, triangle_attn_op._library as l; l.path.cache_clear(); l.__file__ = '/nowhere/x.py'; l.path()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode != 0
    assert "ImportError: triangle_attn_op: _C.abi3.so is missing" in done.stderr


def test_construction_is_checked() -> None:
    for block in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match="block_size: expected an int >= 1"):
            TriangleAttention(block)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="masked_softmax_func: expected a callable or None, got float"):
        TriangleAttention(16, 0.5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="dropout_func: expected a callable or None"):
        TriangleAttention(16, None, 0.1)  # type: ignore[arg-type]


def test_arguments() -> None:
    parser = add_arguments(argparse.ArgumentParser())
    args = parser.parse_args([])
    assert (args.triangle_attn, args.triangle_block_size) == (False, 1024)
    args = parser.parse_args(["--triangle-attn", "--triangle-block-size", "512"])
    assert (args.triangle_attn, args.triangle_block_size) == (True, 512)
    with pytest.raises(SystemExit):
        parser.parse_args(["--triangle-block-size", "0"])


def test_module_compiles_and_trains() -> None:
    module = torch.compile(TriangleAttention(), fullgraph=True)
    q, k, v = (t.requires_grad_() for t in qkv())
    torch.testing.assert_close(module(q, k, v), expected(q, k, v))
    assert math.isfinite(float(torch.autograd.grad(module(q, k, v).sum(), q)[0].sum()))


def test_module_equals_the_function() -> None:
    q, k, v = qkv()
    assert torch.equal(TriangleAttention()(q, k, v), triangle_attention(q, k, v).transpose(1, 2).flatten(2))
