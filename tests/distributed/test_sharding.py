"""DTensor placements, FSDP2 and tensor-parallel plans of transformers' Llama, and selective checkpointing, on 2 and 4
ranks.
"""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import ranks
import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Partial, Replicate, Shard, distribute_tensor
from triangle_attn_op import call_counts, triangle_attention
from triangle_attn_op.distributed import checkpoint_contexts, ring_attention
from triangle_attn_op.distributed.sharding import _divides

pytestmark = pytest.mark.xdist_group("distributed")


def placements(rank: int, n: int, shape: tuple[int, ...]) -> list[str]:
    """For each way to hand q, k, v over: results and gradients of plain tensors, and where they lie."""
    mesh = init_device_mesh("cpu", shape)
    torch.manual_seed(2)
    problems = []
    cases: list[tuple[str, int, int, dict[str, Any], list[Any], list[Any] | None]] = [
        # name, query heads, key heads, options, placements given, placements expected of out (None: any)
        ("replicated", 4, 4, {}, [Replicate()] * len(shape), None),
        (
            "batch",
            4,
            2,
            {},
            [Shard(0)] + [Replicate()] * (len(shape) - 1),
            [Shard(0)] + [Replicate()] * (len(shape) - 1),
        ),
        (
            "heads",
            8,
            4,
            {},
            [Replicate()] * (len(shape) - 1) + [Shard(1)],
            [Replicate()] * (len(shape) - 1) + [Shard(1)],
        ),
        ("sequence is gathered", 4, 4, {"window_size_left": 5}, [Shard(2)] + [Replicate()] * (len(shape) - 1), None),
        ("three key heads over two ranks", 6, 3, {}, [Shard(1)] + [Replicate()] * (len(shape) - 1), None),
        (
            "one key head",
            4,
            1,
            {},
            [Replicate()] * (len(shape) - 1) + [Shard(1)],
            [Replicate()] * (len(shape) - 1) + [Shard(1)],
        ),
        ("mask by batch", 4, 4, {"attn_mask": (4, 1, 12, 12)}, [Shard(0)] + [Replicate()] * (len(shape) - 1), None),
        ("mask by head", 4, 4, {"attn_mask": (4, 12, 12)}, [Replicate()] * (len(shape) - 1) + [Shard(1)], None),
        ("bent, by head", 8, 4, {"alibi_slopes": (8,)}, *[[Replicate()] * (len(shape) - 1) + [Shard(1)]] * 2),
        ("bent, by batch", 4, 2, {"alibi_slopes": (4, 4)}, *[[Shard(0)] + [Replicate()] * (len(shape) - 1)] * 2),
    ]
    if len(shape) == 2:
        cases.append(("batch and heads", 4, 2, {}, [Shard(0), Shard(1)], [Shard(0), Shard(1)]))
    for name, hq, hkv, options, given, expected in cases:
        torch.manual_seed(3)
        plain = [torch.randn(4, heads, 12, 8, dtype=torch.float64) for heads in (hq, hkv, hkv)]
        mask = torch.rand(options["attn_mask"]) > 0.3 if "attn_mask" in options else None
        reference = [t.clone().requires_grad_() for t in plain]
        bends: dict[str, Any] = {}
        if "alibi_slopes" in options:
            sinks = torch.randn(hq, dtype=torch.float64)
            bends = {"alibi_slopes": torch.rand(options["alibi_slopes"]), "softcap": 2.0}
            bends["startend_row_indices"] = torch.randint(0, 13, (4, hkv, 12, 2), dtype=torch.int32)
            reference.append(sinks.clone().requires_grad_())
            out, lse = triangle_attention(*reference[:3], return_lse=True, sinks=reference[3], **bends)
        else:
            out, lse = triangle_attention(*reference, return_lse=True, **{**options, "attn_mask": mask})
        (out.square().sum() + lse[..., 1:].clamp(min=-5).sum()).backward()
        keys = [Replicate() if hkv == 1 and isinstance(p, Shard) and p.dim == 1 else p for p in given]
        shards = [distribute_tensor(t, mesh, p).requires_grad_() for t, p in zip(plain, (given, keys, keys))]
        if mask is not None:
            options = {**options, "attn_mask": distribute_tensor(mask, mesh, [Replicate()] * len(shape))}
        if bends:
            whole = [Replicate()] * len(shape)
            shards.append(distribute_tensor(sinks, mesh, whole).requires_grad_())
            options = {"alibi_slopes": distribute_tensor(bends["alibi_slopes"], mesh, whole), "softcap": 2.0}
            options["sinks"] = shards[3]
            options["startend_row_indices"] = distribute_tensor(bends["startend_row_indices"], mesh, whole)
        out_d, lse_d = triangle_attention(*shards[:3], return_lse=True, **options)
        if expected is not None and list(out_d.placements) != expected:
            problems.append(f"{name}: out lies as {out_d.placements}, expected {expected}")
        (out_d.square().sum() + lse_d[..., 1:].clamp(min=-5).sum()).backward()
        pairs = [(out_d, out), (lse_d, lse), *((a.grad, b.grad) for a, b in zip(shards, reference))]
        for what, (got, want) in zip(("out", "lse", "dq", "dk", "dv", "dsinks"), pairs):
            whole = got.full_tensor()
            if not torch.allclose(whole, want, atol=1e-12):
                problems.append(f"{name}: {what}: {float((whole - want).abs().max()):.3g}")
        if name == "one key head" and not any(isinstance(p, (Partial, Replicate)) for p in shards[1].grad.placements):
            problems.append(f"{name}: dk lies as {shards[1].grad.placements}")
    return problems


