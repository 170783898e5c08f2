"""Launching from Python: arguments, kernel types, what a wrong launch is told, calls left out by `ignore_sites`."""

from __future__ import annotations

import ascend_sim
import numpy as np
import pytest
from tile_kernels import RACES, RAW, TILE, WAR, line_of, only, tiles


def test_arguments_by_value(kernels):
    out = np.zeros(8, np.float32)
    numbers = np.zeros(1, np.dtype([("a", "i8"), ("b", "f4"), ("c", "i2", 9)], align=True))
    numbers["a"], numbers["b"] = -77, 2.5
    numbers["c"][0, 8] = -5
    report = kernels("rules").launch("by_value", out, -3, 5 << 32, 0.25, ascend_sim.Struct(numbers.tobytes()))
    report.raise_on_findings()
    np.testing.assert_array_equal(out[:6], [-3, 5, 0.25, -77, 2.5, -5])
    kernels("rules").launch("by_value", out, -3, 5 << 32, 3, ascend_sim.Struct(numbers.tobytes())).raise_on_findings()
    assert out[2] == 3  # an int for a float parameter is its value, not its bits


def test_kernel_types(kernels):
    out = np.zeros(4, np.float32)
    launch = kernels("rules").launch
    launch("untyped", out, type="aiv_only", block_dim=2).raise_on_findings()
    np.testing.assert_array_equal(out, [2, 2, 0, 0])
    launch("attributed", out, block_dim=2).raise_on_findings()
    np.testing.assert_array_equal(out, [1, 2, 1, 2])
    assert kernels("rules").kernels["attributed"].type == "mix_1_2"


def test_wrong_kind_of_argument(kernels):
    launch, copy = kernels("rules").launch, kernels("races").launch
    x = tiles(1)
    with pytest.raises(TypeError, match="store_at: argument 2: expected integer, got ndarray"):
        launch("store_at", x, x, x)
    with pytest.raises(TypeError, match="store_at: argument 0: expected pointer, got int"):
        launch("store_at", 5, x, 0)
    with pytest.raises(TypeError, match=r"set_twice: argument 0: expected integer, got float 1\.0"):
        launch("set_twice", 1.0)
    with pytest.raises(ValueError, match="in_place: uninitialised: argument 2 is no array among the 2 given"):
        copy("in_place", x, x.copy(), uninitialised=[2])
    with pytest.raises(OverflowError, match="set_twice: argument 0: 4294967296 does not fit 4 bytes"):
        launch("set_twice", 1 << 32)
    x.flags.writeable = False
    with pytest.raises(ValueError, match="in_place: argument 1 is read-only, but the kernel wrote it"):
        copy("in_place", tiles(1), x)


def test_one_array_passed_twice_is_one_buffer(kernels):
    """On a chip both arguments are one memory, so the stores to one race with the loads of the other."""
    launch = kernels("races").launch
    x, both = tiles(2), np.zeros((2, TILE), np.float32)
    launch("race_cores", x, both, np.zeros_like(both), 1, block_dim=2).raise_on_findings()
    report = launch("race_cores", x, both, both, 1, block_dim=2)
    assert report.rules() <= {RAW, WAR}
    assert report.findings
    x = tiles(1)
    want = x + x
    launch("in_place", x, x).raise_on_findings()
    np.testing.assert_array_equal(x, want)


def test_arrays_that_overlap_in_part(kernels):
    launch = kernels("races").launch
    memory = np.arange(2 * TILE, dtype=np.float32)
    with pytest.raises(ValueError, match="wrote argument 1, which overlaps argument 0 in part: pass a copy of one"):
        launch("in_place", memory[:TILE], memory[8 : TILE + 8])
    np.testing.assert_array_equal(memory, np.arange(2 * TILE))
    pairs = memory.reshape(TILE, 2)  # interleaved, nothing shared
    launch("in_place", pairs[:, 0], pairs[:, 1]).raise_on_findings()
    np.testing.assert_array_equal(pairs[:, 1], 2 * pairs[:, 0])


