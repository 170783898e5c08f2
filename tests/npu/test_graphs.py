"""Capture into graphs: the rules of the emulated runtime, and the operators in torch.npu.NPUGraph and
make_graphed_callables; decoding over a cache in a graph and compiled.

A call of the runtime that a capture does not allow (to wait for the stream, to copy at once) spoils the capture with an
error, so a capture that ends well had none.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

pytestmark = pytest.mark.simulated

RAW = """
import ctypes
from raw_acl import *
acl = Acl()
acl.aclrtSetDevice(0)
one, two = acl.stream(), acl.stream()
size = 64
a, b, c = (acl.malloc(size) for _ in range(3))

def begin(stream=one):
    acl.aclmdlRICaptureBegin(stream, 0)

def end(stream=one):
    graph = ctypes.c_void_p()
    acl.aclmdlRICaptureEnd(stream, ctypes.byref(graph))
    return graph.value

def wait(later, earlier):
    event = acl.event()
    acl.aclrtRecordEvent(event, earlier)
    acl.aclrtStreamWaitEvent(later, event)

def code(call):
    try:
        call()
        return 0
    except AclError as error:
        return error.code

def chain(forgotten):
    # b = a on stream two, which joins the capture and is joined back; c = b on stream one.
    begin()
    wait(two, one)
    acl.copy_async(b, a, size, D2D, two)
    if not forgotten:
        wait(one, two)
    acl.copy_async(c, b, size, D2D, one)
    wait(one, two)
    return end()

def replay(graph, text):
    acl.write(a, text * 16)
    acl.write(b, b"old." * 16)
    acl.aclmdlRIExecuteAsync(graph, one)
    before = acl.read(c, 4)
    acl.aclrtSynchronizeStream(one)
    return (before + acl.read(c, 4)).decode()

acl.write(c, b"none" * 16)
good = chain(False)
print(replay(good, b"new1"), replay(good, b"new2"))
print(replay(chain(True), b"new3"))
acl.aclmdlRIDestroy(good)
print(code(lambda: acl.aclmdlRIExecuteAsync(good, one)))

def spoiled(call):
    begin()
    refused = code(call)
    return refused, code(end)

pageable = ctypes.create_string_buffer(size)
print(spoiled(lambda: acl.aclrtSynchronizeStream(one)))
print(spoiled(acl.aclrtSynchronizeDevice))
print(spoiled(lambda: acl.stream_done(one)))
print(spoiled(lambda: acl.read(a, 4)))
print(spoiled(lambda: acl.copy_async(a, ctypes.addressof(pageable), size, H2D, one)))
print(spoiled(lambda: (wait(two, one), acl.copy_async(c, b, size, D2D, two))))
print(spoiled(lambda: None))
print(code(lambda: begin(0)), code(end))
acl.aclrtSynchronizeDevice()
"""


def test_rules_of_a_capture(npu_process: Any) -> None:
    done = npu_process(RAW, ASCEND_SIM_STREAMS="late")
    assert done.code == 0, done.err
    assert done.out.splitlines() == [
        "nonenew1 new1new2",  # nothing runs before the host waits
        "new2old.",  # a wait that is missing inside the graph
        "107000",
        "(107027, 507903)",
        "(107027, 507903)",
        "(107027, 507903)",
        "(107030, 507903)",
        "(107030, 507903)",
        "(0, 507903)",  # not joined back
        "(0, 0)",
        "107031 107029",
    ]


START = """
import json, os
import torch, torch_npu, triangle_attn_op
from triangle_attn_op import triangle_attention

def tell(**values):
    print("TOLD", json.dumps(values), flush=True)

def attempt(call):
    try:
        call()
        return "no error"
    except Exception as error:
        return f"{type(error).__name__}: {error}"

def close(got, want):
    return all(float((a.cpu().float() - b.float()).abs().max()) < 2e-2 for a, b in zip(got, want))

triangle_attn_op.warm_up()
g = torch.Generator().manual_seed(0)

