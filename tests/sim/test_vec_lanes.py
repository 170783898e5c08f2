"""Vector arithmetic lane by lane, and the rules of masks, strides and overlap that all vector instructions share."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vec_reference import (
    CONTIGUOUS,
    COUNT,
    DST,
    DTYPES,
    FLOAT,
    HALF,
    INT16,
    INT32,
    NONE,
    RINT,
    SRC0,
    UINT16,
    UINT32,
    Call,
    bench_of,
    check,
    image_of,
    load,
    shapes,
    store,
)

bench = bench_of("vec_ops")
SETTINGS = settings(max_examples=12, deadline=None, derandomize=True)
REAL, NUMBER = (HALF, FLOAT), (HALF, FLOAT, INT16, INT32)


def wide(x):
    """Half computes in float."""
    return x.astype(np.float32) if x.dtype == np.float16 else x


def nan_max(a, b):
    return np.maximum(a, b) if np.issubdtype(a.dtype, np.floating) else np.where(a > b, a, b)


def nan_min(a, b):
    return np.minimum(a, b) if np.issubdtype(a.dtype, np.floating) else np.where(a < b, a, b)


def zero(x):
    return np.zeros_like(x)


BINARY = {
    "Add": (0, NUMBER, lambda a, b: a + b),
    "Sub": (1, NUMBER, lambda a, b: a - b),
    "Mul": (2, NUMBER, lambda a, b: a * b),
    "Div": (3, REAL, lambda a, b: a / b),
    "Max": (4, NUMBER, nan_max),
    "Min": (5, NUMBER, nan_min),
    "And": (6, (INT16,), lambda a, b: a & b),
    "Or": (7, (UINT16,), lambda a, b: a | b),
    "AddRelu": (8, REAL, lambda a, b: nan_max(a + b, zero(a))),
    "SubRelu": (9, REAL, lambda a, b: nan_max(a - b, zero(a))),
}
SCALAR = {
    "Adds": (20, NUMBER, lambda a, s: a + s),
    "Muls": (21, NUMBER, lambda a, s: a * s),
    "Maxs": (22, NUMBER, nan_max),
    "Mins": (23, NUMBER, nan_min),
    "LeakyRelu": (24, REAL, lambda a, s: np.where(a >= 0, a, a * s)),
    "ShiftLeft": (25, (INT16, INT32, UINT16, UINT32), lambda a, s: a << s),
    "ShiftRight": (26, (INT16, INT32, UINT16, UINT32), lambda a, s: a >> s),
}
UNARY = {
    "Exp": (40, REAL, np.exp),
    "Ln": (41, REAL, np.log),
    "Abs": (42, REAL, np.abs),
    "Relu": (43, (HALF, FLOAT, INT32), lambda a: nan_max(a, zero(a))),
    "Reciprocal": (44, REAL, lambda a: np.float32(1) / a),
    "Sqrt": (45, REAL, np.sqrt),
    "Rsqrt": (46, REAL, lambda a: (1 / np.sqrt(a.astype(np.float64))).astype(np.float32)),
    "Not": (47, (INT16,), lambda a: ~a),
}
# The libm of numpy and of the simulator may differ by a last place.
APPROXIMATE = {"Exp": {HALF: 1e-3, FLOAT: 3e-7}, "Ln": {HALF: 1e-3, FLOAT: 3e-7}, "Rsqrt": {HALF: 1e-3, FLOAT: 3e-7}}


TABLES = {"binary": BINARY, "scalar": SCALAR, "unary": UNARY}
CASES = [
    pytest.param(sources, name, kind, id=f"{name}-{DTYPES[kind].__name__}")
    for sources, table in TABLES.items()
    for name, (_, kinds, _) in table.items()
    for kind in kinds
]


def run_lanes(bench, sources, name, kind, call, seed):
    row, dtype = TABLES[sources][name], DTYPES[kind]
    size = np.dtype(dtype).itemsize
    call.op = row[0]
    rng = np.random.default_rng(seed)
    image = image_of(dtype, rng)
    scalar = None
    if sources == "scalar":
        scalar = (
            rng.integers(0, 9) if name.startswith("Shift") else load(image, dtype, np.array([rng.integers(99) * 4]))[0]
        )
        scalar = dtype(scalar)
        call.scalar = scalar.tobytes()
    expected = image.copy()
    lanes = 256 // size
    a = wide(load(image, dtype, call.addresses(1, lanes, size)))
    with np.errstate(all="ignore"):
        if sources == "binary":
            value = row[2](a, wide(load(image, dtype, call.addresses(2, lanes, size))))
        elif sources == "scalar":
            value = row[2](a, a.dtype.type(scalar))
        else:
            value = row[2](a)
        store(expected, call.addresses(0, lanes, size), value.astype(dtype))
    out = bench.run("lanes", image, call, kind)
    tolerance = APPROXIMATE.get(name, {}).get(kind)
    check(
        out, expected, call.addresses(0, lanes, size), dtype, **({"rtol": tolerance, "atol": 1e-7} if tolerance else {})
    )


@pytest.mark.parametrize(("sources", "name", "kind"), CASES)
def test_lanes(bench, sources, name, kind):
    @SETTINGS
    @given(shapes(np.dtype(DTYPES[kind]).itemsize), st.integers(0, 99))
    def run(call, seed):
        run_lanes(bench, sources, name, kind, call, seed)

    run()


# ---- multiply and add ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("op", [10, 11], ids=["FusedMulAdd", "MulAddRelu"])
@pytest.mark.parametrize("kind", REAL)
@SETTINGS
@given(data=st.data())
def test_fused_multiply_add(bench, op, kind, data):
    dtype = DTYPES[kind]
    size = np.dtype(dtype).itemsize
    call = data.draw(shapes(size, forms=(COUNT, CONTIGUOUS)))
    call.op, call.rep, call.blk = op, (8, 8, 8), (1, 1, 1)
    image = image_of(dtype, np.random.default_rng(call.count), special=False)
    where = [call.addresses(k, 256 // size, size) for k in range(3)]
    d, a, b = (load(image, dtype, at).astype(np.float64) for at in where)
    value = a * d + b
    expected = image.copy()
    store(expected, where[0], (np.maximum(value, 0) if op == 11 else value).astype(np.float32).astype(dtype))
    check(
        bench.run("lanes", image, call, kind), expected, where[0], dtype, rtol=1e-3 if kind == HALF else 2e-7, atol=1e-7
    )


@pytest.mark.parametrize("op", [0, 1], ids=["MulAddDst", "Axpy"])
@pytest.mark.parametrize("kind", [0, 1, 2], ids=["half", "float", "half-to-float"])
@SETTINGS
@given(data=st.data())
def test_multiply_add_to_destination(bench, op, kind, data):
    to, source = [(np.float16, np.float16), (np.float32, np.float32), (np.float32, np.float16)][kind]
    sizes = (np.dtype(to).itemsize, np.dtype(source).itemsize, np.dtype(source).itemsize)
    lanes = 256 // max(sizes)
    call = data.draw(shapes(sizes=sizes))
    call.op, call.blk = op, (call.blk[0], 1, 1)
    if call.form != COUNT:
        call.rep = (24, call.rep[1], call.rep[2])
    rng = np.random.default_rng(call.count)
    image = image_of(to, rng, special=False)
    image[:DST] = image_of(source, rng, special=False)[:DST]
    scalar = source(1.5)
    call.scalar = scalar.tobytes()
    d, a, b = (
        load(image, t, call.addresses(k, lanes, s)).astype(np.float64)
        for k, (t, s) in enumerate(zip((to, source, source), sizes, strict=True))
    )
    expected = image.copy()
    at = call.addresses(0, lanes, sizes[0])
    store(expected, at, ((a * b if op == 0 else a * float(scalar)) + d).astype(np.float32).astype(to))
    out = bench.run("multiply_add", image, call, kind)
    check(out, expected, at, to, rtol=1e-3 if to == np.float16 else 2e-7, atol=1e-7)


# ---- mask, strides, overlap: the rules all of them share ----------------------------------------------------------
def test_counter_mode_ignores_repeat_and_counts_elements(bench):
    image = image_of(np.float32, np.random.default_rng(2), special=False)
    call = Call(form=CONTIGUOUS, counter=True, mask=130, repeat=1)
    out = bench.run("lanes", image, call, FLOAT)
    x = image.view(np.float32)
    np.testing.assert_array_equal(out.view(np.float32)[DST // 4 : DST // 4 + 130], x[:130] + x[12288 : 12288 + 130])
    np.testing.assert_array_equal(out[DST + 520 :], image[DST + 520 :])


@pytest.mark.parametrize("call", [Call(form=CONTIGUOUS, mask=0, repeat=3), Call(form=CONTIGUOUS, mask=64, repeat=0)])
def test_norm_mode_without_mask_or_repeat_does_nothing(bench, call):
    image = image_of(np.float32, np.random.default_rng(2))
    np.testing.assert_array_equal(bench.run("lanes", image, call, FLOAT), image)


def test_source_block_stride_zero_broadcasts_and_repeat_stride_zero_rereads(bench):
    image = image_of(np.float32, np.random.default_rng(2), special=False)
    call = Call(op=1, form=CONTIGUOUS, mask=64, repeat=4, blk=(1, 1, 0), rep=(8, 0, 1))
    out = bench.run("lanes", image, call, FLOAT).view(np.float32)
    x = image.view(np.float32)
    for r in range(4):
        want = x[:64] - np.tile(x[12288 + 8 * r : 12288 + 8 * r + 8], 8)
        np.testing.assert_array_equal(out[DST // 4 + 64 * r : DST // 4 + 64 * r + 64], want)


def test_running_result_where_dst_is_src1_with_stride_zero(bench):
    image = image_of(np.float32, np.random.default_rng(2), special=False)
    call = Call(op=0, form=CONTIGUOUS, mask=64, repeat=5, src1=DST, rep=(0, 8, 0))
    out = bench.run("lanes", image, call, FLOAT).view(np.float32)
    x = image.view(np.float32)
    total = x[DST // 4 : DST // 4 + 64]
    for r in range(5):
        total = x[64 * r : 64 * r + 64] + total
    np.testing.assert_array_equal(out[DST // 4 : DST // 4 + 64], total)


@pytest.mark.parametrize("kernel", ["add", "exp", "narrow", "widen", "multiply-add"])
@settings(max_examples=40, deadline=None, derandomize=True)
@given(data=st.data())
def test_footprint_is_exact_to_the_byte(bench, kernel, data):
    """An unordered scalar store races with exactly the bytes that the instruction reads or writes."""
    sizes = {"narrow": (2, 4, 4), "widen": (4, 2, 2), "multiply-add": (4, 2, 2)}.get(kernel, (4, 4, 4))
    call = data.draw(shapes(sizes=sizes))
    call.op = {"exp": 40, "narrow": 16, "widen": 8}.get(kernel, 0)
    call.mode = RINT if kernel == "narrow" else NONE
    lanes = 256 // max(sizes)
    operands = 3 if kernel in ("add", "multiply-add") else 2
    touched = [
        set((call.addresses(k, lanes, sizes[k])[:, None] + np.arange(sizes[k])).ravel().tolist())
        for k in range(operands)
    ]
    reads = touched[1].union(*touched[2:], touched[0] if kernel == "multiply-add" else ())
    near = [b + d for b in sorted(reads | touched[0])[:: max(1, len(reads) // 7)] for d in (-1, 0, 1, 4, 32)]
    call.aux, call.mode2 = data.draw(st.sampled_from([b for b in near if b >= 0] or [DST])), 1
    name, kind = {"narrow": ("cast", ()), "widen": ("cast", ()), "multiply-add": ("multiply_add", (2,))}.get(
        kernel, ("lanes", (FLOAT,))
    )
    report, _ = bench.launch(name, image_of(np.float32, np.random.default_rng(0), special=False), call, *kind)
    expected = {"race.read-after-write"} if call.aux in reads else set()
    if call.aux in touched[0]:
        expected.add("race.write-after-write")
    assert report.rules() == expected, report.findings


def test_saturation_flag_clamps_half_results(bench):
    x = np.array([60000, -60000, np.inf, np.nan, 2], np.float16)
    image = np.zeros(183 * 1024, np.uint8)
    image[:10] = x.view(np.uint8)
    image[49152 : 49152 + 10] = x.view(np.uint8)
    with np.errstate(over="ignore"):
        plain = bench.run("lanes", image, Call(op=0, count=5), HALF)[DST : DST + 10].view(np.float16)
        np.testing.assert_array_equal(plain, x + x)
    saturated = bench.run("lanes", image, Call(op=0, count=5, mode2=2), HALF)[DST : DST + 10].view(np.float16)
    np.testing.assert_array_equal(saturated, [65504, -65504, 65504, 0, 4])
    wide_image = np.zeros(183 * 1024, np.uint8)
    wide_image[:20] = np.array([1e6, -1e6, np.inf, np.nan, 2], np.float32).view(np.uint8)
    narrowed = bench.run("cast", wide_image, Call(op=16, count=5, mode=RINT, mode2=2))[DST : DST + 10]
    np.testing.assert_array_equal(narrowed.view(np.float16), [65504, -65504, 65504, 0, 2])


@pytest.mark.parametrize("order", ["lazy", "random"])
def test_other_orders_of_execution_agree(bench, order):
    image = image_of(np.float32, np.random.default_rng(2))
    call = Call(op=40, count=3000)
    np.testing.assert_array_equal(
        bench.run("lanes", image, call, FLOAT), bench.run("lanes", image, call, FLOAT, order=order)
    )


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (Call(dst=DST + 4, count=8), FLOAT, "misaligned-write: .*dst"),
        (Call(src0=SRC0 + 2, count=8), HALF, "misaligned-read: .*src0"),
        (Call(form=CONTIGUOUS, mask=65, repeat=1), FLOAT, "argument: Add: mask: expected 0..64, got 65"),
        (Call(form=CONTIGUOUS, mask=129, repeat=1), HALF, "argument: Add: mask: expected 0..128, got 129"),
        (Call(count=-1), FLOAT, r"argument: Add: count: expected 0\.\.196608, got -1"),
        (Call(form=CONTIGUOUS, mask=64, blk=(0, 1, 1)), FLOAT, "argument: Add: dst: a block stride of 0 is undefined"),
        (Call(op=20, count=64, dst=SRC0 + 32), FLOAT, "argument: Adds: dst and src overlap"),
        (Call(count=64, dst=SRC0 + 128), FLOAT, "argument: Add: dst and src0 overlap in part"),
        (Call(form=CONTIGUOUS, mask=64, repeat=3, dst=SRC0 + 256), FLOAT, "overlap: repeat 1 reads .* repeat 0 wrote"),
        (Call(op=3, form=CONTIGUOUS, mask=64, repeat=2, src1=DST, rep=(0, 8, 0)), FLOAT, "dst and src1 overlap"),
        (Call(op=25, count=8, scalar=b"\x21\0\0\0"), INT32, "argument: ShiftLeft: scalarValue: expected 0..32, got 33"),
        (Call(op=25, count=8, scalar=b"\xff\xff"), INT16, "argument: ShiftLeft: scalarValue: expected 0..16, got -1"),
    ],
)
def test_bad_calls_are_named(bench, call, kind, message):
    import re

    got = bench.refused("lanes", call, kind)
    assert re.search(message, got), got
