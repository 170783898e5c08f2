"""What the operator executed in this process, counted from the arguments of each of its calls, not from any plan.

with ExecutedCalls() as executed:
    ring_attention(q, k, v).backward(dout)
executed.forward.blocks
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from .. import ops, schedule


@dataclass
class Work:
    """Calls of the operator in one direction.

    Attributes:
        calls: how many.
        blocks: blocks of the score matrices that they computed, over batch and query heads.
        pairs: visible query-key pairs in them, over batch and query heads.
    """

    calls: int = 0
    blocks: int = 0
    pairs: int = 0


class ExecutedCalls(TorchDispatchMode):
    """While active, notes every call of the operator in this thread, with the blocks that its schedule enumerates for
    the call's own shapes, diagonal, window and document offsets.

    Args:
        block_q, block_k: height and width of a block.
    """

    def __init__(self, block_q: int = 128, block_k: int = 128) -> None:
        super().__init__()
        self.block_q, self.block_k = block_q, block_k
        self.forward, self.backward = Work(), Work()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function in (ops.attn_lse, ops.attn_backward):
            given = {argument.name: argument.default_value for argument in function._schema.arguments}
            given.update(zip(given, args))
            given.update(kwargs or {})
            self._note(self.backward if function is ops.attn_backward else self.forward, given)
        return function(*args, **(kwargs or {}))

    def _note(self, work: Work, given: dict[str, Any]) -> None:
        q, k, cu_q, cu_k = (given[name] for name in ("q", "k", "cu_seq_q", "cu_seq_k"))
        rows, columns = (_sizes(t, packed=cu_q is not None) for t in (q, k))
        planned = schedule.plan(
            (rows[0], rows[1], columns[1], rows[2], columns[2]),
            cores=1,
            block_q=self.block_q,
            block_k=self.block_k,
            alignment=given["alignment"],
            diagonal=given["diagonal"],
            window_size_left=given["window_size_left"],
            cu_seq_q=None if cu_q is None else cu_q.tolist(),
            cu_seq_k=None if cu_k is None else cu_k.tolist(),
            backward=work is self.backward,
        )
        work.calls += 1
        work.blocks += planned.blocks
        work.pairs += planned.visible_pairs


def _sizes(t: Tensor, packed: bool) -> tuple[int, int, int]:
    """Batch, heads and rows of `[B, H, S, D]` or `[T, H, D]`."""
    return (1, t.shape[1], t.shape[0]) if packed else (t.shape[0], t.shape[1], t.shape[2])
