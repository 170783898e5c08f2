"""Triangle attention inside the real Megatron-Core: as a layer's core attention, in a GPT model over 1, 2 and 4 ranks,
in a layer of one's own.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "examples" / "megatron"
sys.path[:0] = [str(ROOT / "tests" / "distributed"), str(EXAMPLE)]

import ranks  # noqa: E402

pytestmark = [pytest.mark.xdist_group("distributed"), pytest.mark.filterwarnings("ignore::UserWarning")]

TINY = "--num-layers 2 --hidden-size 64 --ffn-hidden-size 160 --num-attention-heads 4 --seq-length 96"
TINY += " --micro-batch-size 2 --global-batch-size 4 --train-iters 3 --triangle-attn"


def set_up(tp: int = 1, cp: int = 1) -> None:
    """Megatron's groups and random states over the ranks that run this test."""
    import on_cpu
    from megatron.core import parallel_state, tensor_parallel

    on_cpu.stand_in()
    parallel_state.initialize_model_parallel(tensor_model_parallel_size=tp, context_parallel_size=cp)
    torch.manual_seed(1)
    tensor_parallel.model_parallel_cuda_manual_seed(1)


def configuration(**changes: Any) -> Any:
    from megatron.core.transformer import TransformerConfig

    values: dict[str, Any] = {"num_layers": 1, "hidden_size": 64, "num_attention_heads": 4, "attention_dropout": 0.0}
    return TransformerConfig(**{**values, "masked_softmax_fusion": False, "use_cpu_initialization": True, **changes})


def core(config: Any, cls: Any = None, **changes: Any) -> Any:
    from megatron.core.transformer.enums import AttnMaskType
    from triangle_attn_op.integrations.megatron import TriangleCoreAttention

    values: dict[str, Any] = {
        "layer_number": 1,
        "attn_mask_type": AttnMaskType.causal,
        "attention_type": "self",
        **changes,
    }
    return (cls or TriangleCoreAttention)(config=config, **values)


def mixed_qkv(
    groups: int, heads: int = 4, length: int = 50, batch: int = 2, dim: int = 16, packed: bool = False
) -> list[Tensor]:
    """q, k, v as strided views of one projection, as Megatron's self-attention hands them over: [s, b, heads, d] or [t,
    heads, d].
    """
    rows = (length,) if packed else (length, batch)
    per_group = heads // groups
    mixed = torch.randn(*rows, groups, (per_group + 2) * dim, dtype=torch.float64)
    q, k, v = mixed.split([per_group * dim, dim, dim], dim=-1)
    return [q.reshape(*rows, heads, dim), k, v]


# As core attention


def against_dot_product_attention(rank: int, n: int) -> list[str]:
    """Results and gradients of Megatron's own DotProductAttention."""
    from megatron.core.transformer.dot_product_attention import DotProductAttention

    set_up()
    problems = []
    padding = torch.zeros(2, 1, 50, 50, dtype=torch.bool)
    padding[1, :, :, 40:] = True  # the second sequence's end
    cases: dict[str, tuple[dict[str, Any], dict[str, Any], bool]] = {
        "plain": ({}, {}, False),
        "GQA": ({"num_query_groups": 2}, {}, False),
        "scale": ({}, {"softmax_scale": 0.3}, False),
        "window": ({"window_size": (7, 0)}, {}, False),
        "window, skipped layer": ({"window_size": (7, 0), "window_attn_skip_freq": 2}, {"layer_number": 2}, False),
        "layer scaling": ({"apply_query_key_layer_scaling": True}, {"layer_number": 3}, False),
        "padding mask": ({}, {}, True),
        "softmax off by one": ({"softmax_type": "off-by-one"}, {}, False),
        "learnable softmax offset": ({"softmax_type": "learnable", "num_query_groups": 2}, {}, True),
    }
    for name, (config_changes, changes, with_padding) in cases.items():
        config = configuration(**config_changes)
        # Megatron's own makes its window mask on a CUDA device; here it gets it with the mask.
        theirs = core(configuration(**{**config_changes, "window_size": None}), DotProductAttention, **changes)
        ours = core(config, **changes)
        offsets = [module.softmax_offset for module in (ours, theirs)]
        if isinstance(offsets[0], torch.nn.Parameter):
            ours.load_state_dict(theirs.state_dict())
        tensors = mixed_qkv(config.num_query_groups)
        causal = torch.ones(50, 50, dtype=torch.bool).triu(1)[None, None]
        window = config.window_size if "window" in name and "skipped" not in name else None
        full = causal if window is None else causal | torch.ones(50, 50, dtype=torch.bool).tril(-window[0] - 1)
        full = full | padding if with_padding else full.expand(2, 1, 50, 50)
        results = []
        for module, mask in ((ours, padding if with_padding else None), (theirs, full)):
            q, k, v = (t.detach().clone().requires_grad_() for t in tensors)
            out = module(q, k, v, mask)
            weight = torch.linspace(-1, 1, out.numel(), dtype=torch.float64).view_as(out)
            (out * weight).sum().backward()
            results.append((out.detach(), q.grad, k.grad, v.grad))
        if isinstance(offsets[0], torch.nn.Parameter):
            results = [(*result, offset.grad) for result, offset in zip(results, offsets)]
        for what, got, want in zip(("out", "dq", "dk", "dv", "doffset"), *results):
            # Megatron's softmax computes in float32 even here.
            if got.shape != want.shape or not torch.allclose(got, want, rtol=1e-4, atol=2e-5):
                problems.append(f"{name}: {what}: {float((got - want).abs().max()):.3g}")
    return problems


