"""The one table of cases: every backend (cpu, sim, npu) runs it, as far as it says it supports a case."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import reference
import torch
from torch import Tensor


@dataclass(frozen=True)
class Case:
    """One problem. Packed cases give `lens_q` and `lens_k`; then B, Sq and Sk follow from them."""

    name: str
    B: int = 1
    Hq: int = 2
    Hkv: int = 2
    Sq: int = 64
    Sk: int = 64
    D: int = 64
    Dv: int | None = None
    options: dict[str, Any] = field(default_factory=dict)  # alignment, diagonal, window_size_left, scale, softcap
    mask: str | None = None
    layout: str = "bhsd"  # memory order behind the [B, H, S, D] view
    lens_q: tuple[int, ...] = ()
    lens_k: tuple[int, ...] = ()
    dropout_p: float = 0.0
    magnitude: float = 1.0  # standard deviation of q and k
    alibi: str | None = None  # slopes by "head", or by "batch" and head
    sinks: torch.dtype | str | None = None  # float32, or "q" for q's dtype
    intervals: tuple[int, int] | None = None  # startend_row_indices: heads and bounds
    page: int | None = None  # lens_k in a cache, the last lens_q of them appended; keys of a page, 0: entries

    @property
    def packed(self) -> bool:
        return bool(self.lens_q)

    @property
    def dim_v(self) -> int:
        return self.D if self.Dv is None else self.Dv

    def __str__(self) -> str:
        return self.name


CASES = [
    Case("square", B=2, Hq=3, Hkv=3, Sq=128, Sk=128),
    Case("not divisible by a block", Hq=2, Sq=200, Sk=200, D=64),
    Case("shorter than a block", B=3, Sq=5, Sk=5),
    Case("one token", Sq=1, Sk=1, D=16),
    Case("several chunks", Hq=1, Hkv=1, Sq=1100, Sk=1100, D=32),
    Case("several chunks, few rows left", Hq=1, Hkv=1, Sq=520, Sk=2300, D=16),
    Case("decode", B=2, Hq=8, Hkv=2, Sq=1, Sk=333),
    Case("decode long", Hq=4, Hkv=1, Sq=1, Sk=2500, D=128),
    Case("chunked prefill", Hq=4, Hkv=2, Sq=37, Sk=501),
    Case("more queries than keys", Sq=150, Sk=70),
    Case("many more queries than keys", Hq=2, Hkv=1, Sq=700, Sk=300, D=16),
    Case("more queries than keys, top-left", Sq=150, Sk=70, options={"alignment": "top_left"}),
    Case("top-left", Sq=70, Sk=150, options={"alignment": "top_left"}),
    Case("diagonal sees all", Sq=70, Sk=90, options={"diagonal": 100}),
    Case("diagonal at the last key", Sq=70, Sk=90, options={"diagonal": 89}),
    Case("diagonal negative", Sq=90, Sk=90, options={"diagonal": -30}),
    Case("diagonal hides all", Sq=40, Sk=40, options={"diagonal": -40}),
    Case("GQA", B=2, Hq=8, Hkv=2, Sq=130, Sk=130),
    Case("MQA", Hq=6, Hkv=1, Sq=100, Sk=100, D=32),
    Case("Dv larger", Sq=96, Sk=96, D=48, Dv=80),
    Case("Dv smaller", Sq=96, Sk=96, D=192, Dv=128),
    Case("D = 80", Sq=130, Sk=130, D=80),
    Case("D = 96", Sq=100, Sk=100, D=96),
    Case("D = 112", Sq=100, Sk=100, D=112),
    Case("D = 128", Sq=257, Sk=257, D=128),
    Case("D = 256", Sq=140, Sk=140, D=256),
    Case("D odd", Sq=65, Sk=65, D=33, Dv=17),
    Case("D = 1", Sq=20, Sk=20, D=1),
    Case("window", Sq=300, Sk=300, options={"window_size_left": 70}),
    Case("window 0", Sq=90, Sk=90, options={"window_size_left": 0}),
    Case("window wider than the sequence", Sq=90, Sk=90, options={"window_size_left": 1000}),
    Case("window, decode", Hq=4, Hkv=2, Sq=1, Sk=400, options={"window_size_left": 100}),
    Case("window, top-left, Sk > Sq", Sq=100, Sk=160, options={"window_size_left": 33, "alignment": "top_left"}),
    Case("window, negative diagonal", Sq=200, Sk=80, options={"window_size_left": 50, "diagonal": -20}),
    Case("window past the keys", Sq=200, Sk=60, options={"window_size_left": 20, "alignment": "top_left"}),
    Case("several chunks, window", Hq=1, Hkv=1, Sq=1500, Sk=1500, D=16, options={"window_size_left": 1100}),
    Case("diagonal beyond the keys, window", Sq=30, Sk=9, options={"diagonal": 100, "window_size_left": 100}),
    Case("diagonal and window beyond the keys", Sq=30, Sk=9, options={"diagonal": 100, "window_size_left": 20}),
    Case("scale", Sq=80, Sk=80, options={"scale": 0.3}),
    Case("scale 0", Sq=40, Sk=40, options={"scale": 0.0}),
    Case("scale negative", Sq=60, Sk=60, options={"scale": -0.2}),
    Case("bool mask", B=2, Hq=3, Hkv=3, Sq=120, Sk=120, mask="bool"),
    Case("bool mask by head", B=2, Hq=4, Hkv=2, Sq=70, Sk=70, mask="bool_head"),
    Case("key padding", B=3, Sq=90, Sk=90, mask="padding"),
    Case("rows hidden", B=2, Sq=90, Sk=90, mask="rows"),
    Case("mask [Sq, Sk]", B=2, Sq=50, Sk=75, mask="plane"),
    Case("float mask", B=2, Sq=100, Sk=100, mask="float"),
    Case("float mask with -inf", B=2, Sq=100, Sk=100, mask="float_inf"),
    Case("float mask fp32", Sq=100, Sk=100, mask="float32"),
    Case("finfo.min mask", B=2, Sq=64, Sk=64, mask="finfo_min"),
    Case("mask and window", Sq=140, Sk=140, mask="bool", options={"window_size_left": 40}),
    Case("[b, s, n, d]", B=2, Hq=4, Hkv=2, Sq=100, Sk=100, layout="bshd"),
    Case("[s, b, n, d]", B=3, Hq=4, Hkv=4, Sq=70, Sk=70, layout="sbhd"),
    Case("packed qkv projection", B=2, Hq=4, Hkv=4, Sq=60, Sk=60, layout="fused"),
    Case("last dimension strided", B=2, Sq=50, Sk=50, D=32, layout="strided"),
    Case("NaN behind the tails", B=2, Hq=4, Hkv=2, Sq=70, Sk=133, D=33, Dv=17, layout="gaps"),
    Case("NaN behind the tails, decode", B=2, Hq=8, Hkv=2, Sq=1, Sk=333, D=40, layout="gaps"),
    Case("packed", Hq=4, Hkv=2, lens_q=(100, 1, 37, 200), lens_k=(100, 1, 37, 200)),
    Case("packed, empty documents", lens_q=(0, 40, 0, 25, 0), lens_k=(0, 40, 0, 25, 0)),
    Case("packed, a document without keys", Hq=4, Hkv=2, D=16, lens_q=(200, 5), lens_k=(200, 0)),
    Case("packed, Sq != Sk", Hq=4, Hkv=1, lens_q=(1, 30, 50, 0), lens_k=(90, 64, 20, 10)),
    Case("packed, top-left", lens_q=(20, 60), lens_k=(50, 30), options={"alignment": "top_left"}),
    Case("packed, window", lens_q=(150, 80), lens_k=(150, 80), options={"window_size_left": 32}),
    Case("dropout", B=2, Hq=2, Hkv=1, Sq=130, Sk=130, dropout_p=0.3),
    Case("dropout, window", Sq=90, Sk=140, dropout_p=0.5, options={"window_size_left": 50}),
    Case("packed, dropout", lens_q=(50, 70), lens_k=(50, 70), dropout_p=0.2),
    Case("large scores", Sq=100, Sk=100, magnitude=20.0),
    Case("softcap", B=2, Hq=4, Hkv=2, Sq=200, Sk=200, options={"softcap": 2.0}),
    Case("softcap that hardly bends", Sq=140, Sk=140, D=40, options={"softcap": 50.0}),
    Case("softcap reached", Sq=100, Sk=100, magnitude=6.0, options={"softcap": 5.0}),
    Case("softcap, window, float mask", Sq=200, Sk=200, mask="float", options={"softcap": 3.0, "window_size_left": 90}),
    Case("softcap, dropout", Sq=90, Sk=90, dropout_p=0.3, options={"softcap": 3.0}),
    Case("alibi", B=2, Hq=4, Hkv=2, Sq=200, Sk=200, alibi="head"),
    Case("alibi by batch, negative diagonal", B=2, Sq=150, Sk=100, alibi="batch", options={"diagonal": -20}),
    Case("alibi, diagonal beyond the keys", Sq=70, Sk=150, alibi="head", options={"diagonal": 200}),
    Case("alibi, bool mask", B=2, Hq=3, Hkv=3, Sq=120, Sk=120, mask="bool", alibi="batch"),
    Case("alibi, decode", B=2, Hq=8, Hkv=2, Sq=1, Sk=700, alibi="head"),
    Case("sinks", B=2, Hq=4, Hkv=2, Sq=200, Sk=200, sinks="q"),
    Case("sinks, rows without keys", Hq=4, Hkv=1, Sq=150, Sk=70, sinks=torch.float32),
    Case("sinks, rows hidden", B=2, Sq=90, Sk=90, mask="rows", sinks="q"),
    Case("sinks, window, decode", Hq=8, Hkv=2, Sq=1, Sk=1300, sinks="q", options={"window_size_left": 1000}),
    Case("sinks, no keys", B=2, Sq=10, Sk=0, sinks=torch.float32),
    Case("sinks, dropout", Sq=90, Sk=90, dropout_p=0.3, sinks="q"),
    Case("softcap, alibi, sinks", Hq=4, Hkv=2, Sq=260, Sk=300, alibi="head", sinks="q", options={"softcap": 4.0}),
    Case(
        "packed, softcap, alibi, sinks",
        Hq=4,
        Hkv=2,
        lens_q=(100, 1, 0, 37),
        lens_k=(100, 250, 5, 0),
        alibi="batch",
        sinks=torch.float32,
        options={"softcap": 4.0, "window_size_left": 60},
    ),
    Case("intervals, one bound", B=2, Hq=4, Hkv=2, Sq=300, Sk=300, intervals=(1, 1)),
    Case("intervals, two bounds", B=2, Hq=4, Hkv=2, Sq=200, Sk=300, intervals=(2, 2), options={"diagonal": 299}),
    Case(
        "intervals, four bounds, window",
        Hq=4,
        Hkv=2,
        Sq=300,
        Sk=300,
        intervals=(4, 4),
        options={"window_size_left": 150},
    ),
    Case("intervals, decode", Hq=8, Hkv=2, Sq=1, Sk=700, intervals=(2, 2)),
    Case(
        "intervals, mask, softcap, alibi, sinks",
        Hq=4,
        Hkv=2,
        Sq=150,
        Sk=200,
        mask="float",
        intervals=(1, 2),
        alibi="head",
        sinks="q",
        options={"softcap": 4.0},
    ),
    Case("intervals, dropout", Sq=150, Sk=150, dropout_p=0.3, intervals=(2, 2)),
    Case("packed, intervals", Hq=4, Hkv=2, lens_q=(100, 1, 0, 200), lens_k=(100, 50, 5, 200), intervals=(2, 2)),
    Case("empty batch", B=0, Sq=10, Sk=10),
    Case("no heads", Hq=0, Hkv=0, Sq=10, Sk=10),
    Case("no queries", B=2, Sq=0, Sk=10),
    Case("no keys", B=2, Sq=10, Sk=0),
    Case("D = 0", Sq=10, Sk=10, D=0, Dv=8),
    Case("Dv = 0", Sq=10, Sk=10, D=8, Dv=0),
]

# Over a cache; out and lse alone.
CACHE_CASES = [
    Case("decode, pages of 16", Hq=8, Hkv=2, lens_q=(1, 1, 1), lens_k=(1, 333, 700), page=16),
    Case(
        "prompt, token, guesses, idle place", Hq=4, D=80, Dv=48, lens_q=(70, 1, 5, 0), lens_k=(70, 600, 130, 0), page=0
    ),
    Case(
        "bent chunk, pages of 64",
        Hq=4,
        Hkv=1,
        D=32,
        lens_q=(40, 2),
        lens_k=(400, 90),
        options={"window_size_left": 60, "softcap": 5.0},
        alibi="batch",
        sinks=torch.float32,
        page=64,
    ),
]


@dataclass
class Inputs:
    q: Tensor
    k: Tensor
    v: Tensor
    dout: Tensor
    dlse: Tensor
    mask: Tensor | None
    rng_state: Tensor | None
    alibi_slopes: Tensor | None = None
    sinks: Tensor | None = None
    startend_row_indices: Tensor | None = None

    def to(self, device: str) -> Inputs:
        move = {name: None if t is None else t.to(device) for name, t in vars(self).items()}
        return Inputs(**move)


def make_inputs(case: Case, dtype: torch.dtype, seed: int) -> Inputs:
    """Fresh random tensors in the case's layout; dout and dlse are the gradients of out and lse.

    Where a row sees no key, dlse holds NaN, inf and -inf, which must reach nothing: autograd hands them there.
    """
    g = torch.Generator().manual_seed(seed)

    def random(*shape: int, std: float = 1.0) -> Tensor:
        return (torch.randn(*shape, generator=g, dtype=torch.float64) * std).to(dtype)

    rng_state = torch.randint(0, 2**63 - 1, (2,), generator=g) if case.dropout_p else None
    bends = _slopes(case, g), _sinks(case, dtype, g), _intervals(case, g)
    if case.packed:
        tq, tk = sum(case.lens_q), sum(case.lens_k)
        q = random(tq, case.Hq, case.D, std=case.magnitude)
        k = random(tk, case.Hkv, case.D, std=case.magnitude)
        v = random(tk, case.Hkv, case.dim_v)
        dlse = torch.randn(tq, case.Hq, generator=g, dtype=torch.float64)
        spoil(dlse, ~seen_rows(case, None, bends[2]))
        return Inputs(q, k, v, random(tq, case.Hq, case.dim_v), _lse_dtype(dlse, dtype), None, rng_state, *bends)
    q = _layout(random, case.layout, case.B, case.Hq, case.Sq, case.D, case.magnitude)
    k = _layout(random, case.layout, case.B, case.Hkv, case.Sk, case.D, case.magnitude)
    v = _layout(random, case.layout, case.B, case.Hkv, case.Sk, case.dim_v, 1.0)
    dout = _layout(random, case.layout, case.B, case.Hq, case.Sq, case.dim_v, 1.0)
    dlse = torch.randn(case.B, case.Hq, case.Sq, generator=g, dtype=torch.float64)
    mask = _mask(case, dtype, g)
    spoil(dlse, ~seen_rows(case, mask, bends[2]))
    return Inputs(q, k, v, dout, _lse_dtype(dlse, dtype), mask, rng_state, *bends)


def _by_query_head(t: Tensor, case: Case, dim: int = 0) -> Tensor:
    return t.repeat_interleave(case.Hq // t.shape[dim], dim=dim)


def _intervals(case: Case, g: torch.Generator) -> Tensor | None:
    """Runs of 40 equal keys, so that blocks are hidden altogether, in part, and not at all; a few keys of their own."""
    if case.intervals is None:
        return None
    heads, bounds = case.intervals
    batch, rows, keys = (1, sum(case.lens_q), sum(case.lens_k)) if case.packed else (case.B, case.Sq, case.Sk)
    runs = torch.randint(0, rows + 1, (batch, heads, keys // 40 + 1, bounds), generator=g)
    t = runs.repeat_interleave(40, dim=2)[:, :, :keys].clone()
    own = torch.rand(batch, heads, keys, generator=g) < 0.1
    t[own] = torch.randint(0, rows + 1, (int(own.sum()), bounds), generator=g)
    return t.int()


def _slopes(case: Case, g: torch.Generator) -> Tensor | None:
    if case.alibi is None:
        return None
    batch = len(case.lens_q) if case.packed else case.B
    shape = (case.Hq,) if case.alibi == "head" else (batch, case.Hq)
    return torch.rand(shape, generator=g) * 0.5


def _sinks(case: Case, dtype: torch.dtype, g: torch.Generator) -> Tensor | None:
    if case.sinks is None:
        return None
    return (2 * torch.randn(case.Hq, generator=g)).to(dtype if case.sinks == "q" else case.sinks)


def seen_rows(case: Case, mask: Tensor | None, intervals: Tensor | None = None) -> Tensor:
    """bool, of lse's shape: rows that see a key or a sink."""
    options = case.options
    if case.sinks is not None:
        rows = (sum(case.lens_q), case.Hq) if case.packed else (case.B, case.Hq, case.Sq)
        return torch.ones(rows, dtype=torch.bool)
    lens = zip(case.lens_q, case.lens_k) if case.packed else [(case.Sq, case.Sk)]
    documents = []
    for sq, sk in lens:
        diagonal = options.get("diagonal", 0 if options.get("alignment") == "top_left" else sk - sq)
        documents.append(reference.visible(sq, sk, diagonal, options.get("window_size_left")))
    if case.packed:
        rows = []
        for i, pairs in enumerate(documents):
            q0, k0 = sum(case.lens_q[:i]), sum(case.lens_k[:i])
            if intervals is not None:
                own = intervals[:, :, k0 : k0 + case.lens_k[i]] - q0
                pairs = pairs & reference.shown_by_intervals(own, case.lens_q[i])[0]
            rows.append(
                pairs.any(-1).expand(case.Hq, -1).T if pairs.dim() == 2 else _by_query_head(pairs.any(-1), case).T
            )
        return torch.cat(rows)
    seen = documents[0]
    if intervals is not None:
        seen = seen & _by_query_head(reference.shown_by_intervals(intervals, case.Sq), case, dim=1)
    if mask is not None:
        seen = seen & (mask if mask.dtype is torch.bool else mask != -torch.inf)
    return seen.any(-1).expand(case.B, case.Hq, case.Sq)


