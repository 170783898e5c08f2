"""What vector instructions do to an image of UB, in numpy, and how a test calls one on the simulator.

The test kernels load an image, make one call and store the image, so that a comparison also shows bytes a call must
not have written.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ascend_sim
import numpy as np
import pytest
from hypothesis import strategies as st

IMAGE = 183 * 1024  # bytes
SRC0, SRC1, DST, AUX = 0, 48 * 1024, 96 * 1024, 144 * 1024  # where operands lie unless a test says otherwise
HALF, FLOAT, INT16, INT32, UINT16, UINT32 = range(6)
DTYPES: dict[int, type] = {
    HALF: np.float16,
    FLOAT: np.float32,
    INT16: np.int16,
    INT32: np.int32,
    UINT16: np.uint16,
    UINT32: np.uint32,
}
COUNT, CONTIGUOUS, BITS, REGISTER = range(4)  # forms of a call
NONE, RINT, FLOOR, CEIL, ROUND, TRUNC, ODD = range(7)  # RoundMode


@dataclass
class Call:
    """One call; blk and rep are the strides of dst, src0, src1 in 32 B. Fields as in the test kernels."""

    op: int = 0
    form: int = COUNT
    counter: bool = False
    count: int = 0
    mask: int = 0  # lanes of a contiguous mask, or up to 128 mask bits
    repeat: int = 1
    dst: int = DST
    src0: int = SRC0
    src1: int = SRC1
    blk: tuple[int, int, int] = (1, 1, 1)
    rep: tuple[int, int, int] = (8, 8, 8)
    scalar: bytes = b""
    mode: int = 0
    mode2: int = 0
    aux: int = AUX

    def pack(self) -> bytes:
        return struct.pack(
            "<4i2Qi3I3I3I8siiI4x",
            *(self.op, self.form, int(self.counter), self.count),
            *(self.mask & (2**64 - 1), self.mask >> 64 & (2**64 - 1), self.repeat, self.dst, self.src0, self.src1),
            *self.blk,
            *self.rep,
            *(self.scalar.ljust(8, b"\0"), self.mode, self.mode2, self.aux),
        )

    def active(self, lanes: int) -> tuple[np.ndarray, np.ndarray]:
        """(repeat, lane) of every element that takes part, in order."""
        if self.form == COUNT or self.counter:
            index = np.arange(self.count if self.form == COUNT else self.mask)
            return index // lanes, index % lanes
        bits = (1 << self.mask) - 1 if self.form == CONTIGUOUS else self.mask
        lane = np.array([i for i in range(lanes) if bits >> i & 1], dtype=np.int64)
        repeats = np.arange(self.repeat)
        return np.repeat(repeats, len(lane)), np.tile(lane, self.repeat)

    def addresses(self, operand: int, lanes: int, size: int) -> np.ndarray:
        """Byte address of each active element of operand 0 (dst), 1 (src0) or 2 (src1)."""
        repeat, lane = self.active(lanes)
        base = (self.dst, self.src0, self.src1)[operand]
        per_block = 32 // size
        block = repeat * self.rep[operand] + lane // per_block * self.blk[operand]
        return base + block * 32 + lane % per_block * size


def image_of(dtype: Any, rng: np.random.Generator, special: bool = True, scale: float = 4.0) -> np.ndarray:
    """An image filled with elements of one type; floats with infinities, NaNs and zeros among them."""
    count = IMAGE // np.dtype(dtype).itemsize
    if np.issubdtype(dtype, np.integer):
        info = np.iinfo(dtype)
        values = rng.integers(info.min, info.max, count, dtype=dtype, endpoint=True)
    else:
        values = (rng.standard_normal(count) * scale).astype(dtype)
        if special:
            at = rng.integers(0, count, count // 16)
            values[at] = rng.choice(np.array([np.inf, -np.inf, np.nan, 0.0, -0.0], dtype=dtype), len(at))
    return np.frombuffer(values.tobytes().ljust(IMAGE, b"\0"), np.uint8).copy()


def load(image: np.ndarray, dtype: Any, addresses: np.ndarray) -> np.ndarray:
    size = np.dtype(dtype).itemsize
    return np.ascontiguousarray(image[addresses[:, None] + np.arange(size)]).view(dtype)[:, 0]


def store(image: np.ndarray, addresses: np.ndarray, values: np.ndarray) -> None:
    size = values.dtype.itemsize
    image[addresses[:, None] + np.arange(size)] = np.ascontiguousarray(values)[:, None].view(np.uint8)


@dataclass
class Bench:
    """A library of test kernels; launches keep findings for `run` to raise and `refused` to match."""

    library: Any

    def launch(self, kernel: str, image: np.ndarray, call: Call, *types: int, **options: Any) -> tuple[Any, np.ndarray]:
        out = np.zeros_like(image)
        report = self.library.launch(
            kernel, image, out, *types, ascend_sim.Struct(call.pack()), uninitialised=[1], **options
        )
        return report, out

    def run(self, kernel: str, image: np.ndarray, call: Call, *types: int, **options: Any) -> np.ndarray:
        report, out = self.launch(kernel, image, call, *types, **options)
        report.raise_on_findings()
        return out

    def refused(self, kernel: str, call: Call, *types: int) -> str:
        """The message of the finding that stops a call with bad arguments."""
        report, _ = self.launch(kernel, np.zeros(IMAGE, np.uint8), call, *types)
        assert len(report.findings) == 1, report.findings
        assert report.findings[0].site.file.endswith(".cpp")
        assert report.findings[0].site.line > 0
        return f"{report.findings[0].rule}: {report.findings[0].message}"


def bench_of(name: str) -> Any:
    """A module's fixture `bench`: tests/sim/kernels/<name>.cpp."""

    @pytest.fixture(scope="module")
    def bench(kernels: Callable[[str], Any]) -> Bench:
        return Bench(kernels(name))

    return bench


