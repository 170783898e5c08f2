"""The NPU's forward kernel on the simulated AI Core: bits, schedules, bad input. The case table is test_accuracy.py's.

How often each kernel is launched is chosen for the clock: a launch costs about 15 ms and as much again per AI core.
"""

from __future__ import annotations

import functools
from typing import Any

import backends
import pytest
import reference
import torch
from test_accuracy import max_abs
from torch import Tensor
from triangle_attn_op import schedule, sim
from triangle_attn_op.sim.tiling import Problem, Tiling, forward_tiling


def draw(seed: int, *shape: int, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def run(q: Tensor, k: Tensor, v: Tensor, **options: Any) -> tuple[Tensor, Tensor]:
    out, lse, report = sim.attn_forward(q, k, v, **options)
    report.raise_on_findings()
    return out, lse


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((1, 2, 1, 290, 1100, 64, 64), {}),
        ((1, 1, 1, 530, 530, 144, 200), {}),
        ((1, 1, 1, 700, 700, 32, 32), {"window_size_left": 200}),
    ],
    ids=["narrow", "wide", "window"],
)
def test_every_schedule_gives_the_same_bits(shape: tuple[int, ...], options: dict[str, int], seed: int) -> None:
    b, hq, hkv, sq, sk, d, dv = shape
    q, k, v = draw(seed, b, hq, sq, d), draw(seed + 1, b, hkv, sk, d), draw(seed + 2, b, hkv, sk, dv)
    first = run(q, k, v, cores=2, **options)
    for order, order_seed in [("lazy", 0), *(("random", seed + i) for i in range(5))]:
        again = run(q, k, v, cores=2, order=order, seed=order_seed, **options)
        assert torch.equal(first[0], again[0]), order
        assert torch.equal(first[1], again[1]), order


def test_bits_do_not_depend_on_cores_or_cuts(seed: int) -> None:
    """Tasks cut among cores are merged chunk by chunk, as one core merges them."""
    q, k, v = draw(seed, 1, 1, 300, 64), draw(seed + 1, 1, 1, 2300, 64), draw(seed + 2, 1, 1, 2300, 80)
    whole = run(q, k, v, cores=1)
    for cores in (2, 3, 5, 24):
        cut = run(q, k, v, cores=cores)
        assert torch.equal(whole[0], cut[0]), cores
        assert torch.equal(whole[1], cut[1]), cores


@functools.cache
def long_rows() -> tuple[Tensor, Tensor, Tensor]:
    return draw(11, 1, 2, 700, 48), draw(12, 1, 1, 700, 48), draw(13, 1, 1, 700, 64)


@pytest.mark.parametrize("window", [None, 150, 600])
def test_prefix_decode_and_batch(window: int | None) -> None:
    q, k, v = long_rows()
    options = {"window_size_left": window, "cores": 2}
    out, lse = run(q, k, v, **options)
    for length in (530, 257):
        head = run(q[:, :, :length], k[:, :, :length], v[:, :, :length], **options)
        assert torch.equal(head[0], out[:, :, :length])
        assert torch.equal(head[1], lse[:, :, :length])
    decode = run(q[:, :, 699:], k, v, **options)
    assert torch.equal(decode[0], out[:, :, 699:])
    other = draw(14, 1, 2, 700, 48)
    batch = run(torch.cat([other, q]), torch.cat([k, k]), torch.cat([v, v]), **options)
    assert torch.equal(batch[0][1:], out)
    packed = run(
        torch.cat([other[0], q[0]], 1).transpose(0, 1),
        torch.cat([k[0], k[0]], 1).transpose(0, 1),
        torch.cat([v[0], v[0]], 1).transpose(0, 1),
        cu_seq_q=backends.cumulative([700, 700]),
        cu_seq_k=backends.cumulative([700, 700]),
        **options,
    )
    assert torch.equal(packed[0][700:].transpose(0, 1), out[0])
    assert torch.equal(packed[1][700:].transpose(0, 1), lse[0])