@pytest.mark.parametrize("shape", [(2,), (2, 2)], ids=["2 ranks", "2 x 2 ranks"])
def test_dtensor_placements(shape: tuple[int, ...]) -> None:
    n = 2 ** len(shape)
    assert ranks.run(placements, n, shape) == [[]] * n


def dropout(rank: int, n: int) -> str:
    mesh = init_device_mesh("cpu", (n,))
    q = distribute_tensor(torch.randn(2, 2, 8, 8), mesh, [Shard(0)])
    try:
        triangle_attention(q, q, q, dropout_p=0.5)
    except NotImplementedError as error:
        return str(error)
    return "no error"


def test_dropout_is_refused() -> None:
    message = "dropout_p: not supported for DTensor inputs yet, expected 0.0, got 0.5"
    assert ranks.run(dropout, 2) == [message] * 2


def test_uneven_groups_are_not_offered() -> None:
    assert _divides((2, 4), 4)  # 8 shards of 4 heads DTensor does not offer itself
    assert not _divides((2, 4), 12)  # 12 heads over 8 would be uneven
    assert not _divides((3,), 4)


# transformers' Llama


def llama(seed: int = 0) -> Any:
    import triangle_attn_op.integrations.transformers  # noqa: F401  registers the implementation
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        attn_implementation="triangle",
    )
    return LlamaForCausalLM(config).double()


def tokens() -> Tensor:
    return torch.randint(0, 64, (4, 20), generator=torch.Generator().manual_seed(5))


def gradients(model: torch.nn.Module) -> dict[str, Tensor]:
    found = {}
    for name, parameter in model.named_parameters():
        gradient = parameter.grad
        assert gradient is not None, name
        found[name] = gradient.full_tensor() if hasattr(gradient, "full_tensor") else gradient
    return found


def worst(got: dict[str, Tensor], want: dict[str, Tensor]) -> float:
    assert got.keys() == want.keys()
    return max(float((got[name] - want[name]).abs().max()) for name in want)


def fsdp(rank: int, n: int, recompute: bool) -> float:
    from torch.distributed.fsdp import fully_shard

    alone = llama()
    sharded = copy.deepcopy(alone)
    alone(input_ids=tokens(), labels=tokens()).loss.backward()
    if recompute:
        sharded.gradient_checkpointing_enable(
            gradient_checkpointing_kwargs={"use_reentrant": False, "context_fn": checkpoint_contexts}
        )
        sharded.train()
    for layer in sharded.model.layers:
        fully_shard(layer)
    fully_shard(sharded)
    mine = tokens().chunk(n)[rank]
    sharded(input_ids=mine, labels=mine).loss.backward()
    return worst(gradients(sharded), gradients(alone))


@pytest.mark.parametrize("recompute", [False, True])
def test_fsdp2(recompute: bool) -> None:
    assert max(ranks.run(fsdp, 2, recompute)) < 1e-12


def tensor_parallel(rank: int, n: int) -> float:
    """The model's own plan, as transformers ships it."""
    from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

    alone = llama()
    parallel = copy.deepcopy(alone)
    alone(input_ids=tokens(), labels=tokens()).loss.backward()
    styles = {"colwise": ColwiseParallel, "rowwise": RowwiseParallel}
    plan = {
        f"model.{name}": styles[style]() for name, style in alone.config.base_model_tp_plan.items() if style in styles
    }
    assert any("q_proj" in name for name in plan)
    parallelize_module(parallel, init_device_mesh("cpu", (n,)), plan)
    parallel(input_ids=tokens(), labels=tokens()).loss.backward()
    assert parallel.model.layers[0].self_attn.q_proj.weight.to_local().shape[0] == 32 // n
    return worst(gradients(parallel), gradients(alone))


