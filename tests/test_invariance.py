"""Bits: run to run, for any thread count, batch, prefix, decode, packing, layout. Everything here compares with
torch.equal, nothing with a tolerance.
"""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from triangle_attn_op import triangle_attention, triangle_attention_varlen

DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]


def draw(seed: int, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def qkv(
    seed: int, b: int, hq: int, hkv: int, sq: int, sk: int, d: int, dv: int, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    return (
        draw(seed, b, hq, sq, d, dtype=dtype),
        draw(seed + 1, b, hkv, sk, d, dtype=dtype),
        draw(seed + 2, b, hkv, sk, dv, dtype=dtype),
    )


def gradients(q: Tensor, k: Tensor, v: Tensor, dout: Tensor, **options: object) -> tuple[Tensor, ...]:
    leaves = [t.detach().requires_grad_() for t in (q, k, v)]
    if isinstance(sinks := options.get("sinks"), Tensor):
        options = {**options, "sinks": sinks.detach().requires_grad_()}
        leaves.append(options["sinks"])  # type: ignore[arg-type]
    out, lse = triangle_attention(*leaves[:3], return_lse=True, **options)  # type: ignore[call-overload]
    return out.detach(), lse.detach(), *torch.autograd.grad(out, leaves, dout)


def assert_same(a: tuple[Tensor, ...], b: tuple[Tensor, ...], what: str) -> None:
    for name, x, y in zip(("out", "lse", "dq", "dk", "dv", "dsinks"), a, b):
        assert torch.equal(x, y), f"{what}: {name} differs in {int((x != y).sum())} of {x.numel()} elements"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "shape", [(2, 4, 2, 300, 300, 64, 64), (1, 1, 1, 700, 700, 48, 80), (1, 3, 1, 70, 1300, 128, 128)]
)
def test_run_to_run_and_threads(shape: tuple[int, ...], dtype: torch.dtype, seed: int) -> None:
    q, k, v = qkv(seed, *shape, dtype=dtype)
    dout = draw(seed + 3, *q.shape[:3], v.shape[3], dtype=dtype)
    results = []
    for threads in (1, 2, 3, 2):
        torch.set_num_threads(threads)
        results.append(gradients(q, k, v, dout))
    for result in results[1:]:
        assert_same(results[0], result, "another thread count")


@pytest.mark.parametrize("dtype", DTYPES)
def test_batch(dtype: torch.dtype, seed: int) -> None:
    """A row's bits do not depend on what else is in the batch, gradients included, nor on how many heads there are."""
    q, k, v = qkv(seed, 3, 4, 2, 200, 200, 64, 64, dtype)
    dout = draw(seed + 3, *q.shape, dtype=dtype)
    whole = gradients(q, k, v, dout)
    for b in range(3):
        alone = gradients(q[b : b + 1], k[b : b + 1], v[b : b + 1], dout[b : b + 1])
        assert_same(tuple(t[b : b + 1] for t in whole), alone, f"batch {b} alone")
    one_group = gradients(q[:, 2:], k[:, 1:], v[:, 1:], dout[:, 2:])
    assert_same(
        tuple(t[:, 2:] for t in whole[:3]) + tuple(t[:, 1:] for t in whole[3:]), one_group, "one group of heads alone"
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("d", [64, 80, 128])
def test_prefix(dtype: torch.dtype, d: int, seed: int) -> None:
    """Row i has the same bits in a prefix, in a longer prompt, and in a one-token decode."""
    s = 1400
    q, k, v = qkv(seed, 1, 2, 1, s, s, d, d, dtype)
    out, lse = triangle_attention(q, k, v, return_lse=True)
    for n in (1, 5, 17, 64, 65, 129, 511, 1024, 1025, 1399):
        prefix, prefix_lse = triangle_attention(q[:, :, :n], k[:, :, :n], v[:, :, :n], return_lse=True)
        assert torch.equal(prefix, out[:, :, :n])
        assert torch.equal(prefix_lse, lse[:, :, :n])
        decode, decode_lse = triangle_attention(q[:, :, n - 1 : n], k[:, :, :n], v[:, :, :n], return_lse=True)
        assert torch.equal(decode, out[:, :, n - 1 : n])
        assert torch.equal(decode_lse, lse[:, :, n - 1 : n])


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 300),
    rows=st.integers(1, 20),
    heads=st.sampled_from([(1, 1), (4, 2), (8, 1)]),
    d=st.sampled_from([8, 33, 64, 96]),
    window=st.sampled_from([None, 0, 10, 100]),
    dtype=st.sampled_from(DTYPES),
    seed=st.integers(0, 2**31),
)
def test_chunked_prefill(
    n: int, rows: int, heads: tuple[int, int], d: int, window: int | None, dtype: torch.dtype, seed: int
) -> None:
    """The last rows computed alone against the keys so far have the bits of the whole prompt."""
    rows = min(rows, n)
    q, k, v = qkv(seed, 1, *heads, n, n, d, d, dtype)
    whole = triangle_attention(q, k, v, window_size_left=window)
    assert torch.equal(triangle_attention(q[:, :, n - rows :], k, v, window_size_left=window), whole[:, :, n - rows :])


