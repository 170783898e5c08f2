"""Compare and Select."""

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
    INT32,
    SRC1,
    Call,
    bench_of,
    image_of,
    load,
    store,
)

bench = bench_of("vec_reduce")
SETTINGS = settings(max_examples=15, deadline=None, derandomize=True)
COMPARISONS = [np.less, np.greater, np.equal, np.less_equal, np.greater_equal, np.not_equal]


@pytest.mark.parametrize("op", [0, 1, 2], ids=["tensors", "scalar", "register"])
@pytest.mark.parametrize("mode", range(6), ids=["LT", "GT", "EQ", "LE", "GE", "NE"])
@SETTINGS
@given(data=st.data())
def test_compare(bench, op, mode, data):
    """The mask does not matter but for the register form; the bits of all repeats are contiguous."""
    kind = data.draw(st.sampled_from([HALF, FLOAT] + ([INT32] if mode == 2 and op != 2 else [])))
    dtype = DTYPES[kind]
    size = np.dtype(dtype).itemsize
    lanes = 256 // size
    forms = (CONTIGUOUS, BITS) if op == 2 else (COUNT, CONTIGUOUS, BITS)
    call = Call(op=op, mode=mode, form=data.draw(st.sampled_from(forms)), repeat=data.draw(st.integers(0, 5)))
    call.count = data.draw(st.integers(0, 6)) * lanes
    if call.form != COUNT:
        call.blk = (1, data.draw(st.integers(0, 3)), data.draw(st.integers(1, 3)))
        call.rep = (8, data.draw(st.integers(0, 20)), data.draw(st.integers(0, 20)))
    call.mask = data.draw(st.integers(1, lanes if call.form == CONTIGUOUS else 2**lanes - 1))
    rng = np.random.default_rng(call.count)
    image = image_of(dtype, rng)
    image.view(dtype)[:4096] = image.view(dtype)[SRC1 // size : SRC1 // size + 4096]  # equal ones
    image.view(dtype)[:4096:3] = 1
    scalar = dtype(1)
    call.scalar = scalar.tobytes()
    walked = Call(**{**call.__dict__})
    if op != 2:
        walked.form, walked.mask = (COUNT, 0) if call.form == COUNT else (CONTIGUOUS, lanes)
    else:
        walked.repeat = 1
    a = load(image, dtype, walked.addresses(1, lanes, size))
    b = scalar if op == 1 else load(image, dtype, walked.addresses(2, lanes, size))
    holds = COMPARISONS[mode](a, b)
    expected = image.copy()
    if op == 2:
        bits = np.zeros(128, np.uint8)
        bits[walked.active(lanes)[1]] = holds
        out = bench.run("compare", image, call, kind)
        chosen = np.zeros(128, bool)
        chosen[walked.active(lanes)[1]] = True
        got = np.unpackbits(out[DST : DST + 16], bitorder="little")
        np.testing.assert_array_equal(got[chosen], bits[chosen])
        return
    packed = np.packbits(holds, bitorder="little")
    expected[DST : DST + len(packed)] = packed
    np.testing.assert_array_equal(bench.run("compare", image, call, kind), expected)


# ---- Select -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("mode", [0, 1, 2], ids=["register", "scalar", "tensors"])
@SETTINGS
@given(data=st.data())
def test_select(bench, mode, data):
    """Mode 0 uses its mask again in every repeat, modes 1 and 2 walk on through it."""
    kind = data.draw(st.sampled_from([HALF, FLOAT]))
    dtype = DTYPES[kind]
    size = np.dtype(dtype).itemsize
    lanes = 256 // size
    call = Call(mode=mode, mode2=int(mode == 1), op=data.draw(st.sampled_from([0, 0, 1])) if mode < 2 else 0)
    call.form = BITS if call.op == 1 else data.draw(st.sampled_from([COUNT, CONTIGUOUS, BITS]))
    call.repeat = data.draw(st.integers(0, 5))
    if call.form == COUNT:
        call.count = data.draw(st.integers(0, 6 * lanes))
    else:
        call.blk = (data.draw(st.integers(1, 3)), data.draw(st.integers(0, 3)), data.draw(st.integers(0, 3)))
        call.rep = (24, data.draw(st.integers(0, 20)), data.draw(st.integers(0, 20)))
        call.mask = data.draw(st.integers(0, lanes if call.form == CONTIGUOUS else 2**lanes - 1))
    rng = np.random.default_rng(call.count)
    image = image_of(dtype, rng)
    image[AUX : AUX + 4096] = rng.integers(0, 256, 4096)
    scalar = dtype(-7.5)
    call.scalar = scalar.tobytes()
    repeat, lane = call.active(lanes)
    bits = np.unpackbits(image[AUX : AUX + 4096], bitorder="little")
    chosen = bits[lane if mode == 0 else repeat * lanes + lane]
    a = load(image, dtype, call.addresses(1, lanes, size))
    b = np.full(len(a), scalar) if mode == 1 else load(image, dtype, call.addresses(2, lanes, size))
    raw = np.uint16 if size == 2 else np.uint32
    expected = image.copy()
    store(expected, call.addresses(0, lanes, size), np.where(chosen == 1, a.view(raw), b.view(raw)))
    out = bench.run("select_lanes", image, call, kind)
    if call.op == 1 and mode == 1:  # the kernel put the scalar there for SetCmpMask
        expected[AUX + 4096 : AUX + 4096 + 64 * size] = np.full(64, scalar).view(np.uint8)
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize(
    ("kernel", "call", "kind", "message"),
    [
        ("compare", Call(op=0, count=65), FLOAT, "65 elements of float are not a multiple of 256 B"),
        ("compare", Call(op=1, count=64, mode=1), INT32, "int32_t compares for CMPMODE::EQ only"),
        ("compare", Call(op=0, count=64, dst=DST + 8), FLOAT, "misaligned-write: .*dst"),
        ("select_lanes", Call(mode=1, count=64), FLOAT, "VSEL_TENSOR_SCALAR_MODE takes a scalar src1"),
        (
            "select_lanes",
            Call(mode=2, mode2=1, count=64),
            FLOAT,
            "a scalar src1 goes with VSEL_TENSOR_SCALAR_MODE only",
        ),
        ("select_lanes", Call(mode=2, count=64, aux=AUX + 8), FLOAT, "misaligned-read: .*selMask"),
    ],
)
def test_bad_calls_are_named(bench, kernel, call, kind, message):
    got = bench.refused(kernel, call, kind)
    assert re.search(message, got), got
