"""Duplicate, Brcb, Copy, CreateVecIndex."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vec_reference import (
    BITS,
    CONTIGUOUS,
    DST,
    DTYPES,
    FLOAT,
    HALF,
    INT16,
    INT32,
    REGISTER,
    SRC0,
    Call,
    bench_of,
    image_of,
    load,
    shapes,
    store,
)

bench = bench_of("vec_ops")
SETTINGS = settings(max_examples=12, deadline=None, derandomize=True)


@pytest.mark.parametrize(
    ("kind", "dtype"), [(0, np.float16), (1, np.float32), (2, np.uint16)], ids=["half", "float", "bf16"]
)
@SETTINGS
@given(data=st.data())
def test_duplicate(bench, kind, dtype, data):
    size = np.dtype(dtype).itemsize
    call = data.draw(shapes(size))
    value = np.array([0x4049], np.uint16).view(dtype)[0] if size == 2 else np.float32(3.25)
    call.op, call.scalar = 0, value.tobytes()
    image = image_of(dtype, np.random.default_rng(0))
    at = call.addresses(0, 256 // size, size)
    expected = image.copy()
    store(expected, at, np.full(len(at), value))
    np.testing.assert_array_equal(bench.run("fill", image, call, kind), expected)


@pytest.mark.parametrize(("kind", "dtype"), [(0, np.float16), (1, np.float32)], ids=["half", "float"])
@SETTINGS
@given(repeat=st.integers(0, 20), block=st.integers(1, 3), stride=st.integers(0, 30))
def test_brcb_spreads_eight_elements_a_repeat(bench, kind, dtype, repeat, block, stride):
    size = np.dtype(dtype).itemsize
    image = image_of(dtype, np.random.default_rng(repeat))
    expected = image.copy()
    for r in range(repeat):
        for b in range(8):
            at = DST + (r * stride + b * block) * 32
            expected[at : at + 32] = np.tile(image[(r * 8 + b) * size : (r * 8 + b + 1) * size], 32 // size)
    call = Call(op=1, repeat=repeat, blk=(block, 1, 1), rep=(stride, 8, 8))
    np.testing.assert_array_equal(bench.run("fill", image, call, kind), expected)


@pytest.mark.parametrize("kind", [0, 1], ids=["half", "float"])
@SETTINGS
@given(data=st.data())
def test_copy(bench, kind, data):
    dtype = DTYPES[kind]
    size = np.dtype(dtype).itemsize
    lanes = 256 // size
    call = data.draw(shapes(size, forms=(CONTIGUOUS, BITS, REGISTER)))
    call.op = 2
    image = image_of(dtype, np.random.default_rng(1))
    expected = image.copy()
    if call.counter:  # the mask counts the elements of each repeat, in whole blocks
        call.mask = min(call.mask, lanes)
        blocks = -(-call.mask * size // 32)
        for r in range(call.repeat):
            for b in range(blocks):
                to = call.dst + (r * call.rep[0] + b * call.blk[0]) * 32
                source = call.src0 + (r * call.rep[1] + b * call.blk[1]) * 32
                expected[to : to + 32] = image[source : source + 32]
    else:
        store(expected, call.addresses(0, lanes, size), load(image, dtype, call.addresses(1, lanes, size)))
    np.testing.assert_array_equal(bench.run("fill", image, call, kind), expected)


@pytest.mark.parametrize("kind", [HALF, FLOAT, INT16, INT32], ids=["half", "float", "int16", "int32"])
def test_create_vec_index(bench, kind):
    dtype = DTYPES[kind]
    size = np.dtype(dtype).itemsize
    lanes, per_block = 256 // size, 32 // size
    image = np.zeros(183 * 1024, np.uint8)
    for count in (1, per_block - 1, per_block, per_block + 1, lanes - 1, lanes, lanes + 1, 5 * lanes + 3):
        out = bench.run("create_index", image, Call(count=count, scalar=dtype(5).tobytes()), kind)
        written = max(count, per_block)  # the first block is written whole
        got = out[DST : DST + written * size].view(dtype)
        np.testing.assert_array_equal(got, 5 + np.arange(written))
        assert not out[DST + written * size :].any()
    for form, mask in ((CONTIGUOUS, lanes), (CONTIGUOUS, lanes - 3), (BITS, 0b1011 | 1 << (lanes - 1))):
        call = Call(form=form, mask=mask, repeat=3, blk=(1, 1, 1), rep=(9, 8, 8), scalar=dtype(2).tobytes())
        out = bench.run("create_index", image, call, kind)
        repeat, lane = call.active(lanes)
        expected = image.copy()
        store(expected, call.addresses(0, lanes, size), (2 + repeat * lanes + lane).astype(dtype))
        np.testing.assert_array_equal(out, expected)


def test_brcb_is_not_in_place(bench):
    assert "Brcb does not work in place" in bench.refused("fill", Call(op=1, repeat=1, dst=SRC0), 1)
