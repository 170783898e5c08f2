"""How launches reach the device: inside torch_npu's host queue, by whatever names this torch_npu has; on which cores.

Each script runs in a process of its own. The simulator's report tells for every launch the thread that made it, the
stream and the number of blocks.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch_npu

pytestmark = pytest.mark.simulated

RUN = (
    "_ZN6at_npu6native9OpCommand10RunOpApiV2ERKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEERKSt8functionIFivEEb"
)

START = """
import ctypes, json, os, threading
import torch, torch_npu
from triangle_attn_op import triangle_attention

def tell(**values):
    print("TOLD", json.dumps(values), flush=True)

def attempt(call):
    try:
        call()
        return "no error"
    except Exception as error:
        return f"{type(error).__name__}: {error}"

g = torch.Generator().manual_seed(0)
host = [torch.randn(1, h, 70, 32, generator=g).half() for h in (4, 2, 2)]
want = triangle_attention(*host)
device = [t.npu().requires_grad_() for t in host]

def forward():
    return triangle_attention(*device)

def close(out):
    return float((out.detach().cpu() - want).abs().max()) < 1e-2

def step():
    out = forward()
    torch.autograd.grad(out, device, out.detach())
    return close(out)

def outer(stream):
    # As another library's; torch_npu 2.10.0 has no such thing.
    return torch.npu.ExternalStream(stream.npu_stream) if hasattr(torch.npu, "ExternalStream") else stream

tell(thread=threading.get_native_id())
"""


def told(done: Any) -> list[dict[str, Any]]:
    assert done.code == 0, done.err
    lines = [json.loads(line.removeprefix("TOLD ")) for line in done.out.splitlines() if line.startswith("TOLD ")]
    assert all(line.get("right", True) for line in lines), lines
    return lines


def forward_threads(done: Any) -> set[int]:
    """The threads that launched forward kernels; autograd calls the backward on one of its own."""
    return {launch["thread"] for launch in done.launches() if "_fwd_" in launch["kernel"]}


@pytest.fixture(scope="module")
def other_torch_npu(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The library that hides symbols of the installed torch_npu."""
    library = tmp_path_factory.mktemp("preload") / "other_torch_npu.so"
    source = Path(__file__).with_name("other_torch_npu.c")
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", source, "-o", library, "-ldl"], check=True)
    return str(library)


def test_launches_wait_in_torch_npus_queue(npu_process: Any, other_torch_npu: str) -> None:
    """From the queue's thread, also in a torch_npu before 2.10.0.post4; on external streams; seen by the profiler."""
    source = """
    for _ in range(2):
        tell(right=step())
    stream = torch.npu.Stream()
    external = outer(stream)
    torch.npu.synchronize()  # torch_npu has no events for external streams
    with torch.npu.stream(external):
        doubled = [t.detach() + t.detach() for t in device]
        out = triangle_attention(*(t / 2 for t in doubled))
    torch.npu.synchronize()
    tell(right=close(out))
    with torch.autograd.profiler.profile(record_shapes=True) as profile:
        forward()
    torch.npu.synchronize()
    shapes = {event.name: event.input_shapes[:3] for event in profile.function_events}
    tell(names=list(shapes), shapes=shapes.get("triangle::attn_lse"))
    """
    hidden = "aoti_torch_get_current_npu_stream"
    done = npu_process(START + _flat(source), LD_PRELOAD=other_torch_npu, HIDDEN_SYMBOLS=hidden)
    first, *_, profile = told(done)
    launches = done.launches()
    assert len(launches) == 6
    threads = {launch["thread"] for launch in launches}  # of the backward too, which autograd calls on another thread
    assert len(threads) == 1
    assert first["thread"] not in threads
    assert len({launch["stream"] for launch in launches}) == 2
    assert "triangle_attn_forward" in profile["names"]
    assert profile["shapes"] == [[1, 4, 70, 32], [1, 2, 70, 32], [1, 2, 70, 32]]
    assert "Warning: triangle_attn_op" not in done.err


