"""What a mask function of transformers says: it is a closure, read by its free variables.

Under torch.compile a closure that the traced code makes cannot be read, so there the functions that make them are
substituted (`torch.compiler.substitute_in_graph`): what they give computes the same, and knows its parts. In eager code
transformers' own run.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from transformers import masking_utils
from transformers.masking_utils import causal_mask_function


class _Rule:
    """A mask function as an object; its attributes have the names of the closure's variables."""


class _And(_Rule):
    def __init__(self, mask_functions: tuple[Callable[..., Any], ...]) -> None:
        self.mask_functions = mask_functions

    def __call__(self, batch_idx: Any, head_idx: Any, q_idx: Any, kv_idx: Any) -> Any:
        result = q_idx.new_ones((), dtype=torch.bool)
        for mask in self.mask_functions:
            result = result & mask(batch_idx, head_idx, q_idx, kv_idx).to(result.device)
        return result


class _SameDocument(_Rule):
    def __init__(self, packed_sequence_mask: Tensor) -> None:
        self.packed_sequence_mask = packed_sequence_mask

    def __call__(self, batch_idx: Any, head_idx: Any, q_idx: Any, kv_idx: Any) -> Any:
        return self.packed_sequence_mask[batch_idx, q_idx] == self.packed_sequence_mask[batch_idx, kv_idx]


class _Remapped(_Rule):
    def __init__(self, mask_function: Callable[..., Any], position_ids: Tensor) -> None:
        self.mask_function, self.position_ids = mask_function, position_ids

    def __call__(self, batch_idx: Any, head_idx: Any, q_idx: Any, kv_idx: Any) -> Any:
        at = self.position_ids
        return self.mask_function(batch_idx, head_idx, at[batch_idx, q_idx], at[batch_idx, kv_idx])


class _Window(_Rule):
    def __init__(self, sliding_window: int) -> None:
        self.sliding_window = sliding_window

    def __call__(self, batch_idx: Any, head_idx: Any, q_idx: Any, kv_idx: Any) -> Any:
        return kv_idx > q_idx - self.sliding_window


def _and_masks(*mask_functions: Callable[..., Any]) -> Any:
    return _And(mask_functions)


def _packed_sequence_mask_function(packed_sequence_mask: Tensor) -> Any:
    return _SameDocument(packed_sequence_mask)


def _remap_positions_for_packed_sequence(mask_function: Callable[..., Any], position_ids: Tensor) -> Any:
    return _Remapped(mask_function, position_ids)


def _sliding_window_overlay(sliding_window: int) -> Any:
    return _Window(sliding_window)


def substitute() -> None:
    """Done on import. A function that this transformers lacks, or has with other parameters, stays as it is: compiled
    code then writes the mask out."""
    for ours in (
        _and_masks,
        _packed_sequence_mask_function,
        _remap_positions_for_packed_sequence,
        _sliding_window_overlay,
    ):
        theirs = getattr(masking_utils, ours.__name__.removeprefix("_"), None)
        if theirs is not None:
            with contextlib.suppress(TypeError, ValueError):  # another signature; substituted already
                torch.compiler.substitute_in_graph(theirs)(ours)


def free_variables(function: Callable[..., Any]) -> dict[str, Any]:
    """By name; nothing for what cannot be read."""
    if isinstance(function, _Rule):
        return dict(function.__dict__)
    if torch.compiler.is_dynamo_compiling():
        return {}
    code, closure = getattr(function, "__code__", None), getattr(function, "__closure__", None)
    if code is None or closure is None:
        return {}
    return dict(zip(code.co_freevars, (cell.cell_contents for cell in closure)))


def parts(function: Callable[..., Any]) -> tuple[Callable[..., Any], ...]:
    """What transformers' and_masks intersects; nothing for another function."""
    if isinstance(function, _And):
        return tuple(function.mask_functions)
    if isinstance(function, _Rule) or getattr(function, "__name__", "") != "and_mask":
        return ()
    return tuple(free_variables(function).get("mask_functions", ()))


def chunks_in(rule: Callable[..., Any]) -> tuple[int, Tensor] | None:
    """(tokens of a chunk, left padding [B]) where a rule is causal within chunks and nothing else, else None."""
    both = parts(rule)
    if len(both) != 2 or both[1] is not causal_mask_function:
        return None
    free = free_variables(both[0])
    return (free["chunk_size"], free["left_padding"]) if free.keys() == {"chunk_size", "left_padding"} else None


def is_causal(rule: Callable[..., Any], window: int | None) -> bool:
    """Whether a rule is the causal one with a window of that size, and nothing else."""
    if window is None:
        return rule is causal_mask_function
    both = parts(rule)
    return len(both) == 2 and both[1] is causal_mask_function and free_variables(both[0]) == {"sliding_window": window}


substitute()
