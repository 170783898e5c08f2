"""startend_row_indices: the bits of the equivalent bool mask, blocks that are not computed, and the helpers that make
them.
"""

from __future__ import annotations

from typing import Any

import pytest
import reference
import torch
from torch import Tensor
from torch.nn.attention.flex_attention import create_block_mask
from triangle_attn_op import triangle_attention, triangle_attention_varlen, visibility


def draw(*shape: int, dtype: torch.dtype, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def random_bounds(b: int, h: int, keys: int, rows: int, bounds: int, seed: int) -> Tensor:
    """Long runs of equal intervals, so that there are blocks hidden altogether and blocks left alone, and a few keys of
    their own.
    """
    g = torch.Generator().manual_seed(seed)
    runs = torch.randint(0, rows + 1, (b, h, keys // 150 + 1, bounds), generator=g)
    t = runs.repeat_interleave(150, dim=2)[:, :, :keys].clone()
    own = torch.rand(b, h, keys, generator=g) < 0.05
    t[own] = torch.randint(0, rows + 1, (int(own.sum()), bounds), generator=g)
    return t.int()


def run(q: Tensor, k: Tensor, v: Tensor, dout: Tensor, **options: Any) -> tuple[Tensor, ...]:
    q, k, v = (t.detach().requires_grad_() for t in (q, k, v))
    out, lse = triangle_attention(q, k, v, return_lse=True, **options)  # type: ignore[call-overload]
    return out.detach(), lse.detach(), *torch.autograd.grad(out, (q, k, v), dout)


def assert_same(got: tuple[Tensor, ...], want: tuple[Tensor, ...]) -> None:
    for name, a, b in zip(("out", "lse", "dq", "dk", "dv"), got, want):
        assert torch.equal(a, b), f"{name} differs in {int((a != b).sum())} of {a.numel()} elements"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize(
    ("bounds", "heads", "options"),
    [
        (1, 1, {}),
        (2, 2, {"diagonal": 1000}),
        (4, 4, {"window_size_left": 300}),
        (4, 1, {"diagonal": 1000, "softcap": 3.0}),
    ],
)
def test_bits_of_the_bool_mask(bounds: int, heads: int, options: dict[str, Any], dtype: torch.dtype, seed: int) -> None:
    b, hq, hkv, s, d = 2, 4, 2, 610, 32
    q, dout = (draw(b, hq, s, d, dtype=dtype, seed=seed + i) for i in range(2))
    k, v = (draw(b, hkv, s, d, dtype=dtype, seed=seed + 2 + i) for i in range(2))
    indices = random_bounds(b, heads, s, s, bounds, seed)
    mask = reference.shown_by_intervals(indices, s).repeat_interleave(hq // heads, dim=1)
    torch.set_num_threads(2)
    got = run(q, k, v, dout, startend_row_indices=indices, **options)
    assert_same(got, run(q, k, v, dout, attn_mask=mask, **options))
    torch.set_num_threads(1)
    assert_same(got, run(q, k, v, dout, startend_row_indices=indices, **options))
    # Decoding, and a tile whose rows share a key head: the last rows alone, which count from 0 then.
    for rows in (1, 5):
        last = (indices - (s - rows)).clamp(0, rows)
        options = {**options, "diagonal": options.get("diagonal", 0) or s - rows}
        part = triangle_attention(q[:, :, s - rows :], k, v, startend_row_indices=last, **options)
        assert torch.equal(
            part, triangle_attention(q[:, :, s - rows :], k, v, attn_mask=mask[:, :, s - rows :], **options)
        )


def test_packed(seed: int) -> None:
    """Rows and keys count within the pack: a document's bits are those of the same intervals alone."""
    lens, d = (300, 1, 0, 410), 32
    total = sum(lens)
    q, k, v, dout = (draw(total, 2, d, dtype=torch.float32, seed=seed + i) for i in range(4))
    indices = random_bounds(1, 2, total, total, 2, seed)
    cu = torch.tensor([0, *torch.tensor(lens).cumsum(0).tolist()], dtype=torch.int32)
    leaves = [t.detach().requires_grad_() for t in (q, k, v)]
    out = triangle_attention_varlen(*leaves, cu, cu, max(lens), max(lens), startend_row_indices=indices)
    packed = (out.detach(), *torch.autograd.grad(out, leaves, dout))
    for begin, end in zip(cu.tolist(), cu.tolist()[1:]):
        own = (indices[:, :, begin:end] - begin).clamp(0, end - begin)
        dense = [t[begin:end].transpose(0, 1)[None] for t in (q, k, v, dout)]
        alone = run(*dense, startend_row_indices=own)
        for got, want in zip(packed, (alone[0], *alone[2:])):
            assert torch.equal(got[begin:end].transpose(0, 1)[None], want)


def test_hidden_blocks_are_not_computed(seed: int) -> None:
    """NaN in keys and values of a document reaches no other document's rows, which a computed block would spoil."""
    lengths = (384, 384)
    q, k, v, dout = (draw(1, 2, 768, 32, dtype=torch.float32, seed=seed + i) for i in range(4))
    options = visibility.documents(lengths)
    want = run(q, k, v, dout, **options)
    for t in (k, v):
        t[:, :, :384] = torch.nan
    got = run(q, k, v, dout, **options)
    for name, a, b in zip(("out", "lse", "dq", "dk", "dv"), got, want):
        assert torch.equal(a[:, :, 384:], b[:, :, 384:]), name


def seen(options: dict[str, Any], rows: int, keys: int) -> Tensor:
    indices = options["startend_row_indices"]
    return reference.shown_by_intervals(indices, rows) & reference.visible(
        rows, keys, options.get("diagonal", keys - rows), None
    )


def test_helpers() -> None:
    s = 40
    row, key = torch.arange(s)[:, None], torch.arange(s)[None]
    causal = key <= row
    document = torch.tensor([0] * 13 + [2] * 20 + [3] * 7)
    same = document[:, None] == document[None]
    answer = torch.tensor([0] * 10 + [1] * 18 + [2] * 12)
    asked = (answer[None] == 0) | (answer[:, None] == answer[None])
    cases = {
        "documents": (visibility.documents([13, 0, 20, 7]), causal & same),
        "prefix_lm": (visibility.prefix_lm(9, s), causal | (key < 9)),
        "prefix of nothing": (visibility.prefix_lm(0, s), causal),
        "shared_question": (visibility.shared_question(10, [18, 12]), causal & asked),
        "sinks": (visibility.sliding_window_with_sinks(5, 3, s), causal & ((row - key <= 5) | (key < 3))),
        "chunked": (visibility.chunked(7, s), causal & (row // 7 == key // 7)),
    }
    for name, (options, want) in cases.items():
        assert torch.equal(seen(options, s, s)[0, 0], want), name
        again = visibility.from_bool_mask(want)
        assert torch.equal(seen(again, s, s)[0, 0], want), f"{name}, from a bool mask"
    q, k = (draw(2, h, s, 8, dtype=torch.float64, seed=h) for h in (4, 2))
    for name, (options, want) in cases.items():  # one entry of intervals for a batch of two
        full = triangle_attention(q, k, k, attn_mask=want, diagonal=s)
        for given in (options, visibility.from_bool_mask(want)):
            assert torch.equal(triangle_attention(q, k, k, **given), full), name
    both = visibility.prefix_lm([3, 30], s)
    assert torch.equal(seen(both, s, s)[:, 0], torch.stack([causal | (key < 3), causal | (key < 30)]))


def test_from_block_mask() -> None:
    def mask_mod(b: Tensor, h: Tensor, row: Tensor, key: Tensor) -> Tensor:
        return (row >= key) & ((row - key <= 20 + h) | (key < 4))

    block_mask = create_block_mask(mask_mod, 1, 2, 150, 150, device="cpu", BLOCK_SIZE=64)
    options = visibility.from_block_mask(block_mask)
    b, h, row, key = torch.arange(1), torch.arange(2)[:, None, None], torch.arange(150)[:, None], torch.arange(150)
    want = mask_mod(b, h, row, key)
    assert torch.equal(seen(options, 150, 150)[0], want)
    q = draw(2, 2, 150, 8, dtype=torch.float64, seed=1)
    assert torch.equal(triangle_attention(q, q, q, **options), triangle_attention(q, q, q, attn_mask=want[None]))


def test_what_does_not_fit() -> None:
    stripes = (torch.arange(40)[:, None] // 4 % 2 == 0).expand(40, 40)
    with pytest.raises(ValueError, match=r"mask: expected at most two intervals .*, got 5 for one, .* key being 0"):
        visibility.from_bool_mask(stripes)
    with pytest.raises(ValueError, match=r"mask: expected bool \[Sq, Sk\] .*, got torch.float32 \[2\]"):
        visibility.from_bool_mask(torch.zeros(2))
    with pytest.raises(ValueError, match=r"prefix: expected 0 \.\. 8, got 9"):
        visibility.prefix_lm(9, 8)
    with pytest.raises(ValueError, match=r"lengths: expected lengths >= 0, got \[3, -1\]"):
        visibility.documents([3, -1])


def test_bad_indices() -> None:
    q, k = torch.zeros(2, 4, 8, 16), torch.zeros(2, 2, 8, 16)

    def call(t: Any) -> None:
        triangle_attention(q, k, k, startend_row_indices=t)

    good = torch.zeros(2, 1, 8, 2, dtype=torch.int32)
    call(good)
    for bad, error, message in (
        (good.long(), TypeError, "expected int32, got torch.int64"),
        (good[[0, 1, 1]], ValueError, r"expected shape \[2, 1, 2 or 4, 8, 1, 2 or 4\], got \[3, 1, 8, 2\]"),
        (good[..., [0, 1, 1]], ValueError, r"got \[2, 1, 8, 3\]"),
        (good + 9, ValueError, r"expected rows 0 \.\. 8, got 9 at element 0"),
        (good - 1, ValueError, r"expected rows 0 \.\. 8, got -1 at element 0"),
        (good.to("meta"), ValueError, "expected q's device cpu, got meta"),
    ):
        with pytest.raises(error, match=f"startend_row_indices: .*{message}"):
            call(bad)
