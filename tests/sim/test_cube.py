"""Mmad alone and whole products L1 -> L0 -> Mmad -> Fixpipe, computed again in numpy; the order that they need."""

from __future__ import annotations

import struct

import ascend_sim
import numpy as np
import pytest
from cube_reference import (
    HYPOTHESIS,
    Case,
    Load,
    bf16,
    fixpipe_inputs,
    from_bf16,
    nd_case,
    operands,
    run,
    up,
    zn,
    zz,
)
from hypothesis import given
from hypothesis import strategies as st

# ---- Mmad ---------------------------------------------------------------------------------------------------------


@HYPOTHESIS
@given(data=st.data())
def test_mmad_shapes(kernels, data):
    name, dtype = data.draw(st.sampled_from([("f16_f32", np.float16), ("f32_f32", np.float32), ("s8_s32", np.int8)]))
    c0 = 32 // np.dtype(dtype).itemsize
    m, n, k = data.draw(st.integers(2, 70)), 16 * data.draw(st.integers(1, 5)), data.draw(st.integers(1, 90))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    a, b = operands(rng, m, k, n, dtype)
    case = nd_case(m, n, k, unit_flag=data.draw(st.sampled_from([0, 3])))
    out = np.zeros((m, n), np.int32 if dtype == np.int8 else np.float32)
    order = data.draw(st.sampled_from(["eager", "lazy", "random"]))
    run(kernels, name, case, zz(a, c0), zn(b, c0), out, order=order).raise_on_findings()
    np.testing.assert_array_equal(out, a.astype(out.dtype) @ b.astype(out.dtype))


def test_mmad_rounds_like_fp32_in_ascending_k(kernels):
    rng = np.random.default_rng(5)
    m, n, k = 33, 32, 64
    for name, dtype in (("f16_f32", np.float16), ("f32_f32", np.float32)):
        a, b = (rng.standard_normal(shape).astype(dtype) for shape in ((m, k), (k, n)))
        want = np.zeros((m, n), np.float32)
        for i in range(k):
            want += a[:, i : i + 1].astype(np.float32) * b[i].astype(np.float32)
        out = np.zeros((m, n), np.float32)
        c0 = 32 // np.dtype(dtype).itemsize
        run(kernels, name, nd_case(m, n, k), zz(a, c0), zn(b, c0), out).raise_on_findings()
        np.testing.assert_array_equal(out, want)


def test_mmad_special_values(kernels):
    a = np.zeros((2, 16), np.float16)
    a[0, 0], a[0, 1], a[1, 0] = np.inf, 6e-8, np.nan  # a subnormal of half too
    b = np.eye(16, dtype=np.float16)
    b[0, 1:] = 1
    out = np.zeros((2, 16), np.float32)
    run(kernels, "f16_f32", nd_case(2, 16, 16), zz(a, 16), zn(b, 16), out)
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(out, a.astype(np.float32) @ b.astype(np.float32))


@pytest.mark.parametrize(("m", "n", "k"), [(0, 16, 16), (16, 0, 16), (16, 16, 0)])
def test_semantics_23_zero_dimension_does_nothing(kernels, m, n, k):
    out = np.full((16, 16), 7, np.float32)
    case = Case(m=m, n=n, k=k, n_size=0, m_size=0, src_stride=16, dst_stride=16)
    case.a = case.b = Load(repeat=1)
    data = np.zeros(256, np.float16)
    run(kernels, "f16_f32", case, data, data, out).raise_on_findings()
    assert (out == 7).all()


def test_semantics_23_initial_values(kernels):
    rng = np.random.default_rng(6)
    m, n, k = 20, 48, 16
    a, b = operands(rng, m, k, n, np.float16)
    bias = rng.integers(-50, 50, 256).astype(np.float32)
    product = a.astype(np.float32) @ b.astype(np.float32)
    out = np.zeros((m, n), np.float32)
    args = (zz(a, 16), zn(b, 16), out)
    for case in (nd_case(m, n, k, init=0, source=1, bias=1), nd_case(m, n, k, init=0, bias=1)):
        run(kernels, "f16_f32", case, *args, bias=bias).raise_on_findings()
        np.testing.assert_array_equal(out, product + bias[:n])
    half_bias = bias.astype(np.float16)
    run(kernels, "f16_f32", nd_case(m, n, k, init=0, bias=2), *args, bias=half_bias).raise_on_findings()
    np.testing.assert_array_equal(out, product + half_bias[:n].astype(np.float32))
    run(kernels, "f16_f32", nd_case(m, n, k, init=1, source=1, bias=1), *args, bias=bias).raise_on_findings()
    np.testing.assert_array_equal(out, product)  # cmatrixInitVal = true: from zero
    report = run(kernels, "f16_f32", nd_case(m, n, k, init=0), *args)
    assert report.rules() == {"uninitialised-read"}  # from L0C, which nobody wrote


