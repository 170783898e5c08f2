"""Reductions, and the state vector calls leave behind."""

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
    DST,
    DTYPES,
    FLOAT,
    HALF,
    IMAGE,
    REGISTER,
    Call,
    bench_of,
    image_of,
    load,
    store,
)

bench = bench_of("vec_reduce")
SETTINGS = settings(max_examples=15, deadline=None, derandomize=True)
SUM, MAX, MIN = range(3)
VALUE_INDEX, INDEX_VALUE, ONLY_VALUE, ONLY_INDEX = range(4)


def tree(values):
    """Adds neighbours, rounding to the element type at each level; -0 stands for lanes left out."""
    values = np.array(values)
    while len(values) > 1:
        values = values[0::2] + values[1::2]
    return values[0]


def group_value(op, values, lanes_active):
    """One result over the active lanes, and the index of an extreme."""
    if op == SUM:
        return tree(np.where(lanes_active, values, values.dtype.type(-0.0))), 0
    lanes = np.flatnonzero(lanes_active)
    part = values[lanes]
    index = int(np.argmax(part) if op == MAX else np.argmin(part))  # the first, NaN before all
    return part[index], int(lanes[index])


@st.composite
def reduce_calls(draw, forms=(CONTIGUOUS, BITS, REGISTER)):
    kind = draw(st.sampled_from([HALF, FLOAT]))
    lanes = 256 // np.dtype(DTYPES[kind]).itemsize
    call = Call(form=draw(st.sampled_from(forms)), repeat=draw(st.integers(0, 6)))
    call.counter = call.form != BITS and draw(st.booleans())
    if call.counter:
        call.mask = draw(st.integers(0, 6 * lanes))
    elif call.form == CONTIGUOUS:
        call.mask = draw(st.integers(0, lanes))
    else:
        call.mask = draw(st.integers(0, 2**lanes - 1)) & draw(st.integers(0, 2**lanes - 1))
    call.blk = (1, draw(st.integers(0, 3)), 1)
    call.rep = (draw(st.integers(0, 4)), draw(st.integers(0, 20)), 8)
    return kind, call


