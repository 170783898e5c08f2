"""Problems for context parallelism, and how a result gathered from the ranks is judged: against one device, by the fp64
result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from triangle_attn_op import triangle_attention, triangle_attention_varlen
from triangle_attn_op.distributed import ContextLayout


@dataclass(frozen=True)
class Case:
    """A whole problem: dense `[B, H, S, D]`, or packed `[T, H, D]` where cu_seq is given."""

    name: str
    heads: tuple[int, int] = (2, 2)
    length: int = 64
    dim: int = 16
    dim_v: int = 16
    batch: int = 1
    cu_seq: tuple[int, ...] | None = None
    window: int | None = None
    scale: float | None = None
    kind: str = "zigzag"
    dtype: torch.dtype = torch.float64
    transposed: bool = False  # q, k, v come as [B, S, H, D] memory
    bent: bool = False  # softcap, alibi_slopes and sinks

    @property
    def sequence_dim(self) -> int:
        return 0 if self.cu_seq is not None else 2

    def layout(self, n: int) -> ContextLayout:
        if self.kind == "zigzag_documents":
            assert self.cu_seq is not None
            return ContextLayout.zigzag_documents(self.cu_seq, n)
        if self.kind == "zigzag by window":
            return ContextLayout.zigzag(self.length, n, self.cu_seq, self.window)
        return getattr(ContextLayout, self.kind)(self.length, n, self.cu_seq)


CASES = [
    Case("plain"),
    Case("batch and GQA", heads=(6, 2), batch=2),
    Case("MQA, Dv != D", heads=(4, 1), dim_v=24),
    Case("ragged length", length=83, heads=(4, 2)),
    Case("shorter than the chunks", length=5),
    Case("scale", scale=0.3),
    Case("window", window=9, length=96),
    Case("window of one", window=0),
    Case("window over most", window=70, length=96, heads=(4, 2)),
    Case("split by the window", window=24, length=96, heads=(4, 2), kind="zigzag by window"),
    Case("contiguous", kind="contiguous"),
    Case("contiguous, window", kind="contiguous", window=5),
    Case("strided", transposed=True, batch=2, heads=(4, 2)),
    Case("packed", cu_seq=(0, 5, 5, 40, 64)),
    Case("packed, window, GQA", cu_seq=(0, 30, 64), window=11, heads=(4, 2), dim_v=8),
    Case("packed documents", cu_seq=(0, 16, 48, 64), kind="zigzag_documents", heads=(4, 2)),
    Case("packed documents, ragged, window", cu_seq=(0, 3, 20, 21, 64), kind="zigzag_documents", window=6),
    Case("bent", heads=(4, 2), batch=2, bent=True),
    Case("bent, packed, window", cu_seq=(0, 30, 64), window=11, heads=(4, 2), bent=True),
    Case("bent, bf16", dtype=torch.bfloat16, length=256, dim=32, heads=(4, 2), bent=True),
    Case("fp32", dtype=torch.float32, length=256, dim=32),
    Case("bf16", dtype=torch.bfloat16, length=256, dim=32, heads=(4, 2)),
    Case("fp16, window", dtype=torch.float16, length=256, dim=32, window=50),
]


def inputs(case: Case, seed: int) -> tuple[Tensor, ...]:
    """q, k, v, the gradient of out and that of lse, whole, in float64 rounded to the case's dtype."""
    generator = torch.Generator().manual_seed(seed)
    hq, hkv = case.heads

    def draw(heads: int, dim: int) -> Tensor:
        shape = (case.length, heads, dim) if case.cu_seq is not None else (case.batch, heads, case.length, dim)
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(case.dtype).double()

    q, k, v, dout = draw(hq, case.dim), draw(hkv, case.dim), draw(hkv, case.dim_v), draw(hq, case.dim_v)
    return q, k, v, dout, draw(hq, 1)[..., 0]


def bends(case: Case) -> dict[str, Any]:
    """softcap, alibi_slopes and sinks, which require gradients; nothing for a case without."""
    if not case.bent:
        return {}
    heads = torch.arange(case.heads[0])
    return {"softcap": 2.0, "alibi_slopes": 0.1 * heads, "sinks": (heads - 1.5).to(case.dtype).requires_grad_()}