def test_profilers_of_cann_see_the_operators_and_their_tensors(npu_process: Any) -> None:
    """msprof's ranges around each launch, on the thread that launches; none where nobody profiles."""
    source = """
    tell(right=step())
    ctypes.CDLL("libmsprofiler.so")  # as torch_npu's profiler does
    tell(right=step())
    """
    done = npu_process(START + _flat(source))
    told(done)
    forward, backward = [line for line in done.report if "range" in line]
    assert [forward["range"], backward["range"]] == ["triangle_attn_forward", "triangle_attn_backward"]
    assert forward["kernels"] == backward["kernels"] == 1
    assert {forward["thread"]} == forward_threads(done)
    assert forward["blocks"] == done.launches()[-1]["blocks"]
    q, kv, fp16, fp32 = [1, 4, 70, 32], [1, 2, 70, 32], 1, 0
    tensors = [(t["output"], t["type"], t["shape"]) for t in forward["tensors"]]
    assert tensors == [*((0, fp16, s) for s in (q, kv, kv)), (1, fp16, q), (1, fp32, q[:3])]
    assert [t["shape"] for t in backward["tensors"]] == [q, q, kv, kv, q, q[:3], q, kv, kv]


def test_profilers_see_a_call_over_a_cache(npu_process: Any) -> None:
    """One range around both of its launches: what appends, and what attends."""
    source = """
    from triangle_attn_op import triangle_attention_with_kvcache
    tell(right=step())
    ctypes.CDLL("libmsprofiler.so")
    cache, new = torch.zeros(2, 1, 40, 2, 32).half().npu(), torch.ones(1, 3, 2, 32).half().npu()
    lengths = torch.tensor([7], dtype=torch.int32).npu()
    out = triangle_attention_with_kvcache(new, *cache, lengths, k=new, v=new)
    tell(right=bool(torch.isfinite(out.cpu()).all()))
    """
    done = npu_process(START + _flat(source))
    told(done)
    (cached,) = [line for line in done.report if "range" in line]
    assert (cached["range"], cached["kernels"]) == ("triangle_attn_kvcache", 2)
    q, kept = [1, 3, 2, 32], [1, 40, 2, 32]
    assert [t["shape"] for t in cached["tensors"]] == [q, kept, kept, [1], q, q, q, [1, 2, 3]]


def test_a_torch_npu_without_that_queue_is_drained(npu_process: Any, other_torch_npu: str) -> None:
    """Which is said once; where its queue has failed it gives null for a stream, and no launch goes to another one."""
    source = """
    for _ in range(2):
        tell(right=step())
    os.environ["FAILED_QUEUE"] = "1"
    tell(said=attempt(forward))
    os.environ["FAILED_QUEUE"] = "0"
    tell(right=step())
    """
    done = npu_process(START + _flat(source), LD_PRELOAD=other_torch_npu, HIDDEN_SYMBOLS=RUN)
    first, *_, failed, _ = told(done)
    assert forward_threads(done) == {first["thread"]}
    assert done.err.count("npu: this torch_npu has no OpCommand::RunOpApiV2; every call first launches") == 1
    assert failed["said"] == (
        "RuntimeError: npu: torch_npu gives no stream of npu:0, because its host queue has stopped; an earlier error "
        "says why"
    )


def test_a_null_stream_is_the_contexts_default_one(npu_process: Any, other_torch_npu: str) -> None:
    """Of the tensors' device, on either way; it is no failed queue, and its limits are the device's."""
    source = """
    tell(right=close(forward()))
    device = [t.to("npu:1") for t in host]
    torch.npu.set_device_limit(1, 6, 12)
    for way in ("", "drain"):
        torch.npu.synchronize(1)  # torch_npu's own operators stay on its streams
        os.environ["NULL_STREAM"] = "1"
        os.environ["TRIANGLE_ATTN_NPU_LAUNCH"] = way
        out = forward()
        torch.npu.synchronize(1)
        os.environ["NULL_STREAM"] = "0"
        tell(right=close(out))
    """
    done = npu_process(START + _flat(source), LD_PRELOAD=other_torch_npu)
    told(done)
    launches = done.launches()
    assert [(launch["device"], launch["blocks"]) for launch in launches] == [(0, 24), (1, 6), (1, 6)]
    assert len({launch["stream"] for launch in launches}) == 2


