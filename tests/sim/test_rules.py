"""Every rule of the checkers: a bad kernel that must be reported, with both places, and its good twin, silent."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

SOURCE = Path(__file__).parent / "kernels" / "rules.cpp"
TILE = 512
ORDERS = ["eager", "lazy", "random"]


def line_of(mark: str) -> int:
    """The line of `// @mark` in rules.cpp."""
    lines = [i for i, text in enumerate(SOURCE.read_text().splitlines(), 1) if re.search(rf"// @{mark}\b", text)]
    assert len(lines) == 1, f"{mark}: {lines}"
    return lines[0]


def tiles(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-8, 8, (count, TILE)).astype(np.float32)


def only(report, rule: str):
    """The finding of `rule`, which must be the only rule broken."""
    assert report.rules() == {rule}, "\n".join(map(str, report.findings))
    return report.findings[0]


RAW, WAR, WAW = "race.read-after-write", "race.write-after-read", "race.write-after-write"

# kernel, rule, mark of the access that is reported, mark of the earlier one, buffer, what is missing, result of good.
# Where the missing flag also leaves two writes unordered, both are reported.
ALSO_UNORDERED_WRITES = {"race_v_mte2", "race_mte3_v"}
RACES = [
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
@pytest.mark.parametrize("case", RACES, ids=[c[0] for c in RACES])
def test_race_in_core(kernels, case, order):
    kernel, rule, site, other, buffer, missing, result = case
    x, out = tiles(2), np.zeros((1, TILE), np.float32)
    good = kernels("rules").launch(kernel, x, out, 1, order=order, seed=1)
    good.raise_on_findings()
    if result is not None:
        np.testing.assert_array_equal(out[0], result(x))

    report = kernels("rules").launch(kernel, x, np.zeros_like(out), 0, order=order, seed=1)
    assert report.completed
    assert report.rules() == {rule} | ({WAW} if kernel in ALSO_UNORDERED_WRITES else set())
    (finding,) = [f for f in report.findings if f.rule == rule]
    assert finding.npuchk == ("ErrorSync2" if rule == RAW else "ErrorSync1")
    assert finding.site.line == line_of(f"{kernel}.{site}")
    assert finding.other.line == line_of(f"{kernel}.{other}")
    assert finding.site.file == finding.other.file == str(SOURCE)
    assert (finding.buffer, finding.site.core, finding.other.core) == (buffer, "aiv0", "aiv0")
    assert finding.end - finding.begin == (4 if kernel in ("race_v_s", "race_s_v") else TILE * 4)
    assert f"{missing} is missing" in finding.message


def test_race_wrong_barrier(kernels):
    x, out = tiles(2), np.zeros((1, TILE), np.float32)
    kernels("rules").launch("race_wrong_barrier", x, out, 1).raise_on_findings()
    np.testing.assert_array_equal(out[0], 4 * x[0])
    only(kernels("rules").launch("race_wrong_barrier", x, out, 0), RAW)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kernel", ["in_place", "transitive"])
def test_no_false_race(kernels, kernel, order):
    x, out = tiles(1), np.zeros((1, TILE), np.float32)
    kernels("rules").launch(kernel, x, out, order=order).raise_on_findings()
    np.testing.assert_array_equal(out, 2 * x)


def test_byte_exact(kernels):
    x, out = tiles(1), np.zeros((1, TILE), np.float32)
    kernels("rules").launch("byte_exact", x, out, 1).raise_on_findings()
    finding = only(kernels("rules").launch("byte_exact", x, out, 0), WAW)
    assert finding.end - finding.begin == 4
    assert finding.begin % TILE == 12


def test_auto_sync_orders_vector_and_scalar(kernels):
    x, out = tiles(2), np.zeros((1, TILE), np.float32)
    for kernel in ("race_v_v", "race_v_v_twice", "race_v_s", "race_s_v"):
        kernels("rules").launch(kernel, x, out, 0, auto_sync=True, order="lazy").raise_on_findings()
    only(kernels("rules").launch("race_mte2_v", x, out, 0, auto_sync=True), RAW)


def test_lazy_order_shows_the_race_in_the_numbers(kernels):
    x, out = tiles(2), np.zeros((1, TILE), np.float32)
    for kernel, good in (("race_v_mte3", lambda: 2 * x[0]), ("race_v_mte2", lambda: 2 * x[0])):
        kernels("rules").launch(kernel, x, out, 0, order="eager")
        np.testing.assert_array_equal(out[0], good())
    kernels("rules").launch("race_v_mte3", x, out, 0, order="lazy")
    assert np.isnan(out).all()  # the store ran before the sum it should have waited for


def test_random_order_shows_races_and_repeats_with_its_seed(kernels):
    x = tiles(2)

    def run(seed):
        out = np.zeros((1, TILE), np.float32)
        kernels("rules").launch("race_v_v", x, out, 0, order="random", seed=seed)
        return out.tobytes()

    results = [run(seed) for seed in range(24)]
    assert len(set(results)) > 1
    assert results == [run(seed) for seed in range(24)]


# ---- between cores ----


@pytest.mark.parametrize("order", ORDERS)
def test_race_between_cores(kernels, order):
    n = 4
    x, scratch, out = tiles(n), np.zeros((n, TILE), np.float32), np.zeros((n, TILE), np.float32)
    launch = kernels("rules").launch
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
    launch = kernels("rules").launch
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
    kernels("rules").launch("atomic_type", x, out, 1).raise_on_findings()
    np.testing.assert_array_equal(out, x)
    for how, mark, call in ((0, "copy", "DataCopy"), (2, "pad", "DataCopyPad")):
        finding = only(kernels("rules").launch("atomic_type", x, out, how), "argument")
        assert finding.message.startswith(f"{call}: the atomic mode was set for half, the destination is float")
        assert finding.site.line == line_of(f"atomic_type.{mark}")


def test_atomic_order_is_random(kernels):
    x = np.random.default_rng(3).standard_normal((8, TILE)).astype(np.float32)
    sums = set()
    for seed in range(6):
        out = np.zeros((1, TILE), np.float32)
        kernels("rules").launch("atomic_add", x, out, 0, block_dim=8, order="random", seed=seed).raise_on_findings()
        np.testing.assert_allclose(out[0], x.sum(0), rtol=1e-4, atol=1e-4)
        sums.add(out.tobytes())
    assert len(sums) > 1


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("blocks", [1, 3])
def test_handshake_mode_2(kernels, order, blocks):
    x = tiles(blocks)
    scratch, out = np.zeros((blocks, TILE), np.float32), np.zeros((2 * blocks, TILE), np.float32)
    launch = kernels("rules").launch
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
    kernels("rules").launch("aiv_pair", x, scratch, out, 1, **options).raise_on_findings()
    np.testing.assert_array_equal(out, x.reshape(3, 2, TILE)[:, ::-1].reshape(6, TILE))
    report = kernels("rules").launch("aiv_pair", x, scratch, out, 0, **options)
    assert any(f.rule in (RAW, WAR) for f in report.findings)


@pytest.mark.parametrize("order", ORDERS)
def test_sync_all_mixed(kernels, order):
    n = 3
    x, scratch, out = tiles(n), np.zeros((n, TILE), np.float32), np.zeros((2 * n, TILE), np.float32)
    options = {"block_dim": n, "order": order, "uninitialised": [1]}
    kernels("rules").launch("sync_all_mixed", x, scratch, out, 1, **options).raise_on_findings()
    np.testing.assert_array_equal(out, np.repeat(np.roll(x, -1, axis=0), 2, axis=0))
    report = kernels("rules").launch("sync_all_mixed", x, scratch, out, 0, **options)
    assert any(f.rule in (RAW, WAR) for f in report.findings)


# ---- the scalar unit's data cache ----


@pytest.mark.parametrize("good", [1, 2])
def test_scalar_cache_store(kernels, good):
    x, out = tiles(1), np.zeros((1, TILE), np.float32)
    kernels("rules").launch("scalar_store", x, out, good).raise_on_findings()
    assert out[0, 3] == x[0, 3] == 42
    for bad in (0, 3):
        finding = only(kernels("rules").launch("scalar_store", x, out, bad), "scalar-cache")
        assert (finding.site.line, finding.other.line) == (line_of("scalar_store.load"), line_of("scalar_store.store"))
        assert (finding.region, finding.begin) == ("arg0", 12)
        assert "is still in its data cache: DataCacheCleanAndInvalid is missing after it" in finding.message


def test_scalar_cache_load(kernels):
    x, flag, out = tiles(1), np.zeros(8, np.float32), np.zeros((1, TILE), np.float32)
    kernels("rules").launch("scalar_load", x, flag, out, 1, block_dim=2).raise_on_findings()
    assert out[0, 0] == x[0, 0]
    finding = only(kernels("rules").launch("scalar_load", x, flag, out, 0, block_dim=2), "scalar-cache")
    assert (finding.site.line, finding.other.line) == (line_of("scalar_load.load"), line_of("scalar_load.write"))
    assert (finding.site.core, finding.other.core, finding.region) == ("aiv1", "aiv0", "arg1")


# ---- memory ----


def test_uninitialised_on_chip(kernels):
    x, out = tiles(1), np.zeros((1, TILE), np.float32)
    kernels("rules").launch("uninitialised", x, out, 1).raise_on_findings()
    finding = only(kernels("rules").launch("uninitialised", x, out, 0), "uninitialised-read")
    assert finding.site.line == line_of("uninitialised.read")
    assert (finding.buffer, finding.begin, finding.npuchk) == ("UB", (TILE - 8) * 4, "ErrorRead2")
    assert np.isnan(out[0, TILE - 8 :]).all()  # poisoned, not zero


def test_null_gm_pointer(kernels):
    out = np.zeros((1, TILE), np.float32)
    finding = only(kernels("rules").launch("in_place", None, out), "out-of-bounds-read")
    assert "src: a null GM pointer" in finding.message


def test_uninitialised_gm(kernels):
    x, out = tiles(1), np.zeros((1, TILE), np.float32)
    finding = only(kernels("rules").launch("in_place", x, out, uninitialised=[0]), "uninitialised-read")
    assert (finding.buffer, finding.region, finding.begin) == ("GM", "arg0", 0)


@pytest.mark.parametrize(("element", "text"), [(8, r"writes bytes \[32, 2080\)"), (-8, r"writes bytes \[-32, 2016\)")])
def test_gm_out_of_bounds(kernels, element, text):
    x, out = tiles(1), np.zeros((1, TILE), np.float32)
    launch = kernels("rules").launch
    launch("store_at", x, out, 0, names=["x", "out"]).raise_on_findings()
    report = launch("store_at", x, out, element, names=["x", "out"])
    finding = only(report, "out-of-bounds-write")
    assert not report.completed
    assert finding.site.line == line_of("store_at.write")
    assert finding.npuchk == "ErrorWrite2"
    assert "'out'" in finding.message or "'x'" in finding.message
    if element > 0:
        assert re.search(text, finding.message)


@pytest.mark.parametrize(
    ("address", "size", "count", "rule", "text"),
    [
        (0, 512, 512, None, ""),
        (0, 504, 512, "out-of-bounds-write", r"relative to a tensor of 2016 bytes"),
        (192 * 1024 - 256 - 2048, 512, 512, None, ""),
        (192 * 1024 - 2048, 512, 512, "reserved-ub", r"reserved end of UB \(usable: 196352 bytes\)"),
        (192 * 1024 - 1024, 512, 512, "out-of-bounds-write", r"of UB, which has 196608 bytes"),
        (16, 512, 512, "misaligned-write", r"dst: start address 16 is not a multiple of 32 bytes"),
    ],
)
def test_ub_bounds(kernels, address, size, count, rule, text):
    report = kernels("rules").launch("ub_bounds", tiles(1), address, size, count)
    if rule is None:
        report.raise_on_findings()
        return
    finding = only(report, rule)
    assert re.search(text, finding.message)
    assert finding.site.line == line_of("ub_bounds.write")


@pytest.mark.parametrize("mode", [0, 1, 2])
def test_select_takes_the_top_of_ub(kernels, mode):
    """The last 8 KB of UB survive every other call here; Select modes 1 and 2 pass mask or scalar through them."""
    x, out = tiles(1), np.zeros((1, 64), np.float32)
    kernels("rules").launch("select_scratch", x, out, mode).raise_on_findings()
    assert (out == x[:, :64]).all() == (mode == 0)


@pytest.mark.parametrize("element", [512, 1 << 29, 1 << 30, (1 << 32) - 8])
def test_offset_past_the_tensor(kernels, element):
    """1 << 30 floats are 4 GiB: an offset in 32 bits of bytes would be back at the tensor's start."""
    x, out = tiles(1), np.zeros((1, 8), np.float32)
    kernels("rules").launch("far_away", x, out, 0).raise_on_findings()
    finding = only(kernels("rules").launch("far_away", x, out, element), "out-of-bounds-write")
    assert finding.site.line == line_of("far_away.write")


