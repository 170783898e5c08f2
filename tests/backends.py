"""How a case is run on a backend. A backend says which cases it supports; what it does not support must raise, which is
a test of its own.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
import triangle_attn_op
from cases import CASES, Case, Inputs
from torch import Tensor


class Result(NamedTuple):
    out: Tensor
    lse: Tensor
    dq: Tensor
    dk: Tensor
    dv: Tensor
    dsinks: Tensor  # [0] without sinks


class Attended(NamedTuple):
    """Of a call over a cache."""

    out: Tensor
    lse: Tensor


def cache_arguments(case: Case, inputs: Inputs) -> dict[str, Any]:
    """Of a call over a cache for a packed case: pages in any order, or entries, with NaN where no key is."""
    before = [n - rows for n, rows in zip(case.lens_k, case.lens_q)]
    size = case.page or max(case.lens_k) + 3
    per = -(-max(case.lens_k) // size)
    numbers = torch.randperm(per * len(before), generator=torch.Generator().manual_seed(11)).int().view(-1, per)
    given: dict[str, Any] = {"block_table": numbers} if case.page else {"cache_batch_idx": numbers[:, 0].contiguous()}
    for name, t in (("k", inputs.k), ("v", inputs.v)):
        cache = torch.full((numbers.numel(), size, *t.shape[1:]), torch.nan, dtype=t.dtype)
        documents = t.split(case.lens_k)
        for keys, n, pages in zip(documents, before, numbers):
            for part, page in zip(keys[:n].split(size), pages):
                cache[page, : len(part)] = part
        given |= {f"{name}_cache": cache, name: torch.cat([keys[n:] for keys, n in zip(documents, before)])}
    given |= {"q": inputs.q, "cache_seqlens": torch.tensor(before, dtype=torch.int32)}
    given |= {"cu_seq_q": cumulative(case.lens_q), "max_q": max(case.lens_q), **case.options}
    return given | {"alibi_slopes": inputs.alibi_slopes, "sinks": inputs.sinks}


def arguments(case: Case, inputs: Inputs) -> dict[str, Any]:
    """Keyword arguments of the raw operators besides q, k, v."""
    device = inputs.q.device
    extra: dict[str, Any] = dict(case.options)
    if case.packed:
        extra["cu_seq_q"] = cumulative(case.lens_q).to(device)
        extra["cu_seq_k"] = cumulative(case.lens_k).to(device)
        extra["max_q"], extra["max_k"] = max(case.lens_q), max(case.lens_k)
    if inputs.mask is not None:
        extra["attn_mask"] = inputs.mask
    if case.dropout_p:
        extra["dropout_p"], extra["rng_state"] = case.dropout_p, inputs.rng_state
    if inputs.alibi_slopes is not None:
        extra["alibi_slopes"] = inputs.alibi_slopes
    if inputs.sinks is not None:
        extra["sinks"] = inputs.sinks
    if inputs.startend_row_indices is not None:
        extra["startend_row_indices"] = inputs.startend_row_indices
    return extra


def bends_scores(case: Case) -> bool:
    """Whether the case has something that PyTorch's attention does not know."""
    given = (case.options.get("softcap"), case.alibi, case.sinks, case.intervals)
    return any(value is not None for value in given)


def cumulative(lens: tuple[int, ...] | list[int]) -> Tensor:
    return torch.tensor([0, *torch.tensor(lens).cumsum(0).tolist()], dtype=torch.int32)


@contextlib.contextmanager
def empty_is_nan() -> Iterator[None]:
    """Fills what torch.empty gives with NaN, so that a result which nobody writes shows."""
    torch.use_deterministic_algorithms(True)
    assert torch.utils.deterministic.fill_uninitialized_memory
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


