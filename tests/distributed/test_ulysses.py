"""All-to-all attention on 2 and 4 ranks against one device, what travels, and DeepSpeed's own all-to-all around the
operator.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import ranks
import torch
from context_cases import CASES, Case, bends, compare, inputs, local_inputs, whole
from triangle_attn_op import distributed
from triangle_attn_op.distributed import ContextLayout
from triangle_attn_op.distributed.trade import check_heads

pytestmark = pytest.mark.xdist_group("distributed")


def all_cases(rank: int, n: int, seed: int) -> list[str]:
    # Four query heads at least, and every way in which key heads and ranks can divide each other.
    cases = [
        replace(case, heads=(4, 4) if case.heads == (2, 2) else case.heads) for case in CASES if case.heads[0] != 6
    ]
    return [f"{case.name}: {problem}" for case in cases for problem in one_case(case, rank, n, seed)]


def one_case(case: Case, rank: int, n: int, seed: int) -> list[str]:
    exact = inputs(case, seed)
    layout = case.layout(n)
    q, k, v, dout, dlse = local_inputs(case, exact, layout, rank)
    distributed.reset_counters()
    bent = bends(case)
    out, lse = distributed.ulysses_attention(
        q, k, v, layout=layout, scale=case.scale, window_size_left=case.window, return_lse=True, **bent
    )
    sent = distributed.counters().bytes_sent
    torch.autograd.backward([out, lse], [dout, dlse.to(lse.dtype)])
    dsinks = bent["sinks"].grad if case.bent else None
    problems = compare(case, exact, (out, lse, q.grad, k.grad, v.grad), layout, dsinks=dsinks)
    # The forward has the operator's own bits: each rank runs it on whole sequences.
    one = whole(case, tuple(t.to(case.dtype) for t in exact))
    found = layout.gather(out, dim=case.sequence_dim)
    if not torch.equal(found, one[0]):
        problems.append("out: other bits than on one device")
    hq, hkv = case.heads
    local, others = layout.local_length(rank), layout.length - layout.local_length(rank)
    key_heads = [max(1, hkv // n)] * n
    keys = sum(key_heads) - key_heads[rank]
    bytes_kv = local * keys * (case.dim + case.dim_v) * q.element_size()
    bytes_q = local * (hq - hq // n) * case.dim * q.element_size()
    bytes_out = others * (hq // n) * (case.dim_v * q.element_size() + lse.element_size())
    if sent != case.batch * (bytes_kv + bytes_q + bytes_out):
        problems.append(f"sent {sent} bytes, expected {case.batch * (bytes_kv + bytes_q + bytes_out)}")
    return problems


@pytest.mark.parametrize("n", [2, 4])
def test_equals_one_device(n: int, seed: int) -> None:
    for rank, problems in enumerate(ranks.run(all_cases, n, seed)):
        assert not problems, f"rank {rank} of {n}, seed {seed}: {problems}"


def wrong_heads(rank: int, n: int) -> str:
    q, k = torch.zeros(1, 6, 8, 8), torch.zeros(1, 3, 8, 8)
    try:
        distributed.ulysses_attention(q, k, k)
    except ValueError as error:
        return str(error)
    return "no error"


def test_heads_that_do_not_divide() -> None:
    for message in ranks.run(wrong_heads, 2):
        expected = "k: expected key heads that 2 ranks divide, or that divide 2, for an all-to-all, got Hkv = 3"
        assert message == f"all-to-all attention: rank 0: {expected}; rank 1: {expected}"
    with pytest.raises(ValueError, match="q: expected query heads that 4 ranks divide for an all-to-all, got Hq = 6"):
        check_heads(6, 2, 4)


def dropout(rank: int, n: int) -> str:
    q = torch.zeros(1, 2, 2, 4)
    try:
        distributed.ulysses_attention(q, q, q, dropout_p=0.1)
    except NotImplementedError as error:
        return str(error)
    return "no error"


def test_dropout_is_refused() -> None:
    expected = "dropout_p: not supported in all-to-all attention yet, expected 0.0, got 0.1"
    assert ranks.run(dropout, 2) == [expected] * 2


def start_deepspeed() -> None:
    import importlib

    import deepspeed.comm

    # An optional C++ shortcut between CPU ranks, which it would compile here.
    importlib.import_module("deepspeed.comm.torch").build_shm_op = lambda: None  # type: ignore[attr-defined]
    deepspeed.comm.init_distributed(dist_backend="gloo", verbose=False)


def deepspeed_layer(rank: int, n: int, seed: int) -> list[str]:
    """DeepSpeed's DistributedAttention, from the real package, around the operator, in both of its layouts."""
    from deepspeed.sequence.layer import DistributedAttention

    start_deepspeed()
    problems = []
    for sequence_dim in (0, 1):
        case = Case(f"deepspeed, tokens in dimension {sequence_dim}", heads=(4, 2), batch=2, kind="contiguous")
        exact = inputs(case, seed)
        layout = case.layout(n)
        q, k, v, dout, _ = local_inputs(case, exact, layout, rank)
        order = (2, 0, 1, 3) if sequence_dim == 0 else (0, 2, 1, 3)
        back = (1, 2, 0, 3) if sequence_dim == 0 else (0, 2, 1, 3)
        local = distributed.LocalAttention(sequence_dim=sequence_dim)
        layer = DistributedAttention(local, torch.distributed.group.WORLD, scatter_idx=2, gather_idx=sequence_dim)
        theirs = [t.permute(order).contiguous() for t in (q, k, v)]
        out = layer(*theirs, 1 - sequence_dim).permute(back)
        out.backward(dout)
        expected = whole(case, (*exact[:4], torch.zeros_like(exact[4])))
        for name, got, want in zip(
            ("out", "dq", "dk", "dv"), (out, q.grad, k.grad, v.grad), (expected[0], *expected[2:])
        ):
            error = float((layout.gather(got, dim=2) - want).abs().max())
            if error > 1e-13:
                problems.append(f"{case.name}: {name}: error {error:.3g}")
    return problems


