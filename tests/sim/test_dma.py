"""Copies between GM and UB: blocks of 32 B, padded copies, atomic stores, NZ to ND. References move bytes in numpy."""

from __future__ import annotations

import struct

import ascend_sim
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

TYPES = {"b8": np.int8, "b16": np.float16, "b32": np.float32, "b64": np.int64, "i16": np.int16, "i32": np.int32}
HYPOTHESIS = settings(max_examples=25, deadline=None, derandomize=True)


def pad_case(
    count=1, length=0, src_gap=0, dst_gap=0, left=0, right=0, is_pad=0, value=0.0, set_value=0, old=0, total=0, atomic=0
):
    return ascend_sim.Struct(
        struct.pack(
            "<7if4i", count, length, src_gap, dst_gap, left, right, is_pad, value, set_value, old, total, atomic
        )
    )


def random_bytes(rng, nbytes):
    return rng.integers(0, 256, nbytes, dtype=np.uint8)


def pad_in_reference(src, background, dtype, count, length, src_gap, dst_gap, left, right, value):
    """value None: nobody gave one. Returns UB and which of its bytes are defined."""
    size = np.dtype(dtype).itemsize
    unit = min(size, 4)
    ub, defined = background.copy(), np.ones(background.size, bool)
    padded = -(-((left + right) * size + length) // 32) * 32
    for i in range(count):
        burst = src[i * (length + src_gap) :][:length]
        row = np.zeros(padded, np.uint8)
        if left == right == 0:
            filler, known = burst[:unit], True
        else:
            known = value is not None
            filler = np.frombuffer(np.array([value or 0]).astype(dtype).tobytes(), np.uint8)[:unit]
        row[:] = np.tile(filler, padded // unit)
        row[left * size :][:length] = burst
        at = i * (padded + dst_gap * 32)
        ub[at : at + padded] = row
        if not known:
            defined[at : at + left * size] = False
            defined[at + left * size + length : at + padded] = False
    return ub, defined


@HYPOTHESIS
@given(data=st.data())
def test_semantics_19_pad_in(kernels, data):
    name = data.draw(st.sampled_from(sorted(TYPES)))
    dtype = TYPES[name]
    size = np.dtype(dtype).itemsize
    count, elements = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 50))
    src_gap = data.draw(st.integers(0, 9))  # bytes: GM needs no alignment
    dst_gap = data.draw(st.integers(0, 3))
    left = data.draw(st.integers(0, min(32 // size, 5)))
    right = data.draw(st.integers(0, min(32 // size, 5)))
    is_pad, set_value, old = (data.draw(st.integers(0, 1)) for _ in range(3))
    if left == right == 0:
        is_pad = 0
    value = 0.0 if name == "b64" else float(data.draw(st.integers(-9, 9)))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    length = elements * size
    src = random_bytes(rng, count * (length + src_gap) + 64)
    total = 8192
    background = random_bytes(rng, total)
    out = np.zeros(total, np.uint8)
    given_value = value if is_pad or set_value else None
    want, defined = pad_in_reference(src, background, dtype, count, length, src_gap, dst_gap, left, right, given_value)
    case = pad_case(count, length, src_gap, dst_gap, left, right, is_pad, value, set_value, old, total)
    report = kernels("dma").launch(f"pad_in_{name}", src, background, out, case)
    # Undefined padding is reported where it is copied out.
    assert report.rules() == (set() if defined.all() else {"uninitialised-read"})
    np.testing.assert_array_equal(out[defined], want[defined])


@pytest.mark.parametrize("name", ["b8", "b16", "b32", "b64"])
def test_semantics_19_filler_is_first_element(kernels, name):
    dtype = TYPES[name]
    size = np.dtype(dtype).itemsize
    src = (np.arange(3) + 5).astype(dtype)
    out = np.zeros(32 // size, dtype)
    case = pad_case(1, 3 * size, total=32)
    kernels("dma").launch(f"pad_in_{name}", src, out.copy(), out, case).raise_on_findings()
    if name == "b64":  # moved as pairs of 32 bits, so the filler is the first half
        want = np.concatenate([src, np.array([5 | 5 << 32] * 1)])
    else:
        want = np.concatenate([src, np.full(32 // size - 3, 5)])
    np.testing.assert_array_equal(out, want)


@HYPOTHESIS
@given(data=st.data())
def test_pad_out(kernels, data):
    name = data.draw(st.sampled_from(["b8", "b16", "b32", "i16", "i32"]))
    dtype = TYPES[name]
    size = np.dtype(dtype).itemsize
    count, elements = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 40))
    src_gap, dst_gap = data.draw(st.integers(0, 3)), data.draw(st.integers(0, 4)) * size
    atomic, old = data.draw(st.integers(0, 4)), data.draw(st.integers(0, 1))
    order = data.draw(st.sampled_from(["eager", "lazy", "random"]))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    length, total = elements * size, 8192
    src = rng.integers(-50, 50, total // size).astype(dtype)
    out = rng.integers(-50, 50, (count * (length + dst_gap)) // size + 8).astype(dtype)
    want = out.copy()
    step = -(-length // 32) * 32 + src_gap * 32
    for i in range(count):
        burst = src[i * step // size :][:elements]
        old_values = want[i * (length + dst_gap) // size :][:elements]
        joined = [
            burst,
            old_values + burst,
            np.maximum(old_values, burst),
            np.minimum(old_values, burst),
            old_values + burst,
        ]
        old_values[:] = joined[atomic]
    case = pad_case(count, length, src_gap, dst_gap, old=old, total=total, atomic=atomic)
    kernels("dma").launch(f"pad_out_{name}", src, out, case, order=order).raise_on_findings()
    np.testing.assert_array_equal(out, want)


def test_atomic_bfloat16(kernels):
    src = (np.array([1.5, -2.0, 3.0, 0.25] * 4, np.float32).view(np.uint32) >> 16).astype(np.uint16)
    out = (np.array([1.0, 1.0, 256.0, 0.0] * 4, np.float32).view(np.uint32) >> 16).astype(np.uint16)
    kernels("dma").launch("pad_out_bf16", src, out, pad_case(1, 32, total=32, atomic=1)).raise_on_findings()
    want = np.array([2.5, -1.0, 260.0, 0.25] * 4, np.float32)  # 259 is between two bfloat16, the even one is 260
    np.testing.assert_array_equal((out.astype(np.uint32) << 16).view(np.float32), want)


@HYPOTHESIS
@given(data=st.data())
def test_copy_blocks(kernels, data):
    total = 4096
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    src, background = random_bytes(rng, total), random_bytes(rng, total)
    out = random_bytes(rng, total)
    want_out = out.copy()

    def draw(name):
        count = data.draw(st.integers(1, 5), label=name)
        length = data.draw(st.integers(1, 6))
        return count, length, data.draw(st.integers(0, 4)), data.draw(st.integers(0, 4))

    def copy(dst, src, count, length, src_gap, dst_gap):
        for i in range(count):
            dst[i * (length + dst_gap) * 32 :][: length * 32] = src[i * (length + src_gap) * 32 :][: length * 32]

    shapes = [draw(name) for name in ("in", "local", "back")]
    a, b = background.copy(), background.copy()
    copy(a, src, *shapes[0])
    copy(b, a, *shapes[1])
    copy(want_out, b, *shapes[2])
    args = [ascend_sim.Struct(struct.pack("<4H", *shape)) for shape in shapes]
    kernels("dma").launch("copy_blocks", src, background, out, total, *args).raise_on_findings()
    np.testing.assert_array_equal(out, want_out)


def test_nz2nd(kernels):
    rows, columns, matrices = 5, 48, 2
    src = np.arange(matrices * 1024, dtype=np.float32)
    out = np.full(600, -1, np.float32)
    params = ascend_sim.Struct(struct.pack("<7H", matrices, rows, columns, 4, 8, 50, 260))
    kernels("dma").launch("nz2nd", src, out, src.size, params).raise_on_findings()
    want = np.full(600, -1, np.float32)
    for i in range(matrices):
        for row in range(rows):
            for c in range(columns):
                want[i * 260 + row * 50 + c] = src[i * 4 * 256 + c // 16 * 8 * 16 + row * 16 + c % 16]
    np.testing.assert_array_equal(out, want)


def test_slices(kernels):
    src = np.arange(3 * 87, dtype=np.float32).reshape(3, 87)
    packed, out = np.zeros((2, 48), np.float32), np.full((3, 87), -1, np.float32)
    kernels("dma").launch("slices", src, packed, out).raise_on_findings()
    want = np.full((3, 87), -1, np.float32)
    for row in (0, 2):
        for start in (16, 47):
            want[row, start : start + 24] = src[row, start : start + 24]
    np.testing.assert_array_equal(packed, want[[0, 2]][want[[0, 2]] >= 0].reshape(2, 48))
    np.testing.assert_array_equal(out, want)


def test_semantics_28_overlapping_transfers_of_one_pipe(kernels):
    src = np.zeros(128, np.float32)
    lib = kernels("dma")
    lib.launch("overlap", src, 1).raise_on_findings()
    report = lib.launch("overlap", src, 0)
    assert report.rules() == {"race.write-after-write"}
    assert "PipeBarrier<PIPE_MTE2> is missing" in report.findings[0].message


@pytest.mark.parametrize(
    ("case", "message"),
    [
        (dict(count=4096, length=32), "blockCount: expected 0..4095, got 4096"),
        (dict(length=2097152), "blockLen: expected 0..2097151, got 2097152"),
        (dict(length=30), "blockLen: 30 bytes are not a multiple of the element's 4"),
        (dict(length=32, left=9), "leftPadding in bytes: expected 0..32, got 36"),
        (dict(length=32, right=9), "rightPadding in bytes: expected 0..32, got 36"),
    ],
)
def test_pad_bad_arguments(kernels, case, message):
    src = np.zeros(64, np.float32)
    report = kernels("dma").launch("pad_in_b32", src, src.copy(), src.copy(), pad_case(total=256, **case))
    assert not report.completed
    assert message in report.findings[0].message
