"""Gathers and transposes."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vec_reference import (
    AUX,
    BITS,
    CONTIGUOUS,
    COUNT,
    DST,
    DTYPES,
    FLOAT,
    HALF,
    IMAGE,
    SRC1,
    Call,
    bench_of,
    image_of,
    load,
    store,
)

bench = bench_of("vec_reduce")
SETTINGS = settings(max_examples=15, deadline=None, derandomize=True)


# ---- gathers ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("order", ["eager", "lazy"])
@SETTINGS
@given(data=st.data())
def test_gather(bench, order, data):
    kind = data.draw(st.sampled_from([HALF, FLOAT]))
    dtype = DTYPES[kind]
    size = np.dtype(dtype).itemsize
    lanes = 256 // size
    call = Call(op=0, form=data.draw(st.sampled_from([COUNT, CONTIGUOUS, BITS])), repeat=data.draw(st.integers(0, 4)))
    call.count = data.draw(st.integers(0, 4 * lanes))
    call.rep = (data.draw(st.integers(0, 12)) if call.form != COUNT else 8, 8, 8)
    call.mask = data.draw(st.integers(0, lanes if call.form == CONTIGUOUS else 2**lanes - 1))
    call.aux = 4 * data.draw(st.integers(0, 50))
    rng = np.random.default_rng(call.count)
    image = image_of(dtype, rng)
    offsets = (rng.integers(0, 40000 // size, 4 * lanes) * size).astype(np.uint32)
    image[SRC1 : SRC1 + offsets.nbytes] = offsets.view(np.uint8)
    repeat, lane = call.active(lanes)
    expected = image.copy()
    at = (call.aux + offsets[repeat * lanes + lane]).astype(np.int64)
    store(expected, call.addresses(0, lanes, size), load(image, dtype, at))
    np.testing.assert_array_equal(bench.run("gather", image, call, kind, order=order), expected)


@pytest.mark.parametrize("kind", [HALF, FLOAT])
def test_gatherb(bench, kind):
    rng = np.random.default_rng(0)
    image = image_of(np.float32, rng)
    offsets = (rng.integers(0, 1000, 24) * 32).astype(np.uint32)
    image[SRC1 : SRC1 + 96] = offsets.view(np.uint8)
    expected = image.copy()
    for k, offset in enumerate(offsets):
        to = DST + (k // 8 * 20 + k % 8 * 2) * 32
        expected[to : to + 32] = image[offset : offset + 32]
    call = Call(op=1, repeat=3, blk=(2, 1, 1), rep=(20, 8, 8))
    np.testing.assert_array_equal(bench.run("gather", image, call, kind), expected)


@pytest.mark.parametrize("order", ["eager", "lazy"])
@SETTINGS
@given(data=st.data())
def test_gather_mask(bench, order, data):
    kind = data.draw(st.sampled_from([HALF, FLOAT]))
    dtype = DTYPES[kind]
    size = np.dtype(dtype).itemsize
    lanes = 256 // size
    pattern = data.draw(st.integers(0, 7))
    counter = data.draw(st.booleans())
    call = Call(op=2 if pattern else 3, mode=pattern, mode2=int(counter), repeat=data.draw(st.integers(0, 4)))
    call.count = data.draw(st.integers(1, 2 * lanes)) if counter else 0
    call.blk = (1, data.draw(st.integers(1, 3)), 1)
    call.rep = (8, data.draw(st.integers(0, 20)), data.draw(st.integers(0, 2)))
    rng = np.random.default_rng(call.count)
    image = image_of(dtype, rng)
    image[SRC1 : SRC1 + 1024] = rng.integers(0, 256, 1024)
    bits = np.unpackbits(image[SRC1 : SRC1 + 1024], bitorder="little")
    picked = []
    for r in range(call.repeat):
        for e in range(call.count if counter else lanes):
            keep = {0: bits[r * call.rep[2] * 256 + e] == 1, 1: e % 2 == 0, 2: e % 2 == 1, 7: True}.get(
                pattern, e % 4 == pattern - 3
            )
            if keep:
                picked.append((r * call.rep[1] + e * size // 32 * call.blk[1]) * 32 + e * size % 32)
    expected = image.copy()
    store(expected, DST + np.arange(len(picked)) * size, load(image, dtype, np.array(picked, np.int64)))
    expected[AUX : AUX + 8] = np.array([len(picked)] * 2, np.uint32).view(np.uint8)
    np.testing.assert_array_equal(bench.run("gather", image, call, kind, order=order), expected)


# ---- transposes ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("op", [0, 2], ids=["plain", "typed"])
@pytest.mark.parametrize("in_place", [False, True])
def test_transpose(bench, in_place, op):
    image = image_of(np.int16, np.random.default_rng(0))
    call = Call(op=op, dst=0 if in_place else DST, mode=10)
    expected = image.copy()
    expected[call.dst : call.dst + 512] = image[:512].view(np.int16).reshape(16, 16).T.ravel().view(np.uint8)
    np.testing.assert_array_equal(bench.run("transpose", image, call, 0), expected)


def test_transpose_of_images_stops_with_its_name(bench):
    said = bench.refused("transpose", Call(op=2, mode=11), 0)
    assert said.startswith("not-implemented: ")
    assert "TRANSPOSE_ND2ND_B16 is not implemented" in said


@pytest.mark.parametrize("form", [0, 1], ids=["addresses", "tensors"])
@pytest.mark.parametrize(("repeat", "strides"), [(1, (0, 0)), (1, (3, 2)), (4, (16, 1))])
@pytest.mark.parametrize(("kind", "size"), [(1, 2), (2, 4)], ids=["16-bit", "32-bit"])
def test_trans_data(bench, kind, size, repeat, strides, form):
    image = image_of(np.int32, np.random.default_rng(0))
    call = Call(op=1, form=form, repeat=repeat, blk=(1, 5, 1), rep=(*strides, 0))
    expected = image.copy()
    columns = 32 // size
    for r in range(repeat):
        shift = r if repeat > 1 else 1
        rows = np.stack([image[(5 * i + shift * strides[1]) * 32 :][:32] for i in range(16)]).reshape(16, columns, size)
        turned = rows.transpose(1, 0, 2).reshape(-1)  # element j of the 16 rows, one column after the other
        for k in range(16):
            to = DST + (k + shift * strides[0]) * 32
            expected[to : to + 32] = turned[k * 32 : k * 32 + 32]
    np.testing.assert_array_equal(bench.run("transpose", image, call, kind), expected)


@pytest.mark.parametrize("dst_high", [0, 1])
@pytest.mark.parametrize("src_high", [0, 1])
def test_trans_data_of_bytes(bench, dst_high, src_high):
    image = image_of(np.int8, np.random.default_rng(0))
    expected = image.copy()
    for j in range(16):
        to = DST + j * 32 + 16 * dst_high
        expected[to : to + 16] = image[np.arange(16) * 32 + j + 16 * src_high]
    call = Call(op=1, mode=dst_high, mode2=src_high, rep=(0, 0, 0))
    np.testing.assert_array_equal(bench.run("transpose", image, call, 0), expected)


@pytest.mark.parametrize(
    ("kernel", "call", "kind", "message"),
    [
        ("gather", Call(op=2, mode=8, repeat=1), FLOAT, "src1Pattern is 8, expected 1 to 7"),
        ("gather", Call(op=0, count=8, aux=2), FLOAT, "srcBaseAddr: 2 is not a multiple of 4"),
        ("transpose", Call(op=1, mode=1), 1, "dstHighHalf and srcHighHalf are for 8-bit elements, not half"),
    ],
)
def test_bad_calls_are_named(bench, kernel, call, kind, message):
    got = bench.refused(kernel, call, kind)
    assert re.search(message, got), got


def test_gather_outside_its_tensor_is_named(bench):
    image = np.zeros(IMAGE, np.uint8)
    image[SRC1 : SRC1 + 256] = np.full(64, IMAGE, np.uint32).view(np.uint8)
    report, _ = bench.launch("gather", image, Call(op=0, count=64), FLOAT)
    assert report.rules() == {"out-of-bounds-read"}
    image[SRC1 : SRC1 + 256] = np.full(64, 6, np.uint32).view(np.uint8)
    report, _ = bench.launch("gather", image, Call(op=0, count=64), FLOAT)
    assert "srcOffset: element 0 is 6, not a multiple of 4" in report.findings[0].message
