"""Faults under the operators: an allocation or a launch that fails, a kernel that a checker stops, a device that is
reset. Each is a Python exception with the cause, the process goes on, and no device memory is lost.

Each script runs in a process of its own. The simulator injects the failures (ascend_sim_acl_fail) and counts what its
devices hold (ascend_sim_acl_memory). A fault of the device itself shows where the host next waits for the stream.
"""

from __future__ import annotations

import ctypes
import json
from pathlib import Path
from typing import Any

import pytest
import torch

pytestmark = pytest.mark.simulated
# PyTorch 2.10's stable ABI gives no text of an exception: torch writes it to stderr, and the message ends before it.
LIBTORCH = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"))
SAYS_WHY = hasattr(LIBTORCH, "torch_exception_get_what_without_backtrace")
NO_MEMORY = "OutOfMemoryError: out of memory allocating a result" + (": " if SAYS_WHY else "")

START = """
import ctypes, gc, json, os, time
import torch, torch_npu
from triangle_attn_op import triangle_attention

acl = ctypes.CDLL("libascendcl.so")

def inject(failures):
    assert acl.ascend_sim_acl_fail(failures.encode()) == 0

def held(device=0):
    allocations, size = ctypes.c_uint64(), ctypes.c_uint64()
    acl.ascend_sim_acl_memory(device, ctypes.byref(allocations), ctypes.byref(size))
    return allocations.value, size.value

def attempt(call):
    try:
        call()
        return "no error"
    except Exception as error:
        return f"{type(error).__name__}: {error}"

def tell(**values):
    print("TOLD", json.dumps(values), flush=True)

g = torch.Generator().manual_seed(0)
host = [torch.randn(1, h, 70, 64, generator=g).half() for h in (4, 2, 2)]
want = triangle_attention(*host)
device = [t.npu().requires_grad_() for t in host]
dout = host[0].npu()

def forward():
    return triangle_attention(*device)

def step():
    gradients = torch.autograd.grad(forward(), device, dout)
    torch.npu.synchronize()

def works():
    return float((forward().detach().cpu() - want).abs().max()) < 1e-2

def taken():
    # What the device holds, and what torch's allocator says is in use: a block kept in its cache is no loss.
    gc.collect()
    return *held(), torch.npu.memory_allocated()

def settled(done):
    # What a queued operator held, a thread of torch_npu's lets go of when it gets to it: later, on a busy machine.
    readings = [taken()]
    while not done(readings) and len(readings) < 300:
        time.sleep(0.1)
        readings.append(taken())
    return readings[-1]

def steady(readings):
    return len(readings) >= 3 and len(set(readings[-3:])) == 1

step()
assert works()
before = settled(steady)

def lost():
    def is_free(readings):
        return all(now <= then for now, then in zip(readings[-1], before))
    return not is_free([settled(is_free)])
"""

END = """
tell(end=True)
del device, dout  # torch_npu ends the device before the interpreter ends
"""


def told(npu_process: Any, source: str, **environment: str) -> list[dict[str, Any]]:
    done = npu_process(START + source + END, **environment)
    assert done.code == 0, done.err
    lines = [json.loads(line.removeprefix("TOLD ")) for line in done.out.splitlines() if line.startswith("TOLD ")]
    assert lines.pop() == {"end": True}
    return lines


def test_every_allocation_may_fail(npu_process: Any) -> None:
    """out, lse, workspace, then dq, dk, dv, workspace: without torch's cache each is one aclrtMalloc of its own."""
    source = """
for number in range(1, 9):
    inject(f"aclrtMallocAlign32:{number}")
    said = attempt(step)
    inject("")
    tell(said=said, works=works(), lost=lost())
"""
    lines = told(npu_process, source, PYTORCH_NO_NPU_MEMORY_CACHING="1")
    for line in lines[:7]:
        assert line["said"].startswith(NO_MEMORY), line
        assert ("error code is 207001" in line["said"]) == SAYS_WHY
    assert lines[7]["said"] == "no error"
    for line in lines:
        assert line["works"]
        assert not line["lost"]


