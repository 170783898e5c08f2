"""torch_npu on the simulated runtime: copies, streams, events, memory, devices, and errors as Python exceptions."""

from __future__ import annotations

import gc
import os

import pytest
import raw_acl
import torch
import torch_npu

NPU = "npu:0"
simulated = pytest.mark.simulated
late = pytest.mark.skipif(os.environ.get("ASCEND_SIM_STREAMS") != "late", reason="needs ASCEND_SIM_STREAMS=late")


def test_devices():
    assert torch.npu.is_available()
    assert torch.npu.device_count() >= 1
    name = torch.npu.get_device_name(0)
    assert name.startswith("Ascend")
    properties = torch.npu.get_device_properties(0)
    assert properties.name == name
    assert properties.total_memory > 0
    assert properties.cube_core_num > 0
    assert properties.vector_core_num >= properties.cube_core_num
    assert torch_npu.npu.utils.get_cann_version()


@simulated
def test_what_the_devices_are(npu_process):
    done = npu_process(
        """
        import torch, torch_npu
        p = torch.npu.get_device_properties(0)
        print(torch.npu.device_count(), p.name, p.total_memory, p.cube_core_num, p.vector_core_num)
        print(torch_npu.npu.utils.get_cann_version())
        """,
        ASCEND_SIM_DEVICES="3",
        ASCEND_SIM_SOC="Ascend910B4",
        ASCEND_SIM_HBM_BYTES="1000000000",
        ASCEND_SIM_CANN="9.0.0",
    )
    assert done.out.split("\n")[:2] == ["3 Ascend910B4 1000000000 20 40", "9.0.0"], done.err


@simulated
def test_without_devices(npu_process):
    done = npu_process(
        "import torch; print(torch.npu.is_available(), torch.npu.device_count())", ASCEND_SIM_DEVICES="0"
    )
    assert done.out == "False 0\n", done.err


# ---- copies -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.bool, torch.uint8])
@pytest.mark.parametrize("shape", [(0,), (), (1,), (7, 3), (2, 3, 5, 64), (70001,)])
def test_to_the_device_and_back(shape, dtype):
    host = torch.randint(0, 100, shape).to(dtype)
    device = host.to(NPU)
    assert device.device == torch.device(NPU)
    assert (device.dtype, device.shape) == (dtype, host.shape)
    assert torch.equal(device.cpu(), host)
    assert torch.equal(device.to(NPU, copy=True).cpu(), host)


def test_pinned_copies_do_not_wait():
    host = torch.arange(1000.0).pin_memory()
    assert host.is_pinned()
    assert not torch.arange(3.0).is_pinned()
    device = host.to(NPU, non_blocking=True)
    back = torch.empty(1000).pin_memory()
    back.copy_(device, non_blocking=True)
    torch.npu.synchronize()
    assert torch.equal(back, host)


def test_between_devices():
    if torch.npu.device_count() < 2:
        pytest.skip("there is one device")
    host = torch.arange(333.0)
    there = host.to("npu:1")
    assert there.device.index == 1
    assert torch.equal(there.to(NPU).cpu(), host)
    assert torch.equal(host.to(NPU).to("npu:1").cpu(), host)


# ---- streams and events -------------------------------------------------------------------------------------------


@simulated
@pytest.mark.parametrize("wait", [True, pytest.param(False, marks=late)])
def test_a_missing_wait_between_streams_reads_old_data(wait):
    source = torch.full((256,), 2.0).pin_memory()
    middle, end = torch.zeros(256).to(NPU), torch.zeros(256).to(NPU)
    torch.npu.synchronize()
    one, two = torch.npu.Stream(), torch.npu.Stream()
    with torch.npu.stream(one):
        middle.copy_(source, non_blocking=True)
    if wait:
        two.wait_stream(one)
    with torch.npu.stream(two):
        end.copy_(middle)
    torch.npu.synchronize()
    assert end.cpu().tolist() == [2.0 if wait else 0.0] * 256


def test_events():
    start, stop = (torch.npu.Event(enable_timing=True) for _ in range(2))
    host = torch.zeros(1 << 20).pin_memory()
    device = torch.empty(1 << 20, device=NPU)
    start.record()
    device.copy_(host, non_blocking=True)
    stop.record()
    assert any(stop.query() for _ in range(100_000))  # polling makes the simulated device go on, too
    stop.synchronize()
    assert 0 < start.elapsed_time(stop) < 1000


@simulated
@late
def test_an_event_is_not_ready_before_its_work_ran():
    host = torch.ones(64).pin_memory()
    torch.npu.synchronize()
    event = torch.npu.Event()
    device = torch.empty(64, device=NPU)
    device.copy_(host, non_blocking=True)
    event.record()
    asked = [event.query() for _ in range(2)]
    assert asked == [False, False]
    event.synchronize()
    assert event.query()


