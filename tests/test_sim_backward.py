"""The NPU's backward kernel on the simulated AI Core: fp16's range, both paths' bits, bad input. The case table is
test_accuracy.py's.
"""

from __future__ import annotations

import dataclasses
import math
import re
from pathlib import Path
from typing import Any

import pytest
import reference
import torch
from cases import Case, make_inputs
from test_accuracy import max_abs, oracle, pytorch_error
from torch import Tensor
from triangle_attn_op import sim
from triangle_attn_op.ascend_sim import Finding
from triangle_attn_op.sim.backward import backward_tiling
from triangle_attn_op.sim.tiling import Problem

GRADIENTS = ("dq", "dk", "dv")


def draw(seed: int, *shape: int, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def run(*tensors: Tensor, **options: Any) -> tuple[Tensor, ...]:
    *gradients, report = sim.attn_backward(*tensors, **options)
    report.raise_on_findings()
    return tuple(gradients)


# Of dout, v, q and k. Scores stay as they are, gradients are multiplied by products of these.
RANGES = {
    "dS beyond 65504": (1.0, 65504.0, 2.0**-3, 2.0**-3),
    "dS below 2^-24": (2.0**-10, 2.0**-6, 2.0**-7, 2.0**7),
    "dout among the least fp16 numbers": (2.0**-20, 2.0**9, 2.0**-4, 2.0**4),
}


@pytest.mark.parametrize("kind", RANGES)
@pytest.mark.parametrize("deterministic", [False, True])
def test_ds_of_fp16_keeps_its_precision_where_the_gradients_fit(kind: str, deterministic: bool, seed: int) -> None:
    """Gradients are linear in dout and v: a problem of ordinary size says what PyTorch's error is on one whose dS
    leaves the range of fp16.
    """
    f_dout, f_v, f_q, f_k = RANGES[kind]
    dtype = torch.float16
    case = Case(kind, Hq=4, Hkv=2, Sq=150, Sk=300, D=64)
    ordinary = make_inputs(case, dtype, seed)
    ordinary.v.sign_()
    ordinary.dout.copy_(ordinary.dout.sign() * (1.0 + torch.arange(64) % 2))  # exact at every size
    ordinary.dlse.zero_()
    for t, factor in ((ordinary.q, f_q), (ordinary.k, f_k)):
        t.mul_(factor)
    theirs = pytorch_error(case, ordinary, dtype, oracle(case, ordinary, torch.float64))
    scaled = dataclasses.replace(ordinary, dout=ordinary.dout * f_dout, v=ordinary.v * f_v)
    want = oracle(case, scaled, torch.float64)
    got = run(
        *(scaled.dout, scaled.q, scaled.k, scaled.v, want.out.to(dtype), want.lse.float()),
        cores=3,
        deterministic=deterministic,
    )
    factors = {"dq": f_dout * f_v, "dk": f_dout * f_v, "dv": f_dout}
    for name, gradient in zip(GRADIENTS, got):
        exact = getattr(want, name)
        fits = exact.abs() < torch.finfo(dtype).max / 2
        assert fits.any()
        error = max_abs((gradient.double() - exact)[fits])
        bound = 3 * theirs[name] * factors[name] + torch.finfo(dtype).eps * max_abs(exact[fits])
        bound += 2.0**-25  # half of the least fp16 number, in which results are given
        assert error <= bound, f"{name}: error {error:.3g}, bound {bound:.3g}"


def test_p_of_fp16_keeps_its_precision_below_the_normal_numbers(seed: int) -> None:
    """One key takes nearly all of every row; the others' P of 2^-20 still has 11 bits in their dV."""
    q, k = torch.ones(1, 1, 200, 16, dtype=torch.float16), torch.zeros(1, 1, 200, 16, dtype=torch.float16)
    k[:, :, 0] = 3.5  # a score of 14
    v = draw(seed, 1, 1, 200, 16, dtype=torch.float16)
    dout = torch.full_like(v, 4096.0)
    out, lse, report = sim.attn_forward(q, k, v, cores=1)
    report.raise_on_findings()
    dv = run(dout, q, k, v, out, lse, cores=1)[2].double()
    hidden = torch.ones(200, 200, dtype=torch.bool).triu(1)
    p = torch.softmax((4.0 * k[0, 0, :, 0].double()).expand(200, 200).masked_fill(hidden, -torch.inf), -1)
    exact = (4096.0 * p.sum(0))[1:]
    assert (p[199, 1:] < 2.0**-19).all()
    assert ((dv[0, 0, 1:, 0] - exact).abs() <= 2.0**-9 * exact).all()


def test_the_range_of_fp16_is_chosen_by_each_document(seed: int) -> None:
    """Bits of a packed document's gradients do not change with its neighbours, however large theirs are."""
    q, k, v, dout = (draw(seed + i, 260, 2, 32, dtype=torch.float16) for i in range(4))
    lens = torch.tensor([0, 130, 260], dtype=torch.int32)

    def gradients(factor: float) -> list[Tensor]:
        scaled = torch.cat([v[:130], v[130:] * factor])
        out, lse, report = sim.attn_forward(q, k, scaled, cu_seq_q=lens, cu_seq_k=lens, cores=2)
        report.raise_on_findings()
        found = run(dout, q, k, scaled, out, lse, cu_seq_q=lens, cu_seq_k=lens, cores=2, deterministic=True)
        return [gradient[:130] for gradient in found]

    for name, a, b in zip(GRADIENTS, gradients(1.0), gradients(2.0**13)):
        assert torch.equal(a, b), name


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bf16", "fp16"])
@pytest.mark.parametrize("deterministic", [False, True])
def test_lse_of_more_keys_than_these(dtype: torch.dtype, deterministic: bool, seed: int) -> None:
    """The gradients of one part of the keys, with out and lse merged over both parts, as ring attention asks for: P is
    at most 1. Also where nearly all of the sum is the other part's.
    """
    q, k, v, dout = (draw(seed + i, 1, 2, 150 if i in (0, 3) else 400, 64, dtype=dtype) for i in range(4))
    for other in (1.0, 4.0):
        k[:, :, 200:] *= other
        inputs = [t.double().requires_grad_() for t in (q, k, v)]
        out, lse = reference.attention(*inputs, diagonal=400)
        exact = torch.autograd.grad(out, inputs, dout.double())
        part = slice(0, 200)
        got = run(
            *(dout, q, k[:, :, part].contiguous(), v[:, :, part].contiguous(), out.to(dtype), lse.float()),
            diagonal=400,
            cores=3,
            deterministic=deterministic,
        )
        for name, ours, theirs in zip(GRADIENTS[1:], got[1:], exact[1:]):
            want = theirs[:, :, part]
            assert max_abs(ours.double() - want) <= 4 * torch.finfo(dtype).eps * max_abs(want), name


def test_lse_below_the_sum_of_these_keys_gives_no_finite_nonsense_in_fp16(seed: int) -> None:
    """Outside of the contract: with P of 2 and more, which fp16 stores times 2^15, dV is not finite; up to 2 it is
    right.
    """
    dout, q, k, v, out, lse = problem(seed, 150, 150)
    dout, q, k, v, out = (t.to(torch.float16) for t in (dout, q, k, v, out))
    first = run(dout, q, k, v, out, lse, cores=1)[2].double()
    twice = run(dout, q, k, v, out, lse - 0.68, cores=1)[2].double()
    torch.testing.assert_close(twice, first * math.exp(0.68), rtol=2.0**-8, atol=1e-2)
    beyond = run(dout, q, k, v, out, lse - 0.70, cores=1)[2]
    assert not beyond[:, :, 0].isfinite().any()  # the first row has one key, whose P is exp(0.7)


def problem(seed: int, sq: int = 300, sk: int = 1300) -> tuple[Tensor, ...]:
    """dout, q, k, v, out, lse with two query heads a key/value head and sections of more than one length."""
    q, k, v, dout = (draw(seed + i, 1, 2 if i in (0, 3) else 1, sq if i in (0, 3) else sk, 64) for i in range(4))
    out, lse, report = sim.attn_forward(q, k, v, cores=2)
    report.raise_on_findings()
    return dout, q, k, v, out, lse


def test_deterministic_path_has_the_same_bits_in_every_schedule_and_on_any_cores(seed: int) -> None:
    tensors = problem(seed)
    first = run(*tensors, cores=1, deterministic=True)
    changes: list[dict[str, Any]] = [{"cores": cores} for cores in (2, 5)]
    changes += [{"cores": 3, "order": "lazy"}, *({"cores": 3, "order": "random", "seed": seed + i} for i in range(3))]
    for change in changes:
        again = run(*tensors, deterministic=True, **change)
        for name, a, b in zip(GRADIENTS, first, again):
            assert torch.equal(a, b), f"{name}: {change}"


DETERMINISM = {
    "square": ((2, 2, 300, 300), {}),
    "GQA": ((4, 2, 300, 300), {}),
    "window": ((2, 1, 400, 400), {"window_size_left": 100}),
    "one block row": ((1, 1, 100, 300), {}),
    "packed": ((2, 2, 280, 280), {"cu_seq_q": torch.tensor([0, 130, 280]).int()}),
}


@pytest.mark.parametrize("name", DETERMINISM)
@pytest.mark.parametrize("order", ["eager", "random"])
def test_only_the_fast_path_adds_in_an_open_order(name: str, order: str, seed: int) -> None:
    """The simulator's determinism mode: no two cores add to one place in the deterministic path, unless a flag orders
    them; in the fast path they do, and the finding says where.
    """
    (hq, hkv, sq, sk), options = DETERMINISM[name]
    q, k, v, dout = (draw(seed + i, 1, hkv if i in (1, 2) else hq, sk if i in (1, 2) else sq, 32) for i in range(4))
    if "cu_seq_q" in options:
        options = {**options, "cu_seq_k": options["cu_seq_q"]}
        q, k, v, dout = (t[0].transpose(0, 1).contiguous() for t in (q, k, v, dout))
    out, lse, report = sim.attn_forward(q, k, v, cores=3, **options)
    report.raise_on_findings()

    def findings(deterministic: bool) -> list[Finding]:
        launch = {"cores": 3, "order": order, "seed": seed, "determinism": True, "deterministic": deterministic}
        return sim.attn_backward(dout, q, k, v, out, lse, **launch, **options)[-1].findings

    assert findings(True) == []
    (found,) = findings(False)
    assert found.rule == "nondeterministic-atomic"
    assert (Path(found.site.file).name, found.region) == ("cube.h", "workspace")
    assert found.site.core != found.other.core
    assert re.search(r"Fixpipe .* atomically updates bytes .* of GM 'workspace' while the atomic update", str(found))


@pytest.mark.parametrize(
    ("sq", "sk", "options", "cores", "dtype"),
    [
        (4200, 130, {"diagonal": 130}, 4, torch.bfloat16),
        (2300, 2300, {}, 3, torch.float16),
        (300, 700, {"alignment": "top_left"}, 2, torch.bfloat16),
    ],
    ids=["one column, many cores", "cut columns", "keys that nobody sees"],
)
def test_block_columns_that_cores_share_or_nobody_sees(
    sq: int, sk: int, options: dict[str, Any], cores: int, dtype: torch.dtype, seed: int
) -> None:
    q, k, v, dout = (draw(seed + i, 1, 2, sq if i in (0, 3) else sk, 16, dtype=dtype) for i in range(4))
    out, lse, report = sim.attn_forward(q, k, v, cores=cores, **options)
    report.raise_on_findings()
    fast = run(dout, q, k, v, out, lse, cores=cores, deterministic=False, **options)
    inputs = [t.double().requires_grad_() for t in (q, k, v)]
    exact = torch.autograd.grad(reference.attention(*inputs, **options)[0], inputs, dout.double())
    for name, ours, theirs in zip(GRADIENTS, fast, exact):
        assert max_abs(ours.double() - theirs) <= 4 * torch.finfo(dtype).eps * max_abs(theirs), name
    dk = fast[1]
    unseen = (exact[1] == 0).all(-1)
    assert (dk[unseen] == 0).all()
    assert (fast[2][unseen] == 0).all()


def test_the_flag_of_pytorch_chooses_the_deterministic_path(seed: int) -> None:
    tensors = problem(seed, 150, 150)
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        flagged = sim.attn_backward(*tensors, cores=1)[-1]
    finally:
        torch.use_deterministic_algorithms(before)
    chosen, fast = (sim.attn_backward(*tensors, cores=1, deterministic=flag)[-1] for flag in (True, False))
    assert flagged.cube_steps == chosen.cube_steps > fast.cube_steps


@pytest.mark.parametrize("deterministic", [False, True])
def test_multiplies_only_blocks_with_a_visible_pair(deterministic: bool) -> None:
    m = sim.model_backward(sim.Shape(1, 2, 1, 1024, 1024, 64), window_size_left=300, deterministic=deterministic)
    visible = sum(
        any(max(0, i - 300) // 128 <= column <= i // 128 for i in range(row * 128, row * 128 + 128))
        for row in range(8)
        for column in range(8)
    )
    assert m.blocks == 2 * visible
    products = 4 + 3 if deterministic else 5
    assert m.report.cube_steps == m.blocks * products * (128 * 128 * 64) // 16**3


@pytest.mark.parametrize(
    "shape",
    [
        sim.Shape(1, 32, 32, 8192, 8192, 128),
        sim.Shape(1, 52, 52, 2048, 2048, 128),
        sim.Shape(8, 32, 8, 4096, 4096, 128),
        sim.Shape(2, 16, 16, 5000, 7000, 192, 128),
    ],
    ids=str,
)
@pytest.mark.parametrize("deterministic", [False, True])
def test_tiling_is_even_and_small(shape: sim.Shape, deterministic: bool) -> None:
    """The busiest core has at most 3% above the mean. The ring is at most 2.5 MiB a core."""
    dv = shape.d if shape.dv is None else shape.dv
    sizes = (shape.batch, shape.heads_q, shape.heads_kv, shape.sq, shape.sk, shape.d, dv)
    t = backward_tiling(Problem(*sizes, scale=1.0, cores=24, strides={}), deterministic=deterministic)
    assert t.imbalance <= 0.03
    assert t.ring_bytes <= 24 * 2.5 * 2**20
    assert t.ring_bytes + t.accumulator_bytes < t.workspace_bytes


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"dropout_p": 0.1}, NotImplementedError, r"dropout_p: not supported on the NPU yet"),
        ({"attn_mask": torch.zeros(8, 8).double()}, TypeError, "attn_mask: expected bool, float32 or q's dtype"),
        ({"cores": 25}, ValueError, r"cores: expected 1 \.\. 24 on Ascend910B2, got 25"),
        ({"dlse": torch.zeros(1, 1, 7)}, ValueError, r"dlse: expected torch.float32 \[1, 1, 8\], got .*\[1, 1, 7\]"),
    ],
    ids=lambda x: next(iter(x)) if isinstance(x, dict) else "",
)
def test_unsupported_arguments_are_named(change: dict[str, Any], error: type[Exception], message: str) -> None:
    q, lse = torch.zeros(1, 1, 8, 16, dtype=torch.float16), torch.zeros(1, 1, 8)
    with pytest.raises(error, match=message):
        sim.attn_backward(q, q, q, q, q, lse, **change)


def test_results_of_another_shape_are_named() -> None:
    q, lse = torch.zeros(1, 1, 8, 16, dtype=torch.float16), torch.zeros(1, 1, 8)
    with pytest.raises(ValueError, match=r"dout: expected torch.float16 \[1, 1, 8, 16\], got torch.float16 \[1, 1, 4"):
        sim.attn_backward(q[:, :, :4], q, q, q, q, lse)
    with pytest.raises(ValueError, match=r"lse: expected torch.float32 \[1, 1, 8\], got torch.float16"):
        sim.attn_backward(q, q, q, q, q, lse.half())
