"""FlashAttention's names: parameter lists as flash-attn 2.8 and 3 have them, windows against a written-out mask."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
import triangle_attn_op.flash_attn as flash_attn
import triangle_attn_op.flash_attn.flash_attn_interface
from torch import Tensor
from triangle_attn_op import flash_attn_interface

# The parameters of the real packages, in order, with their defaults where these are not None.
COMMON_2 = "dropout_p=0.0 softmax_scale causal=False window_size=(-1,-1) softcap=0.0 alibi_slopes deterministic=False "
COMMON_2 += "return_attn_probs=False"
OFFSETS = "cu_seqlens_q cu_seqlens_k max_seqlen_q max_seqlen_k "
VERSION_2 = {
    "flash_attn_func": f"q k v {COMMON_2}",
    "flash_attn_kvpacked_func": f"q kv {COMMON_2}",
    "flash_attn_qkvpacked_func": f"qkv {COMMON_2}",
    "flash_attn_varlen_func": f"q k v {OFFSETS}{COMMON_2} block_table",
    "flash_attn_varlen_kvpacked_func": f"q kv {OFFSETS}{COMMON_2}",
    "flash_attn_varlen_qkvpacked_func": f"qkv cu_seqlens max_seqlen {COMMON_2}",
}
DESCALE = "q_descale k_descale v_descale window_size=(-1,-1) attention_chunk=0 softcap=0.0 "
LAST = "num_splits=1 pack_gqa deterministic=False sm_margin=0 return_attn_probs=False"
VERSION_3 = {
    "flash_attn_func": f"q k v softmax_scale causal=False qv {DESCALE}{LAST}",
    "flash_attn_qkvpacked_func": f"qkv softmax_scale causal=False {DESCALE}deterministic=False num_heads_q sm_margin=0 "
    "return_attn_probs=False",
    "flash_attn_varlen_func": f"q k v {OFFSETS}seqused_q seqused_k softmax_scale causal=False qv {DESCALE}{LAST}",
}


def signature(function: Any) -> str:
    parameters = inspect.signature(function).parameters.values()
    empty = (None, inspect.Parameter.empty)
    return " ".join(p.name if p.default in empty else f"{p.name}={p.default!r}".replace(", ", ",") for p in parameters)


@pytest.mark.parametrize("module", [flash_attn, flash_attn_interface])
def test_parameter_lists(module: Any) -> None:
    wanted = VERSION_2 if module is flash_attn else VERSION_3
    assert set(module.__all__) == set(wanted)
    assert {name: signature(getattr(module, name)) for name in wanted} == wanted
    again = triangle_attn_op.flash_attn.flash_attn_interface
    assert all(getattr(again, name) is getattr(flash_attn, name) for name in VERSION_2)


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, requires_grad=True)


def reference(q: Tensor, k: Tensor, v: Tensor, left: int, right: int) -> tuple[Tensor, Tensor]:
    """[B, S, H, D] by the full matrix, in FlashAttention's own words for the window."""
    q, k, v = (t.double().transpose(1, 2) for t in (q, k, v))
    k, v = (t.repeat_interleave(q.shape[1] // t.shape[1], 1) for t in (k, v))
    p = torch.arange(q.shape[2])[:, None] + k.shape[2] - q.shape[2]
    j = torch.arange(k.shape[2])
    hidden = torch.zeros(len(p), len(j), dtype=torch.bool)
    if left >= 0:
        hidden |= j < p - left
    if right >= 0:
        hidden |= j > p + right
    scores = (q @ k.mT / q.shape[-1] ** 0.5).masked_fill(hidden, -torch.inf)
    out = torch.softmax(scores, -1).nan_to_num() @ v
    return out.transpose(1, 2), torch.logsumexp(scores, -1)


WINDOWS = [(-1, -1), (-1, 0), (5, 0), (0, 0), (-1, 3), (4, 2), (7, -1), (0, 9)]


@pytest.mark.parametrize(("sq", "sk"), [(12, 12), (5, 17), (17, 5), (1, 9)])
@pytest.mark.parametrize("window", WINDOWS)
def test_windows(sq: int, sk: int, window: tuple[int, int]) -> None:
    q, k, v = draw(2, sq, 4, 16), draw(2, sk, 2, 16), draw(2, sk, 2, 16)
    for causal in (False, True):
        left, right = window[0], 0 if causal else window[1]
        out, lse, none = flash_attn.flash_attn_func(q, k, v, 0.0, None, causal, window, return_attn_probs=True)
        wanted, wanted_lse = reference(q, k, v, left, right)
        assert none is None
        torch.testing.assert_close(out.double(), wanted, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(lse.double(), wanted_lse, rtol=1e-5, atol=1e-5)
        dout = torch.randn_like(out)
        ours = torch.autograd.grad(out, (q, k, v), dout)
        theirs = torch.autograd.grad(wanted, (q, k, v), dout.double())
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
        third = flash_attn_interface.flash_attn_func(q, k, v, causal=causal, window_size=window)
        assert torch.equal(third, out)


def test_packed_and_stacked_forms_are_views_of_one_call() -> None:
    qkv = draw(24, 3, 2, 16)
    cu = torch.tensor([0, 9, 24], dtype=torch.int32)
    for window in WINDOWS:
        out, lse, _ = flash_attn.flash_attn_varlen_qkvpacked_func(
            qkv, cu, 15, window_size=window, return_attn_probs=True
        )
        assert lse.shape == (2, 24)
        for a, b in ((0, 9), (9, 24)):
            alone = flash_attn.flash_attn_qkvpacked_func(qkv[None, a:b], window_size=window)
            torch.testing.assert_close(out[a:b], alone[0], rtol=1e-5, atol=1e-5)
    q, kv = qkv[:, 0], qkv[:, 1:]
    causal = flash_attn.flash_attn_varlen_kvpacked_func(q, kv, cu, cu.clone(), 15, 15, causal=True)
    same = flash_attn_interface.flash_attn_varlen_func(q, *kv.unbind(1), cu, cu, 15, 15, causal=True)
    assert torch.equal(causal, same)
    full = flash_attn.flash_attn_varlen_func(q, *kv.unbind(1), cu, cu.clone(), 15, 15)
    torch.testing.assert_close(full, flash_attn.flash_attn_varlen_qkvpacked_func(qkv, cu, 15), rtol=1e-5, atol=1e-5)
    stacked = flash_attn.flash_attn_kvpacked_func(q[None], kv[None], causal=True)
    heads = torch.cat([q, kv[:, 0], kv[:, 1]], 1)[None]
    assert torch.equal(flash_attn_interface.flash_attn_qkvpacked_func(heads, causal=True, num_heads_q=2), stacked)


def test_scores_are_bent_and_dropped_as_by_the_operator() -> None:
    q, k, v = draw(1, 20, 2, 16), draw(1, 20, 2, 16), draw(1, 20, 2, 16)
    slopes = torch.tensor([0.5, 0.25])
    out = flash_attn.flash_attn_func(q, k, v, softmax_scale=0.3, causal=True, softcap=2.0, alibi_slopes=slopes)
    own = triangle_attn_op.triangle_attention(
        *(t.transpose(1, 2) for t in (q, k, v)), scale=0.3, softcap=2.0, alibi_slopes=slopes
    )
    assert torch.equal(out, own.transpose(1, 2))
    torch.manual_seed(1)
    dropped = flash_attn.flash_attn_func(q, k, v, 0.5, causal=True)
    torch.manual_seed(1)
    own = triangle_attn_op.triangle_attention(*(t.transpose(1, 2) for t in (q, k, v)), dropout_p=0.5)
    assert torch.equal(dropped, own.transpose(1, 2))
    assert not torch.equal(dropped, flash_attn.flash_attn_func(q, k, v, dropout_p=0.0, causal=True))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda q: flash_attn.flash_attn_func(q, q, q, window_size=(-2, 0)), r"window_size: expected \(left, right\)"),
        (lambda q: flash_attn.flash_attn_func(q[0], q, q), "q: expected 4 dimensions"),
        (lambda q: flash_attn.flash_attn_func(q, q, q, alibi_slopes=torch.ones(2)), "alibi_slopes: expected causal=Tr"),
        (lambda q: flash_attn.flash_attn_kvpacked_func(q, q), "kv: expected .batch, sequence, 2, heads"),
        (lambda q: flash_attn_interface.flash_attn_func(q, q, q, qv=q), "qv: not supported"),
        (lambda q: flash_attn_interface.flash_attn_func(q, q, q, attention_chunk=4), "attention_chunk: not supported"),
        (
            lambda q: flash_attn.flash_attn_varlen_func(
                q[0], q[0], q[0], *(torch.tensor([0, 8], dtype=torch.int32) for _ in "qk"), 8, 8, window_size=(1, 1)
            ),
            "window_size: expected .* one tensor as cu_seqlens_q and cu_seqlens_k",
        ),
    ],
)
def test_what_cannot_be_honoured_raises(call: Any, message: str) -> None:
    with pytest.raises((ValueError, NotImplementedError), match=message):
        call(torch.zeros(1, 8, 2, 16))