def test_misaligned_read(kernels):
    x, out = tiles(1), np.zeros((1, TILE), np.float32)
    kernels("rules").launch("misaligned", x, out, 1).raise_on_findings()
    finding = only(kernels("rules").launch("misaligned", x, out, 0), "misaligned-read")
    assert (finding.npuchk, finding.site.line) == ("ErrorRead4", line_of("misaligned.read"))
    assert "src1: start address 28 is not a multiple of 32 bytes" in finding.message


def test_freed_tensor(kernels):
    x, out = tiles(1), np.zeros((1, TILE), np.float32)
    kernels("rules").launch("freed", x, out, 0).raise_on_findings()
    finding = only(kernels("rules").launch("freed", x, out, 1), "unallocated-write")
    assert (finding.npuchk, finding.site.line, finding.other.line) == (
        "ErrorWrite1",
        line_of("freed.use"),
        line_of("freed.free"),
    )
    report = kernels("rules").launch("freed", x, out, 2)
    assert report.rules() == {"unallocated-write", "double-free"}
    assert report.findings[1].npuchk == "ErrorFree"
    assert report.findings[1].site.line == line_of("freed.again")


def test_wrong_core(kernels):
    x, out = tiles(1), np.zeros((1, TILE), np.float32)
    kernels("rules").launch("wrong_core", x, out, 1).raise_on_findings()
    finding = only(kernels("rules").launch("wrong_core", x, out, 0), "wrong-core")
    assert finding.site.line == line_of("wrong_core.write")
    assert "dst is in UB, which an AIC core does not have" in finding.message


