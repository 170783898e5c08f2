"""Ring attention on 2 and 4 ranks: results and gradients of the whole sequence, what was computed and sent, and
failures.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Any

import pytest
import ranks
import torch
import torch.distributed as dist
from torch import Tensor
from triangle_attn_op import distributed, triangle_attention, triangle_attention_varlen
from triangle_attn_op.distributed import ContextLayout, plan

pytestmark = pytest.mark.xdist_group("distributed")


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

    def layout(self, n: int) -> ContextLayout:
        if self.kind == "zigzag_documents":
            assert self.cu_seq is not None
            return ContextLayout.zigzag_documents(self.cu_seq, n)
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
    Case("contiguous", kind="contiguous"),
    Case("contiguous, window", kind="contiguous", window=5),
    Case("strided", transposed=True, batch=2, heads=(4, 2)),
    Case("packed", cu_seq=(0, 5, 5, 40, 64)),
    Case("packed, window, GQA", cu_seq=(0, 30, 64), window=11, heads=(4, 2), dim_v=8),
    Case("packed documents", cu_seq=(0, 16, 48, 64), kind="zigzag_documents", heads=(4, 2)),
    Case("packed documents, ragged, window", cu_seq=(0, 3, 20, 21, 64), kind="zigzag_documents", window=6),
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


def whole(case: Case, tensors: tuple[Tensor, ...]) -> list[Tensor]:
    """out, lse, dq, dk, dv of the operator on one device, in the tensors' dtype."""
    q, k, v = (t.clone().requires_grad_() for t in tensors[:3])
    options: dict[str, Any] = {"scale": case.scale, "window_size_left": case.window, "return_lse": True}
    if case.cu_seq is None:
        out, lse = triangle_attention(q, k, v, **options)
    else:
        cu = torch.tensor(case.cu_seq, dtype=torch.int32)
        out, lse = triangle_attention_varlen(q, k, v, cu, cu, case.length, case.length, **options)
    torch.autograd.backward([out, lse], [tensors[3].to(out.dtype), tensors[4].to(lse.dtype)])
    return [out.detach(), lse.detach(), *(t.grad for t in (q, k, v) if t.grad is not None)]


def all_cases(rank: int, n: int, seed: int) -> list[str]:
    """On each rank: every case against one device. Returns what went wrong."""
    return [f"{case.name}: {problem}" for case in CASES for problem in one_case(case, rank, n, seed)]


def one_case(case: Case, rank: int, n: int, seed: int) -> list[str]:
    exact = inputs(case, seed)
    dim = 0 if case.cu_seq is not None else 2
    layout = case.layout(n)
    local = [layout.split(t, rank, dim).to(case.dtype) for t in exact]
    if case.transposed:
        local[:3] = [t.transpose(1, 2).contiguous().transpose(1, 2) for t in local[:3]]
    q, k, v = (t.requires_grad_() for t in local[:3])
    distributed.reset_counters()
    out, lse = distributed.ring_attention(
        q, k, v, layout=layout, scale=case.scale, window_size_left=case.window, return_lse=True
    )
    sent = distributed.counters()
    torch.autograd.backward([out, lse], [local[3], local[4].to(lse.dtype)])
    both = distributed.counters()
    found = [layout.gather(t, dim=dim) for t in (out, lse, q.grad, k.grad, v.grad) if t is not None]
    problems = []
    reference = whole(case, exact)
    single = whole(case, tuple(t.to(case.dtype) for t in exact))
    for name, got, ref, one in zip(("out", "lse", "dq", "dk", "dv"), found, reference, single):
        # At most twice as far from the exact result as one device's own, but for the last rounding and those of sums in
        # float32 (float64).
        wide = torch.float64 if case.dtype is torch.float64 else torch.float32
        slack = (torch.finfo(got.dtype).eps if got.dtype is not wide else 0.0) + 32 * torch.finfo(wide).eps
        bound = 2 * (one.double() - ref).abs().max() + slack * ref[ref.isfinite()].abs().max()
        error = (got.double() - ref).nan_to_num(nan=0.0, posinf=0.0, neginf=0.0).abs().max()
        if not bool(error <= bound) or not torch.equal(got.isfinite(), ref.isfinite()):
            problems.append(f"{name}: error {float(error):.3g}, bound {float(bound):.3g}")
        if got.dtype != one.dtype:
            problems.append(f"{name}: dtype {got.dtype}, expected {one.dtype}")
    if case.dim == case.dim_v and any(a != b and size > 1 for a, b, size in zip(out.stride(), q.stride(), q.shape)):
        problems.append(f"out: strides {out.stride()}, expected q's {q.stride()}")
    row = local[0].element_size() * case.batch * case.heads[1] * (case.dim + case.dim_v)
    if sent.bytes_sent != row * plan.rows_sent(layout, rank, case.window):
        problems.append(f"sent {sent.bytes_sent} bytes, expected {row * plan.rows_sent(layout, rank, case.window)}")
    if sent.bytes_received != row * plan.least_rows_received(layout, rank, case.window):
        problems.append(f"received {sent.bytes_received} bytes, which is not the least possible")
    if both.bytes_sent != 2 * sent.bytes_sent + sent.bytes_received:
        problems.append(
            f"forward and backward sent {both.bytes_sent} bytes: expected keys twice and the gradients of those "
            "received once"
        )
    heads = case.batch * case.heads[0]
    if both.pairs != 2 * heads * plan.rank_pairs(layout, rank, case.window):
        problems.append(
            f"computed {both.pairs} pairs, expected {2 * heads * plan.rank_pairs(layout, rank, case.window)}"
        )
    return problems


