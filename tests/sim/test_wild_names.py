"""Names that kernels of others use, with their meaning: see kernels/wild_names.cpp."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

SOURCE = Path(__file__).parent / "kernels" / "wild_names.cpp"
Array = np.ndarray[Any, Any]


def floats(*shape: int, dtype: Any = np.float32) -> Array:
    return np.random.default_rng(3).standard_normal(shape).astype(dtype)


def test_function_pointers(kernels: Any) -> None:
    """Pointers and template arguments of CANN's types; what they call is checked as ever, by the function's name."""
    launch = kernels("wild_names").launch
    x, out = floats(64), np.zeros(64, np.float32)
    report = launch("names_pointers", x, out, 1, uninitialised=[1])
    report.raise_on_findings()
    np.testing.assert_array_equal(out, x + x)
    assert any("SetFlag<MTE2_V>" in str(call) and "called through a pointer" in str(call) for call in report.sync_calls)
    assert any("set_flag called through a pointer" in str(call) for call in report.sync_calls)
    (race,) = [f for f in launch("names_pointers", x, out, 0).findings if f.rule == "race.read-after-write"]
    assert race.site.file == "Add called through a pointer"
    sums = np.zeros(16, np.float32)
    launch("names_more_pointers", sums, uninitialised=[0]).raise_on_findings()
    assert sums[0] == sums[8] == 192


HIGH_LEVEL = [
    # how, rows, columns, scratch in bytes; what of x [rows, columns]
    (0, 40, 64, 1024, lambda x: np.repeat(x[:, :1], 64, 1)),
    (0, 37, 21, 4096, lambda x: np.repeat(x[:, :1], 21, 1)),  # rows that begin anywhere; several passes
    (1, 300, 32, 32, lambda x: np.repeat(x[:1], 300, 0)),
    (2, 1, 100, 32, lambda x: np.repeat(x[0, :1], 100)),
    (3, 20, 208, 4096, lambda x: x.max(1)),
    (3, 250, 16, 32, lambda x: x.max(1)),
    (4, 9, 48, 32, lambda x: x.max(0)),
    (4, 1, 48, 32, lambda x: x.max(0)),
    (5, 5, 130, 32, lambda x: x.min(1)),
    (6, 40, 300, 2048, lambda x: x.sum(1)),
    (7, 11, 96, 32, lambda x: x.sum(0)),
    (8, 1, 20000, 32, lambda x: np.full(20000, 3)),  # in chunks
]


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_broadcasts_and_reductions_over_an_axis(kernels: Any, dtype: Any) -> None:
    launch = kernels("wild_names").launch
    name = "names_float" if dtype == np.float32 else "names_half"
    for how, rows, columns, scratch, reference in HIGH_LEVEL:
        if how in (6, 7) and dtype == np.float16:
            continue
        x = floats(rows, columns, dtype=dtype)
        block = 32 // x.itemsize
        padded = np.full((rows, -(-columns // block) * block), np.nan, dtype)
        padded[:, :columns] = x
        given = {0: x[:, 0], 1: x[0], 2: x[0, :1], 8: x[0, :8]}.get(how, padded).ravel().copy()
        want = reference(x).astype(dtype)
        out = np.zeros(want.size, dtype)
        report = launch(name, given, out, how, rows, columns, given.size, out.size, scratch, uninitialised=[1])
        assert report.findings == [], (how, rows, columns)
        tolerance = 1e-5 if how >= 6 else 0
        np.testing.assert_allclose(out, want.ravel(), rtol=tolerance, atol=tolerance, err_msg=f"{how} {rows}x{columns}")


def test_what_the_high_level_names_refuse(kernels: Any) -> None:
    launch = kernels("wild_names").launch
    x, out = floats(64, 64), np.zeros(4096, np.float32)
    for how, columns, scratch, message in (
        (0, 21, 64, "Broadcast: bytes of sharedTmpBuffer: got 64, expected 2048"),
        (1, 21, 64, "Broadcast: srcShape[1], of which a multiple: got 21, expected 8"),
        (7, 21, 64, "ReduceSum: srcShape[1], of which a multiple: got 21, expected 8"),
        (3, 100, 32, "Reduce: bytes of sharedTmpBuffer: got 32, expected 256"),
    ):
        report = launch("names_float", x, out, how, 16, columns, 2048, 2048, scratch)
        assert message in [f.message for f in report.findings], report.findings
        assert not report.completed


def test_int4(kernels: Any) -> None:
    launch = kernels("wild_names").launch
    x = np.random.default_rng(4).uniform(-11, 11, 256).astype(np.float16)
    packed, back = np.zeros(128, np.uint8), np.zeros(256, np.float16)
    launch("names_int4", x, packed, back, 0, uninitialised=[1, 2]).raise_on_findings()
    want = np.clip(np.concatenate([np.rint(x[:128]), np.floor(x[128:])]), -8, 7)
    np.testing.assert_array_equal(back, want)
    nibbles = want.astype(np.int8).astype(np.uint8) & 15
    np.testing.assert_array_equal(packed, nibbles[::2] | nibbles[1::2] << 4)
    report = launch("names_int4", x, packed, back, 1)
    assert not report.completed
    assert report.findings[0].message == "Cast: with int4b_t the mask or count takes both elements of a byte or none"


def fractals(matrix: Array) -> Array:
    """[rows, columns] as fractals of 16 x 32 bytes, row after row of them."""
    rows, columns = matrix.shape
    return matrix.reshape(rows // 16, 16, columns // 32, 32).transpose(0, 2, 1, 3).ravel().copy()


def test_two_of_four(kernels: Any) -> None:
    launch = kernels("wild_names").launch
    rng = np.random.default_rng(6)
    a = rng.integers(-128, 128, (32, 128), np.int8)
    dense = np.zeros((128, 32), np.int8)
    values, chosen = np.zeros((64, 32), np.int8), np.zeros((64, 32), np.uint8)
    for group in range(32):
        for column in range(32):
            first, second = sorted(rng.choice(4, 2, replace=False))
            pair = rng.integers(-128, 128, 2, np.int8)
            dense[group * 4 + first, column], dense[group * 4 + second, column] = pair
            values[group * 2 : group * 2 + 2, column] = pair
            chosen[group * 2 : group * 2 + 2, column] = first, second - 1
    # B and its indices column by column in each fractal, rows of fractals along k.
    b = values.reshape(2, 32, 2, 16).transpose(0, 2, 3, 1).ravel().copy()
    four = chosen.reshape(2, 32, 2, 16).transpose(0, 2, 3, 1).reshape(-1, 4)
    index = (four << np.array([0, 2, 4, 6], np.uint8)).sum(1).astype(np.uint8)
    out = np.zeros((32, 32), np.int32)
    launch("names_sparse", fractals(a), b, index, out, 1, uninitialised=[3]).raise_on_findings()
    np.testing.assert_array_equal(out, 2 * (a.astype(np.int32) @ dense.astype(np.int32)))
    report = launch("names_sparse", fractals(a), b, index, out, 0)
    unread = [f for f in report.findings if f.rule == "uninitialised-read"]
    assert unread
    assert {(f.buffer, f.site.instruction) for f in unread} == {("the index buffer", "MmadWithSparse")}, unread


@pytest.mark.parametrize("order", ["lazy", "random"])
def test_cores_take_turns(kernels: Any, order: str) -> None:
    launch = kernels("wild_names").launch
    want = 1.0
    for turn in range(3 * 6):
        want = 2 * want + turn % 6
    value, words = np.ones(8, np.float32), np.full(48, 77, np.int32)  # what the words held does not matter
    launch("names_turns", value, words, 0, block_dim=6, order=order, seed=5).raise_on_findings()
    np.testing.assert_array_equal(value, want)
    if order == "lazy":
        assert {f.rule[:4] for f in launch("names_turns", value, words, 1, block_dim=6).findings} == {"race"}
        for how, message in (
            (2, "WaitPreBlock: InitDetermineComputeWorkspace was not called before"),
            (3, "InitDetermineComputeWorkspace: ubWorkspace has 8 elements, expected 8 an AIV and 8 more: 56"),
        ):
            report = launch("names_turns", value, words, how, block_dim=6)
            assert message in [f.message for f in report.findings]
            assert not report.completed


def test_groups_of_cores(kernels: Any) -> None:
    launch = kernels("wild_names").launch

    def run(how: int, order: str = "lazy") -> tuple[Any, Array]:
        words, data, out = np.zeros(3 * 128, np.int32), np.zeros(256, np.float32), np.zeros((3, 64), np.float32)
        library = kernels("wild_names")
        memory = library.gm_array(3 * 512).view(np.int32)  # begins at a multiple of 512 B
        memory[:] = words
        return launch("names_groups", memory, data, out, how, block_dim=5, order=order, uninitialised=[1, 2]), out

    for order in ("lazy", "random"):
        report, out = run(0, order)
        report.raise_on_findings()
        np.testing.assert_array_equal(out, 3 * 512 + 10 + 11 + 20 + 21)
    report, _ = run(1)
    assert "race.read-after-write" in report.rules()
    assert "deadlock" in report.rules()  # the second Arrive waits for who did not wait
    report, _ = run(2)
    assert "GroupBarrier::Arrive: index 2, expected 0..1" in [f.message for f in report.findings]


def test_scalar_accesses_past_the_cache(kernels: Any) -> None:
    words, out = np.zeros(80, np.int32), np.zeros((4, 16), np.int32)
    words[16] = 9
    report = kernels("wild_names").launch("names_scalar", words, out, block_dim=4, order="random")
    report.raise_on_findings()
    assert words[[0, 16, 32, 48]].tolist() == [3, 0, 4, 3]
    assert words[64] == ((0 * 2 + 1) * 2 + 2) * 2 + 3
    np.testing.assert_array_equal(out[:, 0], 1)


def test_names_of_other_chips(kernels: Any) -> None:
    for how, name in enumerate(("Interleave", "DeInterleave", "Mutex::Lock", "AllocMutexID")):
        report = kernels("wild_names").launch("names_other_chips", how)
        assert not report.completed
        message = f"{name} is not of this chip: CANN documents it for Ascend 950 and not for A2 and A3"
        assert message in [f.message for f in report.findings]