def draw(*shape):
    return torch.randn(*shape, generator=g).half()

"""


def told(done: Any) -> list[dict[str, Any]]:
    assert done.code == 0, done.err
    lines = [json.loads(line.removeprefix("TOLD ")) for line in done.out.splitlines() if line.startswith("TOLD ")]
    assert all(line.get("right", True) for line in lines), lines
    return lines


PACKED = """
attn, backward = torch.ops.triangle.attn_lse, torch.ops.triangle.attn_backward

def step(q, k, v, cu, dout):
    offsets = dict(cu_seq_q=cu, cu_seq_k=cu, max_q=60, max_k=60)
    out, lse = attn(q, k, v, **offsets)
    return out, *backward(dout, None, q, k, v, out, lse, **offsets)[:3]

def inputs(*offsets):
    cu = torch.tensor(offsets, dtype=torch.int32)
    return [draw(60, 4, 32), draw(60, 2, 32), draw(60, 2, 32), cu, draw(60, 4, 32)]

host = inputs(0, 20, 40, 60)
device = [t.npu() for t in host]
graph = torch.npu.NPUGraph()
with torch.npu.graph(graph):
    results = step(*device)
    os.environ["TRIANGLE_ATTN_CHECK_CU_SEQ"] = "1"
    tell(refused=attempt(lambda: step(*device)))
    del os.environ["TRIANGLE_ATTN_CHECK_CU_SEQ"]
for _ in range(2):
    graph.replay()
tell(right=close(results, step(*host)))
for offsets in ((0, 1, 59, 60), (0, 0, 60, 60)):  # other documents in the same tensors
    host = inputs(*offsets)
    for there, here in zip(device, host):
        there.copy_(here)
    graph.replay()
    tell(right=close(results, step(*host)))
del graph, results, device

# A token against a growing number of keys, which lie in a buffer of 60.
def decode(q, k, v, cu_q, cu_k):
    return attn(q, k, v, cu_seq_q=cu_q, cu_seq_k=cu_k, max_q=1, max_k=60)

def token(keys):
    ends = (torch.tensor((0, end), dtype=torch.int32) for end in (1, keys))
    return [draw(1, 4, 32), draw(60, 2, 32), draw(60, 2, 32), *ends]

device = [t.npu() for t in token(7)]
graph = torch.npu.NPUGraph()
with torch.npu.graph(graph):
    results = decode(*device)
for keys in (7, 8, 60):
    host = token(keys)
    for there, here in zip(device, host):
        there.copy_(here)
    graph.replay()
    tell(right=close(results, decode(*host)))
tell(end=True)
del graph, results, device
"""


@pytest.mark.parametrize("queue", ["0", "1"])
def test_packed_calls_replay_with_other_documents(npu_process: Any, queue: str) -> None:
    refused, *replays = told(npu_process(START + PACKED, TASK_QUEUE_ENABLE=queue))
    assert len(replays) == 7
    assert refused["refused"].startswith(
        "RuntimeError: triangle_attn_op: TRIANGLE_ATTN_CHECK_CU_SEQ=1 reads cu_seq_q and cu_seq_k back"
    )


def test_graphed_callables(npu_process: Any) -> None:
    source = """
class Layer(torch.nn.Module):
    def forward(self, q, k, v):
        return triangle_attention(q * 2, k, v, window_size_left=20)

def gradients(layer, tensors):
    out = layer(*tensors)
    return [out.detach(), *torch.autograd.grad(out, tensors, torch.ones_like(out))]

host = [draw(1, h, 50, 32).requires_grad_() for h in (4, 2, 2)]
device = [t.detach().npu().requires_grad_() for t in host]
graphed = torch.npu.make_graphed_callables(Layer(), tuple(device))
for _ in range(2):
    tell(right=close(gradients(graphed, device), gradients(Layer(), host)))
    host = [draw(*t.shape).requires_grad_() for t in host]
    device = [t.detach().npu().requires_grad_() for t in host]
