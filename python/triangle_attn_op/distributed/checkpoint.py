"""Selective activation checkpointing: keep attention's results, recompute the rest.

    checkpoint(layer, x, use_reentrant=False, context_fn=checkpoint_contexts)

Attention's forward is the costliest part of a layer to run again, and its results (out and lse) are as small as one
activation.
"""

from __future__ import annotations

from typing import Any

from torch.utils.checkpoint import CheckpointPolicy, create_selective_checkpoint_contexts

from .. import ops


def checkpoint_policy(ctx: Any, op: Any, *args: Any, **kwargs: Any) -> CheckpointPolicy:
    """For `torch.utils.checkpoint.create_selective_checkpoint_contexts`: attention is saved, every other operator
    recomputed.
    """
    return CheckpointPolicy.MUST_SAVE if op is ops.attn_lse else CheckpointPolicy.PREFER_RECOMPUTE


def checkpoint_contexts() -> Any:
    """`context_fn` of `torch.utils.checkpoint.checkpoint` with this policy."""
    return create_selective_checkpoint_contexts(checkpoint_policy)
