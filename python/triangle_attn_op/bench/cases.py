"""The benchmark's cases: every row of the table of goals, dtype by dtype, forward and backward."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

from . import cached, measures
from .goals import Criterion, Goal
from .measures import Measurement
from .problem import DTYPES, INTERVALS, Problem
from .timing import Effort

FAMILIES = (
    "forward",
    "backward",
    "others",
    "gqa",
    "window",
    "packed",
    "bent",
    "intervals",
    "decode",
    "cache",
    "small",
    "odd",
    "scaling",
    "memory",
)

Measure = Callable[[Problem, str, Effort], Measurement]


@dataclass(frozen=True)
class Case:
    family: str
    problem: Problem
    direction: str
    goal: Goal
    measure: Measure

    def label(self) -> str:
        return f"{self.family:<8} {self.problem.dtype} {self.direction:<16} {self.problem}"


@dataclass(frozen=True)
class Sizes:
    """Which shapes: the goals' own, smaller ones for a quick look, or tiny ones that only prove that every row runs."""

    effort: Effort = field(default_factory=Effort)
    again: int | None = 2
    """How often a void case is measured again (validity.py); None: no case is void."""
    standard: tuple[tuple[int, int, int], ...] = ((8, 512, 64), (8, 2048, 64), (8, 2048, 128), (2, 8192, 128))
    """(H, S, D) of the rows against SDPA."""
    heads: int = 8
    length: int = 2048
    gqa: int = 2048
    long_heads: int = 2
    long: int = 16384
    window: int = 1024
    document: int = 1024
    intervals: int = 8192
    decode: int = 8192
    decode_batches: tuple[int, ...] = (1, 8)
    caches: tuple[tuple[int, int], ...] = ((1, 1024), (1, 8192), (1, 32768), (8, 8192), (32, 1024))
    """(B, Sk) of decoding over a cache."""
    chunk: tuple[int, int] = (512, 8192)
    """Rows of a chunk of a prompt, and its keys."""
    small: tuple[int, ...] = (64, 128, 256)
    odd: tuple[int, int] = (1000, 1024)
    one_head: int = 4096
    memory: int = 8192
    dtypes: tuple[str, ...] = tuple(DTYPES)
    """Of the rows against SDPA, of decoding and of small problems."""
    few_dtypes: tuple[str, ...] = tuple(DTYPES)
    """Of all other rows."""


FULL = Sizes()
QUICK = Sizes(
    effort=Effort(budget=0.6, sample=0.01),
    standard=((2, 2048, 64), (2, 2048, 128)),
    heads=2,
    gqa=1024,
    long_heads=1,
    long=8192,
    intervals=4096,
    decode_batches=(1,),
    caches=((1, 8192),),
    chunk=(512, 4096),
    memory=4096,
    few_dtypes=("fp32",),
)
TINY = Sizes(
    effort=Effort(fewest=1, most=1, budget=0.0, sample=0.0),
    again=None,
    standard=((2, 96, 16),),
    heads=2,
    length=128,
    gqa=64,
    long_heads=1,
    long=512,
    window=128,
    document=64,
    intervals=256,
    decode=256,
    decode_batches=(1, 2),
    caches=((2, 256),),
    chunk=(32, 256),
    small=(16,),
    odd=(50, 64),
    one_head=128,
    memory=256,
    few_dtypes=("fp32",),
)


def cases(sizes: Sizes) -> Iterator[Case]:
    """Every case, in the order of the table of goals."""
    for family in FAMILIES:
        yield from _FAMILY[family](sizes)


def _standard(sizes: Sizes, direction: str) -> Iterator[Case]:
    for dtype in sizes.dtypes:
        for heads, seq, dim in sizes.standard:
            goal = forward_goal(dtype, seq, dim) if direction == "forward" else backward_goal(dtype, seq, dim)
            yield Case(direction, Problem.square(heads, seq, dim, dtype), direction, goal, measures.against_sdpa)


def forward_goal(dtype: str, seq: int, dim: int) -> Goal:
    if dtype != "fp32":
        return _rate_goal(f"forward {dtype}", 2.0 if dtype == "fp16" else 1.4, 0.75)
    if seq < 2048:
        return Goal("forward fp32, S < 2048", "none")
    return _rate_goal(f"forward fp32, D = {dim}, S >= 2048", 1.4, 0.85 if dim >= 128 else 0.75)


