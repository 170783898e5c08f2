"""Into the cube's memories: Nd2Nz, fills, LoadData, each computed again in numpy, on the same bytes."""

from __future__ import annotations

import struct

import ascend_sim
import numpy as np
import pytest
from cube_reference import (
    HYPOTHESIS,
    Load,
    nd_case,
    nz,
    operands,
    run,
    up,
    zn,
    zz,
)
from hypothesis import given
from hypothesis import strategies as st

# ---- Nd2Nz, fills -------------------------------------------------------------------------------------------------


@HYPOTHESIS
@given(data=st.data())
def test_semantics_20_nd2nz(kernels, data):
    size = data.draw(st.sampled_from([1, 2, 4]))
    c0 = 32 // size
    n, d = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 70))
    num = data.draw(st.integers(1, 3))
    src_d = d + data.draw(st.integers(0, 5))
    n_stride = data.draw(st.integers(1, 3))
    c0_stride = n * n_stride + data.draw(st.integers(0, 3))
    groups = -(-d // c0)
    src_matrix = data.draw(st.integers(0, 200))
    dst_matrix = up(groups * c0_stride * c0, c0) + c0 * data.draw(st.integers(0, 2))
    total = up(num * dst_matrix * size + groups * c0_stride * 32, 32)
    if total > 65535 * 32 or dst_matrix > 16384:
        return
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    dtype = {1: np.uint8, 2: np.uint16, 4: np.uint32}[size]
    src = rng.integers(0, 200, num * src_matrix + n * src_d + 8).astype(dtype)
    background = rng.integers(1, 200, total // size).astype(dtype)
    want = background.copy()
    for i in range(num):
        for row in range(n):
            for c in range(up(d, c0)):  # columns are padded with zeros to 32 B, rows are not
                at = i * dst_matrix + (c // c0 * c0_stride + row * n_stride) * c0 + c % c0
                want[at] = src[i * src_matrix + row * src_d + c] if c < d else 0
    out = np.zeros_like(want)
    params = ascend_sim.Struct(struct.pack("<8H", num, n, d, src_matrix, src_d, c0_stride, n_stride, dst_matrix))
    kernels("cube").launch("nd2nz", src, background, out, size, total, params).raise_on_findings()
    np.testing.assert_array_equal(out, want)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ((4096, 1, 1, 0, 1, 1, 1, 0), "ndNum: expected 0..4095, got 4096"),
        ((1, 16385, 1, 0, 1, 1, 1, 0), "nValue: expected 0..16384, got 16385"),
        ((1, 4, 4, 0, 0, 4, 1, 0), "srcDValue: expected 1..65535, got 0"),
        ((1, 4, 4, 0, 4, 16385, 1, 0), "dstNzC0Stride: expected 1..16384, got 16385"),
        ((1, 4, 4, 0, 4, 4, 0, 0), "dstNzNStride: expected 1..16384, got 0"),
        ((1, 4, 64, 0, 64, 3, 1, 0), "blocks of 4 rows and 64 columns overlap"),
    ],
)
def test_nd2nz_bad_arguments(kernels, params, message):
    src = np.zeros(4096, np.uint16)
    struct_ = ascend_sim.Struct(struct.pack("<8H", *params))
    report = kernels("cube").launch("nd2nz", src, src.copy(), src.copy(), 2, 8192, struct_)
    assert not report.completed
    assert message in report.findings[0].message


def test_init_const_value(kernels):
    src = np.arange(1024, dtype=np.float32)
    out = np.zeros_like(src)
    kernels("cube").launch("fill_l1", src, out, src.nbytes, 3, 2, 1, 2.5, 0, 0, 0).raise_on_findings()
    want = src.copy()
    for repeat in range(3):
        want[repeat * 24 :][:16] = 2.5
    np.testing.assert_array_equal(out, want)


@pytest.mark.parametrize("dec", [0, 1])
def test_load_data_from_gm_to_l1(kernels, dec):
    src = np.arange(16 * 128, dtype=np.float32)
    out = np.zeros_like(src)
    kernels("cube").launch("fill_l1", src, out, src.nbytes, 3, 0, 1, 0.0, 6, 2, dec).raise_on_findings()
    want = src.copy().reshape(16, 128)
    for i in range(3):
        want[2 * i] = src.reshape(16, 128)[6 + (-2 if dec else 2) * i]
    np.testing.assert_array_equal(out.reshape(16, 128), want)


# ---- LoadData -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "dtype"), [("f16_f32", np.float16), ("f32_f32", np.float32), ("s8_s32", np.int8)])
def test_load_data_strides(kernels, name, dtype):
    """NZ in L1 to ZZ in L0A: one load per row of fractals, strides over the columns."""
    rng = np.random.default_rng(1)
    c0 = 32 // np.dtype(dtype).itemsize
    m, k, n = 48, 64, 32
    a, b = operands(rng, m, k, n, dtype)
    case = nd_case(m, n, k)
    case.a = Load(loops=3, src_step=16 * c0, dst_step=k // c0 * 16 * c0, repeat=k // c0, stride=3)
    out = np.zeros((m, n), np.int32 if dtype == np.int8 else np.float32)
    run(kernels, name, case, nz(a, c0), zn(b, c0), out).raise_on_findings()
    np.testing.assert_array_equal(out, a.astype(out.dtype) @ b.astype(out.dtype))


@pytest.mark.parametrize("order", ["eager", "lazy", "random"])
def test_semantics_21_transpose_within_fractals(kernels, order):
    """A is kept transposed: each fractal is transposed where it is, its place comes from the strides alone."""
    rng = np.random.default_rng(2)
    m, k, n = 32, 48, 16
    a, b = operands(rng, m, k, n, np.float16)
    case = nd_case(m, n, k)
    # NZ of A^T [48, 32]: fractals (column of m, row of k); ZZ of A wants (row of m, column of k).
    case.a = Load(repeat=6, stride=1, transpose=1)
    out = np.zeros((m, n), np.float32)
    run(kernels, "f16_f32", case, nz(a.T, 16), zn(b, 16), out, order=order).raise_on_findings()
    np.testing.assert_array_equal(out, (a @ b).astype(np.float32))


def test_load_data_from_gm_to_l0a(kernels):
    rng = np.random.default_rng(11)
    a, b = operands(rng, 32, 48, 16, np.float16)
    out = np.zeros((32, 16), np.float32)
    case = nd_case(32, 16, 48)
    case.a = Load(kind=3)
    run(kernels, "f16_f32", case, zz(a, 16), zn(b, 16), out).raise_on_findings()
    np.testing.assert_array_equal(out, (a @ b).astype(np.float32))


def test_load_data_start_and_gap(kernels):
    rng = np.random.default_rng(3)
    a, b = operands(rng, 16, 32, 16, np.float16)
    spread = np.zeros((7, 256), np.float16)
    spread[[2, 5]] = zz(a, 16).reshape(2, 256)
    case = nd_case(16, 16, 32)
    case.a = Load(start=2, repeat=2, stride=3)
    out = np.zeros((16, 16), np.float32)
    run(kernels, "f16_f32", case, spread.reshape(-1), zn(b, 16), out).raise_on_findings()
    np.testing.assert_array_equal(out, (a @ b).astype(np.float32))
    case = nd_case(16, 16, 32)
    case.b = Load(repeat=2, gap=1)  # the fractal between is never written
    report = run(kernels, "f16_f32", case, zz(a, 16), zn(b, 16), out)
    assert report.rules() == {"uninitialised-read"}


@pytest.mark.parametrize(
    ("name", "dtype", "side", "fractal_gap"),
    [
        ("f16_f32", np.float16, 16, 0),
        ("f32_f32", np.float32, 16, 0),
        ("f32_f32", np.float32, 16, 1),
        ("s8_s32", np.int8, 32, 0),
    ],
)
def test_semantics_22_load_with_transpose(kernels, name, dtype, side, fractal_gap):
    """Square blocks of 512 B (16-bit) or 1024 B (8 and 32-bit); B^T comes as squares, ZN needs them transposed."""
    rng = np.random.default_rng(4)
    c0 = 32 // np.dtype(dtype).itemsize
    m, n, k = 32, side, side * 3
    a, b = operands(rng, m, k, n, dtype)
    squares = []
    for i in range(3):
        block = b[i * side : (i + 1) * side]  # [k, n]
        # The square as the unit reads it: 32 B rows; 32 bits: two fractals side by side.
        squares.append(zz(block, c0))
    case = nd_case(m, n, k)
    per_square = 1 if side == 16 and c0 == 16 else 2
    if dtype == np.int8:  # a square of 32 x 32 becomes the fractals of columns 0..15 and 16..31: one row of ZN
        case.b = Load(kind=1, repeat=3, stride=1, gap=1)
    elif per_square == 2:  # 16 x 16: two rows of ZN, each of one fractal
        case.b = Load(kind=1, repeat=3, stride=1, gap=1 + 2 * fractal_gap, fractal_gap=fractal_gap)
        if fractal_gap:  # spread out, which Mmad cannot read: seen as undefined
            out = np.zeros((m, n), np.float32)
            report = run(kernels, name, case, zz(a, c0), np.concatenate(squares), out)
            assert report.rules() == {"uninitialised-read"}
            return
    else:
        case.b = Load(kind=1, repeat=3, stride=1)
    out = np.zeros((m, n), np.int32 if dtype == np.int8 else np.float32)
    run(kernels, name, case, zz(a, c0), np.concatenate(squares), out).raise_on_findings()
    np.testing.assert_array_equal(out, a.astype(out.dtype) @ b.astype(out.dtype))


def im2col(image, kh, kw, sh, sw, pad):
    """[c1, h, w, c0] -> [pixels, c1 * kh * kw * c0]"""
    c1, h, w, c0 = image.shape
    padded = np.zeros((c1, h + 2 * pad, w + 2 * pad, c0), image.dtype)
    padded[:, pad : pad + h, pad : pad + w] = image
    rows = []
    for y in range(0, h + 2 * pad - kh + 1, sh):
        for x in range(0, w + 2 * pad - kw + 1, sw):
            rows.append(padded[:, y : y + kh, x : x + kw].reshape(c1, kh * kw, c0).reshape(-1))
    return np.array(rows)


@HYPOTHESIS
@given(data=st.data())
def test_load_3d(kernels, data):
    name, dtype = data.draw(st.sampled_from([("f16_f32", np.float16), ("f32_f32", np.float32)]))
    c0 = 32 // np.dtype(dtype).itemsize
    c1, h, w = data.draw(st.integers(1, 2)), data.draw(st.integers(3, 6)), data.draw(st.integers(3, 6))
    kh, kw, pad = data.draw(st.integers(1, 2)), data.draw(st.integers(1, 3)), data.draw(st.integers(0, 1))
    sh, sw = data.draw(st.integers(1, 2)), data.draw(st.integers(1, 2))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    image = rng.integers(-4, 5, (c1, h, w, c0)).astype(dtype)
    x = im2col(image, kh, kw, sh, sw, pad)
    m_start = data.draw(st.integers(0, x.shape[0] - 1))
    k_start = c0 * data.draw(st.integers(0, x.shape[1] // c0 - 1))
    rows, columns = x.shape[0] - m_start, x.shape[1] - k_start
    window = x[m_start:, k_start:]
    kind = data.draw(st.sampled_from([2, 4]))
    load = Load(
        kind, h=h, w=w, channels=c1 * c0, k_extent=columns, m_extent=rows, k_start=k_start, m_start=m_start, pad=pad
    )
    load.filter_w, load.filter_h, load.stride_w, load.stride_h = kw, kh, sw, sh
    mode = data.draw(st.sampled_from(["a", "a transposed", "b"]))
    if mode == "b":  # rows of the window are K
        m, k, n = 17, rows, columns
        other, left, right = rng.integers(-4, 5, (m, k)).astype(dtype), None, window
        left = other
        case = nd_case(m, up(n, 16) if c0 == 16 else n, k)
        case.b = load
        a, b = zz(left, c0), image.reshape(-1)
    elif mode == "a transposed":
        m, k, n = columns, rows, 16
        left, right = window.T, rng.integers(-4, 5, (k, n)).astype(dtype)
        case = nd_case(m, n, k)
        case.k_align = 1
        load.transpose = 1
        case.a = load
        a, b = image.reshape(-1), zn(right, c0)
    else:
        m, k, n = rows, columns, 16
        left, right = window, rng.integers(-4, 5, (k, n)).astype(dtype)
        case = nd_case(m, n, k)
        case.a = load
        a, b = image.reshape(-1), zn(right, c0)
    if m == 1:
        return  # GEMV mode reads A as a vector
    out = np.zeros((m, n), np.float32)
    report = run(kernels, name, case, a, b, out)
    assert report.rules() <= {"portability"}  # nSize that is no multiple of 16
    np.testing.assert_array_equal(out, left.astype(np.float32) @ right.astype(np.float32))
