"""Races and the scalar unit's cache: a bad kernel that is reported, with both places, and its good twin, silent."""

from __future__ import annotations

import numpy as np
import pytest
from tile_kernels import ORDERS, RACES, RAW, TILE, WAR, WAW, line_of, only, tiles

# kernel, rule, mark of the access that is reported, mark of the earlier one, buffer, what is missing, result of good.
# Where the missing flag also leaves two writes unordered, both are reported.
ALSO_UNORDERED_WRITES = {"race_v_mte2", "race_mte3_v"}
IN_CORE = [
    ("race_mte2_v", RAW, "read", "write", "UB", "SetFlag/WaitFlag<MTE2_V>", lambda x: 2 * x[0]),
    ("race_v_mte2", WAR, "write", "read", "UB", "SetFlag/WaitFlag<V_MTE2>", lambda x: 2 * x[0]),
    ("race_v_v", RAW, "read", "write", "UB", "PipeBarrier<PIPE_V>", lambda x: 4 * x[0]),
    ("race_v_v_twice", WAW, "second", "first", "UB", "PipeBarrier<PIPE_V>", lambda x: 0 * x[0]),
    ("race_v_mte3", RAW, "read", "write", "UB", "SetFlag/WaitFlag<V_MTE3>", lambda x: 2 * x[0]),
    ("race_mte3_v", WAR, "write", "read", "UB", "SetFlag/WaitFlag<MTE3_V>", lambda x: 2 * x[0]),
    ("race_mte2_mte2", WAW, "second", "first", "UB", "PipeBarrier<PIPE_MTE2>", lambda x: x[1]),
    ("race_mte3_mte2", RAW, "read", "write", "GM", "SetFlag/WaitFlag<MTE3_MTE2>", lambda x: x[0]),
    ("race_v_s", RAW, "read", "write", "UB", "SetFlag/WaitFlag<V_S>", None),
    ("race_s_v", RAW, "read", "write", "UB", "SetFlag/WaitFlag<S_V>", None),
    ("race_after_set", RAW, "read", "write", "UB", "SetFlag/WaitFlag<MTE2_V>", lambda x: 2 * x[0]),
]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("case", IN_CORE, ids=[c[0] for c in IN_CORE])
def test_race_in_core(kernels, case, order):
    kernel, rule, site, other, buffer, missing, result = case
    x, out = tiles(2), np.zeros((1, TILE), np.float32)
    good = kernels("races").launch(kernel, x, out, 1, order=order, seed=1)
    good.raise_on_findings()
    if result is not None:
        np.testing.assert_array_equal(out[0], result(x))

    report = kernels("races").launch(kernel, x, np.zeros_like(out), 0, order=order, seed=1)
    assert report.completed
    assert report.rules() == {rule} | ({WAW} if kernel in ALSO_UNORDERED_WRITES else set())
    (finding,) = [f for f in report.findings if f.rule == rule]
    assert finding.npuchk == ("ErrorSync2" if rule == RAW else "ErrorSync1")
    assert finding.site.line == line_of(f"{kernel}.{site}")
    assert finding.other.line == line_of(f"{kernel}.{other}")
    assert finding.site.file == finding.other.file == str(RACES)
    assert (finding.buffer, finding.site.core, finding.other.core) == (buffer, "aiv0", "aiv0")
    assert finding.end - finding.begin == (4 if kernel in ("race_v_s", "race_s_v") else TILE * 4)
    assert f"{missing} is missing" in finding.message


def test_race_wrong_barrier(kernels):
    x, out = tiles(2), np.zeros((1, TILE), np.float32)
    kernels("races").launch("race_wrong_barrier", x, out, 1).raise_on_findings()
    np.testing.assert_array_equal(out[0], 4 * x[0])
    only(kernels("races").launch("race_wrong_barrier", x, out, 0), RAW)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kernel", ["in_place", "transitive"])
def test_no_false_race(kernels, kernel, order):
    x, out = tiles(1), np.zeros((1, TILE), np.float32)
    kernels("races").launch(kernel, x, out, order=order).raise_on_findings()
    np.testing.assert_array_equal(out, 2 * x)


