"""Cast between all its types: rounding, saturation to integers, masks and repeats."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vec_reference import (
    CEIL,
    DST,
    FLOOR,
    NONE,
    ODD,
    RINT,
    ROUND,
    SRC0,
    TRUNC,
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