def test_equals_dot_product_attention() -> None:
    assert ranks.run(against_dot_product_attention, 1) == [[]]


def without_copies(rank: int, n: int) -> list[str]:
    from torch.utils._python_dispatch import TorchDispatchMode

    seen: list[str] = []

    class Record(TorchDispatchMode):
        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            seen.append(str(function))
            return function(*args, **(kwargs or {}))

    set_up()
    q, k, v = mixed_qkv(2)
    module = core(configuration(num_query_groups=2))
    with Record():
        out = module(q, k, v, None)
    assert out.shape == (50, 2, 64)
    return [
        name for name in seen if not any(view in name for view in ("permute", "view", "alias", "triangle.attn_lse"))
    ]


def test_reads_and_writes_in_place() -> None:
    assert ranks.run(without_copies, 1) == [[]]


def packed_documents(rank: int, n: int) -> list[float]:
    from megatron.core.packed_seq_params import PackedSeqParams

    set_up()
    module = core(configuration(num_query_groups=2))
    q, k, v = mixed_qkv(2, packed=True)
    lengths = [20, 1, 29]
    cu = torch.tensor([0, 20, 21, 50], dtype=torch.int32)
    params = PackedSeqParams("thd", cu, cu, max_seqlen_q=29, max_seqlen_kv=29)
    out = module(q, k, v, None, packed_seq_params=params)
    alone = [
        module(*(t.unsqueeze(1) for t in parts), None)[:, 0] for parts in zip(*(t.split(lengths) for t in (q, k, v)))
    ]
    # Padded: each document fills up to the next offset, and what it holds there is seen by nobody before it.
    padded = PackedSeqParams("thd", cu, cu, torch.tensor([0, 24, 32, 64]).int(), torch.tensor([0, 24, 32, 64]).int())
    stuffed = [torch.zeros(64, *t.shape[1:], dtype=t.dtype) for t in (q, k, v)]
    for target, t in zip(stuffed, (q, k, v)):
        for at, part in zip((0, 24, 32), t.split(lengths)):
            target[at : at + len(part)] = part
    kept = module(*stuffed, None, packed_seq_params=padded)
    kept = torch.cat([kept[at : at + length] for at, length in zip((0, 24, 32), lengths)])
    return [float((out - torch.cat(alone)).abs().max()), float((out - kept).abs().max())]


def test_packed_documents() -> None:
    assert max(ranks.run(packed_documents, 1)[0]) < 1e-14


