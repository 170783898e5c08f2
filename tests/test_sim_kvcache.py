"""The NPU kernels over a cache on the simulator: the forward's bits over the same tokens, in every schedule; what is
clamped; how far tasks are cut.
"""

from __future__ import annotations

from typing import Any

import pytest
import test_kvcache
import torch
from torch import Tensor
from triangle_attn_op import sim

SCHEDULES = (("eager", 0), ("lazy", 0), ("random", 1), ("random", 2), ("random", 3), ("random", 4), ("random", 5))


class Batch(test_kvcache.Batch):
    """Random sequences and caches as on the CPU, of 16 bits, through the simulated kernels."""

    dtypes = (torch.bfloat16, torch.float16)
    launch: dict[str, Any]

    def call(self, *args: Any, **given: Any) -> tuple[Tensor, Tensor]:
        return attend(*args, **given, **self.launch)

    def whole(self, *args: Tensor, **options: Any) -> tuple[Tensor, Tensor]:
        if args[0].numel() == 0:
            return torch.empty(*args[0].shape[:-1], args[2].shape[-1]), torch.empty(args[0].shape[:-1])
        return sim.attn_forward(*args, **options, cores=3)[:2]


def test_bits_are_those_of_the_forward(seed: int) -> None:
    for case in range(35):
        batch = Batch(seed * 35 + case)
        order, number = SCHEDULES[case % 7]
        batch.launch = {"order": order, "seed": number, "cores": 1 + case % 5}
        batch.check(case)


def lens(*values: int) -> Tensor:
    return torch.tensor(values, dtype=torch.int32)


def draw(seed: int, *shape: int, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def attend(*args: Tensor, **given: Any) -> tuple[Tensor, Tensor]:
    out, lse, report = sim.attn_kvcache(*args, **given)
    report.raise_on_findings()
    return out, lse


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_cut_tasks_idle_places_and_wide_heads(dtype: torch.dtype, seed: int) -> None:
    """One long sequence beside idle ones on many cores: its keys are split. Launches in one and in two phases."""
    dim = 144 if dtype is torch.float16 else 32
    k_cache, v_cache = draw(seed, 3, 5200, 1, dim, dtype=dtype), draw(seed + 1, 3, 5200, 1, 32, dtype=dtype)
    q = draw(seed + 2, 3, 2, 6, dim, dtype=dtype)
    lengths = lens(5120, 0, 1)
    for phases in ((15,), (1, 2)):
        out, lse = attend(q, k_cache, v_cache, lengths, cores=8, phases=phases, order="random", seed=seed % 100)
        rows, keys, values = (t[:1].transpose(1, 2) for t in (q, k_cache[:, :5120], v_cache[:, :5120]))
        whole, whole_lse, _ = sim.attn_forward(rows, keys, values, cores=1)
        assert torch.equal(out[0].transpose(0, 1), whole[0])
        assert torch.equal(lse[0], whole_lse[0])
        assert (out[1] == 0).all()
        assert (lse[1] == -torch.inf).all()
        # The second of two rows sits at the only key, the first before it.
        assert (out[2, 0] == 0).all()
        assert torch.equal(out[2, 1], v_cache[2, 0].expand(6, -1))


def test_wrong_values_are_clamped(seed: int) -> None:
    """Lengths past the cache, pages and offsets out of range: no access outside, which is a finding, and what is
    written is the cache's own.
    """
    k_cache, v_cache, q = (draw(seed + i, *s) for i, s in enumerate([(4, 32, 2, 16), (4, 32, 2, 16), (3, 4, 16)]))
    k, v = draw(seed + 3, 3, 2, 16), draw(seed + 4, 3, 2, 16)
    table = lens(9, -7, 2**31 - 1, -(2**31)).view(2, 2)
    for lengths in (lens(63, 70), lens(-5, 2**31 - 1)):
        for offsets in (lens(0, 1, 3), lens(-4, 7, 2), lens(2, 1, 90)):
            out, lse = attend(
                q, k_cache, v_cache, lengths, k=k, v=v, block_table=table, cu_seq_q=offsets, max_q=3, cores=2
            )
            assert not out.isnan().any()
            assert not lse.isnan().any()
    attend(q[:, None], k_cache, v_cache, lens(3, 99, -1), cache_batch_idx=lens(77, -77, 2), cores=2)


def test_what_the_kernels_do_not_take_is_named() -> None:
    cache = torch.zeros(1, 16, 1, 16)
    with pytest.raises(TypeError, match=r"^q: expected float16 or bfloat16"):
        sim.attn_kvcache(cache[:, :1], cache, cache.clone(), lens(3))
    wide = torch.zeros(1, 16, 1, 257).half()
    with pytest.raises((NotImplementedError, ValueError), match="256"):
        sim.attn_kvcache(wide[:, :1], wide, wide.clone(), lens(3))