@pytest.mark.parametrize("n", [2, 4])
def test_equals_one_device(n: int, seed: int) -> None:
    for rank, problems in enumerate(ranks.run(all_cases, n, seed)):
        assert not problems, f"rank {rank} of {n}, seed {seed}: {problems}"


def test_one_rank_needs_no_messages(seed: int) -> None:
    assert ranks.run(all_cases, 1, seed) == [[]]


# In-process properties


def same_bits(rank: int, n: int, seed: int) -> list[list[Tensor]]:
    case = Case("bits", length=128, heads=(4, 2), dtype=torch.bfloat16)
    layout = case.layout(n)
    runs = []
    for _ in range(2):
        q, k, v, dout, _ = (layout.split(t, rank, 2).to(case.dtype).requires_grad_() for t in inputs(case, seed))
        out = distributed.ring_attention(q, k, v)
        out.backward(dout.detach())
        runs.append([t.detach() for t in (out, q.grad, k.grad, v.grad) if t is not None])
    return runs


def test_the_same_bits_every_time(seed: int) -> None:
    for first, second in ranks.run(same_bits, 4, seed):
        assert len(first) == 4
        assert all(torch.equal(a, b) for a, b in zip(first, second))


def subgroup(rank: int, n: int, seed: int) -> float:
    """Two groups of two ranks, whose group ranks are not their global ranks."""
    groups = [dist.new_group([0, 2]), dist.new_group([1, 3])]
    group = groups[rank % 2]
    case = Case("subgroup", length=64)
    layout = case.layout(2)
    whole_inputs = inputs(case, seed + rank % 2)
    q, k, v = (layout.split(t, dist.get_rank(group), 2) for t in whole_inputs[:3])
    out = distributed.ring_attention(q, k, v, group=group)
    return float((layout.gather(out, group, 2) - triangle_attention(*whole_inputs[:3])).abs().max())


def test_subgroups(seed: int) -> None:
    assert max(ranks.run(subgroup, 4, seed)) < 1e-13


def checkpointed(rank: int, n: int, seed: int) -> list[Tensor]:
    from torch.utils.checkpoint import checkpoint

    case = Case("checkpoint", length=64)
    gradients = []
    for recompute in (False, True):
        q, k, v, dout, _ = (case.layout(n).split(t, rank, 2).requires_grad_() for t in inputs(case, seed))
        out = (
            checkpoint(distributed.ring_attention, q, k, v, use_reentrant=False)
            if recompute
            else distributed.ring_attention(q, k, v)
        )
        out.backward(dout.detach())
        gradients.append(torch.cat([q.grad, k.grad, v.grad]))
    return gradients


def test_activation_checkpointing(seed: int) -> None:
    for kept, recomputed in ranks.run(checkpointed, 2, seed):
        assert torch.equal(kept, recomputed)


def autocast(rank: int, n: int) -> str:
    q = torch.randn(1, 2, 8, 16)
    with torch.autocast("cpu", torch.bfloat16):
        return str(distributed.ring_attention(q, q, q).dtype)


def test_autocast() -> None:
    assert ranks.run(autocast, 2) == ["torch.bfloat16"] * 2


# Memory


