"""attn_implementation="triangle" against "eager": generated tokens, and prompts fed in pieces through every cache."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import DynamicCache, StaticCache
from transformers_models import MARKS, MODELS, padded, pair, tokens

pytestmark = MARKS


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("cache", ["dynamic", "static"])
@pytest.mark.parametrize("prompt", [3, 19], ids=["shorter than the window", "longer"])
def test_greedy_generation_gives_the_same_tokens(kind: str, cache: str, prompt: int, seed: int):
    for s in range(seed, seed + 3):
        eager, triangle = pair(kind, s, torch.float32)
        x = tokens(s, 3, prompt)
        for mask in (torch.ones_like(x), padded(prompt, 2, 0, 1)):
            options = {"attention_mask": mask, "max_new_tokens": 20, "do_sample": False, "cache_implementation": cache}
            assert_same_tokens(eager, triangle.generate(x, **options), eager.generate(x, **options), mask)


def assert_same_tokens(eager: Any, got: Tensor, expected: Tensor, mask: Tensor) -> None:
    """Equal, or apart only from where eager's own logits are a tie within rounding, which fresh seeds do meet."""
    for row, (mine, theirs) in enumerate(zip(got, expected)):
        differing = (mine != theirs).nonzero()
        if len(differing) == 0:
            continue
        first = int(differing[0])
        seen = torch.cat([mask[row], mask.new_ones(first - mask.shape[1])])
        logits = eager(theirs[None, :first], attention_mask=seen[None]).logits[0, -1]
        assert (logits[theirs[first]] - logits[mine[first]]).abs() < 1e-4, f"row {row}, position {first}"


def test_beam_search_gives_the_same_tokens():
    seed = 11  # fixed: beams that tie within rounding are not told from wrong ones
    eager, triangle = pair("mistral", seed, torch.float32)
    x = tokens(seed, 2, 11)
    options = {"attention_mask": padded(11, 4, 0), "max_new_tokens": 12, "num_beams": 3, "do_sample": False}
    assert torch.equal(triangle.generate(x, **options), eager.generate(x, **options))


CACHES = {
    "dynamic": lambda config: DynamicCache(config=config),
    "dynamic, every layer whole": lambda config: DynamicCache(),
    "static": lambda config: StaticCache(config=config, max_cache_len=48),
    "static, just enough": lambda config: StaticCache(config=config, max_cache_len=29),
}


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("cache", CACHES)
@pytest.mark.parametrize("chunks", [(1, 6, 1, 1, 20), (3, 9, 2, 14, 1), (8, 21)], ids=str)
def test_chunked_prefill(kind: str, cache: str, chunks: tuple[int, ...], seed: int):
    """A prompt fed in pieces of any length, single tokens among them, through every cache, gives the logits of the
    whole."""
    eager, triangle = pair(kind, seed, torch.float32)
    x, mask = tokens(seed, 2, 29), padded(29, 5, 0)
    kept = mask.bool()
    with torch.no_grad():
        expected = eager(x, attention_mask=mask, use_cache=False).logits[kept]
        for given in (None, mask):
            past, pieces, begin = CACHES[cache](triangle.config), [], 0
            for length in chunks:
                piece = slice(begin, begin + length)
                begin += length
                seen = None if given is None else given[:, :begin]
                pieces.append(triangle(x[:, piece], attention_mask=seen, past_key_values=past, use_cache=True).logits)
            logits = torch.cat(pieces, dim=1)
            if given is None:
                torch.testing.assert_close(logits[1], eager(x, use_cache=False).logits[1], rtol=1e-3, atol=1e-3)
            else:
                torch.testing.assert_close(logits[kept], expected, rtol=1e-3, atol=1e-3)