# ---- flags ----


def test_flag_set_twice(kernels):
    kernels("rules").launch("set_twice", 1).raise_on_findings()
    finding = only(kernels("rules").launch("set_twice", 0), "flag.set-twice")
    assert (finding.site.line, finding.other.line) == (line_of("set_twice.second"), line_of("set_twice.first"))
    assert finding.npuchk == "ErrorSync4"
    assert "flag MTE2 -> V id 2 is set again before it was waited for" in finding.message


def test_atomic_left_set(kernels):
    kernels("rules").launch("atomic_left_set", 1).raise_on_findings()
    finding = only(kernels("rules").launch("atomic_left_set", 0), "atomic.left-set")
    assert finding.site.line == line_of("atomic_left_set.set")


def test_two_task_types(kernels):
    kernels("rules").launch("two_types", type="aiv_only").raise_on_findings()
    assert "KERNEL_TASK_TYPE, or several" in only(kernels("rules").launch("two_types"), "launch").message


def test_more_findings_than_are_kept(kernels):
    report = kernels("rules").launch("many_findings", 1500, instruction_budget=1 << 30)
    assert (len(report.findings), report.dropped_findings) == (1000, 500)
    with pytest.raises(Exception, match="and 500 further findings, which are not kept"):
        report.raise_on_findings()
    report = kernels("rules").launch("many_findings", -1500, instruction_budget=1 << 30)  # and one that stops it
    assert (len(report.findings), report.findings[-1].rule) == (1001, "assertion")


