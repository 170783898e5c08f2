"""DTensor: the operators run on shards of the batch and of the heads. Importing this module registers it, which the
operators do when the first DTensor comes (but for raw operators in inference mode).

A placement that a shard could not compute by itself (the sequence, the head dimension, heads that would tear a group of
queries from its key head) is not offered, so DTensor redistributes first.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch.distributed.tensor import Partial, Replicate, Shard
from torch.distributed.tensor.experimental import register_sharding
from torch.distributed.tensor.placement_types import Placement

from .. import _library

Placements = list[Placement | None]
Strategy = tuple[Placements, Placements]


_library.load()  # the operators' names


@register_sharding(torch.ops.triangle.attn_lse.default)
def _attn_lse(
    q: Any,
    k: Any,
    v: Any,
    attn_mask: Any = None,
    cu_seq_q: Any = None,
    cu_seq_k: Any = None,
    rng_state: Any = None,
    alibi_slopes: Any = None,
    sinks: Any = None,
    startend_row_indices: Any = None,
    **_: Any,
) -> list[Strategy]:
    """Placements of (out, lse) and of the arguments."""
    strategies: list[Strategy] = []
    for placement, shared in _placements(q, k, cu_seq_q is not None, rng_state):
        keys: Placement = Replicate() if shared else placement
        inputs: Placements = [placement, keys, keys, _mask_placement(attn_mask, placement)]
        inputs += _replicated((cu_seq_q, cu_seq_k, rng_state))
        inputs += [_slopes_placement(alibi_slopes, placement), _sinks_placement(sinks, placement)]
        inputs += [_mask_placement(startend_row_indices, placement)]
        outputs: Placements = [placement, placement]
        strategies.append((outputs, inputs))
    return strategies


@register_sharding(torch.ops.triangle.attn_backward.default)
def _attn_backward(
    dout: Any,
    dlse: Any,
    q: Any,
    k: Any,
    v: Any,
    out: Any,
    lse: Any,
    attn_mask: Any = None,
    cu_seq_q: Any = None,
    cu_seq_k: Any = None,
    rng_state: Any = None,
    alibi_slopes: Any = None,
    sinks: Any = None,
    startend_row_indices: Any = None,
    **_: Any,
) -> list[Strategy]:
    """Placements of (dq, dk, dv, dsinks) and of the arguments."""
    strategies: list[Strategy] = []
    for placement, shared in _placements(q, k, cu_seq_q is not None, rng_state):
        keys: Placement = Replicate() if shared else placement
        dkeys: Placement = Partial() if shared else placement  # each shard of query heads has its share
        inputs: Placements = [
            placement,
            None if dlse is None else placement,
            placement,
            keys,
            keys,
            placement,
            placement,
        ]
        inputs += [_mask_placement(attn_mask, placement), *_replicated((cu_seq_q, cu_seq_k, rng_state))]
        inputs += [_slopes_placement(alibi_slopes, placement), _sinks_placement(sinks, placement)]
        inputs += [_mask_placement(startend_row_indices, placement)]
        outputs: Placements = [placement, dkeys, dkeys, _dsinks_placement(sinks, placement)]
        strategies.append((outputs, inputs))
    return strategies


def _placements(q: Any, k: Any, packed: bool, rng_state: Any) -> list[tuple[Placement, bool]]:
    """Placements of q on one mesh dimension, each with whether the key heads are shared by all its shards."""
    result: list[tuple[Placement, bool]] = [(Replicate(), False)]
    if rng_state is not None:
        return result  # dropout counts rows of the whole batch and of all heads
    if not packed:
        result.append((Shard(0), False))
    if k.shape[1] == 1:
        result.append((Shard(1), True))
    elif _divides(q.mesh.shape, k.shape[1]):
        result.append((Shard(1), False))
    return result


def _divides(mesh: Sequence[int], key_heads: int) -> bool:
    """Whether key heads split evenly over any of the mesh's dimensions and over their products, as far as there are
    heads enough.
    """
    for count in range(1, len(mesh) + 1):
        for dims in itertools.combinations(mesh, count):
            shards = math.prod(dims)
            if shards <= key_heads and key_heads % shards:
                return False
    return True


def _mask_placement(mask: Any, placement: Placement) -> Placement | None:
    """A mask `[.., Sq, Sk]` is split as q is, unless it is the same for the whole batch or all heads."""
    if mask is None:
        return None
    if not isinstance(placement, Shard):
        return Replicate()
    dim = placement.dim - (4 - len(mask.shape))
    return Shard(dim) if dim >= 0 and mask.shape[dim] > 1 else Replicate()


def _slopes_placement(slopes: Any, placement: Placement) -> Placement | None:
    """Slopes `[Hq]` or `[B, Hq]` are split as q is."""
    if slopes is None or not isinstance(placement, Shard):
        return None if slopes is None else Replicate()
    dim = placement.dim - (2 - len(slopes.shape))
    return Shard(dim) if dim >= 0 else Replicate()


def _sinks_placement(sinks: Any, placement: Placement) -> Placement | None:
    """Sinks `[Hq]` are split with the heads."""
    if sinks is None:
        return None
    return Shard(0) if isinstance(placement, Shard) and placement.dim == 1 else Replicate()


def _dsinks_placement(sinks: Any, placement: Placement) -> Placement:
    """Their gradient is a sum over the batch; without sinks it is empty."""
    if sinks is None or not isinstance(placement, Shard):
        return Replicate()
    return Shard(0) if placement.dim == 1 else Partial()


def _replicated(arguments: Sequence[Any]) -> list[Placement | None]:
    return [None if argument is None else Replicate() for argument in arguments]