def test_byte_exact(kernels):
    x, out = tiles(1), np.zeros((1, TILE), np.float32)
    kernels("races").launch("byte_exact", x, out, 1).raise_on_findings()
    finding = only(kernels("races").launch("byte_exact", x, out, 0), WAW)
    assert finding.end - finding.begin == 4
    assert finding.begin % TILE == 12


def test_auto_sync_orders_vector_and_scalar(kernels):
    x, out = tiles(2), np.zeros((1, TILE), np.float32)
    for kernel in ("race_v_v", "race_v_v_twice", "race_v_s", "race_s_v"):
        kernels("races").launch(kernel, x, out, 0, auto_sync=True, order="lazy").raise_on_findings()
    only(kernels("races").launch("race_mte2_v", x, out, 0, auto_sync=True), RAW)


def test_lazy_order_shows_the_race_in_the_numbers(kernels):
    x, out = tiles(2), np.zeros((1, TILE), np.float32)
    for kernel, good in (("race_v_mte3", lambda: 2 * x[0]), ("race_v_mte2", lambda: 2 * x[0])):
        kernels("races").launch(kernel, x, out, 0, order="eager")
        np.testing.assert_array_equal(out[0], good())
    kernels("races").launch("race_v_mte3", x, out, 0, order="lazy")
    assert np.isnan(out).all()  # the store ran before the sum it should have waited for


def test_random_order_shows_races_and_repeats_with_its_seed(kernels):
    x = tiles(2)

    def run(seed):
        out = np.zeros((1, TILE), np.float32)
        kernels("races").launch("race_v_v", x, out, 0, order="random", seed=seed)
        return out.tobytes()

    results = [run(seed) for seed in range(24)]
    assert len(set(results)) > 1
    assert results == [run(seed) for seed in range(24)]


# ---- between cores ----


@pytest.mark.parametrize("order", ORDERS)
def test_race_between_cores(kernels, order):
    n = 4
    x, scratch, out = tiles(n), np.zeros((n, TILE), np.float32), np.zeros((n, TILE), np.float32)
    launch = kernels("races").launch
    options = {"block_dim": n, "order": order, "uninitialised": [1], "names": ["x", "scratch", "out"]}
    launch("race_cores", x, scratch, out, 1, **options).raise_on_findings()
    np.testing.assert_array_equal(out, np.roll(x, -1, axis=0))
    report = launch("race_cores", x, scratch, out, 0, **options)
    races = [f for f in report.findings if f.rule.startswith("race.")]
    assert {f.rule for f in races} <= {RAW, WAR}
    assert races
    marks = {line_of("race_cores.write"), line_of("race_cores.read")}
    for finding in races:
        assert {finding.site.line, finding.other.line} == marks
        assert finding.site.core != finding.other.core
        assert finding.region == "scratch"
        assert finding.buffer == "GM"
        assert "a cross-core flag or SyncAll is missing" in finding.message


@pytest.mark.parametrize("order", ORDERS)
def test_atomic_add(kernels, order):
    n = 6
    x, out = tiles(n), np.zeros((1, TILE), np.float32)
    launch = kernels("races").launch
    launch("atomic_add", x, out, 0, block_dim=n, order=order).raise_on_findings()
    np.testing.assert_array_equal(out[0], x.sum(0))
    finding = only(
        launch("atomic_add", x, out, 0, block_dim=n, order=order, determinism=True), "nondeterministic-atomic"
    )
    assert finding.site.line == finding.other.line == line_of("atomic_add.store")
    only(launch("atomic_add", x, out, 1, block_dim=n, order=order), "race.atomic-and-store")
    out[:] = 0
    launch("atomic_add", x, out, 2, block_dim=n, order=order).raise_on_findings()
    np.testing.assert_array_equal(out[0], x.sum(0))


def test_atomic_type(kernels):
    x, out = tiles(1), np.zeros((1, TILE), np.float32)
    kernels("races").launch("atomic_type", x, out, 1).raise_on_findings()
    np.testing.assert_array_equal(out, x)
    for how, mark, call in ((0, "copy", "DataCopy"), (2, "pad", "DataCopyPad")):
        finding = only(kernels("races").launch("atomic_type", x, out, how), "argument")
        assert finding.message.startswith(f"{call}: the atomic mode was set for half, the destination is float")
        assert finding.site.line == line_of(f"atomic_type.{mark}")


