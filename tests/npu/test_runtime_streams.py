"""Streams and events of the simulated runtime, by ACL itself: what a missing wait does, and what order is kept.

Each source runs in a process of its own, which needs no torch; `late` is the order the tests use otherwise too.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

pytestmark = pytest.mark.simulated

START = """
import ctypes
from raw_acl import *
acl = Acl()
acl.aclrtSetDevice(0)
one, two = acl.stream(), acl.stream()
new, size = b"new!" * 64, 256
source = acl.pinned(new)
middle, end = acl.malloc(size), acl.malloc(size)
acl.write(middle, b"old." * 64)
acl.write(end, b"none" * 64)
"""


@pytest.fixture
def late(npu_process) -> Callable[[str], list[str]]:
    """What a source prints after START where streams run as late as the host's waits allow."""

    def run(source: str) -> list[str]:
        done = npu_process(START + source, ASCEND_SIM_STREAMS="late")
        assert done.code == 0, done.err
        return done.out.splitlines()

    return run


CONSUME_ON_ANOTHER_STREAM = """
acl.copy_async(middle, source, size, H2D, one)
if {wait}:
    event = acl.event()
    acl.aclrtRecordEvent(event, one)
    acl.aclrtStreamWaitEvent(two, event)
acl.copy_async(end, middle, size, D2D, two)
{finish}
print(acl.read(end, 4).decode())
"""


@pytest.mark.parametrize("finish", ["acl.aclrtSynchronizeStream(two)", "acl.aclrtSynchronizeDevice()"])
@pytest.mark.parametrize(
    ("order", "wait", "expected"),
    [("late", True, "new!"), ("late", False, "old."), ("eager", False, "new!"), ("random", True, "new!")],
)
def test_a_missing_wait_reads_old_data(npu_process, order, wait, expected, finish):
    done = npu_process(START + CONSUME_ON_ANOTHER_STREAM.format(wait=wait, finish=finish), ASCEND_SIM_STREAMS=order)
    assert done.out == expected + "\n", done.err


def test_nothing_runs_before_the_host_waits(late):
    assert late(
        """
acl.copy_async(middle, source, size, H2D, one)
print(acl.read(middle, 4).decode())
acl.aclrtSynchronizeStream(two)
print(acl.read(middle, 4).decode())
acl.aclrtSynchronizeStream(one)
print(acl.read(middle, 4).decode())
"""
    ) == ["old.", "old.", "new!"]


def test_polling_ends_and_says_not_ready_first(late):
    assert late(
        """
event = acl.event()
for i in range(5):
    acl.copy_async(middle, source, size, H2D, one)
acl.aclrtRecordEvent(event, one)
acl.copy_async(middle, source, size, H2D, one)
polls = 0
while not acl.event_done(event):
    polls += 1
print(polls, acl.stream_done(one))
while not acl.stream_done(one):
    pass
print(acl.read(middle, 4).decode())
"""
    ) == ["6 False", "new!"]


def test_host_memory_of_copies(late):
    """Pageable sources may change once the call returned; pinned ones are read when the copy runs."""
    assert late(
        """
pageable = ctypes.create_string_buffer(new, size)
acl.copy_async(middle, ctypes.addressof(pageable), size, H2D, one)
acl.copy_async(end, source, size, H2D, one)
for address in (ctypes.addressof(pageable), source):
    ctypes.memset(address, ord("x"), size)
acl.aclrtSynchronizeStream(one)
print(acl.read(middle, 4).decode(), acl.read(end, 4).decode())
back = ctypes.create_string_buffer(size)  # a pageable destination is waited for
acl.copy_async(ctypes.addressof(back), middle, size, D2H, one)
print(back.raw[:4].decode())
acl.copy_async(source, middle, size, D2H, one)
print(ctypes.string_at(source, 4).decode())
acl.aclrtSynchronizeStream(one)
print(ctypes.string_at(source, 4).decode())
"""
    ) == ["new! xxxx", "new!", "xxxx", "new!"]


RACE = """
from raw_acl import *
acl = Acl()
acl.aclrtSetDevice(0)
streams = [acl.stream() for _ in range(3)]
target = acl.malloc(4)
words = [acl.pinned(str(i).encode() * 4) for i in range(3)]
out = ""
for turn in range(12):
    for i in range(3):
        acl.copy_async(target, words[i], 4, H2D, streams[i])
        if {wait} and i < 2:
            event = acl.event()
            acl.aclrtRecordEvent(event, streams[i])
            acl.aclrtStreamWaitEvent(streams[i + 1], event)
    acl.aclrtSynchronizeDevice()
    out += acl.read(target, 1).decode()
print(out)
"""