def test_flag_wait_without_set(kernels):
    kernels("rules").launch("wait_without_set", 1).raise_on_findings()
    finding = only(kernels("rules").launch("wait_without_set", 0), "flag.wait-without-set")
    assert (finding.npuchk, finding.site.line) == ("ErrorSync3", line_of("wait_without_set.wait"))


def test_flag_left_set(kernels):
    kernels("rules").launch("left_set", 1).raise_on_findings()
    finding = only(kernels("rules").launch("left_set", 0), "flag.left-set")
    assert (finding.npuchk, finding.site.line) == ("ErrorSync3", line_of("left_set.set"))
    assert "V -> MTE2 id 3 is still set when the kernel ends" in finding.message


@pytest.mark.parametrize(("number", "good"), [(0, True), (5, True), (8, False), (-1, False)])
def test_flag_id(kernels, number, good):
    report = kernels("rules").launch("flag_id", number)
    if good:
        report.raise_on_findings()
    else:
        finding = only(report, "flag.id")
        assert f"event id {number} is outside 0..7" in finding.message
        assert finding.site.line == line_of("flag_id.set")


@pytest.mark.parametrize("number", [6, 7])
def test_flag_id_that_cann_reserves(kernels, number):
    findings = kernels("rules").launch("flag_id", number).findings
    assert [f.rule for f in findings] == ["portability"] * 2  # the set and the wait
    assert f"event id {number} is reserved by CANN" in findings[0].message
    assert findings[0].site.line == line_of("flag_id.set")