def spoil(t: Tensor, where: Tensor) -> None:
    """NaN, inf and -inf in turns, in place."""
    values = torch.tensor([torch.nan, torch.inf, -torch.inf], dtype=t.dtype)
    t[where] = values[torch.arange(int(where.sum())) % 3]


def _lse_dtype(t: Tensor, dtype: torch.dtype) -> Tensor:
    return t if dtype is torch.float64 else t.float()


def _layout(random: Any, layout: str, b: int, h: int, s: int, d: int, std: float) -> Tensor:
    """A [b, h, s, d] view over memory in the named order."""
    if layout == "bshd":
        return random(b, s, h, d, std=std).transpose(1, 2)
    if layout == "sbhd":
        return random(s, b, h, d, std=std).permute(1, 2, 0, 3)
    if layout == "fused":  # one slice of a [b, s, 3, h, d] projection
        return random(b, s, 3, h, d, std=std)[:, :, 1].transpose(1, 2)
    if layout == "strided":
        return random(b, h, d, s, std=std).transpose(2, 3)
    if layout == "gaps":  # rows, columns and whole tails that nobody may read
        memory = torch.full_like(random(b, h, s + 40, d + 71), torch.nan)
        memory[:, :, :s, :d] = random(b, h, s, d, std=std)
        return memory[:, :, :s, :d]
    assert layout == "bhsd"
    return random(b, h, s, d, std=std)


