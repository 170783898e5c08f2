"""The cube's tests: a case of kernels/cube.cpp, the layouts of its memories, and operands whose product is known."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, fields

import ascend_sim
import numpy as np
from hypothesis import settings

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