def backward_goal(dtype: str, seq: int, dim: int) -> Goal:
    if dtype == "fp32":
        return _rate_goal("backward fp32", 1.4, 0.75)
    return _rate_goal(f"backward {dtype}", 12.0 if (seq, dim) == (2048, 128) else 6.0, 0.65)


def _rate_goal(row: str, over_sdpa: float, share: float) -> Goal:
    """SGEMM and SDPA swing with the machine's load, so the micro-kernel's rate stands for the machine's."""
    return Goal(
        row,
        f">= {over_sdpa:g} x SDPA or >= {share:g} of micro-kernel",
        (Criterion("x SDPA", over_sdpa), Criterion("of micro-kernel", share)),
    )


def _at_least(row: str, figure: str, bound: float) -> Goal:
    return Goal(row, f">= {bound:g} {figure}", (Criterion(figure, bound),))


def _others(sizes: Sizes) -> Iterator[Case]:
    for opponent, directions, bound in (
        ("FlexAttention", ("forward",), 1.8),
        ("block loop", ("forward", "forward+backward"), 2.0),
        ("full matrix", ("forward", "forward+backward"), 5.0),
    ):
        goal = _at_least(f"against {opponent}, S = {sizes.length}", f"x {opponent}", bound)
        for dtype in sizes.few_dtypes:
            for direction in directions:
                problem = Problem.square(sizes.heads, sizes.length, 128, dtype)
                yield Case("others", problem, direction, goal, partial(measures.against_python, opponent=opponent))
    for kind in INTERVALS:
        goal = _at_least(f"{kind}, S = {sizes.length}, against FlexAttention", "x FlexAttention", 1.8)
        for dtype in sizes.few_dtypes:
            problem = Problem.square(sizes.heads, sizes.length, 128, dtype).with_(intervals=kind)
            yield Case("others", problem, "forward", goal, partial(measures.against_python, opponent="FlexAttention"))


def _gqa(sizes: Sizes) -> Iterator[Case]:
    goal = _at_least("GQA, Hq 32, Hkv 4", "x MHA", 1.0)
    for dtype in sizes.few_dtypes:
        for direction in ("forward", "backward"):
            problem = Problem(32, 4, sizes.gqa, sizes.gqa, 128, 128, dtype)
            measure = partial(measures.speed_over, other=problem.with_(heads_kv=32), name="without GQA", figure="x MHA")
            yield Case("gqa", problem, direction, goal, measure)


def _window(sizes: Sizes) -> Iterator[Case]:
    goal = _at_least(f"window {sizes.window} at S = {sizes.long}", "of prediction", 0.8)
    for dtype in sizes.few_dtypes:
        for direction in ("forward", "backward"):
            dense = Problem.square(sizes.long_heads, sizes.long, 128, dtype)
            problem = dense.with_(keys_in_window=sizes.window)
            yield Case("window", problem, direction, goal, partial(measures.predicted_by_blocks, dense=dense))


def _packed(sizes: Sizes) -> Iterator[Case]:
    goal = _at_least(f"packed, 8 documents of {sizes.document}", "of prediction", 0.8)
    for dtype in sizes.few_dtypes:
        for direction in ("forward", "backward"):
            dense = Problem.square(sizes.long_heads, 8 * sizes.document, 128, dtype)
            problem = dense.with_(documents=8)
            yield Case("packed", problem, direction, goal, partial(measures.predicted_by_blocks, dense=dense))


def _bent(sizes: Sizes) -> Iterator[Case]:
    for bend, bound in (("softcap", 0.75), ("alibi", 0.92), ("sinks", 0.97)):
        goal = _at_least(f"{bend}, S = {sizes.length}", "of plain", bound)
        for dtype in sizes.few_dtypes:
            for direction in ("forward", "forward+backward"):
                plain = Problem.square(sizes.heads, sizes.length, 128, dtype)
                measure = partial(measures.speed_over, other=plain, name="plain", figure="of plain")
                yield Case("bent", plain.with_(bend=bend), direction, goal, measure)


def _intervals(sizes: Sizes) -> Iterator[Case]:
    criteria = Criterion("of prediction", 0.85), Criterion("x SDPA", 5.0)
    for kind in INTERVALS:
        goal = Goal(
            f"{kind}, S = {sizes.intervals}", ">= 0.85 of prediction, >= 5 x SDPA with the mask", criteria, True
        )
        for dtype in sizes.few_dtypes:
            for direction in ("forward", "backward"):
                dense = Problem.square(sizes.long_heads, sizes.intervals, 128, dtype)
                measure = partial(measures.intervals, dense=dense)
                yield Case("intervals", dense.with_(intervals=kind), direction, goal, measure)


