"""triangle_attention_with_kvcache against triangle_attention over the same tokens, bit for bit."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from torch import Tensor
from triangle_attn_op import call_counts, triangle_attention, triangle_attention_with_kvcache

DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
NAN = float("nan")


class Batch:
    """Random sequences in a random kind of cache. What no row may read is NaN, or page -1. Other backends than the CPU
    replace `dtypes`, `call` and `whole`.
    """

    dtypes: tuple[torch.dtype, ...] = DTYPES

    def __init__(self, seed: int) -> None:
        pick = random.Random(seed)
        make = torch.Generator().manual_seed(seed)
        self.dtype = pick.choice(self.dtypes)
        self.packed, self.paged, self.append = (pick.random() < 0.5 for _ in range(3))
        heads_kv, group = pick.choice([(1, 1), (2, 1), (1, 4), (2, 3), (1, 8)])
        dim = pick.choice([16, 32, 64, 24, 7])
        dim_v = pick.choice([dim, 32, 5])
        sequences = pick.randint(1, 4)
        longest = pick.choice([40, 300, 1400])
        self.lengths = [pick.randint(1, longest) for _ in range(sequences)]
        rows = pick.choice([1, 3, 40])
        self.rows = [min(rows, min(self.lengths))] * sequences
        if self.packed:  # a decode step, a speculative run, a chunk, and who waits, in one call
            self.rows = [min(pick.choice([0, 1, 1, 4, 33, 150]), n) for n in self.lengths]
        self.before = [n - r * self.append for n, r in zip(self.lengths, self.rows)]

        def draw(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=make, dtype=torch.float64).to(self.dtype)

        heads = heads_kv * group
        self.q = [draw(r, heads, dim) for r in self.rows]
        self.k = [draw(n, heads_kv, dim) for n in self.lengths]
        self.v = [draw(n, heads_kv, dim_v) for n in self.lengths]
        self.options: dict[str, Any] = {
            "scale": pick.choice([None, 0.3]),
            "window_size_left": pick.choice([None, None, 0, 17, 200]),
            "softcap": pick.choice([None, None, 5.0]),
            "sinks": torch.randn(heads, generator=make) if pick.random() < 0.3 else None,
        }
        self.slopes = torch.rand(sequences, heads, generator=make) if pick.random() < 0.3 else None
        self.fill(pick)

    def fill(self, pick: random.Random) -> None:
        """Makes the caches and the arguments that lead to them."""
        most = max(self.lengths)
        wide, narrow = (t[0].shape[1:] for t in (self.k, self.v))
        window = self.options["window_size_left"]
        first = [0 if window is None or not r else max(n - r - window, 0) for n, r in zip(self.lengths, self.rows)]
        if self.paged:
            size = pick.choice([16, 48, 64, 256])
            per = -(-most // size) + 1
            total = per * len(self.lengths) + 3
            numbers = pick.sample(range(total), per * len(self.lengths))
            table = torch.tensor(numbers, dtype=torch.int32).view(len(self.lengths), per)
            self.where = {"block_table": table}
            shape = (total, size)
        else:
            shape = (len(self.lengths) + 2, most + pick.randint(0, 9))
            entries = pick.sample(range(shape[0]), len(self.lengths))
            self.where = {"cache_batch_idx": torch.tensor(entries, dtype=torch.int32)}
        self.k_cache = torch.full((*shape, *wide), NAN, dtype=self.dtype)
        self.v_cache = torch.full((*shape, *narrow), NAN, dtype=self.dtype)
        for b, (n, begin) in enumerate(zip(self.before, first)):
            # Keys beside visible ones are in the same products and have to be finite; whole pages left of them do not.
            for key in range(begin // 128 * 128 if not self.paged else begin // size * size, n):
                place = self.place(b, key)
                self.k_cache[place], self.v_cache[place] = self.k[b][key], self.v[b][key]
            if self.paged:
                table[b, : begin // size] = -1
                table[b, -(-self.lengths[b] // size) :] = 2**30

    def place(self, b: int, key: int) -> tuple[int, int]:
        if not self.paged:
            return int(self.where["cache_batch_idx"][b]), key
        size = self.k_cache.shape[1]
        return int(self.where["block_table"][b, key // size]), key % size

    def attend(self) -> tuple[list[Tensor], list[Tensor]]:
        """out [rows, Hq, Dv] and lse [rows, Hq] of each sequence, from one call."""
        lengths = torch.tensor(self.before, dtype=torch.int32)
        fresh = [[t[n:] for t, n in zip(ts, self.before)] for ts in (self.k, self.v)]
        join = torch.cat if self.packed else torch.stack
        new = dict(zip("kv", map(join, fresh))) if self.append else {}
        if self.packed:
            offsets = torch.tensor([0, *self.rows]).cumsum(0).to(torch.int32)
            new |= {"cu_seq_q": offsets, "max_q": max(self.rows)}
        given = {**new, **self.where, **self.options, "alibi_slopes": self.slopes}
        out, lse = self.call(join(self.q), self.k_cache, self.v_cache, lengths, **given)
        if self.packed:
            return list(out.split(self.rows)), list(lse.split(self.rows))
        return list(out), list(lse.transpose(1, 2))

    def call(self, *args: Any, **given: Any) -> tuple[Tensor, Tensor]:
        """out and lse of attention over the caches."""
        return triangle_attention_with_kvcache(*args, **given, return_lse=True)

    def whole(self, *args: Tensor, **options: Any) -> tuple[Tensor, Tensor]:
        """out and lse of the forward."""
        return triangle_attention(*args, **options, return_lse=True)

    def reference(self, b: int) -> tuple[Tensor, Tensor]:
        q, k, v = (t[b].transpose(0, 1)[None] for t in (self.q, self.k, self.v))
        out, lse = self.whole(q, k, v, **self.options, alibi_slopes=None if self.slopes is None else self.slopes[b])
        return out[0].transpose(0, 1), lse[0].transpose(0, 1)

    def check(self, case: Any) -> None:
        """Attends: bits of the forward, and what was appended."""
        outs, lses = self.attend()
        for b, (out, lse) in enumerate(zip(outs, lses)):
            wanted, wanted_lse = self.reference(b)
            assert torch.equal(out, wanted), (case, b)
            assert torch.equal(lse, wanted_lse), (case, b)
            for key in range(self.before[b], self.lengths[b]):
                place = self.place(b, key)
                assert torch.equal(self.k_cache[place], self.k[b][key])
                assert torch.equal(self.v_cache[place], self.v[b][key])


@pytest.mark.parametrize("part", range(4))
def test_bits_are_those_of_the_forward(part: int, seed: int) -> None:
    for case in range(40):
        torch.set_num_threads(1 + case % 2)
        Batch(seed * 160 + part * 40 + case).check((part, case))


def cache(*shape: int) -> tuple[Tensor, Tensor]:
    return torch.randn(*shape), torch.randn(*shape)


def lens(*values: int) -> Tensor:
    return torch.tensor(values, dtype=torch.int32)


def test_a_prompt_in_chunks_then_tokens_then_guesses() -> None:
    q, k, v = torch.randn(1, 700, 4, 64), torch.randn(1, 700, 2, 64), torch.randn(1, 700, 2, 64)
    whole = triangle_attention(*(t.transpose(1, 2) for t in (q, k, v))).transpose(1, 2)
    k_cache, v_cache = cache(1, 768, 2, 64)
    at = 0
    for step in (512, 1, 1, 130, 5, 1, 50):  # 5: a speculative run, of which 2 tokens are kept
        rows = slice(at, at + step)
        new = {"k": k[:, rows], "v": v[:, rows]}
        out = triangle_attention_with_kvcache(q[:, rows], k_cache, v_cache, lens(at), **new)
        assert torch.equal(out, whole[:, rows])
        at += 2 if step == 5 else step
    assert at == 697


def test_idle_places_other_rows_than_keys_and_nothing_at_all() -> None:
    k_cache, v_cache = cache(3, 64, 2, 32)
    q = torch.randn(3, 1, 4, 32)
    sinks = torch.randn(4)
    out, lse = triangle_attention_with_kvcache(q, k_cache, v_cache, lens(5, 0, 64), sinks=sinks, return_lse=True)
    assert torch.equal(out[1], torch.zeros(1, 4, 32))
    assert torch.equal(lse[1, :, 0], sinks)
    # FlashAttention's form: more keys are appended than there are rows.
    k, v = torch.randn(3, 4, 2, 32), torch.randn(3, 4, 2, 32)
    out = triangle_attention_with_kvcache(q, k_cache, v_cache, lens(5, 0, 60), k=k, v=v)
    alone = triangle_attention(*(t.transpose(1, 2) for t in (q[1:2], k[1:2], v[1:2])))
    assert torch.equal(out[1], alone[0].transpose(0, 1))
    offsets = lens(2, 2, 3, 3)  # rows 0, 1 and 3 are of no sequence
    packed, lse = triangle_attention_with_kvcache(
        torch.randn(4, 4, 32), k_cache, v_cache, lens(5, 7, 9), cu_seq_q=offsets, return_lse=True
    )
    assert packed[[0, 1, 3]].abs().max() == 0
    assert (lse[[0, 1, 3]] == -torch.inf).all()
    assert packed[2].abs().max() > 0
    for empty in (torch.empty(3, 0, 4, 32), torch.empty(3, 1, 0, 32)):
        heads = 2 if empty.shape[2] else 0
        result = triangle_attention_with_kvcache(empty, k_cache[:, :, :heads], v_cache[:, :, :heads], lens(5, 7, 9))
        assert result.shape == empty.shape


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", [1, 24])
def test_rows_behind_the_last_key_are_never_read(dtype: torch.dtype, rows: int) -> None:
    """All visible keys in one page whose rest nobody wrote: what stands for the pages before it is finite all the same.
    It shows where a panel of the instruction set holds two runs of 16 keys: AVX-512.
    """
    draws = [torch.randn(1, 128, h, 16).to(dtype) for h in (2, 1, 1)]
    for length in (113, 97 + rows):
        q, k, v = (t[:, :length] for t in draws)
        first = length - rows
        k_pages, v_pages = (torch.full((8, 16, 1, 16), NAN, dtype=dtype) for _ in range(2))
        for pages, given in ((k_pages, k), (v_pages, v)):
            begin = first // 16 * 16
            pages.view(128, 1, 16)[begin:length] = given[0, begin:]
        table = torch.arange(8, dtype=torch.int32)[None]
        out = triangle_attention_with_kvcache(
            q[:, first:], k_pages, v_pages, lens(length), block_table=table, window_size_left=0
        )
        whole = triangle_attention(*(t.transpose(1, 2) for t in (q, k, v)), window_size_left=0)
        assert torch.equal(out, whole.transpose(1, 2)[:, first:])


def test_under_pytorch() -> None:
    """opcheck, torch.compile of appends, versions that autograd keeps, inference mode, the meta device, counts."""
    k_cache, v_cache = cache(8, 16, 2, 32)
    table = torch.tensor([[3, 1], [0, 6]], dtype=torch.int32)
    q, k, v = torch.randn(2, 3, 4, 32), torch.randn(2, 3, 2, 32), torch.randn(2, 3, 2, 32)
    op = torch.ops.triangle.attn_kvcache.default
    torch.library.opcheck(op, (q, k_cache, v_cache, lens(5, 9), k, v, table), {"window_size_left": 4})
    rows = {"cu_seq_q": lens(0, 1, 3), "max_q": 2}
    quick = ("test_schema", "test_faketensor")
    torch.library.opcheck(op, (q[0], k_cache, v_cache, lens(5, 9), None, None, table), rows, test_utils=quick)

    def step(q: Tensor, k_cache: Tensor, v_cache: Tensor, lengths: Tensor, k: Tensor, v: Tensor) -> Tensor:
        out = triangle_attention_with_kvcache(q, k_cache, v_cache, lengths, k=k, v=v, block_table=table)
        return out * 2 + k_cache.sum()

    compiled = torch.compile(step, fullgraph=True, dynamic=True, backend="aot_eager")
    for size in (3, 1):
        args = (lens(5, 9), k[:, :size], v[:, :size])
        caches = k_cache.clone(), v_cache.clone()
        again = k_cache.clone(), v_cache.clone()
        assert torch.equal(compiled(q[:, :size], *caches, *args), step(q[:, :size], *again, *args))
        assert all(torch.equal(a, b) for a, b in zip(caches, again))
    assert not torch.equal(caches[0], k_cache)

    versions = k_cache._version, v_cache._version
    triangle_attention_with_kvcache(q, k_cache, v_cache, lens(5, 9), block_table=table)
    assert (k_cache._version, v_cache._version) == versions
    before = call_counts()
    triangle_attention_with_kvcache(q, k_cache, v_cache, lens(5, 9), k=k, v=v, block_table=table)
    assert k_cache._version > versions[0]
    assert sum(call_counts().values()) == sum(before.values()) + 1
    with torch.inference_mode():
        made_here = cache(2, 16, 2, 32)
        triangle_attention_with_kvcache(q, *made_here, lens(5, 9), k=k, v=v)
    triangle_attention_with_kvcache(q, *made_here, lens(5, 9), k=k, v=v)
    meta = (t.to("meta") for t in (q, k_cache, v_cache, lens(5, 9)))
    out, lse = triangle_attention_with_kvcache(*meta, block_table=table.to("meta"), return_lse=True)
    assert (out.shape, lse.shape, out.device.type) == ((2, 3, 4, 32), (2, 4, 3), "meta")
    with torch.autocast("cpu", torch.bfloat16):
        half = triangle_attention_with_kvcache(q, k_cache.bfloat16(), v_cache.bfloat16(), lens(5, 9), block_table=table)
    assert half.dtype is torch.bfloat16


BAD = [
    ({"q": torch.zeros(2, 4, 32)}, ValueError, r"q: expected 4 dimensions \[B, Sq, Hq, D\]"),
    ({"k_cache": torch.zeros(2, 48, 2, 16)}, ValueError, "k_cache: expected .* q's head dimension 32"),
    ({"k_cache": torch.zeros(2, 48, 3, 32)}, ValueError, "k_cache: expected .*Hq % Hkv == 0, got Hq = 4, Hkv = 3"),
    ({"k_cache": torch.zeros(2, 48, 2, 32).bfloat16()}, TypeError, "k_cache: expected q's dtype torch.float32"),
    ({"k_cache": torch.zeros(2, 48, 32, 2).mT}, ValueError, "k_cache: expected a contiguous last dimension"),
    ({"k_cache": torch.zeros(3, 48, 2, 32)}, ValueError, "v_cache: expected k_cache's sizes"),
    ({"v_cache": torch.zeros(2, 40, 2, 32)}, ValueError, "v_cache: expected k_cache's sizes"),
    ({"v_cache": torch.zeros(1, 48, 2, 32).expand(2, -1, -1, -1)}, ValueError, "v_cache: expected memory of its own"),
    ({"cache_seqlens": torch.tensor([4, 4])}, TypeError, "cache_seqlens: expected int32"),
    ({"cache_seqlens": lens(4)}, ValueError, "cache_seqlens: expected int32 .* 2 sequences"),
    ({"cache_seqlens": lens(4, -1)}, ValueError, "cache_seqlens: expected lengths >= 0, got -1 for sequence 1"),
    ({"cache_seqlens": lens(47, 4)}, ValueError, "cache_seqlens: expected at most 48 keys.* 2 of k, got 47 for seq"),
    ({"k": None}, ValueError, "k: expected a Tensor beside"),
    ({"v": None}, ValueError, "v: expected a Tensor beside"),
    ({"k": torch.zeros(2, 2, 1, 32)}, ValueError, "k: expected .*Hkv = 2"),
    ({"v": torch.zeros(2, 3, 2, 32)}, ValueError, "v: expected k's sizes"),
    ({"k": None, "v": None, "cache_seqlens": lens(1, 4)}, ValueError, "cache_seqlens: expected at least as many keys"),
    ({"cache_batch_idx": lens(0, 2)}, ValueError, "cache_batch_idx: expected entries 0 .. 1, got 2 for sequence 1"),
    (
        {"cache_batch_idx": lens(1, 1), "cache_seqlens": lens(4, 5)},
        ValueError,
        "cache_batch_idx: expected places of their own.* entry 1 for sequences 0 and 1 at its key 5",
    ),
    ({"max_q": 3}, ValueError, "max_q: expected None without cu_seq_q"),
    ({"window_size_left": -1}, ValueError, "window_size_left: expected None or an int >= 0"),
    ({"softcap": -1.0}, ValueError, "softcap: expected None"),
    ({"scale": float("inf")}, ValueError, "scale: expected a finite number"),
    ({"sinks": torch.zeros(3)}, ValueError, r"sinks: expected shape \[4\]"),
    ({"alibi_slopes": torch.zeros(3, 4)}, ValueError, r"alibi_slopes: expected shape \[4\] or \[2, 4\]"),
    ({"q": torch.zeros(2, 2, 4, 32, requires_grad=True)}, ValueError, "q: expected requires_grad=False or torch.no_g"),
    ({"k_cache": torch.zeros(2, 48, 2, 32, requires_grad=True)}, ValueError, "k_cache: expected requires_grad=False"),
]
BAD_PAGES = [
    ({"block_table": torch.zeros(2, 3, dtype=torch.int64)}, TypeError, "block_table: expected int32"),
    ({"block_table": lens(0, 1)}, ValueError, r"block_table: expected int32 \[B, max_pages\]"),
    ({"block_table": lens(6, 0, 1, 2).view(2, 2)}, ValueError, "block_table: expected page numbers 0 .. 5, g"),
    ({"block_table": lens(0, 1, -1, 2).view(2, 2)}, ValueError, "got -1 for page 0 of sequence 1"),
    ({"block_table": lens(0, 1).view(2, 1)}, ValueError, "cache_seqlens: expected at most 16 keys, the pages of a row"),
    (
        {"block_table": lens(0, 1, 0, 1).view(2, 2), "cache_seqlens": lens(17, 17)},
        ValueError,
        "block_table: expected places of their own.* page 1",
    ),
    ({"cache_batch_idx": lens(0, 1)}, ValueError, "cache_batch_idx: expected None with block_table"),
    ({"k_cache": torch.zeros(6, 24, 2, 32), "v_cache": torch.zeros(6, 24, 2, 32)}, ValueError, "a multiple of 16, got"),
    ({"cu_seq_q": lens(0, 3, 2), "q": torch.zeros(4, 4, 32)}, ValueError, "cu_seq_q: expected non-decreasing offsets"),
    ({"cu_seq_q": lens(0, 3), "q": torch.zeros(4, 4, 32)}, ValueError, "cache_seqlens: expected int32 .* B = 1"),
    ({"cu_seq_q": lens(0, 3, 4), "q": torch.zeros(4, 4, 32), "max_q": 2}, ValueError, "max_q: expected at least the"),
]


@pytest.mark.parametrize("kind", ["contiguous", "pages"])
def test_bad_input_is_named_and_leaves_the_cache(kind: str) -> None:
    for changed, error, message in BAD if kind == "contiguous" else BAD_PAGES:
        given: dict[str, Any] = {"q": torch.zeros(2, 2, 4, 32), "cache_seqlens": lens(4, 17)}
        given |= dict(zip(("k_cache", "v_cache"), cache(2, 48, 2, 32)))
        if kind == "pages":
            given |= dict(zip(("k_cache", "v_cache"), cache(6, 16, 2, 32)))
            given["block_table"] = lens(0, 1, 2, 3).view(2, 2)
        rows = (4,) if "cu_seq_q" in changed else (2, 2)
        given |= {"k": torch.ones(*rows, 2, 32), "v": torch.ones(*rows, 2, 32)} | changed
        kept = given["k_cache"].detach().clone(), given["v_cache"].clone()
        with pytest.raises(error, match=message):
            triangle_attention_with_kvcache(**given)
        assert torch.equal(given["k_cache"], kept[0])
        assert torch.equal(given["v_cache"], kept[1])


def test_the_raw_operator_checks_too() -> None:
    k_cache, v_cache = cache(2, 48, 2, 32)
    q = torch.zeros(2, 2, 4, 32)
    op = torch.ops.triangle.attn_kvcache
    with pytest.raises(RuntimeError, match=r"cache_seqlens: expected torch\.int32"):
        op(q, k_cache, v_cache, lens(4))
    with pytest.raises(RuntimeError, match="v_cache: expected memory of its own"):
        op(q, k_cache, k_cache, lens(4, 4), torch.zeros(2, 2, 2, 32), torch.zeros(2, 2, 2, 32))
    with pytest.raises(ValueError, match="q: expected requires_grad=False"):
        op(q.requires_grad_(), k_cache, v_cache, lens(4, 4))
    with torch.no_grad():
        assert not op(q, k_cache, v_cache, lens(4, 4))[0].requires_grad
