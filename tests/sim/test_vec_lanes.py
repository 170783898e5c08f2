"""Vector instructions that work lane by lane: arithmetic, scalars, Cast, fills, indices."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vec_reference import (
    BITS,
    CONTIGUOUS,
    COUNT,
    DST,
    DTYPES,
    FLOAT,
    HALF,
    INT16,
    INT32,
    REGISTER,
    SRC0,
    UINT16,
    UINT32,
    Bench,
    Call,
    check,
    image_of,
    load,
    store,
)

SETTINGS = settings(max_examples=12, deadline=None, derandomize=True)
REAL, NUMBER = (HALF, FLOAT), (HALF, FLOAT, INT16, INT32)


@pytest.fixture(scope="module")
def bench(kernels):
    import ascend_sim

    return Bench(kernels("vec_ops"), ascend_sim.Struct)


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


def cases(table):
    return [pytest.param(name, t, id=f"{name}-{DTYPES[t].__name__}") for name, row in table.items() for t in row[1]]


def run_lanes(bench, name, row, kind, call, sources, seed):
    dtype = DTYPES[kind]
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


@pytest.mark.parametrize(("name", "kind"), cases(BINARY))
def test_binary(bench, name, kind):
    @SETTINGS
    @given(shapes(np.dtype(DTYPES[kind]).itemsize), st.integers(0, 99))
    def run(call, seed):
        run_lanes(bench, name, BINARY[name], kind, call, "binary", seed)

    run()


@pytest.mark.parametrize(("name", "kind"), cases(SCALAR))
def test_scalar(bench, name, kind):
    @SETTINGS
    @given(shapes(np.dtype(DTYPES[kind]).itemsize), st.integers(0, 99))
    def run(call, seed):
        run_lanes(bench, name, SCALAR[name], kind, call, "scalar", seed)

    run()


@pytest.mark.parametrize(("name", "kind"), cases(UNARY))
def test_unary(bench, name, kind):
    @SETTINGS
    @given(shapes(np.dtype(DTYPES[kind]).itemsize), st.integers(0, 99))
    def run(call, seed):
        run_lanes(bench, name, UNARY[name], kind, call, "unary", seed)

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


# ---- Cast ---------------------------------------------------------------------------------------------------------
NONE, RINT, FLOOR, CEIL, ROUND, TRUNC, ODD = range(7)
FIVE = (RINT, FLOOR, CEIL, ROUND, TRUNC)
BF16 = "bfloat16"
PAIRS = [
    (np.int8, np.float16, (NONE,)),
    (np.uint8, np.float16, (NONE,)),
    (np.int16, np.float16, (NONE, *FIVE)),
    (np.int16, np.float32, (NONE,)),
    (np.float16, np.int8, (NONE, *FIVE)),
    (np.float16, np.uint8, (NONE, *FIVE)),
    (np.float16, np.int16, FIVE),
    (np.float16, np.int32, FIVE),
    (np.float16, np.float32, (NONE,)),
    (BF16, np.int32, FIVE),
    (BF16, np.float32, (NONE,)),
    (np.int32, np.int16, (NONE,)),
    (np.int32, np.float16, (NONE, RINT)),
    (np.int32, np.float32, (NONE, *FIVE)),
    (np.int32, np.int64, (NONE,)),
    (np.float32, np.int16, FIVE),
    (np.float32, np.float16, (NONE, *FIVE, ODD)),
    (np.float32, BF16, FIVE),
    (np.float32, np.int32, FIVE),
    (np.float32, np.float32, FIVE),
    (np.float32, np.int64, FIVE),
    (np.int64, np.int32, (NONE,)),
    (np.int64, np.float32, FIVE),
]


def carrier(t):
    """The numpy type whose bytes hold a value of t."""
    return np.uint16 if t is BF16 else t


def round_integer(x, mode):
    if mode == FLOOR:
        return np.floor(x)
    if mode == CEIL:
        return np.ceil(x)
    if mode == ROUND:
        return np.trunc(x + np.copysign(0.5, x)) if x.dtype == np.float64 else round_integer(x.astype(np.float64), mode)
    return np.trunc(x) if mode == TRUNC else np.rint(x)


def round_to_grid(x, mode, grid):
    """x (exact, as Python integers or float64) to one of the sorted values of `grid`, by mode."""
    upper = np.clip(np.searchsorted(grid, x, side="left"), 0, len(grid) - 1)
    exact = grid[upper] == x
    lower = np.maximum(upper - 1, 0)
    low, high = grid[lower], grid[upper]
    middle = (low + high) / 2
    even_high = np.arange(len(grid))[upper] % 2 == np.searchsorted(grid, 0.0) % 2
    down = {
        RINT: (x < middle) | ((x == middle) & ~even_high),
        NONE: (x < middle) | ((x == middle) & ~even_high),
        FLOOR: np.ones(x.shape, bool),
        CEIL: np.zeros(x.shape, bool),
        ROUND: np.where(x > 0, x < middle, x <= middle),
        TRUNC: x > 0,
        ODD: even_high,
    }[mode]
    return np.where(exact | ~down, high, low)


HALVES = np.unique(np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(np.float64))
HALVES = np.concatenate([-65536 * np.ones(1), -HALVES[:0:-1], HALVES, 65536 * np.ones(1)])


def convert(x, source, to, mode):
    """The reference: exact in float64 but for int64, which stays an integer."""
    if source is BF16:
        x = (x.astype(np.uint32) << 16).view(np.float32)
    if to is not BF16 and np.issubdtype(to, np.integer):
        info = np.iinfo(to)
        if np.issubdtype(x.dtype, np.integer):
            return np.clip(x, info.min, info.max).astype(to)
        rounded = round_integer(x.astype(np.float64), mode)
        values = [0 if np.isnan(v) else int(np.clip(v, -(2.0**70), 2.0**70)) for v in rounded]
        return np.array([min(max(v, info.min), info.max) for v in values], dtype=to)
    if to is np.float32 and x.dtype == np.int64:
        return np.array([integer_to_float(int(v), mode) for v in x], np.float32)
    exact = x.astype(np.float64)
    if to is np.float32:
        if x.dtype == np.int32:
            return np.array([integer_to_float(int(v), mode) for v in x], np.float32)
        return round_integer(exact, mode).astype(np.float32) if source is np.float32 else exact.astype(np.float32)
    if to is BF16:
        return np.array([float_to_bf16(v, mode) for v in x], np.uint16)
    if source is np.int32:  # half through the dequantisation scale, 0.5 in the kernel
        with np.errstate(over="ignore"):
            return (x.astype(np.float32) * np.float32(0.5)).astype(np.float16)
    rounded = np.where(np.isfinite(exact) & (exact != 0), round_to_grid(exact, mode, HALVES), exact)
    finite = np.isfinite(exact)
    beyond = finite & (np.abs(exact) >= 65536)  # past the grid: as between the largest half and infinity
    away = {FLOOR: exact < 0, CEIL: exact > 0, TRUNC: exact != exact, ODD: exact != exact}.get(mode, exact == exact)
    rounded = np.where(beyond, np.where(away, np.copysign(65536.0, exact), np.copysign(65504.0, exact)), rounded)
    with np.errstate(over="ignore"):
        return rounded.astype(np.float16)


def integer_to_float(v, mode):
    sign, v = (-1, -v) if v < 0 else (1, v)
    shift = max(0, v.bit_length() - 24)
    low, rest, half = v >> shift, v & ((1 << shift) - 1), (1 << shift) >> 1
    up = {
        FLOOR: sign < 0 and rest > 0,
        CEIL: sign > 0 and rest > 0,
        ROUND: rest >= half and rest > 0,
        TRUNC: False,
    }.get(mode, rest > half or (rest == half and rest > 0 and low & 1 == 1))
    return np.float32(sign * float((low + up) << shift))


def float_to_bf16(v, mode):
    bits = int(np.float32(v).view(np.uint32))
    if np.isnan(v):
        return (bits >> 16) | 0x40
    low, rest, negative = bits >> 16, bits & 0xFFFF, bits >> 31 == 1
    up = {
        FLOOR: negative and rest > 0,
        CEIL: not negative and rest > 0,
        ROUND: rest >= 0x8000,
        TRUNC: False,
    }.get(mode, rest > 0x8000 or (rest == 0x8000 and low & 1 == 1))
    return low + up


def cast_values(source, rng):
    """Ordinary values, halves between integers, ties of the narrower formats, ends of the ranges."""
    if source is BF16:
        return (cast_values(np.float32, rng).view(np.uint32) >> 16).astype(np.uint16)
    if np.issubdtype(source, np.integer):
        info = np.iinfo(source)
        values = rng.integers(info.min, info.max, 2048, dtype=source, endpoint=True)
        small = rng.integers(max(info.min, -300), min(info.max, 300), 1024, endpoint=True).astype(source)
        ends = np.array([info.min, info.max, 0, 1], dtype=source)
        return np.concatenate([values, small, ends])
    ties = (1 + (2 * rng.integers(0, 1024, 512) + 1) * 2.0**-11) * 2.0 ** rng.integers(-16, 18, 512)
    bf16_ties = (1 + (2 * rng.integers(0, 128, 256) + 1) * 2.0**-8) * 2.0 ** rng.integers(-20, 20, 256)
    tiny = rng.integers(0, 4096, 256) * 2.0**-26
    wide_range = rng.standard_normal(512) * 10.0 ** rng.integers(-8, 12, 512)
    halves = rng.integers(-300, 300, 512) + 0.5
    special = np.array(
        [np.inf, -np.inf, np.nan, 0.0, -0.0, 65504, 65519.9, 65520, 65536, 7e4, 2.0**31, -(2.0**31), 2.0**63]
    )
    with np.errstate(over="ignore"):
        values = np.concatenate([ties, -ties, bf16_ties, tiny, -tiny, wide_range, halves, special])
        return values.astype(source)


@pytest.mark.parametrize(
    "pair", range(len(PAIRS)), ids=[f"{getattr(a, '__name__', a)}-{getattr(b, '__name__', b)}" for a, b, _ in PAIRS]
)
def test_cast_rounds_as_documented(bench, pair):
    source, to, modes = PAIRS[pair]
    values = cast_values(source, np.random.default_rng(pair))
    image = np.zeros(183 * 1024, np.uint8)
    raw = values.tobytes()
    image[: len(raw)] = np.frombuffer(raw, np.uint8)
    for mode in modes:
        call = Call(op=pair, count=len(values), mode=mode)
        out = bench.run("cast", image, call)
        at = DST + np.arange(len(values)) * np.dtype(carrier(to)).itemsize
        expected = image.copy()
        store(expected, at, convert(values, source, to, mode))
        check(out, expected, at, carrier(to))


@pytest.mark.parametrize(
    "pair", [4, 8, 16, 17, 20], ids=["half-int8", "half-float", "float-half", "float-bf16", "float-int64"]
)
@SETTINGS
@given(data=st.data())
def test_cast_mask_and_repeats_follow_the_wider_type(bench, pair, data):
    source, to, modes = PAIRS[pair]
    sizes = (np.dtype(carrier(to)).itemsize, np.dtype(carrier(source)).itemsize, 2)
    call = data.draw(shapes(sizes=sizes))
    call.op, call.mode = pair, modes[0]
    lanes = 256 // max(sizes)
    image = image_of(carrier(source), np.random.default_rng(3), special=False)
    x = load(image, carrier(source), call.addresses(1, lanes, sizes[1]))
    expected = image.copy()
    at = call.addresses(0, lanes, sizes[0])
    store(expected, at, convert(x, source, to, modes[0]))
    check(bench.run("cast", image, call), expected, at, carrier(to))


def test_cast_in_place_narrows(bench):
    x = np.linspace(-9, 9, 2000, dtype=np.float32)
    image = np.zeros(183 * 1024, np.uint8)
    image[: x.nbytes] = x.view(np.uint8)
    out = bench.run("cast", image, Call(op=16, count=len(x), mode=RINT, dst=SRC0))
    np.testing.assert_array_equal(out[: x.nbytes // 2].view(np.float16), x.astype(np.float16))


# ---- Duplicate, Brcb, Copy, CreateVecIndex ------------------------------------------------------------------------
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


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (Call(op=17, mode=NONE, count=8), "float -> bfloat16_t has no CAST_NONE"),
        (Call(op=18, mode=ODD, count=8), "float -> int32_t has no CAST_ODD"),
        (Call(op=8, mode=RINT, count=8), "half -> float has no CAST_RINT"),
        (Call(op=16, mode=255, count=8), "has no such RoundMode"),
        (Call(op=23, mode=RINT, count=8), "half -> bfloat16_t is not supported"),
        (Call(op=8, mode=NONE, count=64, dst=SRC0), "dst and src overlap"),
    ],
)
def test_bad_casts_are_named(bench, call, message):
    assert message in bench.refused("cast", call)


def test_brcb_is_not_in_place(bench):
    assert "Brcb does not work in place" in bench.refused("fill", Call(op=1, repeat=1, dst=SRC0), 1)