def test_random_order_repeats_with_its_seed(npu_process):
    def run(seed: int, wait: bool = False) -> str:
        done = npu_process(RACE.format(wait=wait), ASCEND_SIM_STREAMS="random", ASCEND_SIM_SEED=str(seed))
        assert done.code == 0, done.err
        return done.out.strip()

    outcomes = [run(seed) for seed in range(3)]
    assert outcomes == [run(seed) for seed in range(3)]
    assert len(set(outcomes)) > 1
    assert run(0, wait=True) == run(1, wait=True) == "2" * 12


def test_a_long_queue_makes_the_host_wait(late):
    assert late(
        """
counter = acl.pinned(bytes(4))
for i in range(3000):
    acl.copy_async(counter, middle, 4, D2H, one)
print(ctypes.string_at(counter, 4).decode())
"""
    ) == ["old."]


def test_elapsed_time_is_the_modelled_time_of_the_kernel(npu_process):
    done = npu_process(
        START
        + """
x, out = acl.malloc(2048), acl.malloc(2048)
acl.write(x, floats(*range(512)))
start, stop = acl.event(TIME_LINE), acl.event(TIME_LINE)
acl.aclrtRecordEvent(start, one)
acl.launch("npu_test_double", one, x, out)
acl.aclrtRecordEvent(stop, one)
try:
    acl.elapsed_ms(start, stop)
except AclError as error:
    print(error.code)
acl.aclrtSynchronizeEvent(stop)
print(repr(acl.elapsed_ms(start, stop)))
assert unpack(acl.read(out, 2048)) == tuple(2.0 * i for i in range(512))
""",
        ASCEND_SIM_STREAMS="late",
        ASCEND_SIM_SOC="Ascend910B4",
    )
    assert done.code == 0, done.err
    code, ms = done.out.split()
    assert code == "107006"
    (launch,) = done.launches()
    assert launch["findings"] == []
    assert launch["soc"] == "Ascend910B4"
    assert float(ms) == pytest.approx(launch["cycles"] / launch["ghz"] / 1e6, rel=1e-5)


def test_host_callbacks_run_in_order_and_may_use_acl(late):
    assert late(
        """
Function = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
seen = []
@Function
def look(argument):
    seen.append(acl.read(middle, 4).decode())
    acl.aclrtSynchronizeStream(two)
@Function
def wait_for_itself(argument):
    try:
        acl.aclrtSynchronizeStream(one)
    except AclError as error:
        seen.append(error.text)
acl.aclrtLaunchHostFunc(one, look, None)
acl.copy_async(middle, source, size, H2D, one)
acl.aclrtLaunchHostFunc(one, look, None)
acl.aclrtLaunchHostFunc(one, wait_for_itself, None)
acl.aclrtSynchronizeStream(one)
print(seen)
"""
    ) == ["['old.', 'new!', 'a host callback waits for the stream that runs it']"]


def test_threads_share_streams(late):
    """Work of several threads on one stream: all of it runs, once, whoever waits."""
    assert late(
        """
import threading
total = acl.malloc_host(4 * 400)
ones = acl.malloc(4)
acl.write(ones, b"work")
def push(first):
    acl.aclrtSetDevice(0)
    for i in range(first, 400, 4):
        acl.copy_async(total + 4 * i, ones, 4, D2H, one)
        if i % 20 == 0:
            acl.aclrtSynchronizeStream(one)
threads = [threading.Thread(target=push, args=(i,)) for i in range(4)]
for t in threads: t.start()
for t in threads: t.join()
acl.aclrtSynchronizeStream(one)
print(ctypes.string_at(total, 1600) == b"work" * 400)
"""
    ) == ["True"]


def test_destroyed_handles_are_named(late):
    assert late(
        """
acl.copy_async(middle, source, size, H2D, one)
acl.aclrtDestroyStream(one)  # runs what is queued
print(acl.read(middle, 4).decode())
event = acl.event()
acl.aclrtDestroyEvent(event)
for call in (lambda: acl.aclrtSynchronizeStream(one), lambda: acl.aclrtDestroyEvent(event),
             lambda: acl.aclrtStreamWaitEvent(two, event)):
    try:
        call()
    except AclError as error:
        print(error.code, error.text)
"""
    ) == [
        "new!",
        "107017 aclrtSynchronizeStream: unknown stream",
        "107017 aclrtDestroyEvent: unknown event",
        "107017 aclrtStreamWaitEvent: unknown event",
    ]
