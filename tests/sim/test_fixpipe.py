"""Out of the cube: Fixpipe's formats, quantisation and atomics, computed again in numpy, on the same bytes."""

from __future__ import annotations

import numpy as np
import pytest
from cube_reference import (
    QUANT,
    Case,
    bf16,
    fixpipe_inputs,
    from_bf16,
    nd_case,
    nz,
    operands,
    run,
    zn,
    zz,
)


def scale_bits(factor, offset=0, signed=True, shift=0):
    bits = int(np.float32(factor).view(np.uint32))
    bits |= (offset & 0x1FF) << 37 | int(signed) << 46
    return bits | ((shift - 1) << 32 | 1 << 36 if shift else 0)


def quantise(values, bits, relu=False):
    """(V)QF322B8_PRE and (V)REQ8 of the documentation, for one 64-bit parameter."""
    factor = np.uint32(bits & 0xFFFFE000).view(np.float32)
    offset = (bits >> 37) & 0x1FF
    offset -= 512 if offset >= 256 else 0
    x = values.astype(np.int64)
    if bits >> 36 & 1 and values.dtype == np.int32:
        x = np.clip(values.astype(np.int64) >> ((bits >> 32 & 15) + 1), -32768, 32767)
    y = (x if values.dtype == np.int32 else values).astype(np.float32) * factor
    if relu:
        y = np.where(values < 0, np.float32(0), y)
    y = np.rint(np.clip(y, -256, 255)).astype(np.int64) + offset
    return np.clip(y, -128, 127).astype(np.int8) if bits >> 46 & 1 else np.clip(y, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("unit_flag", [0, 3])
@pytest.mark.parametrize("relu", [0, 1])
def test_semantics_25_half_rounds_to_nearest_even(kernels, relu, unit_flag):
    a, b, product = fixpipe_inputs()
    case = nd_case(40, 48, 32, relu=relu, unit_flag=unit_flag, quant=QUANT["F322F16"])
    out = np.zeros((40, 48), np.float16)
    run(kernels, "f16_f16", case, a, b, out).raise_on_findings()
    np.testing.assert_array_equal(out, (np.maximum(product, 0) if relu else product).astype(np.float16))


def test_semantics_25_bfloat16(kernels):
    rng = np.random.default_rng(10)
    a32, b32 = (from_bf16(bf16(rng.standard_normal(s))) for s in ((40, 32), (32, 48)))
    product = np.zeros((40, 48), np.float32)
    for i in range(32):
        product += a32[:, i : i + 1] * b32[i]
    case = nd_case(40, 48, 32, quant=QUANT["F322BF16"])
    out = np.zeros((40, 48), np.uint16)
    run(kernels, "bf16_bf16", case, zz(bf16(a32), 16), zn(bf16(b32), 16), out).raise_on_findings()
    np.testing.assert_array_equal(out, bf16(product))


def test_semantics_25_saturation_bit(kernels):
    a = np.zeros((4, 16), np.float16)
    a[0, 0], a[1, 0], a[2, 0], a[3, 0] = 60000, -60000, np.inf, np.nan
    b = np.full((16, 16), 0, np.float16)
    b[0] = 2
    for saturate, want in ((0, [np.inf, -np.inf, np.inf, np.nan]), (1, [65504, -65504, 65504, 0])):
        out = np.zeros((4, 16), np.float16)
        case = nd_case(4, 16, 16, quant=QUANT["F322F16"], saturate=saturate)
        run(kernels, "f16_f16", case, zz(a, 16), zn(b, 16), out)
        np.testing.assert_array_equal(out[:, 0], np.array(want, np.float16))


def test_semantics_25_strides_of_row_major_output(kernels):
    """Two matrices, side by side in L0C, to rows of a larger matrix in GM."""
    a, b, product = fixpipe_inputs(m=32, n=64)
    case = Case(
        m=32,
        n=64,
        k=32,
        n_size=32,
        m_size=20,
        src_stride=32,
        dst_stride=70,
        nd_num=2,
        src_nd_stride=4,
        dst_nd_stride=35,
    )
    out = np.full((32, 70), -1, np.float32)
    run(kernels, "f16_f32", case, a, b, out).raise_on_findings()
    want = np.full((32, 70), -1, np.float32)
    want[:20, :32], want[:20, 35:67] = product[:20, :32], product[:20, 32:]
    np.testing.assert_array_equal(out, want)


def test_semantics_25_n_size_no_multiple_of_16_is_reported(kernels):
    a, b, product = fixpipe_inputs(n=48)
    case = nd_case(40, 48, 32)
    case.n_size, case.dst_stride = 41, 41
    out = np.zeros((40, 41), np.float32)
    report = run(kernels, "f16_f32", case, a, b, out)
    assert report.completed
    assert report.rules() == {"portability"}
    assert "nSize 41 is not a multiple of 16" in report.findings[0].message
    np.testing.assert_array_equal(out, product[:, :41])


@pytest.mark.parametrize(
    ("name", "dtype", "quant"), [("f16_f32", np.float32, "NoQuant"), ("f16_f16", np.float16, "F322F16")]
)
def test_fixpipe_nz_to_gm(kernels, name, dtype, quant):
    a, b, product = fixpipe_inputs()
    rows = 44  # more than the tile has
    case = nd_case(40, 48, 32, nz=1, quant=QUANT[quant])
    case.dst_stride = rows * 16 * np.dtype(dtype).itemsize // 32
    out = np.zeros(rows * 48, dtype)
    run(kernels, name, case, a, b, out).raise_on_findings()
    np.testing.assert_array_equal(out, nz(product.astype(dtype), 16, rows))


def test_fixpipe_channel_split(kernels):
    a, b, product = fixpipe_inputs(m=32, n=32)
    case = nd_case(32, 32, 32, nz=1, split=1)
    case.n_size, case.dst_stride = 24, 32
    out = np.zeros(32 * 24, np.float32)
    run(kernels, "f16_f32", case, a, b, out).raise_on_findings()
    np.testing.assert_array_equal(out, nz(product[:, :24], 8))


@pytest.mark.parametrize(
    ("name", "dtype", "quant"), [("f16_f16", np.float16, "F322F16"), ("f16_s8", np.int8, "QF322B8_PRE")]
)
def test_fixpipe_to_l1(kernels, name, dtype, quant):
    a, b, product = fixpipe_inputs(m=32, n=64)
    case = nd_case(
        32, 64, 32, nz=1, quant=QUANT[quant], scale_low=scale_bits(2) & 0xFFFFFFFF, scale_high=scale_bits(2) >> 32
    )
    size = np.dtype(dtype).itemsize
    case.dst_stride, case.to_l1 = 32 if size == 1 else 32 * 16 * size // 32, 32 * 64
    out = np.zeros(32 * 64, dtype)
    run(kernels, name, case, a, b, out).raise_on_findings()
    values = product.astype(np.float16) if size == 2 else quantise(product, scale_bits(2))
    np.testing.assert_array_equal(out, nz(values, 32 if size == 1 else 16))


@pytest.mark.parametrize("n", [32, 48])
def test_channel_merge_of_bytes(kernels, n):
    """8-bit NZ output has fractals of 16 x 32; an odd last column of 16 stays alone."""
    a, b, product = fixpipe_inputs(m=32, n=n)
    bits = scale_bits(3, offset=-4)
    case = nd_case(32, n, 32, nz=1, quant=QUANT["QF322B8_PRE"], scale_low=bits & 0xFFFFFFFF, scale_high=bits >> 32)
    case.dst_stride = 32
    out = np.zeros(32 * n, np.int8)
    run(kernels, "f16_s8", case, a, b, out).raise_on_findings()
    values = quantise(product, bits)
    want = np.concatenate([nz(values[:, :32], 32), nz(values[:, 32:], 16)])
    np.testing.assert_array_equal(out, want)


@pytest.mark.parametrize("relu", [0, 1])
@pytest.mark.parametrize(
    "bits", [scale_bits(0.01, 5), scale_bits(0.003, -7, signed=False), scale_bits(0.5, 0, shift=6)]
)
def test_requantise_scalar_and_vector(kernels, bits, relu):
    a, b, product = fixpipe_inputs(dtype=np.int8)
    name = "s8_u8"  # the sign bit of the parameter decides, not the type of the tensor
    want = quantise(product, bits, relu)
    case = nd_case(40, 48, 32, relu=relu, quant=QUANT["REQ8"], scale_low=bits & 0xFFFFFFFF, scale_high=bits >> 32)
    out = np.zeros((40, 48), np.uint8)
    run(kernels, name, case, a, b, out).raise_on_findings()
    np.testing.assert_array_equal(out.view(want.dtype), want)
    columns = [scale_bits(0.001 * (1 + i), i % 7, bool(bits >> 46 & 1)) for i in range(48)]
    scales = np.zeros(512, np.uint64)
    scales[:48] = columns
    case = nd_case(40, 48, 32, relu=relu, quant=QUANT["VREQ8"], scales=48)
    run(kernels, name, case, a, b, out, scales=scales).raise_on_findings()
    want = np.stack([quantise(product[:, i], columns[i], relu) for i in range(48)], axis=1)
    np.testing.assert_array_equal(out.view(want.dtype), want)


def test_data_copy_takes_fixpipe_settings_from_registers(kernels):
    a, b, product = fixpipe_inputs(m=32, n=64)
    case = Case(m=32, n=64, k=32, n_size=32, m_size=20, src_stride=32, dst_stride=70, nd_num=2, src_nd_stride=4)
    case.dst_nd_stride, case.by_copy, case.quant, case.unit_flag = 35, 1, QUANT["F322F16"], 0
    out = np.full((32, 70), -1, np.float16)
    run(kernels, "f16_f16", case, a, b, out).raise_on_findings()
    want = np.full((32, 70), -1, np.float16)
    want[:20, :32], want[:20, 35:67] = product[:20, :32], product[:20, 32:]
    np.testing.assert_array_equal(out, want)

    a, b, product = fixpipe_inputs(dtype=np.int8)
    columns = [scale_bits(0.001 * (1 + i), i % 7) for i in range(48)]
    scales = np.zeros(512, np.uint64)
    scales[:48] = columns
    out = np.zeros((40, 48), np.uint8)
    case = nd_case(40, 48, 32, quant=QUANT["VREQ8"], scales=48, by_copy=1)
    run(kernels, "s8_u8", case, a, b, out, scales=scales).raise_on_findings()
    want = np.stack([quantise(product[:, i], columns[i]) for i in range(48)], axis=1)
    np.testing.assert_array_equal(out.view(np.int8), want)
    case = nd_case(40, 48, 32, quant=QUANT["REQ8"], by_copy=1)
    case.scale_low, case.scale_high = columns[3] & 0xFFFFFFFF, columns[3] >> 32
    run(kernels, "s8_u8", case, a, b, out).raise_on_findings()
    np.testing.assert_array_equal(out.view(np.int8), quantise(product, columns[3]))


def test_dequantise_more_columns_than_the_table_holds(kernels):
    """VDEQF16 with 288 columns: CANN cuts it into tiles of 128 by itself."""
    a, b, product = fixpipe_inputs(m=16, n=288, dtype=np.int8)
    factors = np.float32(2.0) ** -np.arange(288, dtype=np.float32).__mod__(9)
    scales = np.zeros(512, np.uint64)
    scales[:288] = factors.view(np.uint32)
    out = np.zeros((16, 288), np.float16)
    case = nd_case(16, 288, 32, quant=QUANT["VDEQF16"], scales=288)
    run(kernels, "s8_f16", case, a, b, out, scales=scales).raise_on_findings()
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(out, (product.astype(np.float32) * factors).astype(np.float16))


@pytest.mark.parametrize(("atomic", "combine"), [(1, np.add), (2, np.maximum)])
@pytest.mark.parametrize("order", ["eager", "lazy", "random"])
def test_semantics_26_atomic_fixpipe(kernels, atomic, combine, order):
    a, b, product = fixpipe_inputs()
    out = np.random.default_rng(0).standard_normal((40, 48)).astype(np.float32)
    want = combine(out, product)
    run(kernels, "f16_f32", nd_case(40, 48, 32, atomic=atomic), a, b, out, order=order).raise_on_findings()
    np.testing.assert_array_equal(out, want)


@pytest.mark.parametrize("order", ["eager", "random"])
def test_semantics_29_atomic_adds_of_several_cores(kernels, order):
    """Not a race; in determinism mode their open order is reported."""
    rng = np.random.default_rng(12)
    x, y = operands(rng, 32, 32, 32, np.float16)  # exact numbers: the order does not show in the sum
    args = (zz(x, 16), zn(y, 16))
    out = np.zeros((32, 32), np.float32)
    case = nd_case(32, 32, 32, atomic=1)
    run(kernels, "f16_f32", case, *args, out, block_dim=4, order=order).raise_on_findings()
    np.testing.assert_array_equal(out, 4 * (x @ y).astype(np.float32))
    report = run(kernels, "f16_f32", case, *args, out, block_dim=4, order=order, determinism=True)
    assert report.rules() == {"nondeterministic-atomic"}
    report = run(kernels, "f16_f32", nd_case(32, 32, 32), *args, out, block_dim=2, order=order)
    assert report.rules() == {"race.write-after-write"}


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("f16_f16", dict(), "quantPre NoQuant: does not take float to half"),
        ("f16_f32", dict(quant=1), "quantPre F322F16: does not take float to float"),
        ("f16_f32", dict(m_size=8193), "mSize: expected 0..8192, got 8193"),
        ("f16_f32", dict(n_size=4096), "nSize: expected 0..4095, got 4096"),
        ("f16_f32", dict(dst_stride=0), "dstStride: must not be 0"),
        ("f16_f32", dict(nz=1, n_size=40), "nSize: 40 is not a multiple of 16"),
        ("f16_f32", dict(nz=1, split=1, n_size=36), "nSize: 36 is not a multiple of 8"),
        ("f16_f32", dict(split=1), "isChannelSplit: the destination must be NZ"),
        ("f16_f32", dict(nd_num=2, src_nd_stride=513, dst_nd_stride=1), "srcNdStride: expected 1..512, got 513"),
        ("f16_f32", dict(to_l1=32), "quantPre NoQuant: does not take float to float in L1"),
    ],
)
def test_fixpipe_bad_arguments(kernels, name, change, message):
    a, b, _ = fixpipe_inputs()
    case = nd_case(40, 48, 32)
    for key, value in change.items():
        setattr(case, key, value)
    report = run(kernels, name, case, a, b, np.zeros((64, 64), np.float32))
    assert not report.completed
    assert any(message in finding.message for finding in report.findings), report.findings[0].message
