"""The gate before the clock: a result is compared with SDPA's, row by row, in float32 on the same inputs."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from .problem import Problem

TOLERANCE = {"fp32": 1e-4, "bf16": 2e-2, "fp16": 4e-3}
# A row's dq is a difference of terms that nearly cancel (dP - delta): its rounding error is larger beside its norm.
GRADIENT_TOLERANCE = {dtype: 2.5 * tolerance for dtype, tolerance in TOLERANCE.items()}
_MOST_PAIRS = 1 << 26  # a head with more pairs is compared on some of its rows where SDPA would need a mask
_SAMPLED_ROWS = 48

Attention = Callable[[Tensor, Tensor, Tensor], Tensor]


class WrongResult(Exception):
    """A result that differs from SDPA's: it is not worth timing."""


def row_error(result: Tensor, reference: Tensor) -> float:
    """Largest error of any row (last dimension) relative to its norm plus the norm of a typical row, which is the mean
    over those that are not zero (where only some rows send a gradient back, the others' dq is).
    """
    result, reference = result.to(torch.float32), reference.to(torch.float32)
    norms = reference.norm(dim=-1)
    typical = (norms.square().sum() / (norms > 0).sum().clamp_min(1)).sqrt()
    error = (result - reference).norm(dim=-1) / (norms + typical).clamp_min(1e-30)
    # NaN must not pass for small; max() of a tensor that holds one is NaN.
    return float(error.max()) if error.numel() else 0.0


def require(name: str, result: Tensor, reference: Tensor, tolerance: float) -> None:
    """Raises WrongResult unless `result` is `reference` within `tolerance` of a row."""
    if result.shape != reference.shape:
        raise WrongResult(f"{name} has shape {list(result.shape)}, SDPA's has {list(reference.shape)}")
    error = row_error(result, reference)
    if not error <= tolerance:
        raise WrongResult(f"{name} differs from SDPA by {error:.2g} of a row, allowed {tolerance:.2g}")


def gate(
    problem: Problem, attention: Attention, tensors: tuple[Tensor, Tensor, Tensor, Tensor], backward: bool
) -> None:
    """Checks out, and with `backward` dq, dk and dv, of `attention` on tensors = (q, k, v, dout)."""
    q, k, v, dout = tensors
    leaves = [t.detach().requires_grad_(backward) for t in (q, k, v)]
    out = attention(leaves[0], leaves[1], leaves[2])
    rows = _sampled_rows(problem)
    if rows is not None and backward:
        # Only the sampled rows send a gradient back, so that they alone make up dk and dv.
        kept = torch.zeros_like(dout)
        kept[..., rows, :] = dout[..., rows, :]
        dout = kept
    wide = [t.detach().to(torch.float32).requires_grad_(backward) for t in (q, k, v)]
    reference = _reference(problem, wide, rows)
    out_rows = out if rows is None else out[..., rows, :]
    require("out", out_rows.detach(), reference.detach(), TOLERANCE[problem.dtype])
    if not backward:
        return
    gradients = torch.autograd.grad(out, leaves, dout)
    dout_rows = dout if rows is None else dout[..., rows, :]
    references = torch.autograd.grad(reference, wide, dout_rows.to(torch.float32))
    for name, gradient, wanted in zip(("dq", "dk", "dv"), gradients, references):
        require(name, gradient, wanted, GRADIENT_TOLERANCE[problem.dtype])


def _sampled_rows(problem: Problem) -> Tensor | None:
    """None where SDPA does the whole problem: causal or unmasked; else rows spread over it, the last among them."""
    needs_mask = problem.keys_in_window is not None or problem.intervals is not None
    if not needs_mask or problem.seq_q * problem.seq_k <= _MOST_PAIRS:
        return None
    return torch.linspace(0, problem.seq_q - 1, _SAMPLED_ROWS).long()


def _reference(problem: Problem, leaves: list[Tensor], rows: Tensor | None) -> Tensor:
    q, k, v = leaves
    if problem.documents > 1:  # [T, H, D] -> [documents, H, length, D], and back
        split = [t.unflatten(0, (problem.documents, -1)).transpose(1, 2) for t in (q, k, v)]
        return scaled_dot_product_attention(split[0], split[1], split[2], is_causal=True).transpose(1, 2).flatten(0, 1)
    if problem.bend is not None:
        return _bent(problem, q, k, v)
    gqa = problem.heads_q != problem.heads_kv
    if problem.intervals is not None:
        seen = q if rows is None else q[:, :, rows]
        return scaled_dot_product_attention(seen, k, v, attn_mask=problem.mask(rows), enable_gqa=gqa)
    if problem.keys_in_window is None and problem.seq_q in (1, problem.seq_k):
        return scaled_dot_product_attention(q, k, v, is_causal=problem.seq_q == problem.seq_k, enable_gqa=gqa)
    if rows is None:
        rows = torch.arange(problem.seq_q)
    position = rows.unsqueeze(1) + (problem.seq_k - problem.seq_q)
    key = torch.arange(problem.seq_k).unsqueeze(0)
    mask = key <= position
    if problem.keys_in_window is not None:
        mask &= key > position - problem.keys_in_window
    return scaled_dot_product_attention(q[:, :, rows], k, v, attn_mask=mask, enable_gqa=gqa)


def _bent(problem: Problem, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Softcap, slopes or sinks by definition; SDPA has none of them. Hq = Hkv, Sq = Sk, no window."""
    bends = problem.bends()
    scores = (q @ k.transpose(-1, -2)) * problem.scale()
    if "softcap" in bends:
        scores = bends["softcap"] * torch.tanh(scores / bends["softcap"])
    distance = torch.arange(problem.seq_q).unsqueeze(1) - torch.arange(problem.seq_k)
    if "alibi_slopes" in bends:
        scores = scores - bends["alibi_slopes"][:, None, None] * distance.abs()
    scores = scores.masked_fill(distance < 0, -torch.inf)
    if "sinks" in bends:
        column = bends["sinks"][:, None, None].expand(*scores.shape[:-1], 1)
        return torch.cat([scores, column], dim=-1).softmax(-1)[..., :-1] @ v
    return scores.softmax(-1) @ v
