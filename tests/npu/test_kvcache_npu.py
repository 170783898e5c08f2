"""Attention over a cache on NPU tensors: the CPU's random batches against the NPU's forward, bit for bit, bad input by
name, compilers and graphs.
"""

from __future__ import annotations

from typing import Any

import pytest
import test_kvcache
import torch
import torch_npu  # noqa: F401
from torch import Tensor
from triangle_attn_op import call_counts, triangle_attention, triangle_attention_with_kvcache

NPU = "npu:0"


def on_npu(value: Any) -> Any:
    return value.to(NPU) if isinstance(value, Tensor) else value


class Batch(test_kvcache.Batch):
    """Random sequences and caches of the CPU's test on an NPU."""

    dtypes = (torch.bfloat16, torch.float16)

    def call(self, q: Tensor, k_cache: Tensor, v_cache: Tensor, *args: Any, **given: Any) -> tuple[Tensor, Tensor]:
        caches = on_npu(k_cache), on_npu(v_cache)
        given = {name: on_npu(value) for name, value in given.items()}
        out, lse = triangle_attention_with_kvcache(on_npu(q), *caches, *map(on_npu, args), **given, return_lse=True)
        for there, here in zip(caches, (k_cache, v_cache)):
            here.copy_(there.cpu())
        return out.cpu(), lse.cpu()

    def whole(self, *args: Tensor, **options: Any) -> tuple[Tensor, Tensor]:
        options = {name: on_npu(value) for name, value in options.items()}
        return tuple(t.cpu() for t in triangle_attention(*map(on_npu, args), **options, return_lse=True))


def test_bits_are_those_of_the_forward(seed: int) -> None:
    for case in range(12):
        Batch(seed * 12 + case).check(case)


def lens(*values: int) -> Tensor:
    return torch.tensor(values, dtype=torch.int32)


def half(value: Any) -> Any:
    """What the CPU's table has in fp32, in fp16 on the NPU; slopes and sinks stay fp32."""
    if isinstance(value, Tensor) and value.dtype is torch.float32 and value.dim() > 2:
        value = value.detach().half()
    return on_npu(value)


# What only values say, or what moving or another dtype mends.
NOT_HERE = ("at most", "at least", "got -1", "entries 0", "places of their own", "page numbers", "non-decreasing",
            "q's dtype", "memory of its own", "contiguous", "requires_grad", "alibi_slopes")  # fmt: skip


def test_bad_input_is_named() -> None:
    seen = 0
    for table, shape in ((test_kvcache.BAD, (2, 48, 2, 32)), (test_kvcache.BAD_PAGES, (6, 16, 2, 32))):
        for changed, error, message in table:
            if any(words in message for words in NOT_HERE):
                continue
            given: dict[str, Any] = {"q": torch.zeros(2, 2, 4, 32), "cache_seqlens": lens(4, 17)}
            given |= {"k_cache": torch.zeros(shape), "v_cache": torch.zeros(shape)}
            if table is test_kvcache.BAD_PAGES:
                given["block_table"] = lens(0, 1, 2, 3).view(2, 2)
            rows = (4,) if "cu_seq_q" in changed else (2, 2)
            given |= {"k": torch.ones(*rows, 2, 32), "v": torch.ones(*rows, 2, 32)} | changed
            with pytest.raises(error, match=message):
                triangle_attention_with_kvcache(**{name: half(value) for name, value in given.items()})
            seen += 1
    assert seen >= 20
    cache = torch.zeros(1, 32, 2, 16, device=NPU)
    with pytest.raises(TypeError, match=r"^q: expected float16 or bfloat16"):
        triangle_attention_with_kvcache(cache[:, :1], cache, cache.clone(), lens(5).to(NPU))


def test_steps_append_and_are_counted() -> None:
    """A prompt in chunks, then tokens, with lengths that stay on the device; rows and keys of other numbers."""
    q, k, v = (torch.randn(1, 150, h, 32).half().to(NPU) for h in (4, 2, 2))
    whole = triangle_attention(*(t.transpose(1, 2) for t in (q, k, v))).transpose(1, 2)
    pages = [torch.full((6, 32, 2, 32), float("nan"), dtype=torch.half, device=NPU) for _ in range(2)]
    table, length = lens(5, 1, 3, 0, 2).view(1, 5).to(NPU), lens(0).to(NPU)
    before = sum(call_counts().values())
    at = 0
    for step in (97, 1, 1, 40, 11):
        rows = slice(at, at + step)
        new = {"k": k[:, rows], "v": v[:, rows], "block_table": table}
        out = triangle_attention_with_kvcache(q[:, rows], *pages, length, **new)
        assert torch.equal(out.cpu(), whole[:, rows].cpu())
        at += step
        length += step
    assert sum(call_counts().values()) == before + 5
    op = torch.ops.triangle.attn_kvcache.default
    torch.library.opcheck(op, (q[:, :3], *pages, lens(9).to(NPU), k[:, :3], v[:, :3], table), test_utils="test_schema")