def test_tensor_parallel_plan() -> None:
    assert max(ranks.run(tensor_parallel, 2)) < 1e-12


def loaded_with_plan(rank: int, n: int, folder: str) -> float:
    """`from_pretrained(tp_plan="auto")`, as users write it."""
    from transformers import LlamaForCausalLM

    alone = llama()
    if rank == 0:
        alone.save_pretrained(folder)
    dist.barrier()
    model = LlamaForCausalLM.from_pretrained(
        folder, tp_plan="auto", attn_implementation="triangle", dtype=torch.float64
    )
    weight = model.model.layers[0].self_attn.q_proj.weight
    assert (weight.to_local() if hasattr(weight, "to_local") else weight).shape[0] == 32 // n
    with torch.no_grad():
        return float((model(input_ids=tokens()).logits - alone(input_ids=tokens()).logits).abs().max())


def test_from_pretrained_with_tp_plan(tmp_path: Path) -> None:
    assert max(ranks.run(loaded_with_plan, 2, str(tmp_path / "model"))) < 1e-12


# Checkpointing


def forward_calls() -> int:
    return sum(count for name, count in call_counts().items() if name.endswith("forward"))


def checkpointing(rank: int, n: int) -> list[Any]:
    results = []
    for kwargs in (None, {"use_reentrant": False}, {"use_reentrant": False, "context_fn": checkpoint_contexts}):
        model = llama()
        if kwargs is not None:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=kwargs)
        model.train()
        before = forward_calls()
        model(input_ids=tokens(), labels=tokens()).loss.backward()
        results.append((forward_calls() - before, gradients(model)))
    return [(calls, worst(found, results[0][1])) for calls, found in results]


def test_selective_checkpointing_runs_attention_once() -> None:
    plain, full, selective = ranks.run(checkpointing, 1)[0]
    assert [plain[0], full[0], selective[0]] == [2, 4, 2]  # two layers: once each, twice each where all is recomputed
    assert full[1] == selective[1] == 0.0


def test_a_dtensor_needs_no_import_and_an_import_no_dtensor(tmp_path: Path) -> None:
    """DTensor and the compiler take longer to import than all of this package: they wait until they are used."""
    program = """
import sys, torch
before = set(sys.modules)
import triangle_attn_op.distributed
new = set(sys.modules) - before
assert not {"torch._dynamo", "torch.distributed.tensor"} & new, sorted(new)

import torch.distributed as dist
from torch.distributed.tensor import Shard, distribute_tensor, init_device_mesh
dist.init_process_group("gloo", init_method=f"file://{sys.argv[1]}", rank=0, world_size=1)
mesh = init_device_mesh("cpu", (1,))
q = distribute_tensor(torch.randn(2, 2, 8, 8), mesh, [Shard(1)]).requires_grad_()

def step(q):
    return triangle_attn_op.triangle_attention(q, q, q) * 2

if sys.argv[2] == "compiled":
    step = torch.compile(step, fullgraph=True, backend="aot_eager")
elif sys.argv[2] == "raw operator":
    def step(q):
        return torch.ops.triangle.attn_lse(q, q, q)[0] * 2
out = step(q)
out.sum().backward()
assert out.placements == q.grad.placements == (Shard(1),), (out.placements, q.grad.placements)
dist.destroy_process_group()
"""
    for way in ("compiled", "raw operator"):
        command = [sys.executable, "-c", program, str(tmp_path / way), way]
        environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, (way, done.stderr[-2000:])


def compiled(rank: int, n: int) -> list[Tensor]:
    """Ring attention in a compiled function is a break in its graph."""
    torch.manual_seed(rank)
    q = torch.randn(1, 2, 16, 8, requires_grad=True)
    results = []
    for function in (ring_layer, torch.compile(ring_layer, backend="aot_eager")):
        q.grad = None
        function(q).sum().backward()
        assert q.grad is not None
        results.append(q.grad)
    return results


def ring_layer(q: Tensor) -> Tensor:
    return ring_attention(q * 2, q, q) + q


def test_ring_attention_in_a_compiled_function() -> None:
    for eager, in_compiled in ranks.run(compiled, 2):
        assert torch.equal(eager, in_compiled)
