"""Memory: forward and backward at S = 32768 stay O(S), measured as the peak resident size of a fresh process."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys, torch
from triangle_attn_op import triangle_attention
torch.set_num_threads(2)
s, d = int(sys.argv[1]), 16
q, k, v = (torch.randn(1, 1, s, d).requires_grad_() for _ in range(3))
warm = tuple(t[:, :, :64].detach().requires_grad_() for t in (q, k, v))
triangle_attention(*warm).sum().backward()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
triangle_attention(q, k, v).backward(torch.ones_like(q))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


def growth(s: int) -> int:
    """Bytes by which the peak resident size of a process grows over one forward and backward of length s."""
    return int(
        subprocess.run([sys.executable, "-c", PROGRAM, str(s)], check=True, capture_output=True, text=True).stdout
    )


@pytest.mark.parametrize("s", [32768])
def test_no_matrix_of_scores(s: int) -> None:
    # One S x S plane of bytes alone would be 1 GiB; results, gradients, saved tensors and packed copies are 2 MiB each.
    assert growth(s) <= 16 * (s * 16 * 4) + 2 * (4 << 20) + (16 << 20)