@pytest.mark.parametrize(("number", "good"), [(0, True), (10, True), (11, False), (16, False)])
def test_cross_flag_id(kernels, number, good):
    report = kernels("rules").launch("cross_flag_id", number, block_dim=2)
    if good:
        report.raise_on_findings()
    else:
        finding = only(report, "cross-flag.id")
        assert f"flag id {number} is outside 0..10" in finding.message
        assert finding.site.line == line_of("cross_flag_id.set")


@pytest.mark.parametrize("order", ORDERS)
def test_cross_flag_overflow(kernels, order):
    launch = kernels("rules").launch
    launch("cross_overflow", 15, 0, order=order).raise_on_findings()
    launch("cross_overflow", 40, 1, order=order).raise_on_findings()
    finding = only(launch("cross_overflow", 16, 0, order=order), "cross-flag.overflow")
    assert finding.site.line == line_of("cross_overflow.set")
    assert "may count 16 outstanding sets; the counter holds 15" in finding.message


def test_cross_flag_half_handshake(kernels):
    launch = kernels("rules").launch
    launch("cross_half", 1, 1).raise_on_findings()
    finding = only(launch("cross_half", 0, 0), "cross-flag.half-handshake")
    assert "mode 2 id 3: 1 of 2 cores set the flag" in finding.message
    assert finding.site.line == line_of("cross_half.set")
    finding = only(launch("cross_half", 0, 1), "deadlock")
    assert finding.site.line == line_of("cross_half.wait")
    assert "mode 2 id 3: only 1 of 2 cores have set it" in finding.message
    finding = only(launch("cross_half", 1, 0), "cross-flag.left-set")
    assert "cross-core flag 3 of aic0 still counts 1" in finding.message


def test_mode_0_covers_one_core_type(kernels):
    """All AICs or all AIVs meet; the other type receives nothing."""
    launch = kernels("rules").launch
    for setters in ("aic", "aiv"):
        launch("mode_0", int(setters == "aiv"), 1, block_dim=2).raise_on_findings()
        report = launch("mode_0", int(setters == "aiv"), 0, block_dim=2)
        message = only(report, "deadlock").message
        waiting = ("aic", "aiv")[setters == "aic"]
        assert f"{waiting}0 ({SOURCE}:{line_of('mode_0.wait')}) waits for cross-core flag 7" in message
        assert f"{setters}0 (" not in message