def adversarial() -> list[tuple[str, Tensor, Tensor, Tensor]]:
    q, k, v = (draw(i, 1, 1, 150, 32, dtype=torch.float16) for i in range(3))
    dominant = k.clone()
    dominant[:, :, 7] = 60.0
    largest = torch.full_like(q, 65504.0)
    return [
        ("one dominant key", q.abs(), dominant, v),
        ("constant rows", torch.ones_like(q), torch.ones_like(k), v),
        ("scores past fp16", q * 100, k * 100, v),
        ("+-65504 against small keys", largest * q.sign(), k * 1e-4, v),
        ("values at the end of fp16", q, k, largest),
        ("scores near the hidden value's sign", largest, -largest, v),
    ]


@pytest.mark.parametrize(("name", "q", "k", "v"), adversarial(), ids=lambda x: x if isinstance(x, str) else "")
def test_adversarial_inputs(name: str, q: Tensor, k: Tensor, v: Tensor) -> None:
    got = run(q, k, v, cores=1)
    exact, exact_lse = reference.attention(q.double(), k.double(), v.double())
    theirs = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    error = max_abs((theirs.double() - exact).nan_to_num(0.0, 0.0, 0.0))
    eps = torch.finfo(torch.float16).eps
    (out, lse) = got
    assert out.isfinite().all()
    assert max_abs(out.double() - exact) <= 2 * error + eps * max_abs(exact)
    assert max_abs(lse.double() - exact_lse) <= 8 * torch.finfo(torch.float32).eps * max(max_abs(exact_lse), 1.0)


def test_rows_of_large_scores_leave_the_others_alone() -> None:
    """Scores past 2^24 are made again, row by row: the rows beside keep the bits they have without such neighbours."""
    q, k, v = (draw(i, 1, 1, 600, 16) for i in range(3))
    large = q.clone()
    rows = torch.tensor([3, 31, 32, 200, 599])
    large[:, :, rows] *= 1e9
    got, want = run(large, k, v, cores=1), run(q, k, v, cores=1)
    others = torch.ones(600, dtype=torch.bool)
    others[rows] = False
    assert torch.equal(got[0][:, :, others], want[0][:, :, others])
    assert torch.equal(got[1][:, :, others], want[1][:, :, others])
    exact, exact_lse = reference.attention(large.double(), k.double(), v.double())
    assert max_abs(got[0].double() - exact) <= 2 * torch.finfo(torch.bfloat16).eps * max_abs(exact)
    assert ((got[1].double() / exact_lse - 1).abs()[:, :, rows] <= 8 * torch.finfo(torch.float32).eps).all()


def test_row_pitch_past_16_bits() -> None:
    """q, k, v read in place from rows 70000 elements apart: Nd2Nz cannot say so in one instruction."""
    memory = torch.zeros(20, 70000, dtype=torch.bfloat16)
    memory[:, :96] = draw(5, 20, 96)
    q, k, v = (memory[:, i * 32 : (i + 1) * 32][None, None] for i in range(3))
    assert q.stride(2) == 70000
    got = run(q, k, v, cores=1)
    want = run(q.contiguous(), k.contiguous(), v.contiguous(), cores=1)
    assert torch.equal(got[0], want[0])
    assert torch.equal(got[1], want[1])