class TorchBackend:
    """Any device PyTorch knows: the operators themselves, through autograd."""

    def __init__(self, name: str, device: str, dtypes: tuple[torch.dtype, ...]) -> None:
        self.name, self.device, self.dtypes = name, device, dtypes

    def supports(self, case: Case, dtype: torch.dtype) -> bool:
        return dtype in self.dtypes

    def chooses(self, case: Case, dtype: torch.dtype) -> bool:
        """Whether the table runs a case that is supported: on the simulator each costs seconds."""
        return True

    def run(self, case: Case, inputs: Inputs) -> Result:
        moved = inputs.to(self.device)
        q, k, v = (t.detach().requires_grad_() for t in (moved.q, moved.k, moved.v))
        # Elsewhere this would choose the deterministic backward, and with it what the case tests.
        with empty_is_nan() if self.device == "cpu" else contextlib.nullcontext():
            if moved.sinks is not None:
                moved.sinks.requires_grad_()
            out, lse = torch.ops.triangle.attn_lse(q, k, v, **arguments(case, moved))
            # A row that sees nothing has lse -inf, whose gradient must be ignored.
            leaves = (q, k, v) if moved.sinks is None else (q, k, v, moved.sinks)
            gradients = torch.autograd.grad((out, lse), leaves, (moved.dout, moved.dlse))
        dsinks = () if moved.sinks is not None else (torch.empty(0),)
        return Result(*(t.detach().cpu() for t in (out, lse, *gradients, *dsinks)))

    def attend(self, case: Case, inputs: Inputs) -> Attended:
        given = cache_arguments(case, inputs)
        moved = {name: t.to(self.device) if isinstance(t, Tensor) else t for name, t in given.items()}
        results = triangle_attn_op.triangle_attention_with_kvcache(**moved, return_lse=True)
        return Attended(*(t.cpu() for t in results))


def bent(case: Case) -> bool:
    """Whether the case runs on the NPU kernels that bend scores."""
    return bends_scores(case) or (case.mask is not None and case.mask.startswith(("float", "finfo")))


def in_turns(case: Case, dtype: torch.dtype) -> int:
    """0 or 1, from case to case and with the dtype."""
    return CASES.index(case) + (dtype is torch.float16) & 1


CPU = TorchBackend("cpu", "cpu", (torch.float32, torch.bfloat16, torch.float16, torch.float64))


class SimBackend(TorchBackend):
    """The NPU kernels on the simulated AI Core; a finding of its checkers fails the case.

    Each case runs in one dtype here and in the other through torch_npu, in all schedules. The forward and the
    backward's deterministic path must give the same bits in each, on any cores; the fast path, which need not, runs in
    three. Of the backward's two paths one gives the gradients that are returned: which one changes from case to case.
    Cases of bent scores run in the first four schedules: the kernels differ from the others in their vector parts only.
    """

    SCHEDULES = (("eager", 0), ("lazy", 0), ("random", 1), ("random", 2), ("random", 3), ("random", 4), ("random", 5))
    CORES = (1, 3, 2, 5)

    def __init__(self) -> None:
        super().__init__("sim", "cpu", (torch.bfloat16, torch.float16))

    def supports(self, case: Case, dtype: torch.dtype) -> bool:
        unsupported = case.dropout_p or 0 in (case.D, case.dim_v)
        return dtype in self.dtypes and not unsupported

    def chooses(self, case: Case, dtype: torch.dtype) -> bool:
        return case not in CASES or in_turns(case, dtype) == 0

    def launches(self, index: int, count: int) -> list[dict[str, Any]]:
        """`count` schedules, each on a number of cores that changes from run to run."""
        return [
            {"order": order, "seed": seed, "cores": self.CORES[(index + i) % len(self.CORES)]}
            for i, (order, seed) in enumerate(self.SCHEDULES[:count])
        ]

    def attend(self, case: Case, inputs: Inputs) -> Attended:
        from triangle_attn_op import sim

        results = []
        for launch in self.launches(0, 4):
            out, lse, report = sim.attn_kvcache(**cache_arguments(case, inputs), **launch)
            report.raise_on_findings()
            results.append(Attended(out, lse))
        assert all(torch.equal(a, b) for result in results for a, b in zip(result, results[0]))
        return results[0]

    def run(self, case: Case, inputs: Inputs) -> Result:
        from triangle_attn_op import sim

        place = CASES.index(case) if case in CASES else 0
        index = 2 * place + self.dtypes.index(inputs.q.dtype)
        launches = self.launches(index, 4 if bent(case) else len(self.SCHEDULES))
        extra = arguments(case, inputs)
        extra.pop("rng_state", None)

        def forward(launch: dict[str, Any]) -> list[Tensor]:
            *results, report = sim.attn_forward(inputs.q, inputs.k, inputs.v, **launch, **extra)
            report.raise_on_findings()
            return results

        def backward(launch: dict[str, Any], deterministic: bool) -> list[Tensor]:
            tensors = inputs.dout, inputs.q, inputs.k, inputs.v, out, lse
            *results, report = sim.attn_backward(
                *tensors, dlse=inputs.dlse, deterministic=deterministic, **launch, **extra
            )
            report.raise_on_findings()
            return results

        out, lse = same_bits([forward(launch) for launch in launches])
        whole = same_bits([backward(launch, True) for launch in launches])
        fast = [backward(launch, False) for launch in (*launches[:2], launches[2 + place % (len(launches) - 2)])]
        return Result(out, lse, *(whole if place // 2 % 2 else fast[0]))


def same_bits(results: list[list[Tensor]]) -> list[Tensor]:
    """The first of several launches' results, which all are the same."""
    for result in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], result)), "bits depend on the schedule or on the cores"
    return results[0]