def test_int8_bias_saturates(kernels):
    a, b = np.full((16, 32), 127, np.int8), np.full((32, 16), 127, np.int8)
    bias = np.full(256, 2**31 - 10, np.int32)
    out = np.zeros((16, 16), np.int32)
    run(
        kernels, "s8_s32", nd_case(16, 16, 32, init=0, bias=1), zz(a, 32), zn(b, 32), out, bias=bias
    ).raise_on_findings()
    assert (out == 2**31 - 1).all()


def test_semantics_23_gemv(kernels):
    rng = np.random.default_rng(7)
    k, n = 200, 64
    a, b = operands(rng, 1, k, n, np.float16)
    out = np.zeros((1, n), np.float32)
    run(kernels, "f16_f32", nd_case(1, n, k), a.reshape(-1), zn(b, 16), out).raise_on_findings()
    np.testing.assert_array_equal(out, a.astype(np.float32) @ b.astype(np.float32))


def test_semantics_23_k_direction_align(kernels):
    """fp32: with kDirectionAlign rows of fractals of A are an even number of fractals long."""
    rng = np.random.default_rng(8)
    m, k, n = 32, 36, 16
    a, b = operands(rng, m, k, n, np.float32)
    out = np.zeros((m, n), np.float32)
    run(kernels, "f32_f32", nd_case(m, n, k, k_align=1), zz(a, 8, columns=6), zn(b, 8), out).raise_on_findings()
    np.testing.assert_array_equal(out, a @ b)
    run(kernels, "f32_f32", nd_case(m, n, k), zz(a, 8), zn(b, 8), out).raise_on_findings()
    np.testing.assert_array_equal(out, a @ b)


@pytest.mark.parametrize(
    ("what", "message"), [("m", "m: expected 0..4095, got 4096"), ("unit_flag", "unitFlag: expected 0, 2 or 3")]
)
def test_mmad_bad_arguments(kernels, what, message):
    case = nd_case(16, 16, 16)
    setattr(case, what, {"m": 4096, "unit_flag": 1}[what])
    data = np.zeros(256, np.float16)
    report = run(kernels, "f16_f32", case, data, data, np.zeros((16, 16), np.float32))
    assert not report.completed
    assert message in report.findings[0].message


# ---- whole products -----------------------------------------------------------------------------------------------


def test_whole_fractals_with_undefined_rows_are_no_finding_until_used(kernels):
    """Nd2Nz leaves the rows past the matrix alone, LoadData takes whole fractals: only Mmad's own m counts."""
    shape = struct.pack("<7i", 20, 32, 32, 32, 0, 0, 0)
    a, b = np.ones((20, 32), np.float16), np.ones((32, 32), np.float16)
    out = np.zeros((20, 32), np.float32)
    kernels("cube").launch("matmul_f16", a, b, out, ascend_sim.Struct(shape)).raise_on_findings()
    assert (out == 32).all()


def matmul(kernels, name, m, n, k, *, unit_flag=0, b_rows_are_k=0, fault=0, seed=0, **options):
    rng = np.random.default_rng(seed)
    ldc = up(n, 16) + 16
    a, b = rng.standard_normal((m, k)).astype(np.float32), rng.standard_normal((k, n)).astype(np.float32)
    if name == "f16":
        a, b = a.astype(np.float16), b.astype(np.float16)
        gm_a, gm_b, out = a, b, np.zeros((m, ldc), np.float32)
    elif name == "bf16":
        gm_a, gm_b, out = bf16(a), bf16(b), np.zeros((m, ldc), np.uint16)
        a, b = from_bf16(gm_a), from_bf16(gm_b)
    else:
        gm_a, gm_b, out = a, b, np.zeros((m, ldc), np.float32)
    gm_b = np.ascontiguousarray(gm_b if b_rows_are_k else gm_b.T)
    shape = ascend_sim.Struct(struct.pack("<7i", m, n, k, ldc, unit_flag, b_rows_are_k, fault))
    report = kernels("cube").launch(f"matmul_{name}", gm_a, gm_b, out, shape, **options)
    got = (from_bf16(out) if name == "bf16" else out)[:, :n]
    return report, got, a.astype(np.float64) @ b.astype(np.float64)