@settings(max_examples=25, deadline=None)
@given(
    lens=st.lists(st.integers(0, 150), min_size=1, max_size=5),
    window=st.sampled_from([None, 20]),
    dtype=st.sampled_from(DTYPES),
    seed=st.integers(0, 2**31),
)
def test_packed(lens: list[int], window: int | None, dtype: torch.dtype, seed: int) -> None:
    """A document in a pack has the bits, gradients included, that it has alone."""
    total, d = sum(lens), 40
    q, k, v = (
        draw(seed, total, 4, d, dtype=dtype),
        draw(seed + 1, total, 2, d, dtype=dtype),
        draw(seed + 2, total, 2, d, dtype=dtype),
    )
    dout = draw(seed + 3, total, 4, d, dtype=dtype)
    cu = torch.tensor([0, *torch.tensor(lens).cumsum(0).tolist()], dtype=torch.int32)
    leaves = tuple(t.detach().requires_grad_() for t in (q, k, v))
    out, lse = triangle_attention_varlen(
        *leaves, cu, cu, max(lens), max(lens), window_size_left=window, return_lse=True
    )
    packed = (out.detach(), lse.detach(), *torch.autograd.grad(out, leaves, dout))
    for begin, end in zip(cu.tolist(), cu.tolist()[1:]):
        alone = gradients(*(t[begin:end].transpose(0, 1)[None] for t in (q, k, v, dout)), window_size_left=window)
        assert_same(tuple(t[begin:end].transpose(0, 1)[None] for t in packed), alone, f"document {begin}:{end}")


@pytest.mark.parametrize("dtype", DTYPES)
def test_layout_and_repeated_heads(dtype: torch.dtype, seed: int) -> None:
    q, k, v = qkv(seed, 2, 4, 2, 130, 130, 64, 64, dtype)
    dout = draw(seed + 3, *q.shape, dtype=dtype)
    plain = gradients(q, k, v, dout)
    for order in ((0, 2, 1, 3), (2, 0, 1, 3)):
        inverse = [order.index(i) for i in range(4)]
        assert_same(
            plain,
            gradients(*(t.permute(order).contiguous().permute(inverse) for t in (q, k, v, dout))),
            f"memory order {order}",
        )
    repeated = gradients(q, k.repeat_interleave(2, 1), v.repeat_interleave(2, 1), dout)
    assert_same(plain[:3], repeated[:3], "K and V repeated")


@pytest.mark.parametrize("dtype", DTYPES)
def test_masks_that_hide_nothing(dtype: torch.dtype, seed: int) -> None:
    q, k, v = qkv(seed, 2, 4, 2, 200, 200, 64, 64, dtype)
    dout = draw(seed + 3, *q.shape, dtype=dtype)
    plain = gradients(q, k, v, dout)
    assert_same(
        plain, gradients(q, k, v, dout, attn_mask=torch.ones(2, 1, 200, 200, dtype=torch.bool)), "an all-True mask"
    )
    assert_same(plain, gradients(q, k, v, dout, attn_mask=torch.zeros(200, 200, dtype=dtype)), "a mask of zeros")
    assert_same(plain, gradients(q, k, v, dout, window_size_left=200), "a window wider than the sequence")
    causal = torch.ones(200, 200, dtype=torch.bool).tril()
    assert_same(plain, gradients(q, k, v, dout, attn_mask=causal, diagonal=200), "the causal rule as a mask")


