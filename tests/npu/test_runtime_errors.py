"""Errors of the simulated runtime, by ACL itself: kernels that a checker stops, memory, handles, injected failures."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.simulated

START = """
import ctypes
from raw_acl import *
acl = Acl()
acl.aclrtSetDevice(0)
one, two = acl.stream(), acl.stream()
def attempt(call, *arguments):
    try:
        call(*arguments)
        print("ok")
    except AclError as error:
        print(error.code, error.text.replace("\\n", " | "))
"""

KERNEL = (
    START
    + """
x, out = acl.malloc(2048), acl.malloc(2048)
acl.write(x, floats(*range(512)))
acl.launch("{kernel}", one, x, out)
acl.copy_async(x, out, 2048, D2D, one)  # dropped where the kernel fails
event = acl.event()
acl.aclrtRecordEvent(event, one)
acl.aclrtStreamWaitEvent(two, event)
attempt(acl.aclrtSynchronizeStream, one)
attempt(acl.aclrtSynchronizeStream, two)
assert unpack(acl.read(x, 2048))[1] == {second}
acl.write(x, floats(*range(512)))
acl.launch("npu_test_double", one, x, out)  # the device works again
attempt(acl.aclrtSynchronizeDevice)
assert unpack(acl.read(out, 2048)) == tuple(2.0 * i for i in range(512))
"""
)

FAULTS = [
    ("npu_test_overrun", "out-of-bounds-read (ErrorRead3)"),
    ("npu_test_race", "race.read-after-write (ErrorSync2)"),
    ("npu_test_crash", "crash: the kernel crashed: Segmentation fault"),
    ("npu_test_endless", "endless-loop"),
    ("npu_test_missing", "kernel 'npu_test_missing' is not in the library"),
]


@pytest.mark.parametrize(
    ("kernel", "text", "order"), [(*fault, "late") for fault in FAULTS] + [(*fault, "eager") for fault in FAULTS[:2]]
)
def test_a_kernel_that_fails_stops_its_stream(npu_process, kernel, text, order):
    source = KERNEL.format(kernel=kernel, second=1.0)
    done = npu_process(source, ASCEND_SIM_STREAMS=order, ASCEND_SIM_WATCHDOG="1")
    assert done.code == 0, done.err
    first, second, third = done.out.splitlines()
    for line in (first, second):
        assert line.startswith("507015 aclrtSynchronizeStream: ")
        assert f"kernel {kernel}" in line
        assert text in line
    assert "waited for an event that failed" in second
    assert third == "ok"
    assert [launch["kernel"] for launch in done.launches()] == [kernel, "npu_test_double"]
    assert done.launches()[0]["findings"]
    assert not done.launches()[1]["findings"]


def test_a_kernel_reads_what_nobody_wrote(npu_process):
    done = npu_process(
        START
        + """
x, out = acl.malloc(2048), acl.malloc(2048)
acl.launch("npu_test_double", one, x, out)
attempt(acl.aclrtSynchronizeStream, one)
"""
    )
    assert "uninitialised-read" in done.out
    assert "device memory 0" in done.out


def test_a_kernel_sees_the_memory_of_its_device_only(npu_process):
    done = npu_process(
        START
        + """
x = acl.malloc(2048)
acl.write(x, floats(*range(512)))
acl.aclrtSetDevice(1)
stream, out = acl.stream(), acl.malloc(2048)
acl.launch("npu_test_double", stream, x, out)
attempt(acl.aclrtSynchronizeStream, stream)
"""
    )
    assert "out-of-bounds-read" in done.out


def test_memory_calls_say_what_is_wrong(npu_process):
    done = npu_process(
        START
        + """
