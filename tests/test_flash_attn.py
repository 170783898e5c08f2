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
    "flash_attn_with_kvcache": "q k_cache v_cache k v rotary_cos rotary_sin cache_seqlens cache_batch_idx "
    "cache_leftpad block_table softmax_scale causal=False window_size=(-1,-1) softcap=0.0 rotary_interleaved=True "
    "alibi_slopes num_splits=0 return_softmax_lse=False",
}
DESCALE = "q_descale k_descale v_descale window_size=(-1,-1) attention_chunk=0 softcap=0.0 "
LAST = "num_splits=1 pack_gqa deterministic=False sm_margin=0 return_attn_probs=False"
VERSION_3 = {
    "flash_attn_func": f"q k v softmax_scale causal=False qv {DESCALE}{LAST}",
    "flash_attn_qkvpacked_func": f"qkv softmax_scale causal=False {DESCALE}deterministic=False num_heads_q sm_margin=0 "
    "return_attn_probs=False",
    "flash_attn_varlen_func": f"q k v {OFFSETS}seqused_q seqused_k softmax_scale causal=False qv {DESCALE}{LAST}",
    "flash_attn_with_kvcache": "q k_cache v_cache k v qv rotary_cos rotary_sin cache_seqlens cache_batch_idx "
    "cache_leftpad page_table cu_seqlens_q cu_seqlens_k_new max_seqlen_q rotary_seqlens q_descale k_descale v_descale "
    "softmax_scale causal=False window_size=(-1,-1) attention_chunk=0 softcap=0.0 rotary_interleaved=True "
    "scheduler_metadata num_splits=0 pack_gqa sm_margin=0 return_softmax_lse=False",
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


def test_a_cache_in_both_versions() -> None:
    """Appended in place; causal, with a window, and every key to every row."""
    keys, values, q = torch.randn(2, 60, 2, 16), torch.randn(2, 60, 2, 16), torch.randn(2, 3, 4, 16)
    lengths = torch.tensor([20, 41], dtype=torch.int32)
    table = torch.tensor([[4, 1, 7, 0], [3, 6, 2, 5]], dtype=torch.int32)

    def caches() -> tuple[Tensor, Tensor]:
        pages = torch.zeros(8, 16, 2, 16), torch.zeros(8, 16, 2, 16)
        for page, whole in zip(pages, (keys, values)):
            padded = torch.nn.functional.pad(whole, (0, 0, 0, 0, 0, 4)).view(2, 4, 16, 2, 16)
            page[table.long()] = padded
        return pages

    new = torch.randn(2, 3, 2, 16), torch.randn(2, 3, 2, 16)
    for causal, window in ((True, (-1, -1)), (True, (7, 0)), (False, (-1, -1))):
        k_cache, v_cache = caches()
        common = {"cache_seqlens": lengths, "causal": causal, "window_size": window, "return_softmax_lse": True}
        out, lse = flash_attn.flash_attn_with_kvcache(q, k_cache, v_cache, *new, block_table=table, **common)
        for b in range(2):
            n = int(lengths[b])
            k, v = (torch.cat([old[b : b + 1, :n], t[b : b + 1]], 1) for old, t in zip((keys, values), new))
            wanted, wanted_lse = reference(q[b : b + 1], k, v, window[0], 0 if causal else window[1])
            torch.testing.assert_close(out[b : b + 1].double(), wanted, rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(lse[b : b + 1].double(), wanted_lse, rtol=1e-5, atol=1e-5)
        again = caches()
        third, third_lse = flash_attn_interface.flash_attn_with_kvcache(q, *again, *new, page_table=table, **common)
        assert torch.equal(third, out)
        assert torch.equal(third_lse, lse)
        assert all(map(torch.equal, again, (k_cache, v_cache)))
        if causal:
            again = caches()
            packed, packed_lse = flash_attn_interface.flash_attn_with_kvcache(
                q.flatten(0, 1),
                *again,
                *(t.flatten(0, 1) for t in new),
                page_table=table,
                cu_seqlens_q=torch.tensor([0, 3, 6], dtype=torch.int32),
                max_seqlen_q=3,
                **common,
            )
            assert torch.equal(packed.view_as(out), out)
            assert torch.equal(packed_lse, lse.transpose(0, 1).flatten(1))
            both = torch.tensor([0, 3, 6], dtype=torch.int32), torch.tensor([0, 23, 67], dtype=torch.int32)
            pages = flash_attn.flash_attn_varlen_func(
                q.flatten(0, 1), *again, *both, 3, 44, causal=True, window_size=window, block_table=table
            )
            assert torch.equal(pages, packed)
    # One row sees every key with and without `causal`; an int is the length of all, None the whole cache.
    step = q[:, :1]
    whole = flash_attn.flash_attn_with_kvcache(step, keys, values)
    assert torch.equal(flash_attn.flash_attn_with_kvcache(step, keys, values, cache_seqlens=60, causal=True), whole)
    # Entries beyond the batch are left alone, an int stays one, and nothing gives nothing.
    more = [torch.cat([t, torch.full_like(t[:1], torch.nan)]) for t in (keys, values)]
    assert torch.equal(flash_attn.flash_attn_with_kvcache(step, *more), whole)
    with pytest.raises(TypeError, match="cache_seqlens: expected an int or int32"):
        flash_attn.flash_attn_with_kvcache(step, keys, values, cache_seqlens=3.7)
    with pytest.raises(ValueError, match=r"q: expected \[B, Sq, Hq, D\]"):
        flash_attn.flash_attn_with_kvcache(step[0, 0, 0], keys, values)
    nothing = flash_attn.flash_attn_with_kvcache(q[:, :0], keys, values, return_softmax_lse=True)
    assert [tuple(t.shape) for t in nothing] == [tuple(q[:, :0].shape), (q.shape[0], q.shape[2], 0)]
    for wrong in ({"rotary_cos": step}, {"cache_leftpad": lengths}, {"window_size": (3, 2)}):
        with pytest.raises(NotImplementedError, match=r"rotary_cos: not|cache_leftpad: not|causal: expected True"):
            flash_attn.flash_attn_with_kvcache(q, keys, values, cache_seqlens=lengths, **wrong)


def test_scaled_dot_product_attention_is_pytorchs() -> None:
    function = triangle_attn_op.scaled_dot_product_attention
    torch_own = torch.nn.functional.scaled_dot_product_attention
    names = "query key value attn_mask dropout_p=0.0 is_causal=False scale enable_gqa=False"
    assert signature(function) == names
    mask = torch.rand(5, 7) < 0.7
    mask[:, 0] = True
    for lead, key_lead in (
        ((), ()),
        ((3,), (3,)),
        ((2, 4), (2, 4)),
        ((2, 3, 4), (2, 1, 4)),
        ((1, 2, 3, 4), (5, 2, 3, 4)),
    ):
        q, k, v = torch.randn(*lead, 5, 16), torch.randn(*key_lead, 7, 16), torch.randn(*key_lead, 7, 8)
        for options in ({}, {"is_causal": True}, {"scale": 0.1}, {"attn_mask": mask}, {"attn_mask": torch.randn(5, 7)}):
            torch.testing.assert_close(function(q, k, v, **options), torch_own(q, k, v, **options))
        whole = torch.randn(*torch.broadcast_shapes(lead, key_lead), 5, 7)
        torch.testing.assert_close(function(q, k, v, whole), torch_own(q, k, v, whole))
    q, k, v = draw(2, 8, 5, 16), draw(2, 2, 5, 16), draw(2, 2, 5, 16)
    results = [f(q, k, v, is_causal=True, enable_gqa=True) for f in (function, torch_own)]
    torch.testing.assert_close(*results)
    ours, theirs = (torch.autograd.grad(out.square().sum(), (q, k, v)) for out in results)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    for wrong, message in (
        ({"enable_gqa": False}, "enable_gqa: expected True"),
        ({"attn_mask": mask, "is_causal": True}, "attn_mask: expected None with is_causal"),
        ({"attn_mask": torch.zeros(3, 1, 5, 5)}, "attn_mask: expected leading dimensions that broadcast"),
        ({"key": k[:1].expand(3, -1, -1, -1), "enable_gqa": True}, "key: expected leading dimensions that broadcast"),
    ):
        with pytest.raises(ValueError, match=message):
            function(**({"query": q, "key": k, "value": v, "enable_gqa": True} | wrong))


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