def test_more_memory_than_there_is(npu_process: Any) -> None:
    """Results that fit no device, from inputs of one row: what torch's allocator says is the message."""
    source = """
row = torch.zeros(1, 1, 1, 64).half().npu()
huge = row.expand(1, 1 << 12, 1 << 22, 64)
tell(said=attempt(lambda: triangle_attention(huge, row, row)), works=works())
torch.npu.empty_cache()
inject("aclrtMallocAlign32:1+")
said = attempt(step)
inject("")
tell(said=said, works=works())
del row, huge
tell(allocated=settled(steady)[2])
"""
    huge, cached, after = told(npu_process, source)
    assert huge["said"].startswith(NO_MEMORY + ("NPU out of memory. Tried to " if SAYS_WHY else ""))
    assert cached["said"].startswith("OutOfMemoryError: ")
    assert huge["works"]
    assert cached["works"]
    assert after["allocated"] == sum(-(-(n * 70 * 64 * 2 + 32) // 512) * 512 for n in (4, 2, 2, 4))


def test_a_launch_that_fails(npu_process: Any) -> None:
    """When the device gets there, with the kernel's name; the next call on the same stream works again."""
    source = """
for number in (1, 2):  # forward, backward
    inject(f"launch:{number}")
    said = attempt(step)
    inject("")
    tell(said=said, works=works())
    torch.npu.synchronize()
step()
tell(lost=lost())
"""
    *failed, after = told(npu_process, source)
    for line, kernel in zip(failed, ("triangle_attn_fwd_fp16_128", "triangle_attn_bwd_fp16")):
        assert line["said"].startswith("RuntimeError: ")
        assert "error code is 507015" in line["said"]
        assert f"kernel {kernel}: " in line["said"]
        assert line["works"]
    assert len(failed) == 2
    assert not after["lost"]


def test_a_poisoned_kernel_is_stopped_by_a_checker(npu_process: Any) -> None:
    """A tiling whose strides lead outside of out: nothing there is written, and the message says where it happened."""
    source = """
for stream in (torch.npu.current_stream(), torch.npu.Stream()):
    torch.npu.synchronize()
    with torch.npu.stream(stream):
        os.environ["TRIANGLE_SIM_FAULT"] = "wrong_tiling"
        queued = attempt(forward)
        said = attempt(stream.synchronize)
        del os.environ["TRIANGLE_SIM_FAULT"]
    tell(queued=queued, said=said, works=works(), lost=settled(steady)[2] != before[2])
"""
    lines = told(npu_process, source)
    assert len(lines) == 2
    for line in lines:
        assert line["queued"] == "no error"  # the launch itself was in order
        assert line["said"].startswith("RuntimeError: ")
        assert "kernel triangle_attn_fwd_fp16_128: " in line["said"]
        assert "out-of-bounds-write (ErrorWrite2)" in line["said"]
        assert "op_kernel/" in line["said"]
        assert line["works"]
        assert not line["lost"]


def test_a_reset_device(npu_process: Any) -> None:
    """Its tensors are gone, which is said where the launch comes up in torch_npu's queue; the CPU and the other device
    go on.
    """
    source = """
assert acl.aclrtResetDeviceForce(0) == 0
tell(held=held(), said=attempt(lambda: (forward(), torch.npu.synchronize())))
tell(cpu=bool(torch.equal(triangle_attention(*host), want)))
other = triangle_attention(*(t.to("npu:1") for t in host))
tell(other=float((other.cpu() - want).abs().max()))
del other
"""
    reset, cpu, other = told(npu_process, source)
    assert reset["held"] == [0, 0]
    assert reset["said"].startswith("RuntimeError: ")
    assert "triangle_attn_forward" in reset["said"]
    assert "unknown stream" in reset["said"]
    assert cpu["cpu"]
    assert other["other"] < 1e-2


def test_the_deterministic_backward_adds_in_one_order(npu_process: Any) -> None:
    """The checker that reports floating-point atomics in open order stops the fast path and passes the other."""
    source = """
said = attempt(step)
torch.use_deterministic_algorithms(True)
tell(fast=said, deterministic=attempt(step))
"""
    start = START.replace("step()\nassert works()", "assert works()")
    done = npu_process(start + source + END, ASCEND_SIM_DETERMINISM="1")
    assert done.code == 0, done.err
    line = json.loads(done.out.splitlines()[0].removeprefix("TOLD "))
    assert line["fast"].startswith("RuntimeError: ")
    assert "kernel triangle_attn_bwd_fp16: " in line["fast"]
    assert line["deterministic"] == "no error"
