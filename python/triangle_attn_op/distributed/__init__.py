"""Triangle attention over many devices: a sequence cut over ranks (ring, all-to-all), DTensor sharding, checkpointing.

DTensor, which takes long to import, is told of the operators when the first DTensor comes (`sharding`).
`python -m triangle_attn_op.distributed --table` prints what each rank computes and sends, measured on local processes.
"""

from __future__ import annotations

from .checkpoint import checkpoint_contexts, checkpoint_policy
from .exchange import Counters, counters, reset_counters
from .executed import ExecutedCalls
from .layout import ContextLayout, Segment, split_batch
from .ring import ring_attention
from .ulysses import LocalAttention, ulysses_attention

__all__ = [
    "ContextLayout",
    "Counters",
    "ExecutedCalls",
    "LocalAttention",
    "Segment",
    "checkpoint_contexts",
    "checkpoint_policy",
    "counters",
    "reset_counters",
    "ring_attention",
    "split_batch",
    "ulysses_attention",
]