def reference_groups(image, kind, call, group, op):
    """(repeat, group, value, index) of every group with an active lane."""
    dtype = DTYPES[kind]
    size = np.dtype(dtype).itemsize
    lanes = 256 // size
    repeat, lane = call.active(lanes)
    source = load(image, dtype, call.addresses(1, lanes, size)) if len(lane) else np.zeros(0, dtype)
    results = []
    for r in range(int(repeat.max()) + 1 if len(repeat) else 0):
        values, active = np.zeros(lanes, dtype), np.zeros(lanes, bool)
        values[lane[repeat == r]] = source[repeat == r]
        active[lane[repeat == r]] = True
        for g in range(lanes // group):
            part = slice(g * group, (g + 1) * group)
            if active[part].any():
                results.append((r, g, *group_value(op, values[part], active[part])))
    return results


@pytest.mark.parametrize("op", [0, 1, 2, 3, 10, 11, 12, 13])
@SETTINGS
@given(data=st.data())
def test_block_and_pair_reductions(bench, op, data):
    """Binary trees over neighbours, packed results, fully masked groups untouched; both spellings."""
    nine = op >= 10
    kind, call = data.draw(
        reduce_calls((CONTIGUOUS,) if op == 13 else (CONTIGUOUS, BITS) if nine else (CONTIGUOUS, BITS, REGISTER))
    )
    dtype = DTYPES[kind]
    size = np.dtype(dtype).itemsize
    pair = op % 10 == 3
    call.op, group = op, 2 if pair else 32 // size
    unit = 128 if pair else 8 * size
    image = image_of(dtype, np.random.default_rng(call.mask % 2**31), special=op % 10 in (1, 2), scale=100.0)
    expected = image.copy()
    with np.errstate(all="ignore"):
        for r, g, value, _ in reference_groups(image, kind, call, group, SUM if pair else op % 10):
            store(expected, np.array([DST + r * call.rep[0] * unit + g * size]), np.array([value]))
    compare_images(bench.run("reduce", image, call, kind), expected, dtype)


def compare_images(out, expected, dtype):
    """Equal bytes, or NaN on both sides."""
    same = out == expected
    if not same.all():
        np.testing.assert_array_equal(out[: IMAGE // 4 * 4].view(dtype), expected[: IMAGE // 4 * 4].view(dtype))


@pytest.mark.parametrize("op", [4, 5, 6, 14, 15, 16])
@SETTINGS
@given(data=st.data())
def test_whole_reductions(bench, op, data):
    kind, call = data.draw(reduce_calls((CONTIGUOUS, BITS) if op >= 10 else (CONTIGUOUS, BITS, REGISTER)))
    dtype = DTYPES[kind]
    size = np.dtype(dtype).itemsize
    call.op = op
    kind_of = op % 10 - 4
    order = data.draw(st.sampled_from(range(4))) if kind_of != SUM else ONLY_VALUE
    call.mode = order
    unit = {VALUE_INDEX: 2 * size, INDEX_VALUE: 2 * size, ONLY_VALUE: size, ONLY_INDEX: 4}[order]
    image = image_of(dtype, np.random.default_rng(call.mask % 2**31), special=kind_of != SUM)
    expected = image.copy()
    raw = np.uint16 if size == 2 else np.uint32
    with np.errstate(all="ignore"):
        for r, _, value, index in reference_groups(image, kind, call, 256 // size, kind_of):
            to = np.array([DST + r * call.rep[0] * unit])
            bits = np.array([value]).view(raw)[0]
            words = {
                VALUE_INDEX: np.array([bits, index], raw),
                INDEX_VALUE: np.array([index, bits], raw),
                ONLY_VALUE: np.array([bits], raw),
                ONLY_INDEX: np.array([index], np.uint32),
            }[order]
            expected[to[0] : to[0] + words.nbytes] = words.view(np.uint8)
    compare_images(bench.run("reduce", image, call, kind), expected, dtype)


@pytest.mark.parametrize("op", [0, 3, 4, 5])
@settings(max_examples=40, deadline=None, derandomize=True)
@given(data=st.data())
def test_footprint_is_exact_to_the_byte(bench, op, data):
    """An unordered scalar store races with exactly the bytes that the reduction reads or writes."""
    kind, call = data.draw(reduce_calls())
    size = np.dtype(DTYPES[kind]).itemsize
    call.op, call.mode, call.mode2 = op, VALUE_INDEX, 1
    group, unit = {0: (32 // size, 8 * size), 3: (2, 128), 4: (256 // size, size), 5: (256 // size, 2 * size)}[op]
    image = np.zeros(IMAGE, np.uint8)
    reads = (call.addresses(1, 256 // size, size)[:, None] + np.arange(size)).ravel()
    bytes_of_result = 2 * size if op == 5 else size
    results = reference_groups(image, kind, call, group, SUM)
    writes = [DST + r * call.rep[0] * unit + g * size + k for r, g, _, _ in results for k in range(bytes_of_result)]
    reads, writes = set(reads.tolist()), set(writes)
    near = [b + d for b in sorted(reads | writes)[:: max(1, len(reads) // 7)] for d in (-1, 0, 1, 4, 32)]
    call.aux = data.draw(st.sampled_from([b for b in near if b >= 0] or [DST]))
    report, _ = bench.launch("reduce", image, call, kind)
    expected = {"race.read-after-write"} if call.aux in reads else set()
    if call.aux in writes:
        expected.add("race.write-after-write")
    assert report.rules() == expected, report.findings


def test_sum_is_a_tree_over_neighbours_bit_for_bit(bench):
    """Numbers whose sum depends on the order of additions; masked lanes do not take part, not even a -0."""
    rng = np.random.default_rng(1)
    x = (rng.standard_normal(64) * 10.0 ** rng.integers(-3, 4, 64)).astype(np.float32)
    image = np.zeros(IMAGE, np.uint8)
    image[:256] = x.view(np.uint8)
    out = bench.run("reduce", image, Call(op=4, form=CONTIGUOUS, mask=64, rep=(1, 8, 8)), FLOAT)
    assert out[DST : DST + 4].view(np.float32)[0] == tree(x) != np.float32(x.astype(np.float64).sum())
    assert tree(x) != np.add.reduce(x[::-1])
    image[:256] = np.full(64, -0.0, np.float32).view(np.uint8)
    out = bench.run("reduce", image, Call(op=4, form=CONTIGUOUS, mask=3, rep=(1, 8, 8)), FLOAT)
    assert out[DST : DST + 4].view(np.uint32)[0] == 0x80000000


def test_smallest_index_on_ties(bench):
    image = np.zeros(IMAGE, np.uint8)
    x = np.zeros(64, np.float32)
    x[[9, 30, 63]] = 7
    image[:256] = x.view(np.uint8)
    out = bench.run("reduce", image, Call(op=5, form=CONTIGUOUS, mask=64, mode=VALUE_INDEX, rep=(1, 8, 8)), FLOAT)
    assert out[DST : DST + 4].view(np.float32)[0] == 7
    assert out[DST + 4 : DST + 8].view(np.uint32)[0] == 9


@pytest.mark.parametrize("order", ["eager", "lazy", "random"])
@pytest.mark.parametrize("kind", [HALF, FLOAT])
def test_reduce_sum_of_a_tensor(bench, kind, order):
    """The count form adds the repeats' sums in order, the mask form adds them as a tree again."""
    dtype = DTYPES[kind]
    size = np.dtype(dtype).itemsize
    lanes = 256 // size
    image = image_of(dtype, np.random.default_rng(5), special=False)
    x = image.view(dtype)
    for count in (1, lanes - 1, lanes, lanes + 1, 5 * lanes + 7):
        parts = [
            tree(np.pad(x[r : min(count, r + lanes)], (0, max(0, r + lanes - count)), constant_values=-0.0))
            for r in range(0, count, lanes)
        ]
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        out = bench.run("reduce_tensor", image, Call(op=SUM, count=count), kind, order=order)
        assert out[DST : DST + size].view(dtype)[0] == total
        assert out[AUX : AUX + size].view(dtype)[0] == total  # the accumulator register
    for repeat in (1, 2, lanes, lanes + 3, 300 if size == 2 else 150):
        call = Call(op=SUM, form=CONTIGUOUS, mask=lanes - 5, repeat=repeat, rep=(8, 1, 8))
        sums = np.array(
            [tree(np.pad(x[r * 32 // size :][: lanes - 5], (0, 5), constant_values=-0.0)) for r in range(repeat)]
        )
        while len(sums) > 1:
            sums = np.array(
                [
                    tree(np.pad(sums[k : k + lanes], (0, lanes - len(sums[k : k + lanes])), constant_values=-0.0))
                    for k in range(0, len(sums), lanes)
                ]
            )
        out = bench.run("reduce_tensor", image, call, kind, order=order)
        assert out[DST : DST + size].view(dtype)[0] == sums[0], repeat


@pytest.mark.parametrize("order", ["eager", "lazy", "random"])
@pytest.mark.parametrize("kind", [HALF, FLOAT])
@pytest.mark.parametrize("op", [MAX, MIN])
def test_reduce_extreme_of_a_tensor(bench, op, kind, order):
    dtype = DTYPES[kind]
    size = np.dtype(dtype).itemsize
    lanes = 256 // size
    raw = np.uint16 if size == 2 else np.uint32
    pick = np.argmax if op == MAX else np.argmin
    for seed, count in enumerate((1, lanes - 3, lanes, lanes + 1, 9 * lanes, 40 * lanes + 5, 80 * lanes + 1)):
        x = np.random.default_rng(seed).integers(-2000, 2000, count).astype(dtype)
        image = np.zeros(IMAGE, np.uint8)
        image[: x.nbytes] = x.view(np.uint8)
        for index in (0, 1):
            out = bench.run("reduce_tensor", image, Call(op=op, count=count, mode=index), kind, order=order)
            assert out[DST : DST + size].view(dtype)[0] == x[pick(x)]
            if index:
                assert out[DST + size : DST + 2 * size].view(raw)[0] == pick(x), count
    repeat, lane_count, stride = 70, lanes - 2, 9
    x = np.random.default_rng(9).permutation(np.arange(IMAGE // 4 // size)).astype(np.int64) % 2039
    image = np.zeros(IMAGE, np.uint8)
    image[: x.astype(dtype).nbytes] = x.astype(dtype).view(np.uint8)
    call = Call(op=op, form=CONTIGUOUS, mask=lane_count, repeat=repeat, rep=(8, stride, 8), mode=1, src1=AUX)
    at = (np.arange(repeat)[:, None] * stride * 32 // size + np.arange(lane_count)).ravel()
    out = bench.run("reduce_tensor", image, call, kind, order=order)
    want = at[pick(x[at])]
    assert out[DST : DST + size].view(dtype)[0] == x[want]
    assert out[DST + size : DST + 2 * size].view(raw)[0] == want


# ---- state, scalars, bad calls ------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("op", "lanes"),
    [(0, 8), (1, 64), (2, 64), (3, 2), (4, 64)],
    ids=["SetVectorMask", "count form", "Brcb", "GatherMask", "ResetMask"],
)
def test_mask_a_call_leaves(bench, op, lanes):
    """Count forms and Brcb leave all ones, GatherMask its own argument (5, as bits 0 and 2)."""
    image = image_of(np.float32, np.random.default_rng(0), special=False)
    out = bench.run("mask_after", image, Call(op=op)).view(np.float32)[DST // 4 :]
    x = image.view(np.float32)
    changed = np.flatnonzero(out[:64] == 2 * x[:64])
    np.testing.assert_array_equal(changed, [0, 2] if op == 3 else np.arange(lanes))


def test_half_and_bfloat16_on_the_scalar_unit(bench):
    x, out = np.array([0.1, 2049], np.float16), np.zeros(8, np.float32)
    bench.library.launch("scalars", x, out).raise_on_findings()
    total = x[0] + x[1]
    np.testing.assert_array_equal(out[:3], [total, x[0] * x[1], np.float32(total) + 3 + 1])
    assert out[3] == 1.0  # 1 + 2^-8 is a tie: to even
    assert out[4] == 8 + 63
    assert out[5] == 3 + 63


@pytest.mark.parametrize("kernel", ["reduce_tensor", "gather"])
def test_timing_only_runs_what_waits_for_its_own_result(bench, kernel):
    call = Call(op=2, count=4000, mode=1, mode2=1, repeat=2)
    report, _ = bench.launch(kernel, np.zeros(IMAGE, np.uint8), call, FLOAT, timing_only=True)
    report.raise_on_findings()
    assert report.cycles > 100


@pytest.mark.parametrize(
    ("kernel", "call", "kind", "message"),
    [
        ("reduce", Call(op=0, form=CONTIGUOUS, mask=64, repeat=256), FLOAT, "repeat: expected 0..255, got 256"),
        ("reduce", Call(op=0, form=CONTIGUOUS, mask=128, repeat=1), FLOAT, "mask: expected 0..64, got 128"),
        ("reduce", Call(op=0, form=CONTIGUOUS, mask=64, dst=DST + 16), FLOAT, "misaligned-write: .*dst"),
        ("reduce", Call(op=5, form=CONTIGUOUS, mask=64, dst=DST + 4), FLOAT, "misaligned-write: .*dst"),
        ("reduce_tensor", Call(op=MAX, count=-1), FLOAT, "count is -1"),
    ],
)
def test_bad_calls_are_named(bench, kernel, call, kind, message):
    got = bench.refused(kernel, call, kind)
    assert re.search(message, got), got
