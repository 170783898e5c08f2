"""Which cases are noise: the micro-kernel runs in the same rounds as a case, so what it does tells of the machine.

No attention is faster than its own inner loop in cache, and that loop has one speed on a quiet machine. Where either
fails, whatever else the machine did hit one contender more than another: such a case is void, and measured again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .goals import VOID, Result

SLOWEST = 0.8
"""Of the best rate that the run has seen from the micro-kernel of a dtype; a quiet machine stays within percents."""


def best_rates(results: Sequence[Result]) -> dict[str, float]:
    """The micro-kernel's best GFLOP/s of a run by dtype."""
    best: dict[str, float] = {}
    for result in results:
        if "micro" in result.rates:
            best[result.dtype] = max(best.get(result.dtype, 0.0), result.rates["micro"])
    return best


def why_void(result: Result, best: dict[str, float]) -> str:
    """What shows that the case is noise, "" where nothing does."""
    share = result.figures.get("of micro-kernel", 0.0)
    if share > 1.0:
        return f"{share:.2f} of micro-kernel is above 1"
    rate = result.rates.get("micro")
    if rate is not None and rate < SLOWEST * best[result.dtype]:
        return f"micro-kernel at {rate:.0f} GFLOP/s, {best[result.dtype]:.0f} in other cases"
    return ""


def measure_again(results: list[Result], measure: Callable[[int], Result], times: int) -> None:
    """Measures void cases again, up to `times` rounds; `measure(i)` makes results[i] anew. What is still void then gets
    that status.

    A goal that was met by the other half of its "or" does not count either: the same rounds gave both figures.
    """
    for _ in range(times):
        best = best_rates(results)
        void = [index for index, result in enumerate(results) if why_void(result, best)]
        for index in void:
            results[index] = measure(index)
    best = best_rates(results)
    for result in results:
        if reason := why_void(result, best):
            result.status = VOID
            result.note = "; ".join(filter(None, (result.note, reason)))
