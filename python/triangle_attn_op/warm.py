"""The first call's cost, paid when it suits."""

from __future__ import annotations

import torch

from .functional import triangle_attention
from .kvcache import triangle_attention_with_kvcache


def warm_up(device: torch.device | str | int | None = None) -> None:
    """Runs every kernel of a device once, on tensors of a few KB, and waits for it.

    On an NPU the first call opens the kernels' library, checks it against the CANN that runs, and CANN registers the
    binary and loads each kernel when it is first launched; a launch that cannot work is an error here. Before a capture
    into a graph that is required. On the CPU it starts torch's threads.

    device: an NPU ("npu", "npu:1", or its number) or "cpu"; by default the current NPU where there is one, else the
    CPU. Each NPU of a process needs its own call. ValueError for any other kind of device. The calls count in
    `call_counts()`.
    """
    npu = getattr(torch, "npu", None)
    if device is None:
        device = "npu" if npu is not None and npu.is_available() else "cpu"
    where = torch.device("npu", device) if isinstance(device, int) else torch.device(device)
    if where.type not in ("cpu", "npu"):
        raise ValueError(f"device: expected cpu or npu, got {where}")
    dtypes = (torch.float16, torch.bfloat16) if where.type == "npu" else (torch.float32, torch.bfloat16)
    with torch.inference_mode(False), torch.enable_grad(), torch.autocast(where.type, enabled=False):
        for dtype in dtypes:
            for width in (16, 256):  # the forward has a kernel for D up to 128 and one for more
                q = torch.zeros(1, 1, 16, width, dtype=dtype, device=where, requires_grad=True)
                bounds = torch.full((1, 1, 16, 1), 16, dtype=torch.int32, device=where)
                # An NPU has kernels of their own for bent scores and for intervals.
                for options in ({}, {"softcap": 1.0}, {"startend_row_indices": bounds}):
                    out = triangle_attention(q, q, q, **options)
                    torch.autograd.grad(out, q, out.detach())
                if where.type == "npu":
                    _over_a_cache(q.detach().transpose(1, 2))
    if npu is not None and where.type == "npu":
        npu.synchronize(where)


def _over_a_cache(q: torch.Tensor) -> None:
    """q [1, S, 1, D] is appended to a cache of its size, and attends to it."""
    length = torch.zeros(1, dtype=torch.int32, device=q.device)
    triangle_attention_with_kvcache(q, torch.empty_like(q), torch.empty_like(q), length, k=q, v=q)
