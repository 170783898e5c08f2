"""half and bfloat16_t of kernels' scalar code, with and without the host's conversion instructions."""

from __future__ import annotations

import ctypes
import platform
import subprocess
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = """
#include "core/types.h"
using namespace ascend_sim;
extern "C" {
void half_to_float(const uint16_t* in, float* out, int n) { for (int i = 0; i < n; ++i) out[i] = HalfToFloat(in[i]); }
void float_to_half(const float* in, uint16_t* out, int n) { for (int i = 0; i < n; ++i) out[i] = FloatToHalf(in[i]); }
void float_to_bf16(const float* in, uint16_t* out, int n) { for (int i = 0; i < n; ++i) out[i] = FloatToBf16(in[i]); }
uint16_t expression(float a, float b) {
  Half x = a, y(b);
  x += y;
  x *= Half(2);
  return Half(x - y / Half(4.0)).bits;
}
}
"""


@pytest.fixture(scope="module", params=["-mno-f16c", "-mf16c"])
def types(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("types")
    (folder / "types.cpp").write_text(SOURCE)
    if request.param == "-mf16c" and "f16c" not in Path("/proc/cpuinfo").read_text():
        pytest.skip("no F16C on this processor")
    command = ["g++", "-std=c++17", "-O1", "-shared", "-fPIC", "-ffp-contract=off", f"-I{ROOT / 'sim'}"]
    option = [request.param] if platform.machine() == "x86_64" else []
    subprocess.run([*command, *option, "types.cpp", "-o", "types.so"], cwd=folder, check=True)
    return ctypes.CDLL(str(folder / "types.so"))


def call(function, source: np.ndarray, result: np.dtype) -> np.ndarray:
    out = np.empty(source.shape, result)
    function(source.ctypes.data_as(ctypes.c_void_p), out.ctypes.data_as(ctypes.c_void_p), ctypes.c_int(source.size))
    return out


def test_every_half(types):
    bits = np.arange(65536, dtype=np.uint16)
    values = call(types.half_to_float, bits, np.dtype(np.float32))
    expected = bits.view(np.float16).astype(np.float32)
    nan = np.isnan(expected)
    np.testing.assert_array_equal(values[~nan].view(np.uint32), expected[~nan].view(np.uint32))
    assert np.isnan(values[nan]).all()
    back = call(types.float_to_half, values, np.dtype(np.uint16))
    np.testing.assert_array_equal(back[~nan], bits[~nan])
    assert np.isnan(back[nan].view(np.float16)).all()


def test_rounding_to_half_and_bf16(types):
    rng = np.random.default_rng(0)
    floats = rng.integers(0, 1 << 32, 200000, dtype=np.uint32).view(np.float32)
    ties = (rng.integers(0, 1 << 16, 20000, dtype=np.uint32) << 16 | 0x8000).view(np.float32)
    halves = np.arange(0x7BFF, dtype=np.uint16).view(np.float16).astype(np.float32)
    between = (halves[1:] + halves[:-1]) / 2  # exact ties of half
    values = np.concatenate([floats, ties, between, -between, np.float32([0, -0.0, 65519.99, 65520, np.inf, 1e-8])])
    values = values[~np.isnan(values)]
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(
            call(types.float_to_half, values, np.dtype(np.uint16)), values.astype(np.float16).view(np.uint16)
        )
    bits = values.view(np.uint32).astype(np.uint64)
    expected = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    np.testing.assert_array_equal(call(types.float_to_bf16, values, np.dtype(np.uint16)), expected)


def test_half_arithmetic(types):
    types.expression.argtypes, types.expression.restype = [ctypes.c_float, ctypes.c_float], ctypes.c_uint16
    rng = np.random.default_rng(1)
    for a, b in rng.standard_normal((200, 2)).astype(np.float16):
        x = np.float16(np.float16(a + b) * np.float16(2))
        expected = np.float16(np.float32(x) - np.float32(b) / np.float32(4))
        assert types.expression(float(a), float(b)) == expected.view(np.uint16)
