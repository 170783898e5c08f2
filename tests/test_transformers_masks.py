"""What attn_implementation="triangle" lets attend, pair by pair, against the masks that transformers writes out."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import LlamaConfig, MistralConfig, masking_utils
from transformers.masking_utils import (
    and_masks,
    causal_mask_function,
    chunked_causal_mask_function,
    or_masks,
    packed_sequence_mask_function,
    sdpa_mask,
    sliding_window_causal_mask_function,
)
from transformers_models import MARKS, MODELS, SIZES, WINDOW, Layer, build, padded, record_calls, tokens
from triangle_attn_op.integrations import transformers as integration

pytestmark = MARKS


def visible(call: dict[str, Any]) -> Tensor:
    """bool [B, 1, Sq, Sk]: the pairs that a recorded call lets attend, by the operator's definition."""
    batch, _, rows, _ = call["q"].shape
    cols = call["k"].shape[2]
    diagonal = cols - rows if call["diagonal"] is None else call["diagonal"]
    p = torch.arange(rows).unsqueeze(1) + diagonal
    j = torch.arange(cols)
    seen = j <= p
    if call["window_size_left"] is not None:
        seen = seen & (j >= p - call["window_size_left"])
    seen = seen.expand(batch, 1, rows, cols)
    return seen if call["attn_mask"] is None else seen & call["attn_mask"]


def packed(rule: Callable[..., Any], positions: Tensor, documents: Tensor) -> Callable[..., Any]:
    """transformers' mask function for packed documents; older versions do not remap positions."""
    remapping = getattr(masking_utils, "packed_sequence_compatibility_function", None)
    if remapping is not None:
        return remapping(rule, positions, documents)
    return and_masks(rule, packed_sequence_mask_function(documents))


@pytest.mark.parametrize("window", [None, 1, 4, 100])
@pytest.mark.parametrize("pads", [None, (0, 0), (2, 0), (-1, 3)])
def test_visible_pairs_are_those_of_transformers(
    window: int | None, pads: tuple[int, int] | None, monkeypatch: pytest.MonkeyPatch
):
    """Mask function and attention function together hide exactly what transformers' own written-out mask hides, for all
    lengths and offsets."""
    seen = record_calls(monkeypatch)
    config = MistralConfig(**SIZES, sliding_window=window) if window else LlamaConfig(**SIZES)
    function = sliding_window_causal_mask_function(window) if window else causal_mask_function
    for rows, cols, q_offset, kv_offset in itertools.product((1, 2, 5), (1, 5, 8), (0, 1, 4), (0, 1, 3)):
        padding = None if pads is None else padded(q_offset + rows + 1, *pads)[:, 1:].bool()
        for offset in (q_offset, torch.tensor(q_offset)):
            arguments: dict[str, Any] = {
                "batch_size": 2,
                "q_length": rows,
                "kv_length": cols,
                "q_offset": offset,
                "kv_offset": kv_offset,
                "mask_function": function,
                "attention_mask": padding,
                "local_size": window,
            }
            expected = sdpa_mask(**arguments, allow_is_causal_skip=False)
            mask = integration.triangle_mask(**arguments, config=config, dtype=torch.float32)
            q, k = torch.randn(2, 4, rows, 8), torch.randn(2, 2, cols, 8)
            integration.triangle_attention_forward(Layer(config), q, k, k, mask, sliding_window=window)
            got = visible(seen.pop())
            assert torch.equal(got, expected), (rows, cols, q_offset, kv_offset)
            if q_offset + rows == kv_offset + cols and rows > 1:
                assert mask.written is None, "nothing of size Sq x Sk where the operator's rule says it"