@simulated
def test_kernels_on_torch_tensors_and_streams(acl: raw_acl.Acl):
    x = torch.arange(1024.0).to(NPU)
    out = torch.empty(1024, device=NPU)
    stream = torch.npu.Stream()
    stream.wait_stream(torch.npu.current_stream())
    acl.launch("npu_test_double", stream.npu_stream, x.data_ptr(), out.data_ptr(), blocks=2)
    stream.synchronize()
    assert torch.equal(out.cpu(), torch.arange(1024.0) * 2)


# ---- memory -------------------------------------------------------------------------------------------------------


@simulated
def test_memory_goes_back_to_the_device(acl: raw_acl.Acl):
    gc.collect()
    torch.npu.empty_cache()
    before = acl.memory()
    free, total = torch.npu.mem_get_info()
    tensors = [torch.empty(5 << 20, dtype=torch.uint8, device=NPU) for _ in range(4)]
    assert torch.npu.memory_allocated() >= 20 << 20
    assert acl.memory()[1] - before[1] >= 20 << 20
    assert torch.npu.mem_get_info() == (free - (acl.memory()[1] - before[1]), total)
    del tensors
    torch.npu.empty_cache()
    assert acl.memory() == before


def test_out_of_memory_is_torchs_exception():
    total = torch.npu.get_device_properties(0).total_memory
    with pytest.raises(torch.OutOfMemoryError, match="NPU out of memory"):
        torch.empty(2 * total, dtype=torch.uint8, device=NPU)
    assert torch.equal(torch.ones(3).to(NPU).cpu(), torch.ones(3))


@simulated
def test_each_tensor_an_allocation(npu_process):
    """PYTORCH_NO_NPU_MEMORY_CACHING: a kernel that leaves its tensor is found, which the caching allocator hides."""
    source = """
        import torch, torch_npu, raw_acl
        acl = raw_acl.Acl()
        x = torch.zeros(512).to("npu"), torch.zeros(512).to("npu")
        torch.npu.synchronize()
        before = acl.memory()
        out = torch.empty(512, device="npu")
        print(acl.memory()[0] - before[0], acl.memory()[1] - before[1] - 2048)
        acl.launch("npu_test_overrun", torch.npu.current_stream().npu_stream, x[0].data_ptr(), out.data_ptr())
        try:
            torch.npu.synchronize()
            print("passed")
        except RuntimeError as error:
            print("out-of-bounds" in str(error))
        del out
        print(acl.memory() == before)
        """
    done = npu_process(source, PYTORCH_NO_NPU_MEMORY_CACHING="1")
    assert done.out.splitlines() == ["1 32", "True", "True"], done.err  # torch_npu adds 32 bytes to an allocation
    done = npu_process(source, PYTORCH_NO_NPU_MEMORY_CACHING="0", ASCEND_SIM_POISON="0")
    assert "passed" in done.out, done.err


@simulated
def test_what_torch_npu_gives_back_at_exit(npu_process):
    done = npu_process(
        """
        import torch, torch_npu
        x = torch.ones(1000).to("npu:0"), torch.ones(1000).to("npu:1")
        print(x[0].device, x[1].device)
        """
    )
    assert (done.code, done.out) == (0, "npu:0 npu:1\n"), done.err
    released = {line["released_device"]: line for line in done.report if "released_device" in line}
    assert set(released) == {0, 1}
    assert all(line["tasks_dropped"] == 0 for line in released.values())


# ---- errors -------------------------------------------------------------------------------------------------------

FAULT = """
import torch, torch_npu, raw_acl
acl = raw_acl.Acl()
x, out = torch.arange(512.0).to("npu"), torch.zeros(512).to("npu")
stream = torch.npu.current_stream()
before = acl.memory()
acl.launch("{kernel}", stream.npu_stream, x.data_ptr(), out.data_ptr())
try:
    {wait}
except RuntimeError as error:
    print(str(error).replace(chr(10), " | "))
acl.launch("npu_test_double", stream.npu_stream, x.data_ptr(), out.data_ptr())
assert torch.equal(out.cpu(), torch.arange(512.0) * 2)
assert acl.memory() == before
print("works again")
"""


@simulated
@pytest.mark.parametrize(
    ("kernel", "wait", "text"),
    [
        ("npu_test_race", "torch.npu.synchronize()", "SetFlag/WaitFlag<MTE2_V> is missing"),
        ("npu_test_crash", "stream.synchronize()", "the kernel crashed: Segmentation fault"),
        ("npu_test_crash", "out.cpu()", "the kernel crashed: Segmentation fault"),
    ],
)
def test_a_fault_of_a_kernel_is_an_exception_with_its_cause(npu_process, kernel, wait, text):
    done = npu_process(FAULT.format(kernel=kernel, wait=wait))
    assert done.code == 0, done.err
    message, end = done.out.splitlines()
    assert "507015" in message
    # Where a copy waits, torch_npu has the code alone in the exception and the text in a warning.
    assert text in (done.err if wait == "out.cpu()" else message)
    assert end == "works again"