def _decode(sizes: Sizes) -> Iterator[Case]:
    goal = _at_least(f"decode, Sq = 1, Sk = {sizes.decode}, Hq 32, Hkv 8", "of read bandwidth", 0.8)
    for batch in sizes.decode_batches:
        for dtype in sizes.dtypes:
            problem = Problem(32, 8, 1, sizes.decode, 128, 128, dtype, batch=batch)
            yield Case("decode", problem, "forward", goal, measures.decode)


def _cache(sizes: Sizes) -> Iterator[Case]:
    base = Problem(32, 8, 1, sizes.decode, 128, 128)
    bandwidth = "of read bandwidth"
    for batch, length in sizes.caches:
        for dtype in sizes.dtypes:
            problem = base.with_(seq_k=length, batch=batch, dtype=dtype)
            for page in (0, 16, 64, 256):
                row = f"decode over pages of {page}" if page else "decode over a cache"
                goal = {
                    0: _at_least(row, bandwidth, 0.8),
                    64: _at_least(row, "x one piece", 0.95),
                }.get(page, Goal(row, "none"))
                yield Case("cache", problem.with_(page_size=page), "forward", goal, cached.decode)
    rows, keys = sizes.chunk
    for dtype in sizes.dtypes:
        problem = base.with_(seq_q=rows, seq_k=keys, dtype=dtype, page_size=64)
        goal = _at_least(f"chunk of {rows} of a prompt of {keys}", "of the forward", 0.9)
        yield Case("cache", problem, "forward", goal, cached.chunk)
        goal = _at_least("decode over pages, 1 to 2 threads", "x 1 thread", 1.8)
        yield Case("cache", base.with_(dtype=dtype, page_size=64), "forward", goal, cached.threads)


def _small(sizes: Sizes) -> Iterator[Case]:
    for direction in ("forward", "forward+backward"):
        goal = _at_least(f"small, {direction}", "x SDPA", 1.0)
        for dtype in sizes.dtypes:
            for seq in sizes.small:
                yield Case("small", Problem.square(8, seq, 64, dtype), direction, goal, measures.small)


def _odd(sizes: Sizes) -> Iterator[Case]:
    goal = _at_least("odd sizes", "of full size", 0.9)
    seq, full_seq = sizes.odd
    for dtype in sizes.few_dtypes:
        for direction in ("forward", "backward"):
            base = Problem.square(sizes.heads, sizes.length, 128, dtype)
            pairs = [(base.with_(seq_q=seq, seq_k=seq), base.with_(seq_q=full_seq, seq_k=full_seq))]
            pairs += [(base.with_(dim=dim, dim_v=dim), base) for dim in (80, 96, 112)]
            pairs += [(base.with_(dim=192), base.with_(dim=256))]
            for problem, full in pairs:
                yield Case("odd", problem, direction, goal, partial(measures.odd, full=full))


def _scaling(sizes: Sizes) -> Iterator[Case]:
    goal = _at_least("scaling, 1 to 2 threads", "x 1 thread", 1.9)
    for dtype in sizes.few_dtypes:
        for direction in ("forward", "backward"):
            for heads, seq in ((sizes.heads, sizes.length), (1, sizes.one_head)):
                problem = Problem.square(heads, seq, 128, dtype)
                yield Case("scaling", problem, direction, goal, measures.scaling)


def _memory(sizes: Sizes) -> Iterator[Case]:
    row = "extra memory"
    figure = "of allowed memory"
    goal = Goal(
        row, "<= fp32 copies of the heads in flight + O(B H S) + 4 MiB a thread", (Criterion(figure, 1.0, True),)
    )
    for dtype in sizes.few_dtypes:
        for problem in (
            Problem.square(8, sizes.memory, 128, dtype),
            Problem(32, 4, sizes.memory // 4, sizes.memory // 4, 128, 128, dtype),
        ):
            yield Case("memory", problem, "forward+backward", goal, measures.memory)


_FAMILY: dict[str, Callable[[Sizes], Iterator[Case]]] = {
    "forward": partial(_standard, direction="forward"),
    "backward": partial(_standard, direction="backward"),
    "others": _others,
    "gqa": _gqa,
    "window": _window,
    "packed": _packed,
    "bent": _bent,
    "intervals": _intervals,
    "decode": _decode,
    "cache": _cache,
    "small": _small,
    "odd": _odd,
    "scaling": _scaling,
    "memory": _memory,
}
