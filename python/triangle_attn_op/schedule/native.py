"""op_host's schedule through the plain C functions of csrc/schedule_c_api.cpp."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any

from .. import _library

_INT64 = ctypes.POINTER(ctypes.c_int64)
_FIGURES = (
    "tasks",
    "empty_tasks",
    "blocks",
    "edge_blocks",
    "square_blocks",
    "visible_pairs",
    "largest_unit",
    "unit_divisor",
    "lower_bound",
    "max_load",
    "total",
    "fillers",
    "description_bytes",
)


@cache
def _functions() -> dict[str, Callable[..., Any]]:
    library = _library.load()
    problem: list[Any] = [_INT64, ctypes.c_int64, _INT64, _INT64, ctypes.c_int64]
    outputs: dict[str, list[Any]] = {
        "triangle_schedule_plan": [_INT64, _INT64, _INT64],
        "triangle_schedule_pieces": [_INT64, ctypes.c_int64],
        "triangle_schedule_largest_first": [_INT64, ctypes.c_int64],
    }
    functions: dict[str, Callable[..., Any]] = {}
    for name, arguments in outputs.items():
        function = getattr(library, name)
        function.argtypes = problem + arguments
        function.restype = ctypes.c_int64
        functions[name] = function
    functions["triangle_schedule_error"] = library.triangle_schedule_error
    library.triangle_schedule_error.restype = ctypes.c_char_p
    return functions


class Problem:
    """A problem as the C functions take it; the order of the fields is that of csrc/schedule_c_api.cpp."""

    def __init__(self, fields: dict[str, int], lengths: list[tuple[int, int]]) -> None:
        values = {name: integer(name, value) for name, value in fields.items()}
        for name, value in [*values.items(), *((n, s) for pair in lengths for n, s in zip(("Sq", "Sk"), pair))]:
            if not -(2**63) <= value < 2**63:
                raise ValueError(f"{name}: expected a 64-bit integer, got {value}")
        self._arguments = (
            (ctypes.c_int64 * len(values))(*values.values()),
            len(values),
            (ctypes.c_int64 * len(lengths))(*(q for q, _ in lengths)),
            (ctypes.c_int64 * len(lengths))(*(k for _, k in lengths)),
            len(lengths),
        )

    def plan(self, cores: int) -> tuple[dict[str, int], list[int], list[list[tuple[int, int, int]]]]:
        if not 1 <= cores <= 1 << 20:  # before the arrays are allocated
            raise ValueError(f"cores: expected at least 1 and at most {1 << 20}, got {cores}")
        summary = (ctypes.c_int64 * len(_FIGURES))()
        loads = (ctypes.c_int64 * cores)()
        places = (ctypes.c_int64 * ((cores + 1) * 2 * 3))()
        self._call("triangle_schedule_plan", summary, loads, places)
        triples = list(zip(places[0::3], places[1::3], places[2::3]))
        return dict(zip(_FIGURES, summary)), list(loads), [triples[i : i + 2] for i in range(0, len(triples), 2)]

    def rows(self, function: str, width: int) -> list[tuple[int, ...]]:
        count = self._call(function, None, 0)
        out = (ctypes.c_int64 * (count * width))()
        self._call(function, out, count)
        flat = list(out)
        return [tuple(flat[i : i + width]) for i in range(0, len(flat), width)]

    def _call(self, function: str, *outputs: Any) -> int:
        result = _functions()[function](*self._arguments, *outputs)
        if result < 0:
            message = _functions()["triangle_schedule_error"]().decode()
            raise {-1: ValueError, -2: MemoryError}.get(result, RuntimeError)(message)
        return result


def integer(name: str, value: Any) -> int:
    """value as an int; TypeError names the argument where it is none."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name}: expected an int, got {type(value).__name__}")
    return int(value.__index__())