@simulated
def test_injected_failures_are_exceptions(npu_process):
    done = npu_process(
        """
        import torch, torch_npu, raw_acl
        acl = raw_acl.Acl()
        x = torch.ones(8).to("npu")
        def attempt(faults, call):
            acl.library.ascend_sim_acl_fail(faults)
            try:
                call()
                print("ok")
            except RuntimeError as error:
                print(type(error).__name__, "injected" in str(error) or "out of memory" in str(error))
            acl.library.ascend_sim_acl_fail(b"")
        allocate = lambda: torch.empty(64 << 20, dtype=torch.uint8, device="npu")
        attempt(b"aclrtMallocAlign32:1", allocate)  # torch_npu tries again after giving its cache back
        torch.npu.empty_cache()
        attempt(b"aclrtMallocAlign32:1+", allocate)
        waits = b"aclrtSynchronizeStream:1+,aclrtSynchronizeStreamWithTimeout:1+"
        attempt(waits, lambda: torch.npu.current_stream().synchronize())
        attempt(b"", lambda: x.cpu())
        """
    )
    assert done.code == 0, done.err
    assert done.out.splitlines() == ["ok", "OutOfMemoryError True", "RuntimeError True", "ok"], done.err


@simulated
def test_a_device_reset_is_an_exception(npu_process):
    done = npu_process(
        """
        import torch, torch_npu, raw_acl
        acl = raw_acl.Acl()
        x = torch.ones(8).to("npu:0")
        y = torch.ones(8).to("npu:1")
        acl.aclrtResetDeviceForce(0)
        try:
            x.cpu()
        except RuntimeError as error:
            print(str(error).replace(chr(10), " | "))
        print(y.cpu().sum().item())
        import os, sys
        sys.stdout.flush()
        os._exit(0)  # torch_npu's own teardown aborts on streams that are gone
        """
    )
    message, other = done.out.splitlines()
    assert "is device memory that was freed" in message, done.err
    assert other == "8.0"


@simulated
def test_expandable_segments_are_refused_by_name(npu_process):
    done = npu_process(
        """
        import torch, torch_npu
        try:
            torch.ones(8).to("npu")
        except RuntimeError as error:
            print(error)
        """,
        PYTORCH_NPU_ALLOC_CONF="expandable_segments:True",
    )
    assert "aclrtReserveMemAddress is not emulated by the simulator" in done.out, done.err


@simulated
def test_a_dead_task_queue_fails_the_tests_after_it(npu_process):
    """torch_npu queues nothing more after a queued call failed; the suite must say so, not wait for ever."""
    done = npu_process(
        """
        import types
        import device_guard, pytest, raw_acl, torch, torch_npu
        acl = raw_acl.Acl()
        guard = device_guard.DeviceGuard(patience=300)
        item = types.SimpleNamespace(nodeid="test_first")
        pinned, device = torch.ones(8).pin_memory(), torch.ones(8).to("npu")
        def attempt(hook):
            try:
                hook(item)
                print("passed")
            except pytest.fail.Exception as error:
                print(error)
        attempt(guard.pytest_runtest_setup)
        attempt(guard.pytest_runtest_teardown)
        acl.library.ascend_sim_acl_fail(b"aclrtMemcpyAsync:1")
        try:
            device.copy_(pinned, non_blocking=True)
            torch.npu.synchronize()
        except RuntimeError as error:
            print("injected" in str(error))
        attempt(guard.pytest_runtest_teardown)
        attempt(guard.pytest_runtest_setup)
        """
    )
    assert done.out.splitlines() == [
        "passed",
        "passed",
        "True",
        "a call failed in torch_npu's task queue, which ended it",
        "torch_npu's task queue ended in test_first; see there",
    ], done.err


@simulated
def test_a_finding_that_nobody_reports_fails_its_test(npu_process):
    """An error of the stream that a test swallows is in the simulator's report all the same; memory is counted."""
    done = npu_process(
        """
        import types
        import device_guard, pytest, raw_acl, torch, torch_npu
        guard = device_guard.DeviceGuard()
        item = types.SimpleNamespace(nodeid="test_first")
        def attempt(hook):
            try:
                hook(item)
                print("passed")
            except pytest.fail.Exception as error:
                print(error)
        x = torch.ones(512).to("npu")
        torch.npu.synchronize()
        acl = raw_acl.Acl()
        stream = acl.stream()
        out = acl.malloc(2048)
        acl.launch("npu_test_race", stream, x.data_ptr(), out)
        try:
            acl.aclrtSynchronizeStream(stream)
        except raw_acl.AclError:
            print("swallowed")
        attempt(guard.pytest_runtest_teardown)
        attempt(guard.pytest_runtest_teardown)
        print(device_guard.memory_left())
        del x
        print(repr(device_guard.memory_left()))
        """
    )
    lines = done.out.splitlines()
    assert lines[0] == "swallowed", done.err
    assert lines[1].startswith("npu_test_race: ")
    assert "kernels.cpp:" in lines[1]
    assert "race.read-after-write" in lines[1]
    assert lines[2] == "passed"  # said once
    assert lines[3].endswith(" bytes on device 0")
    assert lines[4] == "''"