def test_arrays_with_gaps(kernels):
    """Each is copied through a contiguous array, which must outlive the copy: freed memory is used again at once."""
    launch = kernels("races").launch
    memory = np.arange(8 * TILE, dtype=np.float32).reshape(TILE, 8)
    want = memory.copy()
    want[:, 3] = 2 * want[:, 0]
    for _ in range(10):
        launch("in_place", memory[:, 0], memory[:, 3]).raise_on_findings()
        np.testing.assert_array_equal(memory, want)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda f: f("no_such"), "kernel 'no_such' is not in the library; it has: .*set_twice"),
        (lambda f: f("set_twice"), "'set_twice' takes 1 arguments, got 0"),
        (lambda f: f("set_twice", 1, 1), "'set_twice' takes 1 arguments, got 2"),
        (lambda f: f("untyped", np.zeros(1, np.float32)), "'untyped' declares no KERNEL_TASK_TYPE"),
        (lambda f: f("set_twice", 1, soc="Ascend310"), "soc: unknown chip 'Ascend310'"),
        (lambda f: f("set_twice", 1, block_dim=0), "block_dim: expected 1..65535, got 0"),
        (lambda f: f("set_twice", 1, parameters={"warp": 9}), "unknown SoC parameter in 'warp=9'"),
        (lambda f: f("set_twice", 1, type="gpu"), "unknown kernel type 'gpu'"),
    ],
)
def test_wrong_launch(kernels, call, text):
    from ascend_sim import LaunchError

    with pytest.raises(LaunchError, match=text):  # the rule "launch" of programs: a report would look like a run
        call(kernels("rules").launch)


def test_an_unknown_order_is_refused(kernels):
    with pytest.raises(ValueError, match='set_twice: order: expected "eager", "lazy" or "random", got \'best\''):
        kernels("rules").launch("set_twice", 1, order="best")


def test_ignored_sites(kernels):
    """A good kernel without one of its synchronisation calls is the bad one; without a pair its protocol holds."""
    launch = kernels("races").launch
    x, out = tiles(2), np.zeros((1, TILE), np.float32)
    good = launch("race_mte2_v", x, out, 1)
    here = line_of("race_mte2_v.write") + 1
    calls = [(call, count) for call, count in good.sync_calls.items() if call.line == here]
    assert [(call.file, call.name, count) for call, count in calls] == [
        (str(RACES), "SetFlag<MTE2_V>", 1),
        (str(RACES), "WaitFlag<MTE2_V>", 1),
    ]
    (set_, _), (wait, _) = calls
    assert good.sync_pairs[set_, wait] == 1
    both = f"{RACES.name}:{here}"
    for sites in ([both], [str(set_), str(wait)], [f"{both} -> {both}"], [f"{set_} -> {wait}"]):
        finding = only(launch("race_mte2_v", x, out, 1, ignore_sites=sites), RAW)
        assert finding.site.line == line_of("race_mte2_v.read")
    assert launch("race_mte2_v", x, out, 1, ignore_sites=[str(set_)]).rules() == {"flag.wait-without-set", RAW}
    assert launch("race_mte2_v", x, out, 1, ignore_sites=[str(wait)]).rules() == {"flag.left-set", RAW}
    assert not launch("race_v_v", x, out, 1, ignore_sites=[f"races.cpp:{line_of('race_v_v.write') + 1}"]).ok
    quick = launch("race_v_v", x, out, 1, timing_only=True, ignore_sites=[f"races.cpp:{line_of('race_v_v.write') + 1}"])
    assert quick.cycles < launch("race_v_v", x, out, 1, timing_only=True).cycles


def test_ignored_sites_that_are_not_there(kernels):
    x, out = tiles(2), np.zeros((1, TILE), np.float32)
    for site in ("races.cpp:1", f"ces.cpp:{line_of('race_v_v.write') + 1}", "races.cpp:1 -> races.cpp:2"):
        with pytest.raises(ValueError, match=f"race_v_v: ignore_sites: the kernel did not come by '{site}'"):
            kernels("races").launch("race_v_v", x, out, 1, ignore_sites=[site])
    for site in ("races.cpp", "races.cpp:x", "12", "races.cpp:12 -> 13"):
        with pytest.raises(ValueError, match=f"^ignore_sites: expected 'file:line'.*got '{site}'$"):
            kernels("races").launch("race_v_v", x, out, 1, ignore_sites=[site])