def test_rules_of_other_kinds_are_written_out(monkeypatch: pytest.MonkeyPatch):
    seen = record_calls(monkeypatch)
    positions = torch.tensor([[0, 1, 2, 0, 1, 0]])
    documents = torch.tensor([[0, 0, 0, 1, 1, 2]])
    prefix = or_masks(causal_mask_function, lambda b, h, q, k: (q < 3) & (k < 3))
    tail = and_masks(causal_mask_function, lambda b, h, q, k: k > 1)
    chunked = chunked_causal_mask_function(4, torch.zeros(1, dtype=torch.long))
    cases = {
        "packed, a window of another size": (
            packed(sliding_window_causal_mask_function(3), positions, documents),
            {"local_size": 3},
            0,
        ),
        "packed, prefix": (packed(prefix, positions, documents), {}, 5),
        "packed over prefix": (
            or_masks(packed(causal_mask_function, positions, documents), prefix),
            {},
            5,
        ),
        "prefix": (prefix, {}, 5),
        "tail": (tail, {}, 0),
    }
    for name, (function, options, diagonal) in cases.items():
        arguments = {
            "batch_size": 1,
            "q_length": 6,
            "kv_length": 6,
            "mask_function": function,
            "allow_is_causal_skip": False,
            **options,
        }
        mask = integration.triangle_mask(**arguments, config=MistralConfig(**SIZES, sliding_window=2))
        q = torch.randn(1, 2, 6, 8)
        integration.triangle_attention_forward(Layer(), q, q, q, mask, sliding_window=2)
        assert torch.equal(visible(seen[-1]), sdpa_mask(**arguments)), name
        assert seen[-1]["diagonal"] == diagonal, f"{name}: the diagonal decides how many blocks are skipped"
    for function, options in (
        (packed(causal_mask_function, positions, documents), {}),
        (packed(sliding_window_causal_mask_function(2), positions, documents), {"local_size": 2}),
    ):
        arguments = {"batch_size": 1, "q_length": 6, "kv_length": 6, "mask_function": function, **options}
        mask = integration.triangle_mask(
            **arguments, allow_is_causal_skip=False, config=MistralConfig(**SIZES, sliding_window=2)
        )
        assert mask.written is None
        assert (mask.documents.cu_seq_q.tolist(), mask.documents.max_q) == ([0, 3, 5, 6], 3)
        window = None if "local_size" not in options else 1
        assert torch.equal(
            integration._written_out(mask, positions, window), sdpa_mask(**arguments, allow_is_causal_skip=False)
        )
    # Chunked attention leaves the flag on: its local size must not pass for a window.
    config = LlamaConfig(**SIZES)
    config.attention_chunk_size = config.sliding_window = 4
    arguments = {"batch_size": 1, "q_length": 6, "kv_length": 6, "mask_function": chunked, "local_size": 4}
    mask = integration.triangle_mask(**arguments, config=config)
    assert mask.written is None


@pytest.mark.parametrize("padded", [False, True])
def test_chunks_are_intervals(padded: bool, monkeypatch: pytest.MonkeyPatch):
    """Llama 4's chunks: a number a key, whatever is padded at the left; a step over a cache writes its mask out."""
    seen = record_calls(monkeypatch)
    config = LlamaConfig(**SIZES)
    config.attention_chunk_size = 4
    padding = torch.tensor([[1] * 11, [0] * 3 + [1] * 8]) if padded else None
    left = torch.tensor([0, 3]) if padded else torch.zeros(2, dtype=torch.long)
    arguments = {
        "batch_size": 2,
        "kv_length": 11,
        "mask_function": chunked_causal_mask_function(4, left),
        "attention_mask": None if padding is None else padding.bool(),
        "local_size": 4,
    }
    mask = integration.triangle_mask(**arguments, q_length=11, config=config)
    assert mask.written is None
    assert mask.intervals.shape == (2, 1, 11, 1)
    want = sdpa_mask(**arguments, q_length=11, allow_is_causal_skip=False)
    assert torch.equal(integration._written_out(mask, left, None), want)
    q = torch.randn(2, 2, 11, 8)
    out, _ = integration.triangle_attention_forward(Layer(), q, q, q, mask)
    assert seen[-1]["startend_row_indices"] is mask.intervals
    reference = torch.nn.functional.scaled_dot_product_attention(q, q, q, attn_mask=want).nan_to_num()
    torch.testing.assert_close(out.transpose(1, 2), reference)
    step = integration.triangle_mask(**arguments, q_length=1, q_offset=10, config=config)
    assert torch.equal(step.written, sdpa_mask(**arguments, q_length=1, q_offset=10, allow_is_causal_skip=False))


def test_plain_training_makes_no_mask(seed: int, monkeypatch: pytest.MonkeyPatch):
    for kind in MODELS:
        model, x = build(kind, "triangle", seed), tokens(seed, 2, 37)
        seen = record_calls(monkeypatch)
        model(x)
        model(x, attention_mask=torch.ones_like(x))
        assert [call["attn_mask"] for call in seen] == [None] * 4
        windows = {"llama": [None, None], "mistral": [WINDOW - 1] * 2, "qwen2": [None, WINDOW - 1]}[kind]
        assert [call["window_size_left"] for call in seen] == windows * 2
        assert all(call["diagonal"] is None for call in seen)