@pytest.mark.parametrize("order", ["eager", "lazy", "random"])
@pytest.mark.parametrize("unit_flag", [0, 1])
@pytest.mark.parametrize("name", ["f16", "bf16", "f32"])
def test_matmul(kernels, name, unit_flag, order):
    for m, n, k, b_rows_are_k in ((130, 112, 200, 0), (50, 96, 40, 1), (98, 20, 136, 0)):
        report, got, want = matmul(
            kernels, name, m, n, k, unit_flag=unit_flag, b_rows_are_k=b_rows_are_k, order=order, block_dim=3
        )
        report.raise_on_findings()
        tolerance = 1e-2 * np.sqrt(k) if name == "bf16" else 1e-5 * k
        np.testing.assert_allclose(got, want, atol=tolerance)


def test_matmul_is_bitwise_the_same_in_every_order(kernels):
    results = [
        matmul(kernels, "f16", 130, 112, 200, order=order, block_dim=2)[1] for order in ("eager", "lazy", "random")
    ]
    assert all((r == results[0]).all() for r in results)


@pytest.mark.parametrize(
    ("fault", "rules"), [(1, {"race.read-after-write"}), (3, {"race.write-after-read", "race.write-after-write"})]
)
def test_matmul_without_synchronisation_is_reported(kernels, fault, rules):
    matmul(kernels, "f16", 96, 96, 128)[0].raise_on_findings()
    report = matmul(kernels, "f16", 96, 96, 128, fault=fault)[0]
    assert report.rules() == rules


def mmad_chain(kernels, m, n, barrier, loops=3):
    a = np.random.default_rng(0).integers(-2, 3, 16384).astype(np.float16)
    out = np.zeros((m, n), np.float32)
    return kernels("cube").launch("mmad_chain", a, out, loops, m, n, barrier)


def test_small_mmads_need_a_barrier_between_them(kernels):
    """CANN's rule: (m / 16) * (n / 16) < 10."""
    mmad_chain(kernels, 48, 48, barrier=1).raise_on_findings()
    report = mmad_chain(kernels, 48, 48, barrier=0)
    assert {"race.read-after-write", "race.write-after-write"} <= report.rules()
    assert "PipeBarrier<PIPE_M> is missing" in report.findings[0].message


@pytest.mark.parametrize(("m", "n"), [(32, 80), (128, 128)])
def test_large_mmads_follow_each_other_without_one(kernels, m, n):
    mmad_chain(kernels, m, n, barrier=0).raise_on_findings()


@pytest.mark.parametrize("pipe", ["M", "MTE1"])
def test_semantics_28_queues_of_32_instructions(kernels, pipe):
    """Issue stalls at the 33rd instruction that waits for its pipe: the load of MTE2 behind them starts late."""

    def start(count):
        kernel = "queue_depth_m" if pipe == "M" else "queue_depth_mte1"
        report = kernels("cube").launch(kernel, 1 << 20, count, timing_only=True, trace=True)
        mte2 = ascend_sim.PIPES.index("MTE2")
        return report.events[report.events["pipe"] == mte2]["start"].max()

    one_more = start(31) - start(30)  # no stall: the time of one issue
    assert start(32) - start(31) == one_more
    assert start(40) - start(32) > 8 * one_more + 512


def test_semantics_24_unit_flag_of_part_of_a_tile(kernels):
    matmul(kernels, "f16", 96, 96, 128, unit_flag=1)[0].raise_on_findings()
    report = matmul(kernels, "f16", 96, 96, 128, unit_flag=1, fault=2)[0]
    assert report.rules() == {"unit-flag"}
    assert "no Fixpipe with unitFlag 3 took it" in report.findings[0].message
    matmul(kernels, "f16", 96, 96, 128, unit_flag=1, fault=4)[0].raise_on_findings()  # SetFixPipeConfig(..., true)


def test_semantics_24_fixpipe_waits_for_the_mmad(kernels):
    """Mmad with unitFlag 2 or 0 sets nothing that a Fixpipe with unitFlag 3 could wait for."""
    a, b, _ = fixpipe_inputs()
    out = np.zeros((40, 48), np.float32)
    run(kernels, "f16_f32", nd_case(40, 48, 32, unit_flag=3), a, b, out).raise_on_findings()
    report = run(kernels, "f16_f32", nd_case(40, 48, 32, unit_flag=2), a, b, out)
    assert report.rules() == {"unit-flag"}


def test_timing_only_keeps_unit_flags_in_time(kernels):
    with_data = matmul(kernels, "f16", 96, 96, 512, unit_flag=1)[0]
    timing = matmul(kernels, "f16", 96, 96, 512, unit_flag=1, timing_only=True)[0]
    assert timing.cycles == with_data.cycles