def test_deepspeed_distributed_attention(seed: int) -> None:
    assert ranks.run(deepspeed_layer, 2, seed) == [[], []]


def deepspeed_model(rank: int, n: int) -> float:
    """DeepSpeed's patch of transformers models (ALST), with triangle attention as the core: gradients of one rank."""
    from deepspeed.runtime.sequence_parallel.ulysses_sp import UlyssesSPAttentionHF
    from test_sharding import gradients, llama, tokens, worst

    start_deepspeed()
    alone, parallel, ids = llama(), llama(), tokens()
    alone(input_ids=ids, labels=ids, use_cache=False).loss.backward()
    UlyssesSPAttentionHF.register_with_transformers(
        parallel, core_attn_implementation="triangle", sequence_parallel_size=n, micro_batch_size=4, seq_length=20
    )
    batch = distributed.split_batch({"input_ids": ids, "labels": ids}, ContextLayout.contiguous(20, n), rank)
    batch["position_ids"] = batch["position_ids"].expand(4, -1)
    parallel(**batch, num_items_in_batch=4 * 19, use_cache=False).loss.backward()
    for parameter in parallel.parameters():
        torch.distributed.all_reduce(parameter.grad)
    return worst(gradients(parallel), gradients(alone))


def test_deepspeed_ulysses_for_transformers() -> None:
    assert max(ranks.run(deepspeed_model, 2)) < 1e-12


def test_local_attention_arguments() -> None:
    with pytest.raises(ValueError, match="sequence_dim: expected 0 or 1, got 2"):
        distributed.LocalAttention(2)
    q = torch.zeros(4, 1, 2, 8)
    with pytest.raises(ValueError, match="attention_mask: expected None"):
        distributed.LocalAttention()(q, q, q, torch.ones(1, 1, 4, 4))  # type: ignore[arg-type]