def check(out: np.ndarray, expected: np.ndarray, addresses: np.ndarray, dtype: Any, **tolerance: float) -> None:
    """Elements at `addresses` have their values (NaN any NaN), every other byte is as in `expected`."""
    got, want = load(out, dtype, addresses), load(expected, dtype, addresses)
    if tolerance:
        np.testing.assert_allclose(got.astype(np.float64), want.astype(np.float64), **tolerance)
    else:
        np.testing.assert_array_equal(got, want)
    touched = np.zeros(IMAGE, bool)
    touched[(addresses[:, None] + np.arange(np.dtype(dtype).itemsize)).ravel()] = True
    np.testing.assert_array_equal(out[~touched], expected[~touched])


@st.composite
def shapes(draw, size=2, sizes=None, forms=(COUNT, CONTIGUOUS, BITS, REGISTER)):
    """A call's mask, repeats and strides for elements of `size` bytes; sizes: of dst, src0, src1 where they differ."""
    sizes = sizes or (size, size, size)
    lanes = 256 // max(sizes)
    dense = tuple(8 * s // max(sizes) for s in sizes)
    form = draw(st.sampled_from(forms))
    align = st.integers(0, 7).map(lambda k: 32 * k)
    call = Call(form=form, dst=DST + draw(align), src0=SRC0 + draw(align), rep=dense)
    if form == COUNT:
        call.count = draw(st.integers(0, 9 * lanes))
        return call
    call.counter = draw(st.booleans()) if form != BITS else False
    call.repeat = draw(st.integers(0, 6))
    stride = st.integers(0, 20)
    call.rep = dense if draw(st.booleans()) else (draw(stride), draw(stride), draw(stride))
    call.blk = (draw(st.integers(1, 3)), draw(st.integers(0, 3)), draw(st.integers(0, 3)))
    if call.counter:
        call.mask = draw(st.integers(0, 6 * lanes))
    elif form == CONTIGUOUS:
        call.mask = draw(st.integers(0, lanes))
    else:
        call.mask = draw(st.integers(0, 2**lanes - 1)) | draw(st.sampled_from([0, 2**lanes - 1]))
    return call