class NpuBackend(TorchBackend):
    """The operators on NPU tensors through torch_npu; the kernels run on the chip, or on the simulated one with its
    checkers (scripts/npu_env.sh).
    """

    def __init__(self) -> None:
        super().__init__("npu", "npu:0", (torch.bfloat16, torch.float16))

    def supports(self, case: Case, dtype: torch.dtype) -> bool:
        return dtype in self.dtypes and not case.dropout_p

    def chooses(self, case: Case, dtype: torch.dtype) -> bool:
        return case not in CASES or in_turns(case, dtype) == 1 or "ASCEND_SIM_STREAMS" not in os.environ  # a chip: both

    def run(self, case: Case, inputs: Inputs) -> Result:
        moved = Inputs(**{name: None if t is None else as_it_lies(t, self.device) for name, t in vars(inputs).items()})
        q, k, v = (t.detach().requires_grad_() for t in (moved.q, moved.k, moved.v))
        leaves = [q, k, v]
        if moved.sinks is not None:
            leaves.append(moved.sinks.requires_grad_())
        try:
            out, lse = torch.ops.triangle.attn_lse(q, k, v, **arguments(case, moved))
        except RuntimeError as error:  # of the raw operator: as the composites raise it
            raise triangle_attn_op.ops.translated(error) from None
        gradients = torch.autograd.grad((out, lse), leaves, (moved.dout, moved.dlse))
        dsinks = () if moved.sinks is not None else (torch.empty(0),)
        return Result(*(t.detach().cpu() for t in (out, lse, *gradients, *dsinks)))


def as_it_lies(t: Tensor, device: str) -> Tensor:
    """The tensor on a device with the strides it has: `.to()` would close its gaps. Its memory there begins at its
    first element and ends behind its last.
    """
    if t.numel() == 0:
        return t.to(device)
    extent = 1 + sum((size - 1) * stride for size, stride in zip(t.shape, t.stride()))
    memory = t.as_strided((extent,), (1,), t.storage_offset())
    return memory.to(device).as_strided(t.shape, t.stride())


def get(name: str) -> TorchBackend:
    """The backend of that name; ValueError for an unknown one."""
    if name == "cpu":
        return CPU
    if name == "sim":
        return SimBackend()
    if name == "npu":
        return NpuBackend()
    raise ValueError(f"--backend: expected cpu, sim or npu, got {name}")
