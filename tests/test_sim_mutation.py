"""Every synchronisation of the NPU kernels is needed, and its absence is noticed: one after the other is taken out, and
the simulator must report it.

What is taken out, of what small problems executed:
- each call alone: SetFlag, WaitFlag, PipeBarrier, cross-core flags, SyncAll;
- each pair of a set and a wait that took it: the flag still passes, so the protocol holds, but it orders nothing.
A call of the sources that no problem executes fails the test, and so does a removal that nobody notices, unless
REDUNDANT says why it stays.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import backends
import pytest
import torch
from torch import Tensor
from triangle_attn_op import sim
from triangle_attn_op.ascend_sim import Report, SyncCall

SOURCES = Path(__file__).parents[1] / "op_kernel"
SHARDS = 2  # of each kernel's mutants, so that processes share them

# Pairs whose flag only passes: the functions of the set or of the wait. Either call alone is taken out all the same.
CREDITS = {
    "free_all": "a buffer's first round: nothing was there before it to be waited for",
    "take_all": "takes the last flag back, so that none is left to the next kernel",
}

# What stays although no problem of the kernels named shows its absence: (function, text) of a call or of both of a
# pair, and why. The text of a barrier is the two lines of code after it, but for closing braces.
Spot = tuple[str, str]


@dataclass(frozen=True)
class Redundant:
    kernels: str  # a pattern
    spot: Spot | tuple[Spot, Spot]
    reason: str


# Select of CANN 8.1 begins with barriers of its own.
SELECT = "what Select begins with orders it, but no document says that it will in the next CANN"
ONE_A = "with one row tile each B has one A, so B's flag would do; with two it would not"

REDUNDANT: list[Redundant] = [
    Redundant(
        "",
        (
            "hide_masked",
            "for (int32_t row = 0; row < rows; ++row) { "
            "AscendC::Select(tile[row * width], bits[row * kBitsPitch], tile[row * width], hidden,",
        ),
        SELECT,
    ),
    Redundant(
        "backward",
        (
            "row_values",
            "AscendC::Select(delta, ub_.bits(), delta, 0.0f, AscendC::SELMODE::VSEL_TENSOR_SCALAR_MODE, "
            "static_cast<uint32_t>(rows));",
        ),
        SELECT,
    ),
    Redundant(
        "forward",
        (
            ("store_lse", "SetFlag<HardEvent::MTE3_V>(kEventProbs + p);"),
            ("store_lse", "WaitFlag<HardEvent::MTE3_V>(kEventProbs + p);"),
        ),
        "kEventLse, which finish() waits for, was set after the same store; as a user of the slot it keeps its rule",
    ),
    Redundant(
        "forward",
        (
            ("finish", "SetFlag<HardEvent::V_MTE2>(kEventAcc);"),
            ("finish", "WaitFlag<HardEvent::V_MTE2>(kEventAcc);"),
        ),
        "between two tasks without keys nothing is loaded into the accumulator",
    ),
    *(
        Redundant(
            "forward, wide",
            (
                (function, "SetFlag<HardEvent::M_MTE1>(kEventL0A + a);"),
                ("begin_a", "WaitFlag<HardEvent::M_MTE1>(kEventL0A + a);"),
            ),
            ONE_A,
        )
        for function in ("score_block", "make_output")
    ),
]

REDUNDANT += [
    Redundant(
        "backward, bent",
        ("add", "return; const int32_t at_once = element == 4 ? kFloats : kFloats / 2;"),
        "a mask of one column: the barrier before lse is subtracted would do; in the forward nothing else does",
    ),
    *(
        Redundant(
            name,
            ("cap", "AscendC::Adds(tile[at], tile[at], -1.0f, now); barrier();"),
            "a write after a read within V, which no rule names: without it bits change from schedule to schedule",
        )
        for name in ("forward, bent", "backward, bent")
    ),
]

REDUNDANT += [
    Redundant(
        name, ("hide", "for (int32_t i = 0; i < rows; ++i) { const Floats part = tile[i * width + at.begin];"), SELECT
    )
    for name in ("forward, intervals", "backward, intervals")
]

Mutant = SyncCall | tuple[SyncCall, SyncCall]
Run = Callable[[Sequence[str]], Report]


Problem = tuple[tuple[Tensor, ...], dict[str, Any]]  # dout, q, k, v and the keyword arguments of a launch


def draw(seed: int, dtype: torch.dtype, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def dense(
    hq: int,
    hkv: int,
    sq: int,
    sk: int,
    d: int,
    dv: int,
    *,
    dtype: torch.dtype = torch.bfloat16,
    cores: int = 1,
    mask: bool = False,
    **options: Any,
) -> Problem:
    shapes = (hq, sq, dv), (hq, sq, d), (hkv, sk, d), (hkv, sk, dv)
    if mask:
        options["attn_mask"] = torch.rand(sq, sk, generator=torch.Generator().manual_seed(5)) > 0.3
    return tuple(draw(i, dtype, 1, *shape) for i, shape in enumerate(shapes)), {"cores": cores, **options}


def packed(lens: tuple[int, ...], heads: int, d: int, dv: int, *, dtype: torch.dtype = torch.bfloat16) -> Problem:
    """Documents, whose lse lies [T, H]: its rows are apart."""
    lengths = backends.cumulative(lens)
    tensors = tuple(draw(i, dtype, sum(lens), heads, width) for i, width in enumerate((dv, d, d, dv)))
    return tensors, {"cores": 1, "cu_seq_q": lengths, "cu_seq_k": lengths}


def forward(problem: Problem) -> Run:
    (_, q, k, v), options = problem
    return lambda sites: sim.attn_forward(q, k, v, ignore_sites=sites, **options)[2]


def backward(problem: Problem, *, deterministic: bool, dlse: bool = False) -> Run:
    (dout, q, k, v), options = problem
    out, lse, report = sim.attn_forward(q, k, v, **options)
    report.raise_on_findings()
    given = torch.ones_like(lse) if dlse else None
    return lambda sites: sim.attn_backward(
        dout, q, k, v, out, lse, dlse=given, deterministic=deterministic, ignore_sites=sites, **options
    )[-1]


def backward_runs(deterministic: bool) -> list[Run]:
    fp16 = torch.float16
    return [
        backward(dense(1, 1, 140, 150, 16, 80, mask=True, window_size_left=60), deterministic=deterministic, dlse=True),
        backward(packed((150, 0, 20), 2, 16, 16, dtype=fp16), deterministic=deterministic, dlse=True),
        backward(dense(1, 1, 300, 300, 32, 32), deterministic=deterministic),
        backward(dense(2, 2, 300, 300, 16, 16, cores=3), deterministic=deterministic),
        backward(dense(2, 1, 200, 1300, 144, 160, dtype=fp16), deterministic=deterministic),
    ]


def slopes(*heads: int) -> Tensor:
    return torch.rand(heads, generator=torch.Generator().manual_seed(6)) * 0.5


def float_mask(dtype: torch.dtype, *shape: int) -> Tensor:
    return draw(7, dtype, *shape)


def cached(lengths: list[int], rows: int, *, heads: int, new: int = 0, columns: int = 16, **options: Any) -> Run:
    """Sequences of one key/value head whose pages of 16 keys lie one after another; new keys are appended."""
    batch, count = len(lengths), len(lengths) * 32
    q, k_cache, v_cache = (
        draw(i, torch.bfloat16, *shape)
        for i, shape in enumerate([(batch, rows, heads, columns), (count, 16, 1, columns), (count, 16, 1, columns)])
    )
    fresh = {name: draw(i, torch.bfloat16, batch, new, 1, columns) for i, name in enumerate("kv")} if new else {}
    table = torch.arange(count, dtype=torch.int32).view(batch, 32)
    given = {"block_table": table, "sinks": draw(8, torch.float32, heads), "cores": 1, **fresh, **options}
    length = torch.tensor(lengths, dtype=torch.int32)
    return lambda sites: sim.attn_kvcache(q, k_cache, v_cache, length, ignore_sites=sites, **given)[2]


def intervals(rows: int, keys: int, bounds: int) -> dict[str, Any]:
    """Of each key its own, but for the first 128, which no row sees, and the last 128, which all see."""
    t = torch.randint(0, rows + 1, (1, 1, keys, bounds), generator=torch.Generator().manual_seed(9))
    t[:, :, :128] = 0
    t[:, :, :128, 1::2] = rows
    t[:, :, -128:] = rows
    return {"startend_row_indices": t.int()}


def bends(heads: int) -> dict[str, Any]:
    return {"softcap": 3.0, "alibi_slopes": slopes(heads), "sinks": draw(8, torch.float32, heads)}


def bent_backward_runs() -> list[Run]:
    fp16 = torch.float16
    return [
        backward(dense(4, 1, 40, 150, 16, 16, **bends(4)), deterministic=False),
        backward(
            dense(2, 2, 140, 140, 16, 16, dtype=fp16, attn_mask=float_mask(fp16, 140, 140), **bends(2)),
            deterministic=True,
            dlse=True,
        ),
        backward(
            dense(
                1,
                1,
                64,
                64,
                16,
                16,
                diagonal=64,
                dtype=fp16,
                attn_mask=float_mask(fp16, 64, 64),
                alibi_slopes=slopes(1),
            ),
            deterministic=False,
        ),
        backward(
            dense(1, 1, 64, 64, 16, 16, diagonal=64, attn_mask=float_mask(torch.float32, 64, 1)), deterministic=False
        ),
    ]


# The cheapest problems first: a mutant is tried on one after the other until it is noticed.
KERNELS: dict[str, Callable[[], list[Run]]] = {
    "forward, narrow": lambda: [
        forward(dense(2, 1, 80, 80, 16, 16)),
        forward(dense(1, 1, 40, 30, 16, 16, mask=True)),
        forward(dense(1, 1, 700, 20, 16, 16)),  # tasks that see no key
        forward(packed((270, 20), 2, 16, 16)),
        forward(dense(1, 1, 300, 700, 16, 16, window_size_left=100)),
        forward(dense(1, 1, 40, 520, 16, 16, scale=3e7)),  # rows scaled by themselves
        # a task that is cut; scaled first, so that no wait of the scalar unit orders what its flags should
        forward(dense(1, 1, 300, 2300, 16, 16, cores=3, scale=-0.2)),
        forward(dense(1, 1, 520, 2300, 16, 16, scale=-0.2)),  # a vector core without rows
        forward(dense(1, 1, 200, 2500, 16, 128)),  # a ragged chunk after merges of two tiles
    ],
    "forward, wide": lambda: [
        forward(dense(2, 1, 80, 80, 144, 16)),
        forward(dense(1, 1, 40, 30, 144, 16, mask=True, scale=-0.2)),
        forward(dense(1, 1, 300, 20, 144, 16)),
        forward(packed((140, 20), 2, 16, 144)),
        forward(dense(2, 1, 144, 264, 144, 16)),  # a task of few rows and many keys before one of many and few
        forward(dense(1, 1, 150, 700, 144, 200, window_size_left=100)),
        forward(dense(1, 1, 130, 2300, 16, 144, cores=3, scale=-0.2)),
        forward(dense(1, 1, 130, 2500, 16, 160, scale=-0.2)),
    ],
    "backward, fast": lambda: backward_runs(False),
    "backward, deterministic": lambda: backward_runs(True),
    "forward, bent": lambda: [
        forward(dense(2, 1, 80, 600, 16, 16, **bends(2))),
        forward(dense(1, 1, 40, 256, 16, 16, diagonal=300, attn_mask=float_mask(torch.bfloat16, 40, 256), softcap=3.0)),
        forward(
            dense(1, 1, 40, 64, 16, 16, diagonal=64, attn_mask=float_mask(torch.float32, 40, 1), alibi_slopes=slopes(1))
        ),
        forward(dense(1, 1, 40, 30, 16, 16, sinks=slopes(1))),
    ],
    "forward, cache": lambda: [
        cached([0, 40], 3, heads=4, new=3),  # grouped rows, a wide lse, appended keys, sinks
        cached([300], 20, heads=1, columns=144, window_size_left=200),
    ],
    "forward, intervals": lambda: [
        forward(dense(2, 1, 80, 700, 16, 16, diagonal=700, softcap=3.0, **intervals(80, 700, 4))),
        forward(dense(2, 2, 300, 300, 16, 16, cores=3, **intervals(300, 300, 1))),
        # nothing between the bounds and the comparison; three tasks on two vector cores
        forward(dense(1, 1, 600, 384, 16, 16, diagonal=384, **intervals(600, 384, 2))),
    ],
    "backward, bent": bent_backward_runs,
    "backward, intervals": lambda: [
        backward(
            dense(2, 1, 140, 400, 16, 16, dtype=torch.float16, diagonal=400, **intervals(140, 400, 4)),
            deterministic=False,
        ),
        backward(dense(2, 2, 300, 300, 16, 16, softcap=3.0, **intervals(300, 300, 2)), deterministic=True),
    ],
}
# Of these only what no kernel before them executes is taken out.
BENT = ("forward, bent", "forward, cache", "forward, intervals", "backward, bent", "backward, intervals")


class Kernel:
    """The problems of one kernel, run whole: what each executes."""

    def __init__(self, name: str) -> None:
        self.runs = KERNELS[name]()
        self.reports = [run([]) for run in self.runs]
        for report in self.reports:
            report.raise_on_findings()

    def calls(self) -> list[SyncCall]:
        return list(dict.fromkeys(call for report in self.reports for call in report.sync_calls))

    def pairs(self) -> list[tuple[SyncCall, SyncCall]]:
        return list(dict.fromkeys(pair for report in self.reports for pair in report.sync_pairs))

    def mutants(self) -> list[Mutant]:
        return [*self.calls(), *(pair for pair in self.pairs() if not CREDITS.keys() & {function_of(c) for c in pair})]

    def executes(self, mutant: Mutant) -> bool:
        executed = self.calls() if isinstance(mutant, SyncCall) else self.pairs()
        return mutant in executed

    def notices(self, mutant: Mutant) -> bool:
        """Whether a problem that executes the mutated place reports a finding."""
        for run, report in zip(self.runs, self.reports):
            if isinstance(mutant, SyncCall):
                executed, text = mutant in report.sync_calls, str(mutant)
            else:
                executed, text = mutant in report.sync_pairs, " -> ".join(map(str, mutant))
            if executed and run([text]).findings:
                return True
        return False


@cache
def kernel(name: str) -> Kernel:
    return Kernel(name)


@cache
def lines_of(path: str) -> list[str]:
    return Path(path).read_text().splitlines()


def text_of(call: SyncCall) -> str:
    code = [line.strip() for line in lines_of(call.file)[call.line - 1 :]]
    if code[0] != "barrier();":
        return code[0]
    return " ".join([line for line in code[1:] if line.strip("}") and not line.startswith("//")][:2])


def function_of(call: SyncCall) -> str:
    """The function whose body holds the call: the last one declared above it."""
    for line in reversed(lines_of(call.file)[: call.line]):
        declared = re.search(r"__aicore__ (?:static )?inline .*?(\w+)\(", line)
        if declared:
            return declared.group(1)
    raise AssertionError(f"{call}: in no function")


def spot(mutant: Mutant) -> Spot | tuple[Spot, Spot]:
    if isinstance(mutant, SyncCall):
        return function_of(mutant), text_of(mutant)
    return (function_of(mutant[0]), text_of(mutant[0])), (function_of(mutant[1]), text_of(mutant[1]))


def describe(mutant: Mutant) -> str:
    calls = (mutant,) if isinstance(mutant, SyncCall) else mutant
    return " -> ".join(f"{Path(c.file).name}:{c.line} {function_of(c)}: {text_of(c)}" for c in calls)


def mutants_of(name: str) -> list[Mutant]:
    mutants = kernel(name).mutants()
    if name not in BENT:
        return mutants
    alike = [other for other in KERNELS if other[:4] == name[:4]]
    plain = [kernel(other) for other in alike[: alike.index(name)]]
    return [mutant for mutant in mutants if not any(other.executes(mutant) for other in plain)]


@pytest.mark.parametrize("shard", range(SHARDS))
@pytest.mark.parametrize("name", KERNELS)
def test_every_removal_is_reported(name: str, shard: int) -> None:
    tested = kernel(name)
    mutants = mutants_of(name)[shard::SHARDS]
    explained = [entry.spot for entry in REDUNDANT if re.search(entry.kernels, name)]
    missed = [mutant for mutant in mutants if not tested.notices(mutant)]
    unexplained = [describe(mutant) for mutant in missed if spot(mutant) not in explained]
    assert not unexplained, "not noticed:\n" + "\n".join(unexplained)
    needless = [describe(mutant) for mutant in mutants if spot(mutant) in explained and mutant not in missed]
    assert not needless, "noticed, although REDUNDANT says otherwise:\n" + "\n".join(needless)


@pytest.mark.parametrize("entry", REDUNDANT, ids=lambda entry: f"{entry.kernels}: {entry.spot}")
def test_what_is_redundant_is_there(entry: Redundant) -> None:
    names = [n for n in KERNELS if re.search(entry.kernels, n) and (n not in BENT or n == entry.kernels)]
    assert names
    for name in names:
        assert entry.spot in [spot(mutant) for mutant in kernel(name).mutants()]


def test_every_call_of_the_sources_is_executed() -> None:
    executed = {(Path(call.file).name, call.line) for name in KERNELS for call in kernel(name).calls()}
    call = re.compile(r"\b(SetFlag|WaitFlag|PipeBarrier|CrossCoreSetFlag|SyncAll)<|\bCrossCoreWaitFlag\(|\bbarrier\(\)")
    written = {
        (path.name, number): line.strip()
        for path in sorted(SOURCES.glob("*.h")) + sorted(SOURCES.glob("*.cpp"))
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if call.search(line.split("//")[0]) and "TRIANGLE_CALLED_FROM" not in line
    }
    assert len(written) > 100
    assert [f"{file}:{line}: {text}" for (file, line), text in written.items() if (file, line) not in executed] == []
