"""vmap of the operators: its dimension is folded into the batch, or of packed sequences into the documents, and the
kernels run once. Where that is not possible it loops: dropout, whose pairs are counted by batch entry; sinks that
differ, and the gradient of any, which is one sum over the batch; slopes of documents; intervals of packed sequences.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def vmap_operator(
    op: Any, first: int, info: Any, in_dims: tuple[Any, ...], *args: Tensor | None, **options: Any
) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
    """op(*args, **options) over the given dimensions, as torch.library.register_vmap asks for it; q, k, v are
    args[first : first + 3].
    """
    size = info.batch_size
    left_out = (None,) * (sum(not a.kwarg_only for a in op._schema.arguments) - len(args))  # they have their default
    args, in_dims = (*args, *left_out), (*in_dims, *left_out)
    moved = [t if t is None or dim is None else t.movedim(dim, 0) for t, dim in zip(args, in_dims)]
    batched = [dim is not None for dim in in_dims]
    at_mask = first + 3 + (2 if first else 0)  # behind q, k, v come out and lse
    q, k = moved[first], moved[first + 1]
    assert q is not None
    assert k is not None
    rows, keys = (t.shape[int(has)] for t, has in zip((q, k), batched[first:]))
    packed = moved[at_mask + 1] is not None
    behind = at_mask + 3  # rng state, slopes, sinks, intervals
    rng, slopes, sinks, intervals = moved[behind : behind + 4]
    loops = rng is not None or (sinks is not None and (first > 0 or batched[behind + 2]))
    if packed:
        of_documents = slopes is not None and (batched[behind + 1] or slopes.dim() == 2)
        loops = loops or of_documents or intervals is not None or max(rows, keys) * size >= 2**31
    if loops:
        results = [
            op(*(t[n] if t is not None and has else t for t, has in zip(moved, batched)), **options)
            for n in range(size)
        ]
        return tuple(torch.stack(parts) for parts in zip(*results)), (0,) * len(results[0])

    folded: list[Tensor | None] = [
        None if t is None else (t if has else t.expand(size, *t.shape)).flatten(0, 1)
        for t, has in zip(moved[:at_mask], batched)
    ]
    mask, cu_q, cu_k = moved[at_mask : at_mask + 3]
    if mask is not None:
        mask = _fold_mask(mask, batched[at_mask], size, batch=rows)
    if packed:
        assert cu_q is not None
        assert cu_k is not None
        cu_q, cu_k = _fold_offsets(cu_q, cu_k, batched[at_mask + 1 : at_mask + 3], size, rows, keys)
        options = {**options, "max_q": rows, "max_k": keys}
    if slopes is not None:
        slopes = _fold_slopes(slopes, batched[behind + 1], size, batch=rows)
    if intervals is not None:
        intervals = _fold_mask(intervals, batched[behind + 3], size, batch=rows)
    whole = op(*folded, mask, cu_q, cu_k, rng, slopes, sinks, intervals, **options)
    return tuple(t.unflatten(0, (size, t.shape[0] // size)) for t in whole), (0,) * len(whole)


def _fold_mask(mask: Tensor, batched: bool, size: int, batch: int) -> Tensor:
    """The mask, or the intervals, of size * batch entries; one that is the same for all of them stays as it is."""
    if not batched:
        if mask.dim() < 4 or mask.shape[0] == 1:
            return mask
        return mask.expand(size, *mask.shape).flatten(0, 1)
    mask = mask.reshape(size, *(1,) * (5 - mask.dim()), *mask.shape[1:])
    return mask.expand(size, batch, *mask.shape[2:]).flatten(0, 1)


def _fold_slopes(slopes: Tensor, batched: bool, size: int, batch: int) -> Tensor:
    """`[Hq]` or `[B, Hq]` of each entry -> of size * batch entries; `[Hq]` that is the same for all stays as it is."""
    if not batched:
        return slopes if slopes.dim() == 1 else slopes.expand(size, *slopes.shape).flatten(0, 1)
    if slopes.dim() == 2:
        slopes = slopes.unsqueeze(1).expand(-1, batch, -1)
    return slopes.flatten(0, 1)


def _fold_offsets(
    cu_q: Tensor, cu_k: Tensor, batched: list[bool], size: int, rows: int, keys: int
) -> tuple[Tensor, Tensor]:
    """Offsets int32 of `size` packs one after the other. Rows and keys that belong to no document of a pack, before its
    first and after its last offset, become documents in which there is nothing to see.
    """
    cu_q, cu_k = (cu if has else cu.expand(size, -1) for cu, has in zip((cu_q, cu_k), batched))
    first = torch.zeros_like(cu_q[:, :1])
    total_q, total_k = torch.full_like(first, rows), torch.full_like(first, keys)
    # The pack's head rows without keys, its head keys without rows; its documents; its tail likewise.
    packs_q = torch.cat([cu_q[:, :1], cu_q, total_q, total_q], 1)
    packs_k = torch.cat([first, cu_k, cu_k[:, -1:], total_k], 1)
    folded = []
    for packs, total in ((packs_q, rows), (packs_k, keys)):
        starts = torch.arange(size, dtype=packs.dtype, device=packs.device).unsqueeze(1) * total
        folded.append(torch.cat([first[0], (packs + starts).flatten()]).contiguous())
    return folded[0], folded[1]
