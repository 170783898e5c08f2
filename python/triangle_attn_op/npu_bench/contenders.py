"""Who computes a row: this package, the vendor's fused operators, flash_attn_npu, PyTorch's SDPA.

Each gets its inputs in the layout that it likes, made before any time is taken, and gives its results in the layout of
the case.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from .. import triangle_attention, triangle_attention_varlen
from .cases import Case

Inputs = tuple[Tensor, Tensor, Tensor, Tensor]
Attention = Callable[[Tensor, Tensor, Tensor], Tensor]


class Missing(Exception):
    """A contender that does not have this row; the message says why."""


class Contender:
    """One way to compute a case. mode: how, where there are several. layout: [B, H, S, D] as "bhsd", or "bshd"."""

    def __init__(self, name: str, mode: str, attention: Attention, inputs: Inputs, layout: str = "bhsd") -> None:
        self.name, self.mode = name, mode
        self._attention, self._turned = attention, layout == "bshd"
        q, k, v, dout = (self._turn(t) for t in inputs)
        self._leaves = tuple(t.detach().clone().requires_grad_() for t in (q, k, v))
        self._dout = dout.contiguous()
        self._out: Tensor | None = None

    def _turn(self, t: Tensor) -> Tensor:
        return t.transpose(1, 2).contiguous() if self._turned else t

    def forward(self) -> Tensor:
        with torch.no_grad():
            return self._attention(*self._leaves)

    def backward(self) -> tuple[Tensor, ...]:
        """Of a forward that was done before."""
        if self._out is None:
            self._out = self._attention(*self._leaves)
        return torch.autograd.grad(self._out, self._leaves, self._dout, retain_graph=True)

    def both(self) -> tuple[Tensor, ...]:
        return torch.autograd.grad(self._attention(*self._leaves), self._leaves, self._dout)

    def results(self, direction: str) -> list[Tensor]:
        """out, and but for "forward" dq, dk, dv, in the case's layout."""
        found = [self.forward(), *(() if direction == "forward" else self.backward())]
        return [self._turn(t) for t in found]

    def run(self, direction: str) -> Callable[[], object]:
        return {"forward": self.forward, "backward": self.backward, "both": self.both}[direction]

    def release(self) -> None:
        """Gives up the saved forward."""
        self._out = None


def ours(case: Case, inputs: Inputs) -> Contender:
    left = None if case.window is None else case.window - 1
    if not case.documents:

        def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            return triangle_attention(q, k, v, window_size_left=left)

        return Contender("triangle_attn_op", "", attend, inputs)
    offsets, longest = _offsets(case).to(inputs[0].device), max(case.documents)

    def attend_packed(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return triangle_attention_varlen(q, k, v, offsets, offsets, longest, longest, window_size_left=left)

    return Contender("triangle_attn_op", "", attend_packed, inputs)


def _offsets(case: Case) -> Tensor:
    return torch.tensor([0, *case.documents]).cumsum(0).to(torch.int32)


def opponents(case: Case, inputs: Inputs) -> Iterator[tuple[str, Callable[[], list[Contender]]]]:
    """Names, and functions that make a contender for each way to call it; of several the fastest counts. Missing where
    it has none.
    """
    yield "npu_fusion_attention", lambda: _fusion(case, inputs)
    if case.family == "decode":
        yield "npu_fused_infer_attention_score", lambda: _fused_infer(case, inputs)
    yield "flash_attn_npu", lambda: _flash_attn_npu(case, inputs)
    yield "SDPA", lambda: [sdpa(case, inputs)]


def _import(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise Missing(f"{name} cannot be imported: {error}") from None


def _scale(case: Case) -> float:
    return 1.0 / math.sqrt(case.dim)


def _fusion(case: Case, inputs: Inputs) -> list[Contender]:
    """torch_npu's training operator in its compressed causal modes, whose mask is the triangle of 2048 x 2048 that it
    tells to build: 3 right-down, 2 left-up (the same in a square), 4 a band, 0 nothing to hide.
    """
    operator = _import("torch_npu").npu_fusion_attention
    heads, scale = case.heads_q, _scale(case)
    common: dict[str, Any] = {"scale": scale, "keep_prob": 1.0}
    triangle = torch.ones(2048, 2048, dtype=torch.bool, device=inputs[0].device).triu(1)
    if case.documents:
        ends = [int(end) for end in _offsets(case)[1:]]

        def packed(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            return operator(
                *(q, k, v, heads, "TND"),
                atten_mask=triangle,
                sparse_mode=3,
                actual_seq_qlen=ends,
                actual_seq_kvlen=ends,
                **common,
            )[0]

        return [Contender("npu_fusion_attention", "TND, sparse_mode 3", packed, inputs)]
    if case.seq_q == 1:
        modes: list[tuple[int, dict[str, Any]]] = [(0, {})]
    elif case.window is not None:
        modes = [(4, {"atten_mask": triangle, "pre_tockens": case.window - 1, "next_tockens": 0})]
    else:
        modes = [(mode, {"atten_mask": triangle}) for mode in (3, 2)]

    def make(layout: str, mode: int, more: dict[str, Any]) -> Contender:
        name = {"bhsd": "BNSD", "bshd": "BSND"}[layout]

        def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            return operator(q, k, v, heads, name, sparse_mode=mode, **more, **common)[0]

        return Contender("npu_fusion_attention", f"{name}, sparse_mode {mode}", attend, inputs, layout)

    return [make(layout, mode, more) for layout in ("bhsd", "bshd") for mode, more in modes]


def _fused_infer(case: Case, inputs: Inputs) -> list[Contender]:
    """torch_npu's inference operator, which decodes."""
    operator = _import("torch_npu").npu_fused_infer_attention_score

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return operator(
            *(q, k, v),
            num_heads=case.heads_q,
            num_key_value_heads=case.heads_kv,
            input_layout="BNSD",
            scale=_scale(case),
        )[0]

    return [Contender("npu_fused_infer_attention_score", "BNSD", attend, inputs)]


def _flash_attn_npu(case: Case, inputs: Inputs) -> list[Contender]:
    module = _import("flash_attn_npu")
    window = (-1, -1) if case.window is None else (case.window - 1, 0)
    common: dict[str, Any] = {"causal": True, "softmax_scale": _scale(case), "window_size": window}
    if case.documents:
        offsets, longest = _offsets(case).to(inputs[0].device), max(case.documents)

        def packed(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            return module.flash_attn_varlen_func(q, k, v, offsets, offsets, longest, longest, **common)

        return [Contender("flash_attn_npu", "varlen", packed, inputs)]

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return module.flash_attn_func(q, k, v, **common)

    return [Contender("flash_attn_npu", "", attend, inputs, "bshd")]


def sdpa(case: Case, inputs: Inputs) -> Contender:
    """PyTorch's, on whatever torch_npu gives it."""
    if case.documents or case.window is not None:
        raise Missing("SDPA has no packed sequences and no window without a mask of all pairs")

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return torch.nn.functional.scaled_dot_product_attention(
            q, k, v, is_causal=case.seq_q > 1, enable_gqa=case.heads_q != case.heads_kv
        )

    return Contender("SDPA", "", attend, inputs)