def packed_over_context_ranks(rank: int, n: int) -> list[float]:
    """Packed documents, each in zigzag over two ranks, against the same layer on one."""
    from megatron.core.packed_seq_params import PackedSeqParams
    from triangle_attn_op import triangle_attention_varlen
    from triangle_attn_op.distributed import ContextLayout

    set_up(cp=n)
    offsets = [0, 12, 16, 48]
    cu = torch.tensor(offsets, dtype=torch.int32)
    whole = mixed_qkv(2, length=48, packed=True)
    layout = ContextLayout.zigzag_documents(offsets, n)
    errors = []
    for comm in ("p2p", "a2a"):
        module = core(configuration(num_query_groups=2, context_parallel_size=n, window_size=(9, 0)), cp_comm_type=comm)
        params = PackedSeqParams("thd", cu, cu)
        for _ in range(2):  # the second layer of a batch finds the layout that the first one made
            out = module(*(layout.split(t, rank, 0) for t in whole), None, packed_seq_params=params)
        want = triangle_attention_varlen(*whole, cu, cu, 48, 48, window_size_left=9).flatten(1)
        errors.append(float((layout.gather(out, dim=0) - want).abs().max()))
    return errors


def test_packed_documents_over_context_ranks() -> None:
    assert all(max(errors) < 1e-13 for errors in ranks.run(packed_over_context_ranks, 2))


def dropout_state(rank: int, n: int) -> dict[str, Any]:
    from megatron.core import tensor_parallel

    set_up(tp=n)
    module = core(configuration(attention_dropout=0.5, kv_channels=16))
    q, k, v = (t[:, :, :2] for t in mixed_qkv(4))
    torch.manual_seed(7)
    q, k, v = (torch.randn(t.shape, dtype=t.dtype) for t in (q, k, v))
    before = torch.get_rng_state()
    states = tensor_parallel.get_cuda_rng_tracker().get_states()
    first = module(q, k, v, None)
    untouched = torch.equal(before, torch.get_rng_state())
    second = module(q, k, v, None)
    tensor_parallel.get_cuda_rng_tracker().set_states(states)
    again = module(q, k, v, None)
    module.eval()
    return {
        "outside state untouched": untouched,
        "differs by call": not torch.equal(first, second),
        "follows the tracker": torch.equal(first, again),
        "off in eval": torch.equal(module(q, k, v, None), module(q, k, v, None)),
        "first": first,
    }


def test_dropout_follows_the_rng_tracker() -> None:
    one, two = ranks.run(dropout_state, 2)
    for result in (one, two):
        assert all(value for name, value in result.items() if name != "first"), result
    assert not torch.equal(one["first"], two["first"])  # tensor-parallel ranks hold different heads


