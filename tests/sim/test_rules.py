"""Rules about memory, flags and kernels that fail: a bad kernel that must be reported, and its good twin, silent.

Races are in test_races.py.
"""

from __future__ import annotations

import re

import numpy as np
import pytest
from tile_kernels import ORDERS, RULES, TILE, line_of, only, tiles

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
    finding = only(kernels("races").launch("in_place", None, out), "out-of-bounds-read")
    assert "src: a null GM pointer" in finding.message


def test_uninitialised_gm(kernels):
    x, out = tiles(1), np.zeros((1, TILE), np.float32)
    finding = only(kernels("races").launch("in_place", x, out, uninitialised=[0]), "uninitialised-read")
    assert (finding.buffer, finding.region, finding.begin) == ("GM", "arg0", 0)


@pytest.mark.parametrize(("element", "text"), [(8, "writes bytes [32, 2080)"), (-8, "writes bytes [-32, 2016)")])
def test_gm_out_of_bounds(kernels, element, text):
    x, _, out = np.zeros((3, 1, TILE), np.float32)  # a tile between the two that no argument has
    launch = kernels("rules").launch
    launch("store_at", x, out, 0, names=["x", "out"]).raise_on_findings()
    report = launch("store_at", x, out, element, names=["x", "out"])
    finding = only(report, "out-of-bounds-write")
    assert not report.completed
    assert finding.site.line == line_of("store_at.write")
    assert finding.npuchk == "ErrorWrite2"
    assert f"{text} of GM 'out'" in finding.message


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


def test_read_of_a_freed_tensor(kernels):
    kernels("rules").launch("freed_read", tiles(1), 1).raise_on_findings()
    report = kernels("rules").launch("freed_read", tiles(1), 0)
    assert report.rules() == {"unallocated-read"}
    assert (report.findings[0].site.line, report.findings[0].other.line) == (
        line_of("freed_read.use"),
        line_of("freed_read.free"),
    )


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
    with pytest.raises(ValueError, match="KERNEL_TASK_TYPE, or several"):
        kernels("rules").launch("two_types")


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


def test_end_barrier(kernels):
    """A barrier before the last instruction is none at the end, and each core type needs its own."""
    kernels("rules").launch("end_barrier", tiles(1), 3).raise_on_findings()
    for good, core, line in ((1, "aic0", "end_barrier.aic"), (2, "aiv0", "end_barrier.aiv")):
        finding = only(kernels("rules").launch("end_barrier", tiles(1), good), "end-barrier")
        assert (finding.site.core, finding.site.line) == (core, line_of(line))
        assert "ends without a PipeBarrier<PIPE_ALL> after this instruction" in finding.message


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
        assert f"{waiting}0 ({RULES}:{line_of('mode_0.wait')}) waits for cross-core flag 7" in message
        assert f"{setters}0 (" not in message


def test_deadlock(kernels):
    kernels("rules").launch("deadlock", 1).raise_on_findings()
    report = kernels("rules").launch("deadlock", 0)
    assert not report.completed
    message = only(report, "deadlock").message
    for core, mark, number in (("aic0", "aic", 6), ("aiv0", "aiv", 5), ("aiv1", "aiv", 5)):
        assert f"{core} ({RULES}:{line_of('deadlock.' + mark)}) waits for cross-core flag {number}" in message


def test_more_blocks_than_cores(kernels):
    n = 60
    x, scratch, out = tiles(n), np.zeros((n, TILE), np.float32), np.zeros((n, TILE), np.float32)
    sums = np.zeros((1, TILE), np.float32)
    kernels("races").launch("atomic_add", x, sums, 0, block_dim=n).raise_on_findings()  # in two waves
    np.testing.assert_array_equal(sums[0], x.sum(0))
    report = kernels("races").launch("race_cores", x, scratch, out, 1, block_dim=n)
    assert "12 launched blocks have not started" in only(report, "deadlock").message


# ---- kernels that go wrong by themselves ----

MISBEHAVIOUR = [
    (1, "crash", "Segmentation fault at address"),
    (2, "division-by-zero", "the kernel divided an integer by zero"),
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
    assert report.completed == (rule == "division-by-zero")  # which the chip survives too
    finding = only(report, rule)
    assert re.search(text, finding.message)
    assert finding.site.core == "aiv0"
    if how not in (4, 5):
        assert finding.site.line == line_of("misbehave.last")
    launch("misbehave", x, 0).raise_on_findings()  # the process and the simulator go on