def test_deadlock(kernels):
    kernels("rules").launch("deadlock", 1).raise_on_findings()
    report = kernels("rules").launch("deadlock", 0)
    assert not report.completed
    message = only(report, "deadlock").message
    for core, mark, number in (("aic0", "aic", 6), ("aiv0", "aiv", 5), ("aiv1", "aiv", 5)):
        assert f"{core} ({SOURCE}:{line_of('deadlock.' + mark)}) waits for cross-core flag {number}" in message


def test_more_blocks_than_cores(kernels):
    n = 60
    x, scratch, out = tiles(n), np.zeros((n, TILE), np.float32), np.zeros((n, TILE), np.float32)
    sums = np.zeros((1, TILE), np.float32)
    kernels("rules").launch("atomic_add", x, sums, 0, block_dim=n).raise_on_findings()  # in two waves
    np.testing.assert_array_equal(sums[0], x.sum(0))
    report = kernels("rules").launch("race_cores", x, scratch, out, 1, block_dim=n)
    assert "12 launched blocks have not started" in only(report, "deadlock").message


# ---- kernels that go wrong by themselves ----

MISBEHAVIOUR = [
    (1, "crash", "Segmentation fault at address"),
    (2, "crash", "Floating point exception"),
    (3, "endless-loop", "without issuing an instruction"),
    (4, "endless-loop", "budget of 100000 instructions"),
    (5, "crash", "C\\+\\+ exception"),
    (6, "crash", "Illegal instruction"),
    (7, "crash", "overflowed its stack"),
    (8, "crash", "Segmentation fault at address"),
    (9, "crash", r"the kernel called exit\(3\)"),
    (10, "crash", r"the kernel called _exit\(3\)"),
]


@pytest.mark.parametrize(("how", "rule", "text"), MISBEHAVIOUR)
def test_misbehaviour_is_survived(kernels, how, rule, text):
    x = tiles(1)
    launch = kernels("rules").launch
    report = launch("misbehave", x, how, instruction_budget=100000, watchdog_seconds=0.2)
    assert not report.completed
    finding = only(report, rule)
    assert re.search(text, finding.message)
    assert finding.site.core == "aiv0"
    if how not in (4, 5):
        assert finding.site.line == line_of("misbehave.last")
    launch("misbehave", x, 0).raise_on_findings()  # the process and the simulator go on


# ---- launching ----


def test_arguments_by_value(kernels):
    import ascend_sim

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
    launch = kernels("rules").launch
    x = tiles(1)
    with pytest.raises(TypeError, match="store_at: argument 2: expected integer, got ndarray"):
        launch("store_at", x, x, x)
    with pytest.raises(TypeError, match="store_at: argument 0: expected pointer, got int"):
        launch("store_at", 5, x, 0)
    with pytest.raises(TypeError, match=r"set_twice: argument 0: expected integer, got float 1\.0"):
        launch("set_twice", 1.0)
    with pytest.raises(ValueError, match="in_place: uninitialised: argument 2 is no array among the 2 given"):
        launch("in_place", x, x.copy(), uninitialised=[2])
    with pytest.raises(OverflowError, match="set_twice: argument 0: 4294967296 does not fit 4 bytes"):
        launch("set_twice", 1 << 32)
    x.flags.writeable = False
    with pytest.raises(ValueError, match="in_place: argument 1 is read-only, but the kernel wrote it"):
        launch("in_place", tiles(1), x)


