"""Extra memory of one forward and backward, measured in a process of its own.

    python -m triangle_attn_op.bench.memory '{"heads_q": 8, ...}' THREADS

prints [extra bytes, allowed bytes].
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from torch import Tensor

from .problem import Problem, ours

_PER_THREAD = 4 << 20
_PER_ROW = 16  # bytes for every batch entry, head and row: delta in fp64, lse, and what else is O(B H S)


def allowed(problem: Problem, threads: int) -> int:
    """fp32 copies of q, k, v, dq, dk, dv of the heads in flight, O(B H S), and 4 MiB a thread.

    In flight are the key/value heads (with their query heads) that threads work on, and the next one.
    """
    in_flight = min(problem.batch * problem.heads_kv, threads + 1)
    group = problem.heads_q // problem.heads_kv
    queries = 2 * group * problem.seq_q * problem.dim
    keys = 2 * problem.seq_k * (problem.dim + problem.dim_v)
    rows = problem.batch * problem.heads_q * problem.seq_q
    return in_flight * 4 * (queries + keys) + _PER_ROW * rows + _PER_THREAD * threads


def measure(problem: Problem) -> int:
    """Growth of the peak resident size: over the forward less out and lse, or over forward and backward less those and
    the gradients, whichever is more.
    """
    warm = problem.with_(seq_q=min(problem.seq_q, 192), seq_k=min(problem.seq_k, 192))
    _extra(warm, warm.tensors())  # loads what PyTorch loads at the first such call
    return _extra(problem, problem.tensors())


def _extra(problem: Problem, tensors: tuple[Tensor, Tensor, Tensor, Tensor]) -> int:
    q, k, v, dout = tensors
    leaves = [t.requires_grad_() for t in (q, k, v)]
    # The resident size now, not its peak so far: a peak above it could hide growth.
    before = _resident("VmRSS")
    out = ours(problem, leaves[0], leaves[1], leaves[2])
    lse = problem.batch * problem.heads_q * problem.seq_q * 4
    results = lse + out.numel() * out.element_size()
    forward = _resident("VmHWM") - before - results
    gradients = torch.autograd.grad(out, leaves, dout)
    results += sum(t.numel() * t.element_size() for t in gradients)
    return max(forward, _resident("VmHWM") - before - results, 0)


def _resident(field: str) -> int:
    """VmRSS (now) or VmHWM (peak) in bytes. Not getrusage's ru_maxrss: that starts at the parent's peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(f"{field}:")).split()[1]) * 1024


def main(arguments: list[str]) -> int:
    problem, threads = Problem(**json.loads(arguments[0])), int(arguments[1])
    torch.set_num_threads(threads)
    print(json.dumps([measure(problem), allowed(problem, threads)]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
