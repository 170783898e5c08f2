"""Bad input: an error before anything runs, with the argument's name, what was expected and what came."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from triangle_attn_op import merge_attention, triangle_attention, triangle_attention_varlen


def t(*shape: int, dtype: torch.dtype = torch.float32, device: str = "cpu") -> Tensor:
    return torch.zeros(*shape, dtype=dtype, device=device)


Q, K = t(2, 12, 8, 128), t(2, 4, 8, 128)

DENSE: list[tuple[str, tuple[Any, Any, Any], dict[str, Any], type[Exception], str]] = [
    ("rank of q", (t(8, 128), K, K), {}, ValueError, r"q: expected 4 dimensions \[B, H, S, D\], got shape \[8, 128\]"),
    ("rank of v", (Q, K, t(4, 8, 128)), {}, ValueError, r"v: expected 4 dimensions"),
    ("not a tensor", ([1.0], K, K), {}, TypeError, r"q: expected a Tensor, got list"),
    (
        "head counts",
        (Q, t(2, 5, 8, 128), t(2, 5, 8, 128)),
        {},
        ValueError,
        r"k: expected \[B, Hkv, Sk, 128\] with Hq % Hkv == 0, got Hq = 12, Hkv = 5",
    ),
    ("no key heads", (Q, t(2, 0, 8, 128), t(2, 0, 8, 128)), {}, ValueError, r"Hq % Hkv == 0, got Hq = 12, Hkv = 0"),
    ("head dimension", (Q, t(2, 4, 8, 64), K), {}, ValueError, r"k: expected .*128.*got shape \[2, 4, 8, 64\]"),
    ("heads of v", (Q, K, t(2, 12, 8, 128)), {}, ValueError, r"v: expected k's sizes \[2, 4, 8, 128\]"),
    ("length of v", (Q, K, t(2, 4, 9, 128)), {}, ValueError, r"v: expected k's sizes"),
    ("batch", (Q, t(1, 4, 8, 128), t(1, 4, 8, 128)), {}, ValueError, r"k: expected q's batch size 2"),
    (
        "integers",
        (Q.int(), K.int(), K.int()),
        {},
        TypeError,
        r"q: expected float32, bfloat16, float16 or float64, got torch.int32",
    ),
    ("dtypes", (Q, K.half(), K), {}, TypeError, r"k: expected q's dtype torch.float32, got torch.float16"),
    ("devices", (Q, K, K.to("meta")), {}, ValueError, r"v: expected q's device cpu, got meta"),
    ("sparse", (Q, K.to_sparse(), K), {}, TypeError, r"k: expected a strided tensor"),
    (
        "mask dtype",
        (Q, K, K),
        {"attn_mask": t(8, 8, dtype=torch.int64)},
        TypeError,
        r"attn_mask: expected bool .* got torch.int64",
    ),
    (
        "mask float dtype",
        (Q, K, K),
        {"attn_mask": t(8, 8, dtype=torch.float16)},
        TypeError,
        r"attn_mask: .*q's dtype torch.float32, got torch.float16",
    ),
    (
        "mask shape",
        (Q, K, K),
        {"attn_mask": t(2, 4, 8, 8)},
        ValueError,
        r"attn_mask: .*\[2, 12, 8, 8\].*got \[2, 4, 8, 8\]",
    ),
    ("mask rank", (Q, K, K), {"attn_mask": t(1, 1, 1, 8, 8)}, ValueError, r"attn_mask: .*at most 4 dimensions"),
    (
        "mask gradient",
        (Q, K, K),
        {"attn_mask": t(8, 8).requires_grad_()},
        ValueError,
        r"attn_mask: expected requires_grad=False",
    ),
    ("mask device", (Q, K, K), {"attn_mask": t(8, 8, device="meta")}, ValueError, r"attn_mask: expected q's device"),
    ("mask type", (Q, K, K), {"attn_mask": True}, TypeError, r"attn_mask: expected a Tensor"),
    (
        "window",
        (Q, K, K),
        {"window_size_left": -1},
        ValueError,
        r"window_size_left: expected None or an int >= 0, got -1",
    ),
    ("window type", (Q, K, K), {"window_size_left": 1.5}, TypeError, r"window_size_left: expected an int"),
    (
        "alignment",
        (Q, K, K),
        {"alignment": "center"},
        ValueError,
        r"alignment: expected \"bottom_right\" or \"top_left\", got 'center'",
    ),
    ("diagonal type", (Q, K, K), {"diagonal": 0.0}, TypeError, r"diagonal: expected an int"),
    (
        "diagonal and alignment",
        (Q, K, K),
        {"diagonal": 0, "alignment": "top_left"},
        ValueError,
        r"diagonal: expected None with alignment",
    ),
    ("dropout 1", (Q, K, K), {"dropout_p": 1.0}, ValueError, r"dropout_p: expected 0 <= p < 1, got 1.0"),
    ("dropout negative", (Q, K, K), {"dropout_p": -0.1}, ValueError, r"dropout_p"),
    ("dropout NaN", (Q, K, K), {"dropout_p": float("nan")}, ValueError, r"dropout_p"),
    ("scale NaN", (Q, K, K), {"scale": float("nan")}, ValueError, r"scale: expected a finite number, got nan"),
    ("scale tensor", (Q, K, K), {"scale": t(1)}, TypeError, r"scale: expected a float"),
    ("slopes shape", (Q, K, K), {"alibi_slopes": t(4)}, ValueError, r"alibi_slopes: .*\[12\] or \[2, 12\], got \[4\]"),
    ("slopes batch", (Q, K, K), {"alibi_slopes": t(3, 12)}, ValueError, r"alibi_slopes: .*\[2, 12\], got \[3, 12\]"),
    ("slopes dtype", (Q, K, K), {"alibi_slopes": t(12).half()}, TypeError, r"alibi_slopes: .*got torch.float16"),
    ("slopes device", (Q, K, K), {"alibi_slopes": t(12, device="meta")}, ValueError, r"alibi_slopes: .*device"),
    (
        "slopes gradient",
        (Q, K, K),
        {"alibi_slopes": t(12).requires_grad_()},
        ValueError,
        r"alibi_slopes: expected requires_grad=False",
    ),
    ("softcap negative", (Q, K, K), {"softcap": -30.0}, ValueError, r"softcap: expected None, 0.0 .*, got -30.0"),
    ("softcap NaN", (Q, K, K), {"softcap": float("nan")}, ValueError, r"softcap: expected None, .*, got nan"),
    ("softcap beyond fp32", (Q, K, K), {"softcap": 1e39}, ValueError, r"softcap: .* within float32, got 1e\+39"),
    ("softcap type", (Q, K, K), {"softcap": True}, TypeError, r"softcap: expected a float or None, got bool"),
    ("sinks shape", (Q, K, K), {"sinks": t(4)}, ValueError, r"sinks: expected shape \[12\], .*, got \[4\]"),
    (
        "sinks dtype",
        (Q, K, K),
        {"sinks": t(12).half()},
        TypeError,
        r"sinks: .*q's dtype torch.float32, got torch.float16",
    ),
    ("sinks type", (Q, K, K), {"sinks": 1.0}, TypeError, r"sinks: expected a Tensor, got float"),
]


@pytest.mark.parametrize(("name", "qkv", "options", "error", "message"), DENSE, ids=[case[0] for case in DENSE])
@pytest.mark.parametrize("entry", [triangle_attention, torch.ops.triangle.attn], ids=["function", "operator"])
def test_dense(
    entry: Any, name: str, qkv: tuple[Any, Any, Any], options: dict[str, Any], error: type[Exception], message: str
) -> None:
    """Where PyTorch's own dispatcher refuses an argument's type before the operator sees it, its error stands."""
    by_schema = entry is not triangle_attention and name in SCHEMA_REFUSES
    if entry is not triangle_attention and name in ("scale tensor", "softcap type"):
        pytest.skip(
            "the dispatcher turns a tensor of one element, or a bool, into a number before the operator sees it"
        )
    with pytest.raises((RuntimeError, TypeError) if by_schema else error, match=None if by_schema else message):
        entry(*qkv, **options)


SCHEMA_REFUSES = {"not a tensor", "mask type", "window type", "diagonal type", "scale tensor", "sparse", "sinks type"}

PACKED = t(10, 4, 16)
CU = torch.tensor([0, 4, 10], dtype=torch.int32)


def cu(*values: int) -> Tensor:
    return torch.tensor(values, dtype=torch.int32)


VARLEN: list[tuple[str, tuple[Any, ...], type[Exception], str]] = [
    ("dense q", (t(1, 4, 10, 16), PACKED, PACKED, CU, CU, 6, 6), ValueError, r"q: expected 3 dimensions \[T, H, D\]"),
    (
        "dtype",
        (PACKED, PACKED, PACKED, CU.long(), CU, 6, 6),
        TypeError,
        r"cu_seq_q: expected int32 \[documents \+ 1\], got torch.int64",
    ),
    ("rank", (PACKED, PACKED, PACKED, CU, CU[None], 6, 6), ValueError, r"cu_seq_k: expected int32"),
    ("empty offsets", (PACKED, PACKED, PACKED, cu(), cu(), 6, 6), ValueError, r"cu_seq_q: expected int32"),
    (
        "documents",
        (PACKED, PACKED, PACKED, CU, cu(0, 10), 6, 6),
        ValueError,
        r"cu_seq_k: expected cu_seq_q's 3 entries, got 2",
    ),
    (
        "strided",
        (PACKED, PACKED, PACKED, torch.zeros(6, dtype=torch.int32)[::2], CU, 6, 6),
        ValueError,
        r"cu_seq_q: expected a contiguous",
    ),
    ("start", (PACKED, PACKED, PACKED, cu(-1, 4, 10), CU, 9, 9), ValueError, r"cu_seq_q: .* offsets from 0 on, got -1"),
    (
        "end",
        (PACKED, PACKED, PACKED, CU, cu(0, 4, 11), 9, 9),
        ValueError,
        r"cu_seq_k: expected to end within 10 rows, got 11",
    ),
    (
        "beyond the end",
        (PACKED, PACKED, PACKED, cu(0, 4, 1000), CU, 9999, 9),
        ValueError,
        r"cu_seq_q: expected to end within 10 rows, got 1000",
    ),
    (
        "decreasing",
        (PACKED, PACKED, PACKED, cu(0, 11, 10), CU, 12, 9),
        ValueError,
        r"cu_seq_q: expected non-decreasing offsets, got 10 after 11",
    ),
    (
        "negative",
        (PACKED, PACKED, PACKED, cu(0, -5, 10), CU, 20, 9),
        ValueError,
        r"cu_seq_q: expected non-decreasing offsets, got -5 after 0",
    ),
    (
        "max_q",
        (PACKED, PACKED, PACKED, CU, CU, 5, 6),
        ValueError,
        r"max_q: expected at least the longest document, 6 rows, got 5",
    ),
    ("max_k type", (PACKED, PACKED, PACKED, CU, CU, 6, 6.0), TypeError, r"max_k: expected an int"),
    ("max_q missing", (PACKED, PACKED, PACKED, CU, CU, None, 6), TypeError, r"max_q: expected an int, got NoneType"),
    ("max_k", (PACKED, PACKED, PACKED, CU, CU, 6, -1), ValueError, r"max_k: expected an upper bound"),
]


@pytest.mark.parametrize(("name", "arguments", "error", "message"), VARLEN, ids=[case[0] for case in VARLEN])
@pytest.mark.parametrize(
    "entry", [triangle_attention_varlen, torch.ops.triangle.attn_varlen], ids=["function", "operator"]
)
def test_varlen(entry: Any, name: str, arguments: tuple[Any, ...], error: type[Exception], message: str) -> None:
    by_schema = entry is not triangle_attention_varlen and name in ("max_k type", "max_q missing")
    with pytest.raises((RuntimeError, TypeError) if by_schema else error, match=None if by_schema else message):
        entry(*arguments)


def test_raw_operators_refuse_what_would_read_out_of_bounds() -> None:
    """A direct call of the raw operators is checked in C++; PyTorch's stable ABI knows only RuntimeError there."""
    forward, backward = torch.ops.triangle.attn_lse, torch.ops.triangle.attn_backward
    with pytest.raises(RuntimeError, match=r"k: expected Hq % Hkv == 0, got Hq = 12, Hkv = 5"):
        forward(Q, t(2, 5, 8, 128), t(2, 5, 8, 128))
    with pytest.raises(RuntimeError, match=r"attn_mask: expected a shape that broadcasts"):
        forward(Q, K, K, t(3, 1, 8, 8))
    with pytest.raises(RuntimeError, match=r"rng_state: expected an int64 \[2\] tensor with dropout_p > 0, got None"):
        forward(Q, K, K, dropout_p=0.5)
    with pytest.raises(RuntimeError, match=r"softcap: expected None, 0.0 \(none\) or a positive .*, got -1"):
        forward(Q, K, K, softcap=-1.0)
    out, lse = forward(Q, K, K)
    with pytest.raises(
        RuntimeError, match=r"dout: expected torch.float32 .*the forward's shape, got .* \[2, 12, 4, 128\]"
    ):
        backward(out[:, :, :4], None, Q, K, K, out, lse)
    with pytest.raises(RuntimeError, match=r"lse: expected torch.float32 .*, got torch.float64 \[2, 12, 8\]"):
        backward(out, None, Q, K, K, out, lse.double())


