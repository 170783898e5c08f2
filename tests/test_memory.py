"""Memory: forward and backward at S = 32768 stay O(S), measured as the peak resident size of a fresh process."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from triangle_attn_op import triangle_attention

PROGRAM = """
import sys, torch
from triangle_attn_op import triangle_attention
def peak():  # of this process's own memory; getrusage's ru_maxrss starts at its parent's, which would hide growth
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM:")).split()[1]) * 1024
torch.set_num_threads(2)
s, d, kind = int(sys.argv[1]), 16, sys.argv[2]
q, k, v = (torch.randn(1, 1, s, d).requires_grad_() for _ in range(3))
mask = {"none": None, "padding": torch.ones(1, 1, 1, s, dtype=torch.bool), "heads": torch.zeros(1, 1, 1, 1)}[kind]
warm = tuple(t[:, :, :64].detach().requires_grad_() for t in (q, k, v))
triangle_attention(*warm).backward(torch.ones_like(warm[0]))  # all that PyTorch loads at the first such call
before = peak()
triangle_attention(q, k, v, attn_mask=mask).backward(torch.ones_like(q))
print(peak() - before)
"""


def growth(s: int, mask: str) -> int:
    """Bytes by which the peak resident size of a process grows over one forward and backward of length s."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(s), mask], check=True, capture_output=True, text=True)
    return int(done.stdout)


@pytest.mark.parametrize(("s", "mask"), [(32768, "none"), (8192, "padding"), (8192, "heads")])
def test_nothing_of_size_s_squared(s: int, mask: str) -> None:
    """Neither scores nor an expanded mask: one S x S plane of bytes alone would be 1 GiB (64 MiB at 8192)."""
    # Results, gradients, saved tensors and packed copies are S x D of fp32 each; 4 MiB a thread; the allocator's slack.
    assert growth(s, mask) <= 16 * (s * 16 * 4) + 2 * (4 << 20) + (16 << 20)


def test_backward_of_few_queries_with_many_keys() -> None:
    """Grouped heads, Sq = 16, Sk = 131072, D = 128: fp32 copies of k, v, dk and dv, 4 MiB a thread, and slack."""
    program = """
import torch, triangle_attn_op
def peak():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM:")).split()[1]) * 1024
torch.set_num_threads(1)
def call(sk):
    q, k, v = torch.randn(1, 4, 16, 128), torch.randn(1, 1, sk, 128), torch.randn(1, 1, sk, 128)
    out, lse = torch.ops.triangle.attn_lse(q, k, v)
    before = peak()
    results = torch.ops.triangle.attn_backward(torch.ones_like(out), None, q, k, v, out, lse)
    return peak() - before - sum(t.numel() * 4 for t in results)
call(64)
print(call(131072))
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert int(done.stdout) <= 4 * 131072 * 128 * 4 + (4 << 20) + (16 << 20)


def test_offsets_beyond_2_to_the_31() -> None:
    """Tensors that span more than 2^31 elements: only the pages in use are ever touched."""
    far = (1 << 31) + 64
    shape, strides = (1, 2, 20, 16), (0, far, 16, 1)
    tensors = [torch.empty(far + 1024, dtype=torch.bfloat16).as_strided(shape, strides) for _ in range(3)]
    for t in tensors:
        t.copy_(torch.randn(shape))
    near = [t.clone(memory_format=torch.contiguous_format) for t in tensors]
    dout = torch.randn(shape, dtype=torch.bfloat16)
    results = []
    for leaves in (tensors, near):
        q, k, v = (t.detach().requires_grad_() for t in leaves)
        out = triangle_attention(q, k, v)
        results.append((out.detach(), *torch.autograd.grad(out, (q, k, v), dout)))
    assert all(torch.equal(a, b) for a, b in zip(*results))
