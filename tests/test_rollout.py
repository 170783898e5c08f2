"""examples/rollout.py: what is generated over a cache is what the training forward recomputes, to the bit."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent.parent / "examples"))

import rollout

FLAGS = ["--preset=demo", "--num-layers=2", "--hidden-size=96", "--num-attention-heads=6", "--num-query-groups=2"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rollout_is_what_training_recomputes(dtype: torch.dtype) -> None:
    config = rollout.arguments.parse(FLAGS, 1)
    corpus = rollout.data.load(Path(rollout.__file__).parent / "pretrain", 500)
    args = argparse.Namespace(requests=4, checkpoint=None)
    tokens, differ, largest, engine, _ = rollout.compare(config, dtype, "triangle", True, args, corpus)
    assert tokens > 40
    assert (differ, largest) == (0, 0.0)
    assert engine.mixed > 0
    assert engine.pages.shared > 0
    assert len(engine.pages.free) == len(engine.pages.holders)
    if dtype is torch.float32:  # what the comparison is made to see
        assert rollout.compare(config, dtype, "sdpa", True, args, corpus)[1] > 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_attention_alone_on_the_simulated_npu(dtype: torch.dtype) -> None:
    """Pages, chunks beside tokens and guesses through the kernels over a cache, against one forward a sequence."""
    rows, differ, largest, calls = rollout.simulated_rollout(dtype)
    assert (rows, calls) == (251, 6)
    assert (differ, largest) == (0, 0.0)
