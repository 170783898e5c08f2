"""What this package is measured against: PyTorch's attention, attention written in Python, and the machine itself."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache, partial

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from .. import _library
from .problem import Problem

SGEMM_SIZE = 2048


class OpponentMissing(Exception):
    """An opponent that does not run here; the message says why."""


def sdpa(problem: Problem, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """PyTorch's scaled_dot_product_attention, K and V not repeated; with intervals by their bool mask."""
    if problem.intervals is not None:
        return masked_sdpa(problem.mask(), q, k, v)
    causal = problem.seq_q == problem.seq_k
    return scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=problem.heads_q != problem.heads_kv)


def masked_sdpa(mask: Tensor, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """PyTorch's scaled_dot_product_attention with a bool mask [Sq, Sk]; Hq = Hkv."""
    return scaled_dot_product_attention(q, k, v, attn_mask=mask)


def block_loop(problem: Problem, q: Tensor, k: Tensor, v: Tensor, *, block: int) -> Tensor:
    """The lower triangle in Python, one block row at a time, as AscendSpeed's TriangleAttention does it: each block row
    against all keys up to its end, the mask on its diagonal block alone.
    """
    length = q.shape[-2]
    hidden = torch.ones(block, block, dtype=torch.bool).triu(1)
    rows = []
    for begin in range(0, length, block):
        end = min(begin + block, length)
        scores = torch.matmul(q[..., begin:end, :] * problem.scale(), k[..., :end, :].transpose(-1, -2))
        diagonal = scores[..., begin:].masked_fill(hidden[: end - begin, : end - begin], float("-inf"))
        scores = torch.cat((scores[..., :begin], diagonal), dim=-1)
        rows.append(torch.matmul(torch.softmax(scores, dim=-1), v[..., :end, :]))
    return torch.cat(rows, dim=-2)


def full_matrix(problem: Problem, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The whole score matrix, half of it masked away."""
    hidden = _upper_triangle(q.shape[-2])
    scores = torch.matmul(q * problem.scale(), k.transpose(-1, -2)).masked_fill(hidden, float("-inf"))
    return torch.matmul(torch.softmax(scores, dim=-1), v)


@cache
def _upper_triangle(length: int) -> Tensor:
    return torch.ones(length, length, dtype=torch.bool).triu(1)


def flex(problem: Problem, q: Tensor, k: Tensor, v: Tensor) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """FlexAttention with the problem's causal block mask or that of its intervals, compiled on these tensors; forward
    only, as it is on a CPU.
    """
    try:
        from torch.nn.attention.flex_attention import create_block_mask, flex_attention

        def causal(batch: Tensor, head: Tensor, row: Tensor, column: Tensor) -> Tensor:
            return row >= column

        mask_mod = causal if problem.intervals is None else _mask_mod(problem)
        mask = create_block_mask(mask_mod, None, None, problem.seq_q, problem.seq_k, device="cpu")
        compiled = torch.compile(flex_attention, dynamic=False)
        attention = partial(compiled, block_mask=mask)
        attention(q, k, v)
    except Exception as error:  # the compiler and its compiler raise whatever they like
        first_line = (str(error).strip() or "no message").splitlines()[0]
        raise OpponentMissing(f"FlexAttention did not compile here: {type(error).__name__}: {first_line}") from error
    return attention


def _mask_mod(problem: Problem) -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
    """Of a problem with intervals, as FlexAttention's users write it: from tensors by key."""
    start, end, diagonal = problem.interval()

    def visible(batch: Tensor, head: Tensor, row: Tensor, column: Tensor) -> Tensor:
        return (row + diagonal >= column) & ((row < start[column]) | (row >= end[column]))

    return visible


def sgemm() -> tuple[Callable[[], object], float]:
    """torch.mm of two square fp32 matrices, and its FLOPs."""
    a, b = _sgemm_operands()
    out = torch.empty_like(a)
    return lambda: torch.mm(a, b, out=out), 2.0 * SGEMM_SIZE**3


@cache
def _sgemm_operands() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    a, b = (torch.empty(SGEMM_SIZE, SGEMM_SIZE).normal_(generator=generator) for _ in range(2))
    return a, b


def micro_kernel(dtype: str = "fp32", repeats: int = 4000) -> tuple[Callable[[], object], Callable[[], float]]:
    """The micro-kernel that multiplies q, k and v of `dtype` ("fp32", "bf16", "fp16"), on operands that stay in the
    first-level cache, on every torch thread: the bound of what the kernels could reach. It is the fp32 one unless bf16
    has instructions of its own. Returns the call and, once it ran, its FLOPs.
    """
    function = _library.load().triangle_cpu_micro_kernel
    function.argtypes, function.restype = [ctypes.c_int, ctypes.c_int], ctypes.c_double
    products = [0.0]

    def run() -> None:
        products[0] = function(dtype == "bf16", repeats)
        if products[0] < 0:
            raise RuntimeError("the CPU micro-kernel did not run")

    return run, lambda: 2.0 * products[0]


def read_in_c(*tensors: Tensor) -> Callable[[], object]:
    """Reads the tensors' memory once, all torch threads, by a plain C loop."""
    function = _library.load().triangle_cpu_read
    function.argtypes, function.restype = [ctypes.c_void_p, ctypes.c_int64], ctypes.c_uint64
    areas = [(t.data_ptr(), t.numel() * t.element_size()) for t in tensors]
    if not all(t.is_contiguous() for t in tensors):
        raise ValueError("tensors: expected contiguous ones")

    def run() -> None:
        assert tensors  # keeps the memory alive
        for address, size in areas:
            function(address, size)

    return run


def read_in_torch(*tensors: Tensor) -> Callable[[], object]:
    """Reads the same memory by torch.sum of its 32-bit floats."""
    views = [t.view(-1).view(torch.float32) for t in tensors]
    return lambda: [view.sum() for view in views]