def refusals(rank: int, n: int) -> list[str]:
    from megatron.core.packed_seq_params import PackedSeqParams
    from megatron.core.transformer.enums import AttnMaskType

    set_up(cp=n)
    q, k, v = mixed_qkv(4, length=48)
    mask = torch.zeros(1, 1, 48, 48, dtype=torch.bool)
    one, two = {"context_parallel_size": 1}, {"context_parallel_size": 2}
    cu = torch.tensor([0, 30, 96], dtype=torch.int32)
    attempts = [
        lambda: core(configuration(), attn_mask_type=AttnMaskType.padding),
        lambda: core(configuration(), attention_type="cross"),
        lambda: core(configuration(qk_clip=True)),
        lambda: core(configuration(window_size=(5, 3))),
        lambda: core(configuration(**one), attention_dropout=1.0),
        lambda: core(configuration(**two), cp_comm_type="all_gather"),
        lambda: core(configuration(**two, attention_dropout=0.1)),
        lambda: core(configuration(**two, num_attention_heads=3, hidden_size=48), cp_comm_type="a2a"),
        lambda: core(configuration(**two))(q, k, v, mask),
        lambda: core(configuration())(q, k, v, mask.float()),
        lambda: core(configuration())(q, k, v, None, attention_bias=torch.zeros(1, 1, 48, 48)),
        lambda: core(configuration())(q, k, v, None, attn_mask_type=AttnMaskType.no_mask),
        lambda: core(configuration())(
            q[:, 0], k[:, 0], v[:, 0], None, packed_seq_params=PackedSeqParams("bshd", cu, cu)
        ),
        lambda: core(configuration(**two))(
            q[:, 0], k[:, 0], v[:, 0], None, packed_seq_params=PackedSeqParams("thd", cu, cu)
        ),
        lambda: core(configuration(**two))(
            q[:, 0], k[:, 0], v[:, 0], None, packed_seq_params=PackedSeqParams("thd", cu, cu // 2)
        ),
    ]
    messages = []
    for attempt in attempts:
        try:
            attempt()
            messages.append("no error")
        except (ValueError, TypeError, NotImplementedError) as error:
            messages.append(f"{type(error).__name__}: {error}")
    return messages


def test_what_it_cannot_honour_raises() -> None:
    expected = [
        "ValueError: attn_mask_type: expected a causal one",
        "ValueError: attention_type: expected 'self', got 'cross'",
        "NotImplementedError: qk_clip: not supported by triangle attention",
        "ValueError: window_size: expected a causal window (left, 0), got (5, 3)",
        "ValueError: attention_dropout: expected 0 <= p < 1, got 1.0",
        "NotImplementedError: cp_comm_type: expected 'p2p' (ring) or 'a2a' (all-to-all), got 'all_gather'",
        "NotImplementedError: attention_dropout: not supported with context parallelism, expected 0.0, got 0.1",
        "ValueError: cp_comm_type: 'a2a' over 2 ranks, 1 tensor-parallel: q: expected query heads that 2 ranks divide",
        "NotImplementedError: attention_mask: not supported with context parallelism",
        "TypeError: attention_mask: expected bool (True = masked out), got torch.float32",
        "NotImplementedError: attention_bias: not supported by triangle attention",
        "ValueError: attn_mask_type: expected a causal one, got AttnMaskType.no_mask",
        "ValueError: packed_seq_params: expected qkv_format 'thd', got 'bshd'",
        "ValueError: packed_seq_params: expected documents padded to a multiple of 4 tokens, got lengths [30, 66]",
        "ValueError: packed_seq_params: expected cu_seqlens_kv equal to cu_seqlens_q with context parallelism, got",
    ]
    for messages in ranks.run(refusals, 2):
        for got, want in zip(messages, expected, strict=True):
            assert got.startswith(want), (got, want)


def test_layer_specs() -> None:
    from megatron.core.models.gpt.gpt_layer_specs import get_gpt_layer_local_spec
    from megatron.core.transformer.dot_product_attention import DotProductAttention
    from megatron.core.transformer.spec_utils import ModuleSpec
    from triangle_attn_op.integrations.megatron import TriangleCoreAttention, with_triangle_attention

    for latent in (False, True):
        spec = get_gpt_layer_local_spec(multi_latent_attention=latent)
        changed = with_triangle_attention(spec)
        assert changed.submodules.self_attention.submodules.core_attention is TriangleCoreAttention
        assert spec.submodules.self_attention.submodules.core_attention is DotProductAttention  # the original is kept
    with pytest.raises(ValueError, match="spec: expected a ModuleSpec with a core_attention"):
        with_triangle_attention(ModuleSpec(module=torch.nn.Identity))


def test_arguments_as_extra_args_provider() -> None:
    from triangle_attn_op.integrations.megatron import add_arguments

    args = add_arguments(argparse.ArgumentParser()).parse_args(["--triangle-attn", "--triangle-block-size", "256"])
    assert args.triangle_attn
    assert args.triangle_block_size == 256


# In a model


def load_example() -> Any:
    """examples/megatron/pretrain_llama.py under a name of its own: examples/ has one of the same name."""
    spec = importlib.util.spec_from_file_location("megatron_pretrain_llama", EXAMPLE / "pretrain_llama.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def example_losses(rank: int, n: int, arguments: str) -> list[float]:
    example = load_example()

    args = example.parse(arguments.split())
    device = example.start(args)
    corpus = example.data.load(EXAMPLE, args.seq_length + 1)
    return example.train(args, example.build(args), corpus, device)


def test_losses_are_those_of_one_rank() -> None:
    alone = ranks.run(example_losses, 1, TINY)[0]
    assert alone[-1] < alone[0] - 0.3
    full = ranks.run(example_losses, 1, TINY.replace(" --triangle-attn", ""))[0]
    assert full == pytest.approx(alone, abs=2e-5)
    for n, extra in [
        (2, ""),
        (2, "--tensor-model-parallel-size 2"),
        (2, "--context-parallel-size 2"),
        (2, "--context-parallel-size 2 --cp-comm-type a2a --recompute --DDP-impl torch"),
        (4, "--context-parallel-size 2 --tensor-model-parallel-size 2"),
    ]:
        for losses in ranks.run(example_losses, n, f"{TINY} {extra}"):
            assert losses == pytest.approx(alone, abs=2e-5), (n, extra)
    grouped = f"{TINY} --num-query-groups 2"
    alone = ranks.run(example_losses, 1, grouped)[0]
    assert ranks.run(example_losses, 2, f"{grouped} --context-parallel-size 2")[0] == pytest.approx(alone, abs=2e-5)


# What else AscendSpeed's launch scripts pass.
SCRIPT = """--DDP-impl local --position-embedding-type rope --normalization RMSNorm --max-position-embeddings 96
    --tokenizer-name-or-path ./tokenizer --tokenizer-not-use-fast --data-impl mmap --split 949,50,1
    --distributed-backend nccl --lr-decay-style cosine --min-lr 1.0e-6 --weight-decay 1e-2 --clip-grad 1.0
    --lr-warmup-fraction .1 --log-interval 1 --save-interval 10000 --eval-interval 1000 --eval-iters 1
    --checkpoint-activations --recompute-method uniform --recompute-num-layers 30 --bf16"""


def test_launch_command(tmp_path: Path) -> None:
    """The command line of the documentation, as a user types it, with all that the scripts add."""
    command = [sys.executable, "-m", "torch.distributed.launch", "--standalone", "--nproc-per-node", "2"]
    command += [str(EXAMPLE / "pretrain_llama.py"), *TINY.split(), "--context-parallel-size", "2", "--train-iters", "1"]
    command += ["--data", str(EXAMPLE), "--losses", str(tmp_path / "losses.json"), *SCRIPT.split()]
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "attention: triangle; rank 0 sent" in done.stdout
    assert len(json.loads((tmp_path / "losses.json").read_text())) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--context-parallel-size 2", "expected a multiple of 2 processes"),
        ("--global-batch-size 3", "--global-batch-size: expected a multiple of 2"),
        ("--triangle-attn --seq-length 33", "--seq-length: expected a multiple of 2, got 33"),
        ("--fp16", "--fp16: expected --bf16"),
        (
            "--pipeline-model-parallel-size 4",
            "--pipeline-model-parallel-size: expected 1, no pipeline parallelism, got 4",
        ),
        ("--seed 99999999999999999999", "--seed: expected 0 <= seed < 2**32, got 99999999999999999999"),
    ],
)
def test_example_refuses_what_does_not_divide(arguments: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    example = load_example()

    with pytest.raises(SystemExit):
        example.parse(arguments.split())
    assert message in capsys.readouterr().err
    assert example.parse(["--local-rank=0"]).local_rank == 0  # as torch.distributed.launch calls it


# A layer of one's own


def own_layer(rank: int, n: int) -> list[list[Tensor]]:
    """Output and the gradient of the input with triangle attention (two block heights), and with the full matrix."""
    from megatron.core import parallel_state
    from megatron.core.models.common.embeddings.rotary_pos_embedding import RotaryEmbedding
    from parallel_attention import LlamaParallelAttention, causal_mask

    set_up(tp=n)
    config = configuration(tensor_model_parallel_size=n)
    rotary = RotaryEmbedding(kv_channels=16, rotary_percent=1.0, use_cpu_initialization=True)(40)
    results = []
    for triangle, block, mask in (
        (True, 1024, None),
        (True, 16, causal_mask(40, torch.device("cpu"))),
        (False, 1024, causal_mask(40, torch.device("cpu"))),
    ):
        torch.manual_seed(3)
        layer = LlamaParallelAttention(config, triangle, block, parallel_state.get_tensor_model_parallel_group())
        torch.manual_seed(5)
        x = torch.randn(40, 2, 64, requires_grad=True)
        out = layer(x, mask, rotary)
        out.square().sum().backward()
        assert x.grad is not None
        results.append([out.detach(), x.grad])
    return results


def test_parallel_attention_layer() -> None:
    (alone,) = ranks.run(own_layer, 1)
    for results in (alone, *ranks.run(own_layer, 2)):
        for output, gradient in results:
            assert torch.allclose(output, alone[2][0], atol=1e-5)
            assert torch.allclose(gradient, alone[2][1], atol=1e-5)