def test_computes_only_blocks_with_a_visible_pair() -> None:
    modelled = sim.model_forward(sim.Shape(1, 4, 2, 3000, 3000, 64), window_size_left=700)
    plan = schedule.plan((1, 4, 2, 3000, 3000), cores=24, block_q=256, block_k=128, window_size_left=700)
    assert modelled.blocks == plan.blocks
    # The cube multiplies whole 16 x 16 x 16 steps of 128 x 128 tiles: never more than the counted blocks' worth.
    assert modelled.report.cube_steps <= plan.blocks * 2 * (256 * 128 * 64) // 16**3


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"dropout_p": 0.1}, NotImplementedError, r"dropout_p: not supported on the NPU yet, expected 0\.0, got 0\.1"),
        ({"soc": "Ascend310"}, ValueError, r"soc: expected one of Ascend910B1.*got 'Ascend310'"),
        ({"cores": 25}, ValueError, r"cores: expected 1 \.\. 24 on Ascend910B2, got 25"),
        ({"order": "nonsense"}, ValueError, r'order: expected "eager", "lazy" or "random", got \'nonsense\''),
        ({"diagonal": 2**64}, ValueError, "diagonal: expected an int or None of at most 64 bits"),
        (
            {"cu_seq_q": torch.tensor([0, 8], dtype=torch.int32)},
            ValueError,
            "cu_seq_q, cu_seq_k: expected both or neither",
        ),
    ],
    ids=lambda x: next(iter(x)) if isinstance(x, dict) else "",
)
def test_unsupported_arguments_are_named(change: dict[str, Any], error: type[Exception], message: str) -> None:
    q = torch.zeros(1, 1, 8, 16, dtype=torch.float16)
    with pytest.raises(error, match=message):
        sim.attn_forward(q, q, q, **change)


def test_unsupported_dtypes_and_widths_are_named() -> None:
    q = torch.zeros(1, 1, 8, 16)
    with pytest.raises(TypeError, match=r"q: expected float16 or bfloat16.*got torch\.float32"):
        sim.attn_forward(q, q, q)
    wide = torch.zeros(1, 1, 8, 272, dtype=torch.float16)
    with pytest.raises(ValueError, match=r"q: expected a head dimension of 1 \.\. 256, got 272"):
        sim.attn_forward(wide, wide, wide)


def tiling(shape: sim.Shape, cores: int = 24, **changes: Any) -> Tiling:
    dv = shape.d if shape.dv is None else shape.dv
    fields = {
        "batch": shape.batch,
        "heads_q": shape.heads_q,
        "heads_kv": shape.heads_kv,
        "sq": shape.sq,
        "sk": shape.sk,
        "d": shape.d,
        "dv": dv,
        "scale": 1.0,
        "cores": cores,
        "strides": {},
        **changes,
    }
    return forward_tiling(Problem(**fields))


@pytest.mark.parametrize(
    "shape",
    [
        sim.Shape(1, 32, 32, 8192, 8192, 128),
        sim.Shape(1, 52, 52, 2048, 2048, 128),
        sim.Shape(8, 32, 8, 4096, 4096, 128),
        sim.Shape(1, 8, 1, 8192, 8192, 256),
        sim.Shape(2, 16, 16, 5000, 7000, 192, 128),
        sim.Shape(1, 16, 16, 32768, 32768, 64),
    ],
    ids=str,
)
def test_tiling_is_even_and_small(shape: sim.Shape) -> None:
    """At least 8 tasks a core: the busiest has at most 3% above the mean. The ring is at most 3 MiB a core."""
    t = tiling(shape)
    assert shape.batch * shape.heads_q * -(-shape.sq // t.rows) >= 8 * 24
    assert t.imbalance <= 0.03
    assert t.ring_bytes <= 24 * 3 * 2**20
    assert t.workspace_bytes >= t.ring_bytes


def test_tiling_names_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match=r"D: expected 1 \.\. 256, got 257"):
        tiling(sim.Shape(1, 1, 1, 8, 8, 257, 8))
    with pytest.raises(ValueError, match=r"Dv: expected 1 \.\. 256, got 0"):
        tiling(sim.Shape(1, 1, 1, 8, 8, 8, 0))
    with pytest.raises(ValueError, match=r"cores: expected 1 \.\. 32, got 33"):
        tiling(sim.Shape(1, 1, 1, 8, 8, 8), cores=33)