def test_masks_are_read_inside_computed_blocks_only(seed: int) -> None:
    """NaN in a float mask where every block is skipped, above the diagonal and left of the window, changes no bit."""
    n, far = 1300, 520
    q, k, v = qkv(seed, 1, 2, 1, n, n, 32, 32, torch.float32)
    dout = draw(seed + 3, *q.shape)
    mask = draw(seed + 4, n, n)
    distance = torch.arange(n)[:, None] - torch.arange(n)[None]
    for options, skipped in (({}, distance < -far), ({"window_size_left": 20}, (distance < -far) | (distance > far))):
        plain = gradients(q, k, v, dout, attn_mask=mask, **options)
        holes = mask.masked_fill(skipped, torch.nan)
        assert_same(plain, gradients(q, k, v, dout, attn_mask=holes, **options), "NaN in skipped blocks")


def test_minus_inf_is_false(seed: int) -> None:
    q, k, v = qkv(seed, 2, 2, 2, 150, 150, 32, 32, torch.float32)
    dout = draw(seed + 3, *q.shape)
    may = torch.rand(2, 1, 150, 150) > 0.5
    additive = torch.zeros(may.shape).masked_fill(~may, -torch.inf)
    assert_same(
        gradients(q, k, v, dout, attn_mask=may), gradients(q, k, v, dout, attn_mask=additive), "-inf against False"
    )


attn_lse = torch.ops.triangle.attn_lse


@pytest.mark.parametrize("dtype", DTYPES)
def test_bent_scores(dtype: torch.dtype, seed: int) -> None:
    """softcap, alibi_slopes and sinks: threads, batch, prefix, decode and packing change no bit; what bends nothing
    changes none either.
    """
    s, d = 700, 64
    q, k, v = qkv(seed, 2, 4, 2, s, s, d, d, dtype)
    dout = draw(seed + 3, *q.shape, dtype=dtype)
    slopes, sinks = draw(seed + 4, 2, 4).abs(), draw(seed + 5, 4, dtype=dtype)
    bends = {"softcap": 3.0, "alibi_slopes": slopes, "sinks": sinks}
    torch.set_num_threads(1)
    whole = gradients(q, k, v, dout, **bends)
    torch.set_num_threads(3)
    assert_same(whole, gradients(q, k, v, dout, **bends), "another thread count")
    torch.set_num_threads(2)
    alone = gradients(q[1:], k[1:], v[1:], dout[1:], **{**bends, "alibi_slopes": slopes[1]})
    assert_same(tuple(t[1:] for t in whole[:5]), alone[:5], "batch 1 alone")
    out, lse = whole[0][:1], whole[1][:1]
    first = {**bends, "alibi_slopes": slopes[0]}
    for n in (1, 17, 130, 513, 699):
        for rows in (1, min(n, 40)):
            part = triangle_attention(q[:1, :, n - rows : n], k[:1, :, :n], v[:1, :, :n], return_lse=True, **first)
            assert torch.equal(part[0], out[:, :, n - rows : n])
            assert torch.equal(part[1], lse[:, :, n - rows : n])
    cu = torch.tensor([0, s, 2 * s], dtype=torch.int32)
    packed = (t.transpose(1, 2).flatten(0, 1) for t in (q, k, v))
    got, got_lse = triangle_attention_varlen(*packed, cu, cu, s, s, return_lse=True, **bends)
    assert torch.equal(got.unflatten(0, (2, s)).transpose(1, 2), whole[0])
    assert torch.equal(got_lse.unflatten(0, (2, s)).transpose(1, 2), whole[1])

    plain = gradients(q, k, v, dout)
    nothing = {"softcap": 0.0, "alibi_slopes": torch.zeros(4), "sinks": torch.full((4,), -torch.inf)}
    assert_same(plain, gradients(q, k, v, dout, **nothing)[:5], "nothing bent")


def test_dropout_mask_does_not_depend_on_threads_or_prefix(seed: int) -> None:
    q, k, v = qkv(seed, 2, 4, 2, 300, 300, 64, 64, torch.float32)
    rng = torch.tensor([seed, 12345678901234])

    def run(n: int) -> Tensor:
        return attn_lse(q[:, :, :n], k[:, :, :n], v[:, :, :n], None, None, None, rng, dropout_p=0.3)[0]

    whole = run(300)
    assert torch.equal(run(123), whole[:, :, :123])
    torch.set_num_threads(1)
    assert torch.equal(run(300), whole)