a = acl.malloc(100)
host = acl.malloc_host(64)
attempt(acl.aclrtFree, a + 8)
attempt(acl.write, a, bytes(64), 40)
attempt(acl.read, a, 101)
attempt(acl.aclrtMemset, a, 8, 0, 9)
attempt(acl.aclrtFree, host)
attempt(acl.aclrtFreeHost, a)
attempt(acl.aclrtMemcpy, host, 64, a, 64, H2D)
acl.copy_async(a, host, 64, H2D, one)
acl.aclrtFree(a)
attempt(acl.aclrtSynchronizeStream, one)
attempt(acl.aclrtFree, a)
attempt(acl.read, a, 8)
b = acl.malloc(64)
acl.copy_async(b, host, 64, H2D, one)
attempt(acl.aclrtFreeHost, host)
attempt(acl.aclrtSynchronizeStream, one)
attempt(acl.aclrtFreeHost, host)
attempt(acl.malloc, 0)
""",
        ASCEND_SIM_STREAMS="late",
    )
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    expected = [
        (107000, "lies 8 bytes inside device memory 0"),
        (
            107000,
            "writes outside the device memory: bytes [40, 104) reach outside device memory 0, which has 100 bytes",
        ),
        (107000, "reads outside the device memory: bytes [0, 101) reach outside"),
        (107000, "count exceeds maxCount"),
        (107000, "is pinned host memory"),
        (107000, "is not an address aclrtMallocHost returned"),
        (107000, "writes outside the device memory: "),
        (107000, "is device memory that was freed"),
        (107000, "was freed before"),
        (107000, "is device memory that was freed"),
        None,
        (107000, "the source: pinned host memory that was freed"),
        (107000, "is not an address aclrtMallocHost returned"),
        (100000, "expected a pointer and a size above 0"),
    ]
    assert len(lines) == len(expected)
    for line, want in zip(lines, expected, strict=True):
        if want is None:
            assert line == "ok"
        else:
            assert line.startswith(f"{want[0]} ")
            assert want[1] in line


def test_memory_between_devices_needs_peers(npu_process):
    done = npu_process(
        START
        + """
a = acl.malloc(64)
acl.write(a, b"a" * 64)
acl.aclrtSetDevice(1)
b = acl.malloc(64)
attempt(acl.aclrtMemcpy, b, 64, a, 64, D2D)
acl.aclrtDeviceEnablePeerAccess(0, ctypes.c_uint32(0))
acl.aclrtSetDevice(0)
acl.aclrtDeviceEnablePeerAccess(1, ctypes.c_uint32(0))
attempt(acl.aclrtMemcpy, b, 64, a, 64, D2D)
print(acl.read(b, 2).decode())
attempt(acl.aclrtDeviceEnablePeerAccess, 2, ctypes.c_uint32(0))
"""
    )
    first, second, data, third = done.out.splitlines()
    assert "aclrtDeviceEnablePeerAccess was not called for both directions" in first
    assert (second, data) == ("ok", "aa")
    assert third == "107001 aclrtDeviceEnablePeerAccess: expected a device in 0..1, got 2"


def test_capacity_and_leaks_are_counted(npu_process):
    done = npu_process(
        START
        + """
acl.aclInit(None)
a = acl.malloc(600_000)
attempt(acl.malloc, 500_000)
print(acl.memory(), acl.memory(1))
acl.aclrtFree(a)
attempt(acl.malloc, 500_000)
acl.copy_async(acl.malloc(64), acl.pinned(bytes(64)), 64, H2D, one)  # never waited for
acl.aclFinalize()
attempt(acl.malloc, 1)
print(acl.memory())
""",
        ASCEND_SIM_HBM_BYTES="1000000",
        ASCEND_SIM_STREAMS="late",
    )
    lines = done.out.splitlines()
    assert lines[0] == (
        "207001 aclrtMalloc: Failed to allocate 500000 bytes on device 0: 600000 of 1000000 bytes are in use "
        "(ASCEND_SIM_HBM_BYTES)"
    )
    assert lines[1:3] == ["(1, 600000) (0, 0)", "ok"]
    assert lines[3].startswith("107002 aclrtMalloc: this thread has no device")
    assert lines[4] == "(0, 0)"
    (released,) = done.report
    assert released.pop("process") > 0
    assert released == {
        "released_device": 0,
        "allocations_not_freed": 2,
        "bytes_not_freed": 500_064,
        "tasks_dropped": 1,
    }


def test_reset_ends_a_device_and_set_begins_it_anew(npu_process):
    done = npu_process(
        START
        + """
a = acl.malloc(64)
acl.aclrtSetDevice(0)
acl.aclrtResetDevice(0)  # one of the two uses
attempt(acl.aclrtMemset, a, 64, 0, 64)
acl.aclrtResetDeviceForce(0)
attempt(acl.aclrtMemset, a, 64, 0, 64)
attempt(acl.aclrtSynchronizeStream, one)
attempt(acl.aclrtResetDevice, 0)
acl.aclrtSetDevice(0)
a = acl.malloc(64)
attempt(acl.aclrtMemset, a, 64, 0, 64)
attempt(acl.aclrtSetDevice, 2)
"""
    )
    lines = done.out.splitlines()
    assert lines[0] == "ok"
    assert "is device memory that was freed" in lines[1]
    assert lines[2] == "107017 aclrtSynchronizeStream: unknown stream"
    assert lines[3] == "107001 aclrtResetDevice: device 0 is not in use"
    assert lines[4] == "ok"
    assert lines[5] == "107001 aclrtSetDevice: expected a device in 0..1, got 2"


def test_an_event_gives_the_error_of_the_work_before_it(npu_process):
    """Its own code, also to the streams that wait for it; asking again does not clear an error that came later."""
    done = npu_process(
        START
        + """