tell(end=True)
del graphed, device
"""
    lines = told(npu_process(START + source))
    assert len(lines) == 3


CACHED = """
from triangle_attn_op import triangle_attention_with_kvcache

q, k, v = (draw(2, 120, h, 32) for h in (4, 2, 2))
table = torch.randperm(10, generator=g).int().view(2, 5)

def step(pages, length, q, k, v, table):
    return triangle_attention_with_kvcache(q, *pages, length, k=k, v=v, block_table=table)

def caches():
    return [torch.zeros(10, 32, 2, 32).half() for _ in range(2)]

def prompt(pages, table, at, device):
    parts = (t[:, :at].to(device) for t in (q, k, v))
    step(pages, torch.zeros(2, dtype=torch.int32, device=device), *parts, table)

def token(at):
    return [t[:, at : at + 1] for t in (q, k, v)]

at = 70
wanted = triangle_attention(*(t.npu().transpose(1, 2) for t in (q, k, v))).transpose(1, 2).cpu()

# Captured once; replayed for tokens at growing lengths, which the graph itself counts.
pages = [t.npu() for t in caches()]
prompt(pages, table.npu(), at, "npu")
length, there, new = torch.full((2,), at, dtype=torch.int32).npu(), table.npu(), [t.npu() for t in token(at)]
graph = torch.npu.NPUGraph()
with torch.npu.graph(graph):
    result = step(pages, length, *new, there)
    length += 1
for at in (70, 71, 72, 73):
    for into, value in zip(new, token(at)):
        into.copy_(value)
    graph.replay()
    tell(right=torch.equal(result.cpu(), wanted[:, at : at + 1]))
length.fill_(100)  # further on, over keys that lie elsewhere
moved = table.flip(0, 1).contiguous()
prompt(pages, moved.npu(), 100, "npu")
there.copy_(moved)
for into, value in zip(new, token(100)):
    into.copy_(value)
graph.replay()
tell(right=torch.equal(result.cpu(), wanted[:, 100:101]), count=int(length[0]))
del graph, result

# Compiled: the caches are written in place through functionalisation, step after step.
def decode(pages, length, q, k, v, table):
    return step(pages, length, q * 1, k, v, table) + 0, length + 1

for backend in ("aot_eager", "npugraph_ex"):
    torch._dynamo.reset()
    compiled = torch.compile(decode, fullgraph=True, backend=backend)
    pages = [t.npu() for t in caches()]
    prompt(pages, there, 40, "npu")
    length = torch.full((2,), 40, dtype=torch.int32).npu()
    with torch.no_grad():
        for at in range(40, 44):
            out, length = compiled(pages, length, *(t.npu() for t in token(at)), there)
            tell(right=torch.equal(out.cpu(), wanted[:, at : at + 1]))
            length = length.clone()
tell(end=True)
del pages, there, new, length, out, compiled
torch._dynamo.reset()
"""


def test_decoding_over_a_cache_is_captured_and_compiled(npu_process: Any) -> None:
    """Lengths change on the device between replays, page numbers too; bits are those of the forward."""
    assert len(told(npu_process(START + CACHED))) == 14


COMPILED = """
def step(q, k, v):
    return triangle_attention(q * 2, k, v) + 1

for backend in ("npugraphs", "npugraph_ex"):
    torch._dynamo.reset()
    compiled = torch.compile(step, fullgraph=True, backend=backend)
    for _ in range(4):  # the first warm up and capture
        host = [draw(1, h, 40, 32) for h in (4, 2, 2)]
        with torch.no_grad():
            got = compiled(*(t.npu() for t in host))
        tell(right=close([got], [step(*host)]))
del got, compiled
torch._dynamo.reset()
"""


def test_torch_npus_backends_for_graphs(npu_process: Any) -> None:
    """Its third, `npu`, needs CANN's graph engine."""
    assert len(told(npu_process(START + COMPILED))) == 8