RAW: list[tuple[str, tuple[Any, ...], dict[str, Any], str]] = [
    ("max_q of a dense call", (Q, K, K), {"max_q": 5}, r"max_q, max_k: expected None without cu_seq_q and cu_seq_k"),
    ("dtype of q", (Q.int(), K.int(), K.int()), {}, r"q: expected float32, .* or float64, got torch.int32"),
    ("bool q", (Q.bool(), K.bool(), K.bool()), {}, r"q: expected float32, .* or float64, got torch.bool"),
    ("dtype of k", (Q, K.half(), K), {}, r"k: expected q's dtype torch.float32, got torch.float16"),
    ("rank of v", (Q, K, K[0]), {}, r"v: expected \[B, H, S, D\], got shape \[4, 8, 128\]"),
    ("D of k", (Q, K[..., :64], K), {}, r"k: expected a last dimension of 128, got shape \[2, 4, 8, 64\]"),
    ("length of v", (Q, K, K[:, :, :7]), {}, r"v: expected k's sizes but the last, got shape \[2, 4, 7, 128\]"),
    ("batch", (Q, K[:1], K[:1]), {}, r"k, v: expected q's batch 2, got shapes \[1, 4, 8, 128\]"),
    ("mask dtype", (Q, K, K, t(8, 8, dtype=torch.int64)), {}, r"attn_mask: .*torch.float32, got torch.int64"),
    ("mask rank", (Q, K, K, t(1, 1, 1, 8, 8)), {}, r"attn_mask: expected at most 4 dimensions"),
    ("window", (Q, K, K), {"window_size_left": -1}, r"window_size_left: expected None or >= 0, got -1"),
    ("alignment", (Q, K, K), {"alignment": "x"}, r'alignment: expected "bottom_right" or "top_left", got "x"'),
    ("diagonal", (Q, K, K), {"alignment": "top_left", "diagonal": 3}, r"diagonal: expected None with .*, got 3"),
    ("dropout", (Q, K, K), {"dropout_p": 1.0}, r"dropout_p: expected 0 <= p < 1, got 1"),
    ("scale", (Q, K, K), {"scale": float("inf")}, r"scale: expected a finite number, got inf"),
    (
        "sinks",
        (Q, K, K, None, None, None, None, None, t(11)),
        {},
        r"sinks: expected .* \[12\], got torch.float32 \[11\]",
    ),
    (
        "alibi_slopes",
        (Q, K, K, None, None, None, None, t(3, 12)),
        {},
        r"alibi_slopes: expected torch.float32 \[12\] or \[2, 12\], got torch.float32 \[3, 12\]",
    ),
    (
        "rng_state",
        (Q, K, K, None, None, None, t(2)),
        {"dropout_p": 0.5},
        r"rng_state: expected a contiguous int64 \[2\] tensor .*, got torch.float32 \[2\]",
    ),
]