def whole(case: Case, tensors: tuple[Tensor, ...]) -> list[Tensor]:
    """out, lse, dq, dk, dv of the operator on one device, in the tensors' dtype."""
    q, k, v = (t.clone().requires_grad_() for t in tensors[:3])
    options: dict[str, Any] = {"scale": case.scale, "window_size_left": case.window, "return_lse": True, **bends(case)}
    if case.bent:
        options["sinks"] = options["sinks"].detach().to(q.dtype).requires_grad_()
    if case.cu_seq is None:
        out, lse = triangle_attention(q, k, v, **options)
    else:
        cu = torch.tensor(case.cu_seq, dtype=torch.int32)
        out, lse = triangle_attention_varlen(q, k, v, cu, cu, case.length, case.length, **options)
    torch.autograd.backward([out, lse], [tensors[3].to(out.dtype), tensors[4].to(lse.dtype)])
    results = [out.detach(), lse.detach(), *(t.grad for t in (q, k, v) if t.grad is not None)]
    return [*results, options["sinks"].grad] if case.bent else results


def local_inputs(case: Case, exact: Sequence[Tensor], layout: ContextLayout, rank: int) -> list[Tensor]:
    """The rank's q, k, v (which require gradients) and gradients of out and lse."""
    local = [layout.split(t, rank, case.sequence_dim).to(case.dtype) for t in exact]
    if case.transposed:
        local[:3] = [t.transpose(1, 2).contiguous().transpose(1, 2) for t in local[:3]]
    for t in local[:3]:
        t.requires_grad_()
    return local


def compare(
    case: Case,
    exact: tuple[Tensor, ...],
    local: Sequence[Tensor | None],
    layout: ContextLayout,
    narrow: bool = False,
    dsinks: Tensor | None = None,
) -> list[str]:
    """What is wrong with out, lse, dq, dk, dv, of which each rank of the default group has its own tokens.

    As far from the exact result as one device's own, but for the rounding of a merge in float32 (float64) and the last
    one to the result's dtype. `narrow`: partial results were rounded to the case's 16 bits; then at most twice as far.
    """
    found = [layout.gather(t, dim=case.sequence_dim) for t in local if t is not None]
    if dsinks is not None:  # each rank has its share
        total = dsinks.double()
        dist.all_reduce(total)
        found.append(total.to(case.dtype))
    problems = []
    reference = whole(case, exact)
    single = whole(case, tuple(t.to(case.dtype) for t in exact))
    wide = torch.float64 if case.dtype is torch.float64 else torch.float32
    for name, got, ref, one in zip(("out", "lse", "dq", "dk", "dv", "dsinks"), found, reference, single):
        finite = ref.isfinite()
        if not torch.equal(got.isfinite(), finite):
            problems.append(f"{name}: not finite where it should be, or finite where it should not")
        error, own, size = (t[finite].double().abs() for t in (got.double() - ref, one.double() - ref, ref))
        if not error.numel():
            continue
        merge = 32 * torch.finfo(wide).eps
        last = torch.finfo(got.dtype).eps / 2 if got.dtype is not wide else 0.0
        bound = (2 if narrow else 1) * own.max() + (merge + last) * size.max()
        if name == "dsinks":  # a number a head, too few for a mean; each rank rounds its share
            bound = 2 * own.max() + (merge + 2 * last) * size.max()
        if not bool(error.max() <= bound):
            problems.append(f"{name}: error {float(error.max()):.3g}, bound {float(bound):.3g}")
        # The mean sees what the largest error hides: one more rounding of every element.
        mean, mean_bound = _rms(error), (2 if narrow else 1.05) * _rms(own) + merge * _rms(size)
        if not mean <= mean_bound and name != "dsinks":
            problems.append(f"{name}: mean error {mean:.3g}, bound {mean_bound:.3g}")
        if got.dtype != one.dtype:
            problems.append(f"{name}: dtype {got.dtype}, expected {one.dtype}")
    return problems if len(found) == 5 + case.bent else [*problems, "a gradient is missing"]


def _rms(t: Tensor) -> float:
    return float(t.square().mean().sqrt())