def test_one_array_passed_twice_is_one_buffer(kernels):
    """On a chip both arguments are one memory, so the stores to one race with the loads of the other."""
    launch = kernels("rules").launch
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
    launch = kernels("rules").launch
    memory = np.arange(2 * TILE, dtype=np.float32)
    with pytest.raises(ValueError, match="wrote argument 1, which overlaps argument 0 in part: pass a copy of one"):
        launch("in_place", memory[:TILE], memory[8 : TILE + 8])
    np.testing.assert_array_equal(memory, np.arange(2 * TILE))
    pairs = memory.reshape(TILE, 2)  # interleaved, nothing shared
    launch("in_place", pairs[:, 0], pairs[:, 1]).raise_on_findings()
    np.testing.assert_array_equal(pairs[:, 1], 2 * pairs[:, 0])


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda f: f("no_such"), "kernel 'no_such' is not in the library; it has: .*vector_add|.*atomic_add"),
        (lambda f: f("set_twice"), "'set_twice' takes 1 arguments, got 0"),
        (lambda f: f("set_twice", 1, 1), "'set_twice' takes 1 arguments, got 2"),
        (lambda f: f("untyped", np.zeros(1, np.float32)), "'untyped' declares no KERNEL_TASK_TYPE"),
        (lambda f: f("set_twice", 1, soc="Ascend310"), "soc: unknown chip 'Ascend310'"),
        (lambda f: f("set_twice", 1, block_dim=0), "block_dim: expected 1..65535, got 0"),
        (lambda f: f("set_twice", 1, order="best"), "order: expected eager, lazy or random, got 'best'"),
        (lambda f: f("set_twice", 1, parameters={"warp": 9}), "unknown SoC parameter in 'warp=9'"),
        (lambda f: f("set_twice", 1, type="gpu"), "unknown kernel type 'gpu'"),
    ],
)
def test_wrong_launch(kernels, call, text):
    report = call(kernels("rules").launch)
    assert not report.completed
    assert re.search(text, only(report, "launch").message)


def test_ignored_sites(kernels):
    """A good kernel without one of its synchronisation calls is the bad one; without a pair its protocol holds."""
    launch = kernels("rules").launch
    x, out = tiles(2), np.zeros((1, TILE), np.float32)
    good = launch("race_mte2_v", x, out, 1)
    here = line_of("race_mte2_v.write") + 1
    calls = [(call, count) for call, count in good.sync_calls.items() if call.line == here]
    assert [(call.file, call.name, count) for call, count in calls] == [
        (str(SOURCE), "SetFlag<MTE2_V>", 1),
        (str(SOURCE), "WaitFlag<MTE2_V>", 1),
    ]
    (set_, _), (wait, _) = calls
    assert good.sync_pairs[set_, wait] == 1
    both = f"{SOURCE.name}:{here}"
    for sites in ([both], [str(set_), str(wait)], [f"{both} -> {both}"], [f"{set_} -> {wait}"]):
        finding = only(launch("race_mte2_v", x, out, 1, ignore_sites=sites), RAW)
        assert finding.site.line == line_of("race_mte2_v.read")
    assert launch("race_mte2_v", x, out, 1, ignore_sites=[str(set_)]).rules() == {"flag.wait-without-set", RAW}
    assert launch("race_mte2_v", x, out, 1, ignore_sites=[str(wait)]).rules() == {"flag.left-set", RAW}
    assert not launch("race_v_v", x, out, 1, ignore_sites=[f"rules.cpp:{line_of('race_v_v.write') + 1}"]).ok
    quick = launch("race_v_v", x, out, 1, timing_only=True, ignore_sites=[f"rules.cpp:{line_of('race_v_v.write') + 1}"])
    assert quick.cycles < launch("race_v_v", x, out, 1, timing_only=True).cycles


def test_ignored_sites_that_are_not_there(kernels):
    x, out = tiles(2), np.zeros((1, TILE), np.float32)
    for site in ("rules.cpp:1", f"les.cpp:{line_of('race_v_v.write') + 1}", "rules.cpp:1 -> rules.cpp:2"):
        with pytest.raises(ValueError, match=f"race_v_v: ignore_sites: the kernel did not come by '{site}'"):
            kernels("rules").launch("race_v_v", x, out, 1, ignore_sites=[site])
    for site in ("rules.cpp", "rules.cpp:x", "12", "rules.cpp:12 -> 13"):
        finding = only(kernels("rules").launch("race_v_v", x, out, 1, ignore_sites=[site]), "launch")
        assert finding.message.startswith("ignore_sites: expected 'file:line'")
        assert finding.message.endswith(f"got '{site}'")