def _mask(case: Case, dtype: torch.dtype, g: torch.Generator) -> Tensor | None:
    b, h, sq, sk = case.B, case.Hq, case.Sq, case.Sk
    if case.mask is None:
        return None
    if case.mask == "bool":
        return torch.rand(b, 1, sq, sk, generator=g) > 0.3
    if case.mask == "bool_head":
        return torch.rand(1, h, sq, sk, generator=g) > 0.5
    if case.mask == "padding":
        return (torch.arange(sk) >= torch.randint(0, sk, (b, 1), generator=g))[:, None, None, :]
    if case.mask == "rows":
        return torch.rand(b, h, sq, 1, generator=g) > 0.4
    if case.mask == "plane":
        return torch.rand(sq, sk, generator=g) > 0.3
    bias = torch.randn(b, 1, sq, sk, generator=g)
    if case.mask == "float_inf":
        bias = bias.masked_fill(torch.rand(b, 1, sq, sk, generator=g) > 0.6, -torch.inf)
    if case.mask == "finfo_min":
        floor = torch.finfo(torch.float32 if dtype is torch.float64 else dtype).min
        bias = torch.zeros(b, 1, 1, sk).masked_fill(
            torch.arange(sk) < torch.randint(0, sk, (b, 1, 1, 1), generator=g), floor
        )
    if case.mask == "float32":
        return bias.float()
    return bias.to(dtype)
