"""Ring attention on 2 and 4 ranks: results and gradients of the whole sequence, what was computed and sent, and what is
said where ranks disagree.
"""

from __future__ import annotations

from typing import Any

import pytest
import ranks
import torch
import torch.distributed as dist
from context_cases import CASES, Case, bends, compare, inputs, local_inputs
from torch import Tensor
from triangle_attn_op import backends, distributed, ops, triangle_attention
from triangle_attn_op.distributed import ContextLayout, plan
from triangle_attn_op.distributed.agreement import poison

pytestmark = pytest.mark.xdist_group("distributed")


def all_cases(rank: int, n: int, seed: int) -> list[str]:
    """On each rank: every case against one device. Returns what went wrong."""
    return [f"{case.name}: {problem}" for case in CASES for problem in one_case(case, rank, n, seed)]


def cases_in_16_bits(rank: int, n: int, seed: int) -> list[str]:
    """As on a backend whose kernels take 16-bit numbers only: partial results are rounded to them."""
    distributed.ring.partial_dtype = lambda q: q.dtype
    cases = [case for case in CASES if case.dtype in (torch.bfloat16, torch.float16)]
    return [f"{case.name}: {problem}" for case in cases for problem in one_case(case, rank, n, seed, narrow=True)]


def one_case(case: Case, rank: int, n: int, seed: int, narrow: bool = False) -> list[str]:
    exact = inputs(case, seed)
    layout = case.layout(n)
    q, k, v, dout, dlse = local_inputs(case, exact, layout, rank)
    distributed.reset_counters()
    bent = bends(case)
    out, lse = distributed.ring_attention(
        q, k, v, layout=layout, scale=case.scale, window_size_left=case.window, return_lse=True, **bent
    )
    sent = distributed.counters()
    torch.autograd.backward([out, lse], [dout, dlse.to(lse.dtype)])
    both = distributed.counters()
    dsinks = bent["sinks"].grad if case.bent else None
    problems = compare(case, exact, (out, lse, q.grad, k.grad, v.grad), layout, narrow, dsinks)
    if case.dim == case.dim_v and any(a != b and size > 1 for a, b, size in zip(out.stride(), q.stride(), q.shape)):
        problems.append(f"out: strides {out.stride()}, expected q's {q.stride()}")
    row = q.element_size() * case.batch * case.heads[1] * (case.dim + case.dim_v)
    if sent.bytes_sent != row * plan.rows_sent(layout, rank, case.window):
        problems.append(f"sent {sent.bytes_sent} bytes, expected {row * plan.rows_sent(layout, rank, case.window)}")
    if sent.bytes_received != row * plan.least_rows_received(layout, rank, case.window):
        problems.append(f"received {sent.bytes_received} bytes, which is not the least possible")
    wider = 1 if narrow else max(1, 4 // q.element_size())  # gradients travel in float32
    if both.bytes_sent != 2 * sent.bytes_sent + wider * sent.bytes_received:
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


@pytest.mark.parametrize("cases", [all_cases, cases_in_16_bits])
@pytest.mark.parametrize("n", [2, 4])
def test_equals_one_device(n: int, cases: Any, seed: int) -> None:
    for rank, problems in enumerate(ranks.run(cases, n, seed)):
        assert not problems, f"rank {rank} of {n}, seed {seed}: {problems}"


def test_one_rank_needs_no_messages(seed: int) -> None:
    assert ranks.run(all_cases, 1, seed) == [[]]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("band", [{}, {"diagonal": 1 << 30}, {"window_size_left": 50}])
def test_the_cpu_operator_computes_16_bits_in_float32(dtype: torch.dtype, band: dict[str, int], seed: int) -> None:
    """Why float32 copies of 16-bit inputs give a ring the operator's own sums: see `partial_dtype`.

    On AVX512-BF16 the operator rounds P and dS to bf16 to multiply in pairs: there the copies are only more exact.
    """
    pairs = dtype is torch.bfloat16 and backends.cpu_isa() == "avx512_bf16"

    def check(narrow: Tensor, widened: Tensor) -> None:
        if pairs:
            torch.testing.assert_close(narrow.to(dtype), widened.to(dtype), rtol=2e-2, atol=2e-2)
        else:
            assert torch.equal(narrow, widened.to(narrow.dtype))

    torch.manual_seed(seed)
    q, k, v, dout = (torch.randn(2, heads, 300, 40).to(dtype) for heads in (4, 2, 2, 4))
    wide = [t.float() for t in (q, k, v)]
    out, lse = ops.attn_lse(q, k, v, **band)
    wide_out, wide_lse = ops.attn_lse(*wide, **band)
    check(lse, wide_lse)
    check(out, wide_out)
    gradients = ops.attn_backward(dout, None, q, k, v, out, lse, **band)
    wide_gradients = ops.attn_backward(dout.float(), None, *wide, out.float(), lse, **band)
    for narrow, widened in zip(gradients, wide_gradients):
        check(narrow, widened)


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


def order_of_events(rank: int, n: int) -> list[str]:
    """What a forward and a backward do, in order."""
    from triangle_attn_op.distributed import exchange, ring, slots

    events: list[str] = []

    def noting(name: str, function: Any) -> Any:
        def noted(*args: Any) -> Any:
            events.append(f"{name} {args[0].rsplit(', ', 1)[1]}" if isinstance(args[0], str) else name)
            return function(*args)

        return noted

    slots.post = noting("post", slots.post)
    exchange.Pending.wait = noting("wait", exchange.Pending.wait)  # type: ignore[method-assign]
    ring._call_forward = noting("compute", ring._call_forward)
    ring._call_backward = noting("compute", ring._call_backward)
    q = torch.randn(1, 1, 8, 16, requires_grad=True)
    out = distributed.ring_attention(q, q, q)
    forward = len(events)
    out.sum().backward()
    return [" ".join(events[:forward]), " ".join(events[forward:])]


def test_messages_are_under_way_while_a_rank_computes() -> None:
    for forward, backward in ranks.run(order_of_events, 3):
        assert forward == "post step 1 of 2 compute wait post step 2 of 2 compute wait compute"
        # Keys of the next step and gradients of the last one travel during each computation.
        keys, gradients = "post step {} of 2", "post step {} of 2"
        steps = [keys.format(1), "compute", "wait", keys.format(2), "compute", gradients.format(1), "wait", "compute"]
        assert backward == " ".join([*steps, gradients.format(2), "wait", "wait"])


# Memory


def peak_memory(rank: int, n: int, length: int, dtype: torch.dtype) -> int:
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

    q, k, v = (torch.randn(1, 1, length // n, 16, dtype=dtype, requires_grad=True) for _ in range(3))
    with Peak() as peak:
        distributed.ring_attention(q, k, v).sum().backward()
    return peak.most


@pytest.mark.parametrize(
    ("n", "length", "dtype"), [(2, 4096, torch.bfloat16), (4, 4096, torch.float32), (4, 8192, torch.bfloat16)]
)
def test_memory_is_a_few_tensors_of_the_local_length(n: int, length: int, dtype: torch.dtype) -> None:
    tensor = length // n * 16 * 4
    most = max(ranks.run(peak_memory, n, length, dtype))
    assert most <= 26 * tensor, most / tensor  # nothing of S x S, nothing of S


# Disagreement


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
            name: values[name]
            for name in ("scale", "window_size_left", "dropout_p", "layout", "return_lse")
            if name in values
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
    attempt(dropout_p=0.0 if rank else 0.1)
    attempt(return_lse=bool(rank))
    attempt(layout="zigzag")
    attempt()
    groups = [dist.new_group([0]), dist.new_group([1])]
    try:
        distributed.ring_attention(*(torch.zeros(1, 2, 4, 8),) * 3, group=groups[1 - rank])
        messages.append("no error")
    except ValueError as error:
        messages.append(str(error))
    return messages


def disagree_later(rank: int, n: int) -> list[str]:
    q = torch.zeros(1, 4, 8, 8)
    messages = []
    for attend in (distributed.ring_attention, distributed.ulysses_attention):
        attend(q, q, q)
        for options in (
            {"scale": 0.5 + rank},
            {"window_size_left": 3 if rank else None},
            {"layout": (ContextLayout.contiguous if rank else ContextLayout.zigzag)(16, 2)},
            {"dropout_p": 0.1 * rank},
            {},
        ):
            try:
                attend(q, q, q, **options)
                messages.append("no error")
            except (ValueError, NotImplementedError) as error:
                messages.append(str(error))
    return messages


def test_later_calls_are_compared_too() -> None:
    for rank, messages in enumerate(ranks.run(disagree_later, 2)):
        for what, got in (("ring attention", messages[:5]), ("all-to-all attention", messages[5:])):
            no_dropout = f"dropout_p: not supported in {what} yet, expected 0.0, got 0.1"
            assert got[0] == f"{what}: scale: expected the same on all ranks, got rank 0: 0.5, rank 1: 1.5"
            assert got[1].startswith(f"{what}: window_size_left: expected the same on all ranks, got rank 0: None")
            assert got[2].startswith(f"{what}: layout: expected the same on all ranks, got rank 0: ('zigzag', 16")
            assert got[3] == (no_dropout if rank else f"{what}: rank 1: {no_dropout}")
            assert got[4] == "no error"


def test_a_disagreement_that_the_host_does_not_wait_for_poisons_the_result() -> None:
    out = torch.ones(2)
    poison(out, torch.tensor(False))
    assert out.tolist() == [1, 1]
    poison(out, torch.tensor(True))
    assert out.isnan().all()


def test_disagreement_is_reported_with_the_ranks_values() -> None:
    no_dropout = "dropout_p: not supported in ring attention yet, expected 0.0, got 0.1"
    for rank, messages in enumerate(ranks.run(disagree, 2)):
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
            f"NotImplementedError: {no_dropout}",
            f"ValueError: ring attention: rank 0: {no_dropout}" if rank else f"NotImplementedError: {no_dropout}",
            "ValueError: ring attention: return_lse: expected the same on all ranks, got rank 0: False, rank 1: True",
            "TypeError: layout: expected a ContextLayout or None, got str",
            "no error",
            f"group: expected a group that this rank belongs to, got one without rank {rank}",
        ]
        for got, want in zip(messages, expected, strict=True):
            assert got.startswith(want), (got, want)