def test_atomic_order_is_random(kernels):
    x = np.random.default_rng(3).standard_normal((8, TILE)).astype(np.float32)
    sums = set()
    for seed in range(6):
        out = np.zeros((1, TILE), np.float32)
        kernels("races").launch("atomic_add", x, out, 0, block_dim=8, order="random", seed=seed).raise_on_findings()
        np.testing.assert_allclose(out[0], x.sum(0), rtol=1e-4, atol=1e-4)
        sums.add(out.tobytes())
    assert len(sums) > 1


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("blocks", [1, 3])
def test_handshake_mode_2(kernels, order, blocks):
    x = tiles(blocks)
    scratch, out = np.zeros((blocks, TILE), np.float32), np.zeros((2 * blocks, TILE), np.float32)
    launch = kernels("races").launch
    options = {"block_dim": blocks, "order": order, "uninitialised": [1]}
    launch("handshake", x, scratch, out, 2, **options).raise_on_findings()
    np.testing.assert_array_equal(out, np.repeat(2 * x, 2, axis=0))
    report = launch("handshake", x, scratch, out, 1, **options)
    races = [f for f in report.findings if f.rule.startswith("race.")]
    assert {f.rule for f in races} <= {RAW, WAR}
    assert races
    assert {f.site.core[:3] for f in races} | {f.other.core[:3] for f in races} == {"aic", "aiv"}
    report = launch("handshake", x, scratch, out, 0, **options)
    assert len([f for f in report.findings if f.rule.startswith("race.")]) >= 2


@pytest.mark.parametrize("order", ORDERS)
def test_pair_mode_1(kernels, order):
    x, scratch, out = tiles(6), np.zeros((6, TILE), np.float32), np.zeros((6, TILE), np.float32)
    options = {"block_dim": 3, "order": order, "uninitialised": [1]}
    kernels("races").launch("aiv_pair", x, scratch, out, 1, **options).raise_on_findings()
    np.testing.assert_array_equal(out, x.reshape(3, 2, TILE)[:, ::-1].reshape(6, TILE))
    report = kernels("races").launch("aiv_pair", x, scratch, out, 0, **options)
    assert any(f.rule in (RAW, WAR) for f in report.findings)


@pytest.mark.parametrize("order", ORDERS)
def test_sync_all_mixed(kernels, order):
    n = 3
    x, scratch, out = tiles(n), np.zeros((n, TILE), np.float32), np.zeros((2 * n, TILE), np.float32)
    options = {"block_dim": n, "order": order, "uninitialised": [1]}
    kernels("races").launch("sync_all_mixed", x, scratch, out, 1, **options).raise_on_findings()
    np.testing.assert_array_equal(out, np.repeat(np.roll(x, -1, axis=0), 2, axis=0))
    report = kernels("races").launch("sync_all_mixed", x, scratch, out, 0, **options)
    assert any(f.rule in (RAW, WAR) for f in report.findings)


# ---- the scalar unit's data cache ----


@pytest.mark.parametrize("good", [1, 2])
def test_scalar_cache_store(kernels, good):
    x, out = tiles(1), np.zeros((1, TILE), np.float32)
    kernels("races").launch("scalar_store", x, out, good).raise_on_findings()
    assert out[0, 3] == x[0, 3] == 42
    for bad in (0, 3):
        finding = only(kernels("races").launch("scalar_store", x, out, bad), "scalar-cache")
        assert (finding.site.line, finding.other.line) == (line_of("scalar_store.load"), line_of("scalar_store.store"))
        assert (finding.region, finding.begin) == ("arg0", 12)
        assert "is still in its data cache: DataCacheCleanAndInvalid is missing after it" in finding.message


def test_scalar_cache_load(kernels):
    x, flag, out = tiles(1), np.zeros(8, np.float32), np.zeros((1, TILE), np.float32)
    kernels("races").launch("scalar_load", x, flag, out, 1, block_dim=2).raise_on_findings()
    assert out[0, 0] == x[0, 0]
    finding = only(kernels("races").launch("scalar_load", x, flag, out, 0, block_dim=2), "scalar-cache")
    assert (finding.site.line, finding.other.line) == (line_of("scalar_load.load"), line_of("scalar_load.write"))
    assert (finding.site.core, finding.other.core, finding.region) == ("aiv1", "aiv0", "arg1")
