"""Numbers among the arguments, checked as the kernels will use them: int64, and a scale in the scores' precision.

Also what is known while a compiler traces: its symbolic numbers pass, and what only a run decides about them (sizes
marked unbacked, `.item()`) is left to the kernels' checks.
"""

from __future__ import annotations

import math
import numbers
import operator
from typing import Any

import torch
from torch import Tensor

# The first number that rounds to infinity in float32.
_FLOAT32_OVERFLOW = 2.0**128 - 2.0**103


def holds(condition: Any) -> bool:
    """Whether a condition on sizes is known to hold: False for one that only a run of the compiled graph decides."""
    if not torch.compiler.is_dynamo_compiling() and isinstance(condition, bool):
        return condition
    if isinstance(condition, Tensor):  # torch.jit.trace makes tensors of sizes
        return bool(condition)
    from torch.fx.experimental.symbolic_shapes import guard_or_false  # brings sympy, which takes long

    return guard_or_false(condition)


def _symbolic(value: Any) -> bool:
    """A compiler's number: its value is not looked at, which would fix it in the graph."""
    return torch.compiler.is_dynamo_compiling() or isinstance(value, (torch.SymInt, torch.SymFloat))


def _scalar(name: str, kind: str, value: Tensor) -> Any:
    """The number in a 0-dim tensor."""
    if value.dim() != 0 or value.dtype is torch.bool or value.dtype.is_complex:
        raise TypeError(f"{name}: expected {kind}, got a Tensor of {value.dtype} {list(value.shape)}")
    if value.requires_grad and torch.is_grad_enabled():
        raise TypeError(f"{name}: expected {kind}, got a Tensor that requires grad: its gradient is not computed")
    return value.item()


def integer(name: str, value: Any, or_none: str = "") -> Any:
    """An int of 64 bits from an int, a NumPy integer or a 0-dim integer tensor."""
    kind = f"an int{or_none}"
    given = type(value).__name__
    if isinstance(value, Tensor):
        value = _scalar(name, kind, value)
    if isinstance(value, bool):
        raise TypeError(f"{name}: expected {kind}, got {given}")
    if _symbolic(value):
        return value
    if type(value) is not int:
        try:
            value = operator.index(value)
        except TypeError:
            raise TypeError(f"{name}: expected {kind}, got {given}") from None
    if not -(2**63) <= value < 2**63:
        raise ValueError(f"{name}: expected {kind} of at most 64 bits, got {_short(value)}")
    return value


def real(name: str, value: Any, or_none: str = "") -> Any:
    """A float from an int, a float, a NumPy number or a 0-dim tensor of either."""
    kind = f"a float{or_none}"
    given = type(value).__name__
    if isinstance(value, Tensor):
        value = _scalar(name, kind, value)
    if isinstance(value, bool):
        raise TypeError(f"{name}: expected {kind}, got {given}")
    if _symbolic(value) or type(value) is float:
        return value
    if not isinstance(value, numbers.Real):
        raise TypeError(f"{name}: expected {kind}, got {given}")
    try:
        exact = float(value)
    except OverflowError:
        raise ValueError(f"{name}: expected a finite number, got {_short(value)}") from None
    if exact != value and not math.isnan(exact):
        raise TypeError(f"{name}: expected {kind}, got {given} {_short(value)}, which no float equals")
    return exact


def scale(value: Any, dtype: torch.dtype) -> Any:
    """None, or a scale that is finite in the precision of the scores: float32, or float64 for float64 input."""
    if value is None:
        return None
    value = real("scale", value, " or None")
    if _symbolic(value):
        return value
    if not math.isfinite(value):
        raise ValueError(f"scale: expected a finite number, got {value}")
    if dtype is not torch.float64 and abs(value) >= _FLOAT32_OVERFLOW:
        raise ValueError(f"scale: expected a finite number in float32, in which scores are computed, got {value}")
    return value


def softcap(value: Any) -> Any:
    """None, 0.0, or a positive number that float32, in which it is used and divided by, holds."""
    if value is None:
        return None
    value = real("softcap", value, " or None")
    if _symbolic(value) or value == 0.0 or torch.finfo(torch.float32).tiny <= value < _FLOAT32_OVERFLOW:
        return value
    raise ValueError(f"softcap: expected None, 0.0 (none) or a positive number within float32, got {value}")


def _short(value: Any) -> str:
    if isinstance(value, int) and value.bit_length() > 128:  # Python refuses to print thousands of digits
        return f"an int of {value.bit_length()} bits"
    return str(value)