@pytest.mark.parametrize(("name", "arguments", "options", "message"), RAW, ids=[case[0] for case in RAW])
def test_raw_forward(name: str, arguments: tuple[Any, ...], options: dict[str, Any], message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        torch.ops.triangle.attn_lse(*arguments, **options)


def test_raw_packed() -> None:
    forward = torch.ops.triangle.attn_lse
    cases: list[tuple[tuple[Any, ...], str]] = [
        ((PACKED, PACKED, PACKED, None, CU), "cu_seq_q, cu_seq_k: expected both or neither"),
        ((PACKED, PACKED, PACKED, None, CU.long(), CU), r"cu_seq_q: expected int32 .*, got torch.int64 \[3\]"),
        ((PACKED, PACKED, PACKED, None, CU, torch.zeros(6).int()[::2]), "cu_seq_k: .*contiguous.*, got stride 2"),
        ((PACKED, PACKED, PACKED, None, CU, cu(0, 10)), "cu_seq_k: expected as many .*, got 2 and 3 entries"),
        ((PACKED, PACKED, PACKED, t(10, 10), CU, CU), "attn_mask: not supported for packed sequences"),
        ((PACKED, PACKED, PACKED, None, cu(0, 4, 99), CU), "cu_seq_q: expected to end within 10 rows, got 99"),
    ]
    for arguments, message in cases:
        with pytest.raises(RuntimeError, match=message):
            forward(*arguments)


def test_autocast_does_not_make_numbers_of_integers() -> None:
    with (
        torch.autocast("cpu", dtype=torch.bfloat16),
        pytest.raises(TypeError, match=r"q: expected float32, .*got torch.int32"),
    ):
        triangle_attention(Q.int(), K, K)


def test_no_build_path_in_a_message() -> None:
    for call in (lambda: torch.ops.triangle.attn_lse(Q, K[:1], K), lambda: triangle_attention(Q, K[:1], K)):
        with pytest.raises((RuntimeError, ValueError)) as caught:
            call()
        assert "/" not in str(caught.value), str(caught.value)


def test_merge_attention() -> None:
    with pytest.raises(ValueError, match=r"o2: expected o1's shape \[2, 3, 4\], got \[2, 3, 5\]"):
        merge_attention(t(2, 3, 4), t(2, 3), t(2, 3, 5), t(2, 3))
    with pytest.raises(ValueError, match=r"lse2: expected \[2, 3\], got \[2\]"):
        merge_attention(t(2, 3, 4), t(2, 3), t(2, 3, 4), t(2))
