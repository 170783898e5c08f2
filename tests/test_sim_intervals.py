"""startend_row_indices in the NPU kernels: the bits of the equivalent bool mask, in every schedule, for any bounds."""

from __future__ import annotations

from typing import Any

import backends
import pytest
import reference
import torch
from test_sim_attention import draw, run
from test_visibility import random_bounds
from torch import Tensor
from triangle_attn_op import sim, visibility
from triangle_attn_op.schedule.intervals import plan_intervals


def as_mask(bounds: Tensor, rows: int, heads: int) -> Tensor:
    return reference.shown_by_intervals(bounds, rows).repeat_interleave(heads // bounds.shape[1], dim=1)


def run_backward(*tensors: Tensor, **options: Any) -> tuple[Tensor, ...]:
    *gradients, report = sim.attn_backward(*tensors, deterministic=True, **options)
    report.raise_on_findings()
    return tuple(gradients)


def assert_same(got: tuple[Tensor, ...], want: tuple[Tensor, ...]) -> None:
    for i, (a, b) in enumerate(zip(got, want)):
        assert torch.equal(a, b), i


@pytest.mark.parametrize(
    ("shape", "bounds", "options"),
    [
        ((2, 4, 2, 300, 300, 32, 32), (1, 1), {}),
        ((1, 4, 2, 290, 1100, 64, 64), (2, 2), {"diagonal": 1100}),
        ((1, 2, 1, 530, 530, 144, 48), (2, 4), {"window_size_left": 400, "softcap": 3.0}),
    ],
    ids=["one bound", "two bounds, both ways", "four bounds, wide, window, softcap"],
)
def test_bits_of_the_bool_mask(
    shape: tuple[int, ...], bounds: tuple[int, int], options: dict[str, Any], seed: int
) -> None:
    """In every schedule, on any cores; the gradients' bits those of the deterministic path."""
    b, hq, hkv, sq, sk, d, dv = shape
    q, k, v = draw(seed, b, hq, sq, d), draw(seed + 1, b, hkv, sk, d), draw(seed + 2, b, hkv, sk, dv)
    dout = draw(seed + 3, b, hq, sq, dv)
    given = random_bounds(b, bounds[0], sk, sq, bounds[1], seed)
    mask = as_mask(given, sq, hq)
    out, lse = run(q, k, v, cores=2, attn_mask=mask, **options)
    gradients = run_backward(dout, q, k, v, out, lse, cores=2, attn_mask=mask, **options)
    for cores, (order, order_seed) in zip((2, 1, 3, 5), (("eager", 0), ("lazy", 0), ("random", seed), ("random", 1))):
        launch = {"cores": cores, "order": order, "seed": order_seed, "startend_row_indices": given, **options}
        assert_same(run(q, k, v, **launch), (out, lse))
        if cores in (1, 3):
            assert_same(run_backward(dout, q, k, v, out, lse, **launch), gradients)


def test_bounds_out_of_range_are_clamped(seed: int) -> None:
    """Into 0 .. Sq; an interval that ends before it starts is none."""
    q, k, v = draw(seed, 1, 2, 200, 16), draw(seed + 1, 1, 2, 200, 16), draw(seed + 2, 1, 2, 200, 16)
    bounds = random_bounds(1, 2, 200, 200, 4, seed)
    bounds[:, :, ::3, 0] = -(2**31)
    bounds[:, :, 1::3, 1] = 2**31 - 1
    bounds[:, :, ::5, 2] = 10**9
    want = run(q, k, v, cores=2, startend_row_indices=bounds.clamp(0, 200))
    assert_same(run(q, k, v, cores=2, startend_row_indices=bounds), want)


def test_packed_as_dense(seed: int) -> None:
    """Rows and keys count within the pack, and a document's bits are those of its intervals alone."""
    lens, d = (300, 1, 0, 210), 32
    total = sum(lens)
    q, k, v = draw(seed, total, 4, d), draw(seed + 1, total, 2, d), draw(seed + 2, total, 2, d)
    bounds = random_bounds(1, 2, total, total, 2, seed)
    cu = backends.cumulative(lens)
    out, lse = run(q, k, v, cores=3, cu_seq_q=cu, cu_seq_k=cu, startend_row_indices=bounds)
    for begin, end in zip(cu.tolist(), cu.tolist()[1:]):
        if begin == end:
            continue
        own = (bounds[:, :, begin:end] - begin).clamp(0, end - begin)
        alone = run(*(t[begin:end].transpose(0, 1)[None] for t in (q, k, v)), cores=2, startend_row_indices=own)
        assert_same((out[begin:end].transpose(0, 1)[None], lse[begin:end].T[None]), alone)


def test_hidden_blocks_are_not_computed(seed: int) -> None:
    """NaN in the keys and values of a document reaches no row of another, which a computed block would spoil."""
    q, k, v = (draw(seed + i, 1, 1, 768, 32) for i in range(3))
    options = visibility.documents((256, 512))
    want = run(q, k, v, cores=2, **options)
    k[:, :, :256] = v[:, :, :256] = torch.nan
    got = run(q, k, v, cores=2, **options)
    assert torch.equal(got[0][:, :, 256:], want[0][:, :, 256:])
    assert torch.equal(got[1][:, :, 256:], want[1][:, :, 256:])


@pytest.mark.parametrize("deterministic", [None, False, True], ids=["forward", "fast", "deterministic"])
def test_work_is_divided_on_the_device(deterministic: bool | None) -> None:
    """By the blocks that are computed: as the host's twin of the division counts them, whole tasks."""
    length, cores = 2048, 6
    options = visibility.prefix_lm(700, length)
    options = {**visibility.documents((900, 1148)), "diagonal": 0} if deterministic else options
    shape = sim.Shape(1, 8, 8, length, length, 16)
    if deterministic is None:
        modelled = sim.model_forward(shape, cores=cores, **options)
    else:
        modelled = sim.model_backward(shape, cores=cores, deterministic=deterministic, **options)
    rows = modelled.block_rows
    planned = plan_intervals(
        (1, 8, 8, length, length),
        options["startend_row_indices"],
        cores=cores,
        block_q=rows,
        diagonal=options["diagonal"],
        backward=deterministic is not None,
    )
    assert planned.blocks < 0.8 * planned.square_blocks
    assert planned.imbalance <= 0.08
    assert modelled.blocks == planned.blocks
    # The cube multiplies 16 x 16 x 16 steps: as many as the blocks counted, S and P V, or S, dP and three gradients;
    # the deterministic path makes S and dP twice. The forward's tiles leave out what their own 128 rows do not see.
    products = {None: 2, False: 5, True: 7}[deterministic]
    steps = planned.blocks * products * (rows // 16) * (128 // 16)
    assert modelled.report.cube_steps <= steps
    assert modelled.report.cube_steps >= (0.8 if deterministic is None else 1.0) * steps