def peak_memory(rank: int, n: int, length: int) -> int:
    """Most bytes that tensors take at once in forward and backward, beyond the inputs."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Peak(TorchDispatchMode):
        def __init__(self) -> None:
            super().__init__()
            self.alive: dict[int, int] = {}
            self.most = 0

        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            import weakref

            result = function(*args, **(kwargs or {}))
            for t in torch.utils._pytree.tree_leaves(result):
                if isinstance(t, Tensor):
                    storage = t.untyped_storage()
                    key = storage._cdata
                    if key not in self.alive:
                        self.alive[key] = storage.nbytes()
                        weakref.finalize(storage, self.alive.pop, key, None)
            self.most = max(self.most, sum(self.alive.values()))
            return result

    q, k, v = (torch.randn(1, 1, length // n, 16, requires_grad=True) for _ in range(3))
    with Peak() as peak:
        distributed.ring_attention(q, k, v).sum().backward()
    return peak.most


@pytest.mark.parametrize(("n", "length"), [(2, 4096), (4, 4096), (4, 8192)])
def test_memory_is_a_few_tensors_of_the_local_length(n: int, length: int) -> None:
    tensor = length // n * 16 * 4
    assert max(ranks.run(peak_memory, n, length)) <= 26 * tensor  # nothing of S x S, nothing of S


# Failures


def dies(rank: int, n: int) -> str:
    q = torch.randn(1, 1, 4096, 16)
    distributed.ring_attention(q, q, q)  # all agree
    if rank == 1:
        real = distributed.ring._call_forward

        def last_words(*args: Any) -> Any:
            real(*args)
            os._exit(3)

        distributed.ring._call_forward = last_words
    begin = time.monotonic()
    try:
        distributed.ring_attention(q, q, q)
        distributed.ring_attention(q, q, q)
    except RuntimeError as error:
        return f"{time.monotonic() - begin < 30} {error}"
    return "no error"


def test_a_rank_that_dies_ends_the_others() -> None:
    with pytest.raises(ranks.RankFailed) as caught:
        ranks.run(dies, 2, group_timeout=15, limit=60)
    assert caught.value.failures == {1: "died without a word"}


def survivor_message(rank: int, n: int, folder: str) -> None:
    message = dies(rank, n)
    with open(os.path.join(folder, str(rank)), "w") as file:
        file.write(message)


def test_the_survivors_say_what_happened(tmp_path: Any) -> None:
    with pytest.raises(ranks.RankFailed):
        ranks.run(survivor_message, 4, str(tmp_path), group_timeout=15, limit=60)
    messages = {name: (tmp_path / name).read_text() for name in os.listdir(tmp_path)}
    assert sorted(messages) == ["0", "2", "3"]
    for message in messages.values():
        assert message.startswith("True ring attention"), message
        assert "a peer is gone" in message


def is_late(rank: int, n: int) -> str:
    q = torch.randn(1, 1, 64, 16)
    distributed.ring_attention(q, q, q)
    if rank == 1:
        time.sleep(5)
        return ""
    try:
        distributed.ring_attention(q, q, q)
    except RuntimeError as error:
        return str(error)
    return "no error"


def test_a_rank_that_does_not_come_is_a_timeout() -> None:
    message = ranks.run(is_late, 2, group_timeout=2, limit=60)[0]
    assert (
        "ring attention forward, step 1 of 1 (rank 0, sending to [1], receiving from [1]): a peer is gone or did not "
        "answer" in message
    )


def disagree(rank: int, n: int) -> list[str]:
    messages = []

    def attempt(**change: Any) -> None:
        group = dist.new_group()  # each a first call
        values: dict[str, Any] = {
            "heads": 4,
            "kv_heads": 2,
            "length": 8,
            "dtype": torch.float32,
            "layout": None,
            **change,
        }
        q = torch.zeros(1, values["heads"], values["length"], 8, dtype=values["dtype"])
        k = torch.zeros(1, values["kv_heads"], values["length"], 8, dtype=values["dtype"])
        options = {
            name: values[name] for name in ("scale", "window_size_left", "dropout_p", "layout") if name in values
        }
        try:
            distributed.ring_attention(q, k, k, group=group, **options)
            messages.append("no error")
        except (ValueError, TypeError, NotImplementedError) as error:
            messages.append(f"{type(error).__name__}: {error}")

    attempt(length=8 + 2 * rank)
    attempt(kv_heads=1 + rank)
    attempt(dtype=torch.float32 if rank else torch.bfloat16)
    attempt(scale=0.5 + rank)
    attempt(window_size_left=3 if rank else None)
    attempt(kv_heads=3 if rank else 2)
    attempt(layout=ContextLayout.zigzag(16, 3))
    attempt(dropout_p=0.1)
    attempt()
    return messages


def test_disagreement_is_reported_with_the_ranks_values() -> None:
    for messages in ranks.run(disagree, 2):
        expected = [
            "ValueError: ring attention: layout: expected the same on all ranks, got rank 0: ('zigzag', 16, 2, "
            "None), rank 1: ('zigzag', 20, 2, None)",
            "ValueError: ring attention: k: expected the same on all ranks, got rank 0: [1, 1, local, 8], rank 1: "
            "[1, 2, local, 8]",
            "ValueError: ring attention: dtype: expected the same on all ranks, got rank 0: torch.bfloat16, rank 1: "
            "torch.float32",
            "ValueError: ring attention: scale: expected the same on all ranks, got rank 0: 0.5, rank 1: 1.5",
            "ValueError: ring attention: window_size_left: expected the same on all ranks, got rank 0: None, rank 1: 3",
            "ValueError: ring attention: rank 1: k: expected [B, Hkv, Sk, 8] with Hq % Hkv == 0, got Hq = 4, Hkv = 3",
            "ValueError: ring attention: rank 0: layout: expected one of the group's 2 ranks, got one of 3",
            "NotImplementedError: dropout_p: not supported in ring attention yet, expected 0.0, got 0.1",
            "no error",
        ]
        for got, want in zip(messages, expected, strict=True):
            assert got.startswith(want), (got, want)