def test_a_torch_npu_with_no_way_to_its_stream(npu_process: Any, other_torch_npu: str) -> None:
    hidden = "aoti_torch_get_current_npu_stream,_ZN7c10_npu19getCurrentNPUStreamEa"
    source = START + "tell(said=attempt(forward))\n"
    said = told(npu_process(source, LD_PRELOAD=other_torch_npu, HIDDEN_SYMBOLS=hidden))[1]["said"]
    assert said.startswith("RuntimeError: npu: expected torch_npu in this process (import torch_npu), found no")


IN_THE_QUEUE = {}, {"TASK_QUEUE_ENABLE": "2"}
BY_THE_CALLER = {"TASK_QUEUE_ENABLE": "0"}, {"TRIANGLE_ATTN_NPU_LAUNCH": "drain"}


@pytest.mark.parametrize("setting", [*IN_THE_QUEUE, *BY_THE_CALLER], ids=str)
def test_ways_to_launch(npu_process: Any, setting: dict[str, str]) -> None:
    """The process's first call is on an external stream, behind operators that torch_npu has queued for it."""
    source = """
    external = outer(torch.npu.Stream())
    torch.npu.synchronize()
    with torch.npu.stream(external):
        doubled = [t.detach() + t.detach() for t in device]
        out = triangle_attention(*(t / 2 for t in doubled))
    torch.npu.synchronize()
    tell(right=close(out))
    tell(right=step())
    """
    done = npu_process(START + _flat(source), **setting)
    own = {told(done)[0]["thread"]}
    assert (forward_threads(done) == own) == (setting in BY_THE_CALLER)
    assert len({launch["stream"] for launch in done.launches()}) == 2


def test_blocking_launches_fail_where_they_are_called(npu_process: Any) -> None:
    source = """
    tell(right=step())
    os.environ["TRIANGLE_SIM_FAULT"] = "wrong_tiling"
    tell(said=attempt(forward))
    del os.environ["TRIANGLE_SIM_FAULT"]
    tell(right=step())
    """
    _, _, fault, _ = told(npu_process(START + _flat(source), ASCEND_LAUNCH_BLOCKING="1"))
    assert "kernel triangle_attn_fwd_fp16_128: " in fault["said"]


def test_as_many_cores_as_the_launch_may_use(npu_process: Any) -> None:
    """A chip of another name, a virtual NPU, limits of the device and of a stream. More blocks would wait for ever."""
    source = """
    backend = triangle_attn_op.backends.npu()
    tell(right=step(), backend=backend)
    torch.npu.set_device_limit(0, 6, 12)
    tell(right=step())
    stream = torch.npu.Stream()
    torch.npu.set_stream_limit(stream, 4, 10)
    stream.wait_stream(torch.npu.current_stream())
    with torch.npu.stream(stream):
        tell(right=step())
    tell(right=step())
    """
    # The simulator has no row for the first; a torch_npu refuses names that it does not know.
    libtorch_npu = Path(torch_npu.__file__).parent / "lib" / "libtorch_npu.so"
    chip = "Ascend910_9363" if b"Ascend910_9363" in libtorch_npu.read_bytes() else "Ascend910_9362"
    done = npu_process(
        START + "import triangle_attn_op\n" + _flat(source), ASCEND_SIM_CORES="8", ASCEND_SIM_SOC_NAME=chip
    )
    assert told(done)[1]["backend"].startswith(f"npu/{chip}, 8 AI cores, ")
    assert [launch["blocks"] for launch in done.launches()] == [8, 8, 6, 6, 4, 4, 6, 6]


def _flat(source: str) -> str:
    return "\n".join(line.removeprefix("    ") for line in source.splitlines()) + "\n"
