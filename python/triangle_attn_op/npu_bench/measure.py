"""One row: results checked, then alternated rounds in the time of the device's events."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .. import triangle_attention, triangle_attention_varlen
from .cases import Case
from .chip import torch_npu
from .contenders import Contender, Inputs, Missing, opponents, ours

# A result's error in the Frobenius norm, in units of the dtype's epsilon, over each of several stretches of rows: late
# rows have small numbers, which the whole would hide.
_UNITS, _STRETCHES = 4, 8


@dataclass(frozen=True)
class Effort:
    """sample: seconds that the calls of one contender in one round take at least."""

    rounds: int = 7
    sample: float = 0.02
    most_calls: int = 200


@dataclass
class Timed:
    """Milliseconds a call, round by round. note: why there is none, or what was wrong."""

    contender: str
    direction: str
    mode: str = ""
    milliseconds: list[float] = field(default_factory=list)
    note: str = ""
    wrong: bool = False

    @property
    def median(self) -> float | None:
        return statistics.median(self.milliseconds) if self.milliseconds else None


def device_milliseconds(run: Callable[[], object], calls: int) -> float:
    """A call's share of the time between two events around `calls` calls."""
    npu = torch_npu()
    begin, end = npu.Event(enable_timing=True), npu.Event(enable_timing=True)
    begin.record()
    for _ in range(calls):
        run()
    end.record()
    end.synchronize()
    return float(begin.elapsed_time(end)) / calls


def alternate(
    runs: Mapping[str, Callable[[], object]],
    effort: Effort,
    clock: Callable[[Callable[[], object], int], float] = device_milliseconds,
) -> dict[str, list[float]]:
    """Every contender once a round, every other round in reverse order. Each has run before."""
    calls = {}
    for name, run in runs.items():
        once = max(clock(run, 1), 1e-6)
        calls[name] = max(1, min(effort.most_calls, math.ceil(1e3 * effort.sample / once)))
    times: dict[str, list[float]] = {name: [] for name in runs}
    for index in range(effort.rounds):
        order = list(runs)[:: 1 if index % 2 == 0 else -1]
        for name in order:
            times[name].append(clock(runs[name], calls[name]))
    return times


def reference(case: Case, inputs: Inputs, direction: str) -> list[Tensor]:
    """The same in fp32 on the CPU, of the first batch entry and the query heads of its first key/value head."""
    group = case.heads_q // case.heads_kv
    head = (slice(None), slice(0, group)) if case.documents else (slice(0, 1), slice(0, group))
    one = (slice(None), slice(0, 1)) if case.documents else (slice(0, 1), slice(0, 1))
    q, dout = inputs[0][head].float(), inputs[3][head].float()
    k, v = inputs[1][one].float(), inputs[2][one].float()
    left = None if case.window is None else case.window - 1
    for t in (q, k, v):
        t.requires_grad_(direction != "forward")
    leaves = (q, k, v)
    if case.documents:
        offsets = torch.tensor([0, *case.documents]).cumsum(0).to(torch.int32)
        longest = max(case.documents)
        out = triangle_attention_varlen(*leaves, offsets, offsets, longest, longest, window_size_left=left)
    else:
        out = triangle_attention(*leaves, window_size_left=left)
    grads = () if direction == "forward" else torch.autograd.grad(out, leaves, dout)
    return [out.detach(), *grads]


def difference(case: Case, dtype: torch.dtype, found: list[Tensor], wanted: list[Tensor]) -> str:
    """What of the results is farther from the reference than rounding explains; "" where nothing is."""
    bound = _UNITS * torch.finfo(dtype).eps
    rows = 0 if case.documents else 2
    for name, result, right in zip(("out", "dq", "dk", "dv"), found, wanted):
        heads = right.shape[1]
        part = result[:, :heads] if case.documents else result[:1, :heads]
        part = part.detach().float().cpu()
        for one, other in zip(part.chunk(_STRETCHES, rows), right.chunk(_STRETCHES, rows)):
            error = float((one - other).norm() / other.norm().clamp_min(1e-20))
            if not error <= bound:  # NaN too
                return f"{name} is {error:.2%} off in some rows, at most {bound:.2%} expected"
    return ""


def measure(case: Case, dtype: str, effort: Effort, simulated: bool) -> list[Timed]:
    """All contenders in all directions of the case. An opponent that fails is left out, and says why.

    simulated: the emulated runtime has none of the vendor's fused operators, and a call of one ends the process's queue
    of operators: only this package runs.
    """
    host = case.tensors(dtype)
    wanted = reference(case, host, "forward" if case.family == "decode" else "both")
    q, k, v, dout = (t.to("npu") for t in host)
    inputs = (q, k, v, dout)
    results: list[Timed] = []
    chosen: list[Contender] = []
    for name, make in (
        ("triangle_attn_op", lambda: [ours(case, inputs)]),
        *(() if simulated else opponents(case, inputs)),
    ):
        try:
            ways = make()
            for way in ways:
                wrong = difference(case, host[0].dtype, way.results(case.directions[-1]), wanted)
                if wrong:
                    raise WrongResult(f"{way.mode}: {wrong}" if way.mode else wrong)
            chosen.append(min(ways, key=_once) if len(ways) > 1 else ways[0])
        except (Missing, RuntimeError, TypeError, AttributeError, NotImplementedError, ValueError) as error:
            text = (str(error).strip() or type(error).__name__).splitlines()[0]
            wrong_result = isinstance(error, WrongResult)
            results.append(Timed(name, "", note=text, wrong=wrong_result))
            if name == "triangle_attn_op" and not wrong_result:
                raise
    for direction in case.directions:
        times = alternate({c.name: c.run(direction) for c in chosen}, effort)
        results += [Timed(c.name, direction, c.mode, times[c.name]) for c in chosen]
        for contender in chosen:
            contender.release()
    return results


class WrongResult(RuntimeError):
    """A result that differs from the reference: its time counts for nothing."""


def _once(contender: Contender) -> float:
    contender.forward()
    return device_milliseconds(contender.forward, 3)
