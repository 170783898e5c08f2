"""The cube and its DMA: each chain L1 -> L0 -> Mmad -> Fixpipe is computed again in numpy, on the same bytes."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, fields

import ascend_sim
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

HYPOTHESIS = settings(max_examples=20, deadline=None, derandomize=True)
FRACTAL = 512


@dataclass
class Load:
    kind: int = 0
    loops: int = 1
    src_step: int = 0
    dst_step: int = 0
    start: int = 0
    repeat: int = 0
    stride: int = 1
    gap: int = 0
    fractal_gap: int = 0
    transpose: int = 0
    h: int = 0
    w: int = 0
    channels: int = 0
    k_extent: int = 0
    m_extent: int = 0
    k_start: int = 0
    m_start: int = 0
    filter_w: int = 1
    filter_h: int = 1
    stride_w: int = 1
    stride_h: int = 1
    pad: int = 0


@dataclass
class Case:
    """CubeCase of kernels/cube.cpp."""

    a_bytes: int = 0
    b_bytes: int = 0
    a: Load = field(default_factory=Load)
    b: Load = field(default_factory=Load)
    m: int = 0
    n: int = 0
    k: int = 0
    init: int = 1
    source: int = 0
    unit_flag: int = 0
    k_align: int = 0
    bias: int = 0
    n_size: int = 0
    m_size: int = 0
    src_stride: int = 0
    dst_stride: int = 0
    nz: int = 0
    relu: int = 0
    quant: int = 0
    nd_num: int = 1
    src_nd_stride: int = 0
    dst_nd_stride: int = 0
    split: int = 0
    to_l1: int = 0
    atomic: int = 0
    saturate: int = 0
    scale_low: int = 0
    scale_high: int = 0
    scales: int = 0
    by_copy: int = 0

    def pack(self):
        words = []
        for item in fields(self):
            value = getattr(self, item.name)
            words += [getattr(value, f.name) for f in fields(Load)] if isinstance(value, Load) else [value]
        return ascend_sim.Struct(b"".join(struct.pack("<I", w & 0xFFFFFFFF) for w in words))


QUANT = {
    "NoQuant": 0,
    "F322F16": 1,
    "F322BF16": 2,
    "DEQF16": 3,
    "VDEQF16": 4,
    "QF322B8_PRE": 5,
    "VQF322B8_PRE": 6,
    "REQ8": 7,
    "VREQ8": 8,
}


def up(x, to):
    return -(-x // to) * to


def bf16(x):
    """float32 to bfloat16 bits, round to nearest even."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def from_bf16(bits):
    return (bits.astype(np.uint32) << 16).view(np.float32)


# ---- layouts ------------------------------------------------------------------------------------------------------


def zz(matrix, c0, columns=None):
    """[m, k] as fractals of 16 x c0, row after row of fractals; columns: fractals kept per row."""
    m, k = matrix.shape
    out = np.zeros((up(m, 16), up(k, c0) if columns is None else columns * c0), matrix.dtype)
    out[:m, :k] = matrix
    return out.reshape(out.shape[0] // 16, 16, -1, c0).transpose(0, 2, 1, 3).reshape(-1)


def zn(matrix, c0):
    """[k, n] as fractals of c0 x 16 kept column by column, row after row of fractals."""
    k, n = matrix.shape
    out = np.zeros((up(k, c0), up(n, 16)), matrix.dtype)
    out[:k, :n] = matrix
    return out.reshape(out.shape[0] // c0, c0, -1, 16).transpose(0, 2, 3, 1).reshape(-1)


def nz(matrix, c0, rows=None):
    m, n = matrix.shape
    out = np.zeros((up(m, 16) if rows is None else rows, up(n, c0)), matrix.dtype)
    out[:m, :n] = matrix
    return out.reshape(out.shape[0], -1, c0).transpose(1, 0, 2).reshape(-1)


def run(kernels, name, case, a, b, out, bias=None, scales=None, **options):
    """a, b: what L1 receives; loads that copy it whole are filled in unless the case has its own."""
    a = np.concatenate([a.view(np.uint8), np.zeros(-a.nbytes % 512, np.uint8)])
    b = np.concatenate([b.view(np.uint8), np.zeros(-b.nbytes % 512, np.uint8)])
    case.a_bytes, case.b_bytes = a.nbytes, b.nbytes
    for load, data in ((case.a, a), (case.b, b)):
        if load.repeat == 0 and load.kind in (0, 3):
            load.repeat = data.nbytes // FRACTAL
    bias = np.zeros(256, np.float32) if bias is None else bias
    scales = np.zeros(512, np.uint64) if scales is None else scales
    return kernels("cube").launch(f"cube_case_{name}", a, b, bias, scales, out, case.pack(), **options)


def operands(rng, m, k, n, dtype):
    if dtype == np.int8:
        return rng.integers(-128, 128, (m, k), dtype=np.int8), rng.integers(-128, 128, (k, n), dtype=np.int8)
    # Small integers: every product and sum is exact, so comparisons can be exact too.
    return rng.integers(-8, 9, (m, k)).astype(dtype), rng.integers(-8, 9, (k, n)).astype(dtype)


def nd_case(m, n, k, **more):
    return Case(m=m, n=n, k=k, n_size=n, m_size=m, src_stride=up(m, 16), dst_stride=n, **more)


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


# ---- Fixpipe ------------------------------------------------------------------------------------------------------


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


def fixpipe_inputs(m=40, n=48, k=32, dtype=np.float16, seed=9):
    rng = np.random.default_rng(seed)
    c0 = 32 // np.dtype(dtype).itemsize
    if dtype == np.int8:
        a, b = operands(rng, m, k, n, dtype)
        product = a.astype(np.int32) @ b.astype(np.int32)
    else:
        a, b = (rng.standard_normal(s).astype(np.float16).astype(dtype) for s in ((m, k), (k, n)))
        product = np.zeros((m, n), np.float32)
        for i in range(k):
            product += a[:, i : i + 1].astype(np.float32) * b[i].astype(np.float32)
    return zz(a, c0), zn(b, c0), product


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


def test_whole_fractals_with_undefined_rows_are_no_finding_until_used(kernels):
    """Nd2Nz leaves the rows past the matrix alone, LoadData takes whole fractals: only Mmad's own m counts."""
    shape = struct.pack("<7i", 20, 32, 32, 32, 0, 0, 0)
    a, b = np.ones((20, 32), np.float16), np.ones((32, 32), np.float16)
    out = np.zeros((20, 32), np.float32)
    kernels("cube").launch("matmul_f16", a, b, out, ascend_sim.Struct(shape)).raise_on_findings()
    assert (out == 32).all()


# ---- whole products -----------------------------------------------------------------------------------------------


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
        mte2 = ascend_sim.report.PIPES.index("MTE2")
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