a, host, event = acl.malloc(64), acl.malloc_host(64), acl.event()
acl.copy_async(a, host, 64, H2D, one)
acl.aclrtRecordEvent(event, one)
acl.aclrtStreamWaitEvent(two, event)
acl.aclrtFree(a)
attempt(acl.aclrtSynchronizeEvent, event)
attempt(acl.aclrtSynchronizeStream, one)
attempt(acl.aclrtSynchronizeStream, two)
x, out = acl.malloc(2048), acl.malloc(2048)
acl.write(x, bytes(2048))
acl.launch("npu_test_double", one, x, out)
acl.aclrtStreamWaitEvent(two, event)
attempt(acl.aclrtSynchronizeStream, two)
acl.stream_done(one)  # runs the kernel
attempt(acl.aclrtSynchronizeEvent, event)
attempt(acl.aclrtSynchronizeStream, one)
""",
        ASCEND_SIM_STREAMS="late",
        ASCEND_SIM_FAIL="launch:1",
    )
    codes = [line.split()[0] for line in done.out.splitlines()]
    assert codes == ["107000", "ok", "107000", "107000", "107000", "507015"], done.out + done.err


def test_injected_failures(npu_process):
    done = npu_process(
        START
        + """
attempt(acl.malloc, 64)
attempt(acl.malloc, 64)
x, out = acl.malloc(2048), acl.malloc(2048)
acl.write(x, floats(*range(512)))
for turn in range(2):
    acl.launch("npu_test_double", one, x, out)
    attempt(acl.aclrtSynchronizeStream, one)
acl.library.ascend_sim_acl_fail(b"aclrtMemset:1+=107003")
attempt(acl.aclrtMemset, x, 64, 0, 64)
attempt(acl.aclrtMemset, x, 64, 0, 64)
acl.library.ascend_sim_acl_fail(b"")
attempt(acl.aclrtMemset, x, 64, 0, 64)
attempt(acl.ascend_sim_acl_fail, b"aclrtMemset")
""",
        ASCEND_SIM_FAIL="aclrtMalloc:2,launch:1",
    )
    assert done.out.splitlines() == [
        "ok",
        "207001 aclrtMalloc: failure injected by ASCEND_SIM_FAIL",
        "507015 aclrtSynchronizeStream: kernel npu_test_double: failure injected by ASCEND_SIM_FAIL",
        "ok",
        "107003 aclrtMemset: failure injected by ASCEND_SIM_FAIL",
        "107003 aclrtMemset: failure injected by ASCEND_SIM_FAIL",
        "ok",
        "100000 ascend_sim_acl_fail: expected name:call[+][=code],...",
    ], done.err
    assert len(done.launches()) == 1


@pytest.mark.parametrize(
    ("library", "function", "text"),
    [
        ("libascendcl.so", "aclrtReserveMemAddress", "aclrtReserveMemAddress is not emulated by the simulator"),
        ("libascendcl.so", "aclrtBinaryLoadFromData", "aclrtBinaryLoadFromData is not emulated by the simulator"),
        ("libhccl.so", "HcclGetRootInfo", "HcclGetRootInfo is not emulated by the simulator"),
        ("libacl_op_compiler.so", "aclopCompileAndExecute", "operator Roll: operators that CANN compiles"),
    ],
)
def test_what_is_not_emulated_says_so(npu_process, library, function, text):
    done = npu_process(
        START
        + f"""
acl.library.aclGetRecentErrMsg()
print(ctypes.CDLL("{library}").{function}(b"Roll"))
print(acl.library.aclGetRecentErrMsg().decode())
"""
    )
    code, message = done.out.splitlines()
    assert int(code) in (200001, 5)
    assert message.startswith(text)


@pytest.mark.parametrize(
    ("variable", "value", "text"),
    [
        ("ASCEND_SIM_STREAMS", "soon", "expected late, eager or random, got 'soon'"),
        ("ASCEND_SIM_DEVICES", "-1", "expected 0..16, got '-1'"),
        ("ASCEND_SIM_HBM_BYTES", "4G", "got '4G'"),
        ("ASCEND_SIM_FINDINGS", "ignore", "expected exit or error, got 'ignore'"),
    ],
)
def test_settings_that_cannot_be_read(npu_process, variable, value, text):
    done = npu_process(
        """
from raw_acl import *
try:
    Acl().aclrtSetDevice(0)
except AclError as error:
    print(error.text)
""",
        **{variable: value},
    )
    assert done.out.startswith(variable)
    assert text in done.out
