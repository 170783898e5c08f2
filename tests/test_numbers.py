"""Numbers as the kernels use them; tensors of other kinds; rows of no document; an lse too large to subtract."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import reference
import torch
from torch import Tensor
from triangle_attn_op import merge_attention, triangle_attention, triangle_attention_varlen

attn_lse, attn_backward = torch.ops.triangle.attn_lse, torch.ops.triangle.attn_backward
Q, K = torch.randn(2, 4, 9, 8), torch.randn(2, 2, 9, 8)


REFUSED: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"scale": 1e39}, ValueError, r"scale: expected a finite number in float32, .*, got 1e\+39"),
    ({"scale": 10**400}, ValueError, r"scale: expected a finite number, got an int of 1329 bits"),
    ({"scale": torch.tensor(float("inf"))}, ValueError, r"scale: expected a finite number, got inf"),
    ({"scale": Fraction(1, 3)}, TypeError, r"scale: expected a float or None, got Fraction 1/3, which no float equals"),
    ({"scale": 1j}, TypeError, r"scale: expected a float or None, got complex"),
    ({"scale": True}, TypeError, r"scale: expected a float or None, got bool"),
    ({"scale": torch.tensor(0.5, requires_grad=True)}, TypeError, r"scale: .* requires grad: its gradient is not"),
    (
        {"window_size_left": 2**70},
        ValueError,
        r"window_size_left: expected an int or None of at most 64 bits, got 1180",
    ),
    ({"window_size_left": np.float32(3)}, TypeError, r"window_size_left: expected an int or None, got float32"),
    ({"window_size_left": torch.tensor([3])}, TypeError, r"window_size_left: .* got a Tensor of torch.int64 \[1\]"),
    ({"diagonal": -(2**70)}, ValueError, r"diagonal: expected an int or None of at most 64 bits"),
    ({"diagonal": np.bool_(True)}, TypeError, r"diagonal: expected an int or None, got bool"),
    ({"dropout_p": "0.1"}, TypeError, r"dropout_p: expected a float, got str"),
    (
        {"attn_mask": torch.ones(9, 9).bool().to_sparse()},
        TypeError,
        r"attn_mask: expected a strided tensor, got torch.sp",
    ),
    ({"attn_mask": torch.nested.nested_tensor([torch.ones(9)])}, TypeError, r"attn_mask: expected .* got a nested one"),
    (
        {"attn_mask": torch.quantize_per_tensor(torch.ones(9, 9), 0.1, 0, torch.quint8)},
        TypeError,
        r"attn_mask: .*quint8",
    ),
]


@pytest.mark.parametrize(("options", "error", "message"), REFUSED)
def test_refused_by_name(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        triangle_attention(Q, K, K, **options)


def test_other_kinds_of_tensors_are_refused_by_name() -> None:
    nested = torch.nested.nested_tensor([torch.randn(2, 9, 8)] * 2)
    jagged = torch.nested.nested_tensor([torch.randn(9, 2, 8)] * 2, layout=torch.jagged)
    for k, got in ((nested, "a nested one"), (jagged, "a nested one"), (K.to_sparse(), "torch.sparse_coo")):
        with pytest.raises(TypeError, match=f"k: expected a strided tensor, got {got}"):
            triangle_attention(Q, k, k)
    with pytest.raises(TypeError, match=r"q: .*got torch.quint8"):
        triangle_attention(torch.quantize_per_tensor(Q, 0.1, 0, torch.quint8), K, K)
    with pytest.raises(TypeError, match="o1: expected a Tensor, got int"):
        merge_attention(1, 2, 3, 4)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="lse2: expected a Tensor, got float"):
        merge_attention(Q, Q[..., 0], Q, 1.0)  # type: ignore[arg-type]


def test_numbers_of_other_kinds_are_taken_where_exact() -> None:
    want = triangle_attention(Q, K, K, scale=0.5, window_size_left=3, diagonal=1)
    for scale in (np.float32(0.5), np.float64(0.5), torch.tensor(0.5), torch.tensor(0.5).bfloat16(), Fraction(1, 2)):
        for integer in (np.int64, np.uint8, torch.tensor, int):
            got = triangle_attention(Q, K, K, scale=scale, window_size_left=integer(3), diagonal=integer(1))
            assert torch.equal(got, want)
    flat, cu = torch.randn(5, 2, 8), torch.tensor([0, 2, 5], dtype=torch.int32)
    longest = cu.diff().max()
    assert torch.equal(
        triangle_attention_varlen(flat, flat, flat, cu, cu, longest, np.int32(3)),
        triangle_attention_varlen(flat, flat, flat, cu, cu, 3, 3),
    )
    with pytest.raises(ValueError, match=r"max_q: expected an int of at most 64 bits"):
        triangle_attention_varlen(flat, flat, flat, cu, cu, 2**70, 3)
    assert triangle_attention(*(t.double() * 1e-20 for t in (Q, K, K)), scale=1e39).isfinite().all()


# The raw operators


def test_a_meta_tensor_among_others() -> None:
    """It brings a call to the fake kernels, where nothing is computed: an error, not memory that nobody wrote."""
    out, lse = attn_lse(Q, K, K)
    bounds = torch.zeros(Q.shape[0], 1, K.shape[2], 1, dtype=torch.int32, device="meta")
    for name, arguments in (
        ("lse", (out, None, Q, K, K, out, lse.to("meta"))),
        ("dlse", (out, lse.to("meta"), Q, K, K, out, lse)),
        ("attn_mask", (out, None, Q, K, K, out, lse, torch.ones(9, 9, dtype=torch.bool, device="meta"))),
        ("startend_row_indices", (out, None, Q, K, K, out, lse, *(None,) * 6, bounds)),
    ):
        with pytest.raises(ValueError, match=f"{name}: expected q's device cpu, got meta"):
            attn_backward(*arguments)
    with pytest.raises(ValueError, match="startend_row_indices: expected q's device cpu, got meta"):
        attn_lse(Q, K, K, *(None,) * 6, bounds)
    with pytest.raises(ValueError, match="rng_state: expected q's device cpu, got meta"):
        attn_lse(Q, K, K, None, None, None, torch.zeros(2, dtype=torch.int64, device="meta"), dropout_p=0.5)
    meta = [t.to("meta") for t in (out, Q, K, K, out)]
    with pytest.raises(ValueError, match=r"lse: expected the forward's shape \[2, 4, 9\], got \[2, 4, 8\]"):
        attn_backward(meta[0], None, *meta[1:], lse[:, :, :8].to("meta"))


def test_what_the_raw_operators_refuse() -> None:
    wide = torch.zeros(1).expand(1, 1, 1, 2**31 + 8)
    with pytest.raises(RuntimeError, match=r"q, v: expected last dimensions of at most 2\^30, got 2147483656"):
        attn_lse(wide, wide, wide[..., :8])
    with pytest.raises(RuntimeError, match=r"scale: expected a finite number in float32, .*got 1e\+39"):
        attn_lse(Q, K, K, scale=1e39)
    huge = torch.zeros(1).expand(2**31, 1, 2**31, 1)
    with pytest.raises(RuntimeError, match=r"a result of more than 2\^63 elements"):
        attn_lse(huge, huge[:, :, :1], torch.zeros(1).expand(2**31, 1, 1, 4))
    flat, scalar, none = torch.zeros(0, 2, 8), torch.tensor(0, dtype=torch.int32), torch.zeros(1, dtype=torch.int32)
    with pytest.raises(RuntimeError, match=r"cu_seq_q: expected int32 \[documents \+ 1\], got torch.int32 \[\]"):
        attn_lse(flat, flat, flat, None, scalar, scalar)
    with pytest.raises(RuntimeError, match=r"max_q: expected an upper bound of a document's length, >= 0, got -5"):
        attn_lse(flat, flat, flat, None, none, none, max_q=-5, max_k=0)
    odd = torch.frombuffer(bytearray(13), dtype=torch.int32, count=3, offset=1)
    with pytest.raises(RuntimeError, match=r"cu_seq_q: expected an address that is a multiple of 4 bytes"):
        attn_lse(flat, flat, flat, None, odd, torch.zeros(3, dtype=torch.int32))
    odd = torch.frombuffer(bytearray(4 * 9 + 1), dtype=torch.int32, count=9, offset=1)
    with pytest.raises(RuntimeError, match=r"alibi_slopes: expected an address that is a multiple of 4 bytes"):
        attn_lse(Q, K, K, alibi_slopes=odd.view(torch.float32)[:4])
    with pytest.raises(RuntimeError, match=r"sinks: expected an address that is a multiple of 4 bytes"):
        attn_lse(Q, K, K, sinks=odd.view(torch.float32)[:4])
    with pytest.raises(RuntimeError, match=r"startend_row_indices: expected an address that is a multiple of 4 bytes"):
        attn_lse(Q[:1], K[:1], K[:1], startend_row_indices=odd.view(1, 1, 9, 1))
    with pytest.raises(RuntimeError, match=r"mask_hides: expected False without a bool attn_mask"):
        attn_lse(Q, K, K, mask_hides=True)


# Rows of no document


@pytest.mark.parametrize(
    ("offsets_q", "offsets_k"),
    [([0, 100, 280], [0, 90, 300]), ([7, 200], [11, 150]), ([0, 0, 0], [0, 0, 0]), ([0], [0]), ([300], [300])],
    ids=["tail", "head and tail", "all offsets 0", "no document", "no document at the end"],
)
def test_rows_of_no_document(offsets_q: list[int], offsets_k: list[int]) -> None:
    """out 0, lse -inf, gradients 0, whatever such rows hold; the documents as if they were alone."""
    torch.manual_seed(0)
    q, k, v = (torch.randn(300, h, 16, dtype=torch.float64) for h in (4, 2, 2))
    cu_q, cu_k = (torch.tensor(offsets, dtype=torch.int32) for offsets in (offsets_q, offsets_k))
    inside_q, inside_k = (slice(offsets[0], offsets[-1]) for offsets in (offsets_q, offsets_k))
    leaves = [t.requires_grad_() for t in (q, k, v)]
    out, lse = triangle_attention_varlen(*leaves, cu_q, cu_k, 300, 300, return_lse=True)
    weights = torch.randn_like(out)
    gradients = torch.autograd.grad((out * weights).sum(), leaves)
    alone = [t.detach().requires_grad_() for t in (q[inside_q], k[inside_k], v[inside_k])]
    want, want_lse = triangle_attention_varlen(*alone, cu_q - cu_q[0], cu_k - cu_k[0], 300, 300, return_lse=True)
    want_gradients = torch.autograd.grad((want * weights[inside_q]).sum(), alone)
    for got, inside, expected, empty in (
        (out, inside_q, want, 0.0),
        (lse, inside_q, want_lse, -torch.inf),
        *((g, i, w, 0.0) for g, i, w in zip(gradients, (inside_q, inside_k, inside_k), want_gradients)),
    ):
        assert torch.equal(got[inside], expected)
        outside = torch.ones(300, dtype=torch.bool)
        outside[inside] = False
        assert (got[outside] == empty).all()


# An lse that is too large to subtract


def math_path(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    return reference.attention(q.double(), k.double(), v.double(), attn_mask=mask)[0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_a_mask_of_the_smallest_number_everywhere(dtype: torch.dtype) -> None:
    q, k, v = (torch.zeros(1, 1, 4, 8, dtype=dtype) for _ in range(3))
    v.requires_grad_()
    mask = torch.full((4, 4), torch.finfo(torch.float32).min)
    triangle_attention(q, k, v, attn_mask=mask).sum().backward()
    assert v.grad is not None
    want = torch.tensor([25 / 12, 13 / 12, 7 / 12, 1 / 4], dtype=torch.float64)
    torch.testing.assert_close(v.grad[0, 0, :, 0].double(), want, rtol=4 * torch.finfo(dtype).eps, atol=0)


@pytest.mark.parametrize(("sq", "heads", "value"), [(4, 1, 1000.0), (150, 2, 1000.0), (300, 4, 40.0)])
def test_equal_keys_at_large_scores(sq: int, heads: int, value: float) -> None:
    """Beside rows of ordinary size, in every path of the backward: whole pairs, columns, groups."""
    torch.manual_seed(0)
    q, k, v = (torch.full((1, h, sq, 8), value) for h in (2 * heads, heads, heads))
    v = torch.randn_like(v)
    q[:, :, ::3] = torch.randn_like(q[:, :, ::3]) / value
    leaves = [t.requires_grad_() for t in (q, k, v)]
    out = triangle_attention(*leaves)
    weights = torch.randn_like(out)
    got = torch.autograd.grad((out * weights).sum(), leaves)
    want = torch.autograd.grad((math_path(*leaves) * weights).sum(), leaves)
    torch.testing.assert_close(got[2], want[2].to(torch.float32), rtol=1e-4, atol=1e-4)
    for a, b, of in zip(got[:2], want[:2], (value, value)):
        torch.testing.assert_close(a, b.to(torch.float32), rtol=1e-3, atol=1e-3 * of)


def test_merged_parts_keep_their_lse() -> None:
    """The backward of a part, given the lse over all keys, must not normalise over the part alone."""
    q = torch.full((1, 1, 6, 8), 40.0)
    k, v = torch.full((1, 1, 6, 8), 40.0), torch.randn(1, 1, 6, 8)
    out, lse = triangle_attention(q, k, v, return_lse=True)
    dout = torch.randn_like(out)
    whole = attn_backward(dout, None, q, k, v, out, lse)
    parts = [
        attn_backward(dout, None, q, k[:, :, i : i + 3], v[:, :, i : i + 3], out, lse, diagonal=-i) for i in (0, 3)
    ]
    torch.testing.assert_close(torch.cat([p[2] for p in parts], 2), whole[2], rtol=5e-3, atol=5e-3)


def test_a_merged_lse_close_to_a_part_s_own() -> None:
    """Scores 2^20 and 2^20 - 1: fp32's lse of both keys is 3 of its steps of 1/8 from the first key's own."""
    q, k = torch.tensor([[[[1024.0, 1.0]]]]), torch.tensor([[[[1024.0, 0.0], [1024.0, -1.0]]]])
    v = torch.tensor([[[[1.0], [3.0]]]])
    keys = [(k[:, :, i : i + 1], v[:, :, i : i + 1]) for i in (0, 1)]
    parts = [attn_lse(q, *pair, scale=1.0) for pair in keys]
    out, lse = merge_attention(*parts[0], *parts[1])
    dout = torch.ones_like(out)
    got = torch.cat([attn_backward(dout, None, q, *pair, out, lse, scale=1.0)[2] for pair in keys], 2)
    want = torch.sigmoid(torch.tensor([1.0, -1.0])).view(1, 1, 2, 1)
    # lse is within half a step of the exact one, 1/16.
    torch.testing.assert_close(got, want, rtol=math.expm1(1 / 16) + 1e-5, atol=0)
