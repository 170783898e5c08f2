"""Pretrains a Llama of Megatron-Core on real text, with tensor and context parallelism, with or without triangle
attention.

    torchrun --nproc-per-node 2 examples/megatron/pretrain_llama.py --triangle-attn --context-parallel-size 2 \\
        --num-layers 2 --hidden-size 128 --ffn-hidden-size 352 --num-attention-heads 4 \\
        --micro-batch-size 2 --global-batch-size 8 --seq-length 512
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import gc
import json
import math
import os
import sys
import time
import warnings
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for the text, which the other example reads too
sys.path.insert(0, str(Path(__file__).resolve().parent))

import ascendspeed_flags
import on_cpu
from parallel_attention import causal_mask
from pretrain import data
from triangle_attn_op import add_arguments
from triangle_attn_op.distributed import counters


def main(arguments: list[str] | None = None) -> int:
    args = parse(arguments)
    try:
        if args.losses is not None:
            ascendspeed_flags.writable(args.losses, "--losses")
        corpus = data.load(args.data, args.seq_length + 1)
        device = start(args)
        losses = train(args, build(args).to(device), corpus, device)
    except (ValueError, OSError) as error:
        print(f"pretrain_llama.py: error: {error}", file=sys.stderr)
        return 2
    if dist.get_rank() == 0:
        sent = counters().bytes_sent
        print(
            f"loss {losses[0]:.4f} -> {losses[-1]:.4f} nats a byte; unigram entropy of the text "
            f"{corpus.unigram_entropy():.4f}"
        )
        print(f"attention: {'triangle' if args.triangle_attn else 'the full matrix'}; rank 0 sent {sent} bytes for it")
    gc.collect()  # DistributedDataParallel must not outlive the group (pytorch/pytorch#56297)
    dist.destroy_process_group()
    return 0


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sizes = {
        "num-layers": 2,
        "hidden-size": 128,
        "ffn-hidden-size": 352,
        "num-attention-heads": 4,
        "micro-batch-size": 2,
        "global-batch-size": 8,
        "seq-length": 512,
        "tensor-model-parallel-size": 1,
        "context-parallel-size": 1,
        "train-iters": 20,
    }
    for name, default in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument(
        "--num-query-groups", type=int, default=None, help="key heads; by default as many as attention heads"
    )
    parser.add_argument("--cp-comm-type", choices=["p2p", "a2a"], default="p2p", help="ring, or all-to-all")
    parser.add_argument("--seed", type=int, default=1234, help="below 2**32, as data and random states take it")
    parser.add_argument("--lr", type=float, default=3e-3, help="peak of the learning rate")
    parser.add_argument("--min-lr", type=float, default=None, help="its end; by default it stays at --lr")
    parser.add_argument("--lr-warmup-iters", type=int, default=0)
    parser.add_argument("--lr-warmup-fraction", type=float, default=None)
    parser.add_argument("--lr-decay-iters", type=int, default=None)
    parser.add_argument("--weight-decay", type=float, default=0.1)
    parser.add_argument("--clip-grad", type=float, default=0.0, help="largest norm of the gradient; 0: any")
    parser.add_argument("--log-interval", type=int, default=1)
    parser.add_argument("--max-position-embeddings", type=int, default=None)
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument(
        "--fp16", action="store_true", help="refused: weights are in the computing type here, see --bf16"
    )
    parser.add_argument(
        "--recompute",
        "--checkpoint-activations",
        action="store_true",
        help="recompute attention in the backward instead of keeping it",
    )
    parser.add_argument(
        "--data",
        "--data-path",
        type=Path,
        default=None,
        help="a file or folder of text; by default Python's own sources",
    )
    parser.add_argument("--losses", type=Path, default=None, help="write the losses here, as JSON")
    # torch.distributed.launch passes it, torchrun does not.
    parser.add_argument("--local-rank", "--local_rank", type=int, default=None, help=argparse.SUPPRESS)
    for flag in ("--save", "--load"):
        parser.add_argument(flag, type=Path, help="refused: this example writes no checkpoints")
    for flag in ("--save-interval", "--eval-interval", "--eval-iters", "--initial-loss-scale"):
        parser.add_argument(flag, type=float, help="no effect: no checkpoints, no validation, no float16 here")
    add_arguments(parser)
    ascendspeed_flags.add_flags(parser)
    args = parser.parse_args(arguments)
    _settle(args, parser)
    world = int(os.environ.get("WORLD_SIZE", "1"))
    parallel = args.tensor_model_parallel_size * args.context_parallel_size
    if world % parallel:
        parser.error(f"expected a multiple of {parallel} processes (tensor x context parallel size), got {world}")
    if args.global_batch_size % (args.micro_batch_size * (world // parallel)):
        parser.error(
            f"--global-batch-size: expected a multiple of {args.micro_batch_size * (world // parallel)} "
            f"(micro batch x data-parallel size), got {args.global_batch_size}"
        )
    if args.context_parallel_size > 1 and not args.triangle_attn:
        parser.error(
            "--context-parallel-size: needs --triangle-attn, Megatron's own local attention has no context parallelism"
        )
    if args.seq_length % (2 * args.context_parallel_size):
        parser.error(f"--seq-length: expected a multiple of {2 * args.context_parallel_size}, got {args.seq_length}")
    return args


def _settle(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """What launch scripts of AscendSpeed ask for: done, said to have no effect, or refused."""
    args.ddp_impl = args.ddp_impl or "local"
    if args.fp16:
        parser.error("--fp16: expected --bf16; float16 needs a loss scale, which examples/pretrain_llama.py has")
    if args.save is not None or args.load is not None:
        parser.error("--save, --load: this example writes no checkpoints; examples/pretrain_llama.py does")
    if not 0 <= args.seed < 2**32:
        parser.error(f"--seed: expected 0 <= seed < 2**32, got {args.seed}")
    if args.max_position_embeddings is not None and args.max_position_embeddings < args.seq_length:
        parser.error(
            f"--max-position-embeddings: expected at least --seq-length {args.seq_length}, "
            f"got {args.max_position_embeddings}"
        )
    if args.min_lr is None:
        args.min_lr = args.lr
    ascendspeed_flags.decay(args, parser.error)
    notes = ascendspeed_flags.settle(args, parser.error)
    if os.environ.get("RANK", "0") == "0":
        for line in notes:
            print(line, file=sys.stderr)


def learning_rate(args: argparse.Namespace, step: int) -> float:
    """Linear warm-up, then a cosine from lr to min_lr at lr_decay_iters; steps count from 1."""
    if step <= args.lr_warmup_iters:
        return args.lr * step / args.lr_warmup_iters
    done = min(1.0, (step - args.lr_warmup_iters) / max(1, args.lr_decay_iters - args.lr_warmup_iters))
    return args.min_lr + (args.lr - args.min_lr) * 0.5 * (1 + math.cos(math.pi * done))


def start(args: argparse.Namespace) -> torch.device:
    """Process groups, random states and the device of this rank."""
    from megatron.core import parallel_state, tensor_parallel

    warnings.filterwarnings("ignore", category=UserWarning, module="megatron")
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    for name, value in (("RANK", "0"), ("WORLD_SIZE", "1"), ("MASTER_ADDR", "127.0.0.1"), ("MASTER_PORT", "29511")):
        os.environ.setdefault(name, value)
    if hasattr(torch, "npu"):
        torch.npu.set_device(local_rank)
        device, backend = torch.device("npu", local_rank), "hccl"
    elif torch.cuda.is_available():
        torch.cuda.set_device(local_rank)
        device, backend = torch.device("cuda", local_rank), "nccl"
    else:
        on_cpu.stand_in()
        device, backend = torch.device("cpu"), "gloo"
    if not dist.is_initialized():
        dist.init_process_group(backend, timeout=datetime.timedelta(minutes=args.distributed_timeout_minutes))
    _check_agreement(args)
    parallel_state.initialize_model_parallel(
        tensor_model_parallel_size=args.tensor_model_parallel_size,
        context_parallel_size=args.context_parallel_size,
        distributed_timeout_minutes=args.distributed_timeout_minutes,
    )
    torch.manual_seed(args.seed)
    tensor_parallel.model_parallel_cuda_manual_seed(args.seed)
    return device


def _check_agreement(args: argparse.Namespace) -> None:
    """ValueError where a process was given other arguments than the first one."""
    mine = {name: value for name, value in vars(args).items() if name not in ("local_rank", "losses", "data")}
    everyone: list[dict[str, object]] = [{} for _ in range(dist.get_world_size())]
    dist.all_gather_object(everyone, mine)
    for rank, other in enumerate(everyone):
        for name, value in everyone[0].items():
            if other[name] != value:
                flag = f"--{name.replace('_', '-')}"
                raise ValueError(
                    f"expected the same arguments in every process: {flag} is {value} in process 0, {other[name]} in "
                    f"process {rank}"
                )


def build(args: argparse.Namespace) -> torch.nn.Module:
    """A Llama: RMSNorm, rotary embedding, SwiGLU, no biases. The same weights whatever the parallel sizes."""
    from megatron.core.models.gpt import GPTModel
    from megatron.core.models.gpt.gpt_layer_specs import get_gpt_layer_local_spec
    from megatron.core.transformer import TransformerConfig

    config = TransformerConfig(
        num_layers=args.num_layers,
        hidden_size=args.hidden_size,
        ffn_hidden_size=args.ffn_hidden_size,
        num_attention_heads=args.num_attention_heads,
        num_query_groups=args.num_query_groups,
        tensor_model_parallel_size=args.tensor_model_parallel_size,
        context_parallel_size=args.context_parallel_size,
        cp_comm_type=args.cp_comm_type if args.context_parallel_size > 1 else None,
        attention_dropout=0.0,
        hidden_dropout=0.0,
        normalization="RMSNorm",
        gated_linear_unit=True,
        activation_func=torch.nn.functional.silu,
        add_bias_linear=False,
        use_cpu_initialization=True,
        bf16=args.bf16,
        params_dtype=torch.bfloat16 if args.bf16 else torch.float32,
        pipeline_dtype=torch.bfloat16 if args.bf16 else torch.float32,
        recompute_granularity="selective" if args.recompute else None,
        masked_softmax_fusion=False,
        gradient_accumulation_fusion=False,
    )
    spec = get_gpt_layer_local_spec(normalization="RMSNorm")
    if args.triangle_attn:
        from triangle_attn_op.integrations.megatron import with_triangle_attention

        spec = with_triangle_attention(spec)
    return GPTModel(
        config,
        transformer_layer_spec=spec,
        vocab_size=256,
        max_sequence_length=args.seq_length,
        position_embedding_type="rope",
        share_embeddings_and_output_weights=False,
    )


def train(args: argparse.Namespace, model: torch.nn.Module, corpus: data.Corpus, device: torch.device) -> list[float]:
    """The loss of each step, over the whole global batch, the same on every rank."""
    from megatron.core import parallel_state

    ranks = parallel_state.get_data_parallel_world_size()
    everyone = parallel_state.get_data_parallel_group(with_context_parallel=True)
    # Megatron's own attention wants the square of the sequence as a mask; triangle attention knows that it is causal.
    mask = None if args.triangle_attn else causal_mask(args.seq_length, device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, betas=(0.9, 0.95), weight_decay=args.weight_decay)
    # Summed by hand, gradients are a sum over everyone; DistributedDataParallel makes means of them.
    local = args.ddp_impl == "local"
    replica = model if local else torch.nn.parallel.DistributedDataParallel(model, process_group=everyone)
    parts = 1 if local else dist.get_world_size(everyone)
    losses = []
    for step in range(args.train_iters):
        begin = time.perf_counter()
        whole = corpus.train_batch(args.seed, step, args.global_batch_size, args.seq_length + 1)
        mine = whole[parallel_state.get_data_parallel_rank() :: ranks]
        optimizer.zero_grad()
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(args, step + 1)
        total = torch.zeros((), device=device)
        micros = mine.split(args.micro_batch_size)
        for index, micro in enumerate(micros):
            batch = cut(micro.to(device))
            last = index == len(micros) - 1
            with contextlib.nullcontext() if local or last else replica.no_sync():
                loss = replica(batch["tokens"], batch["position_ids"], mask, labels=batch["labels"]).float().sum()
                loss = loss / (args.global_batch_size * args.seq_length)
                (loss * parts).backward()
            total += loss.detach()
        for parameter in model.parameters() if local else ():
            if parameter.grad is not None:
                dist.all_reduce(parameter.grad, group=everyone)
        dist.all_reduce(total, group=everyone)
        if not math.isfinite(float(total)):
            raise ValueError(f"step {step + 1}: the loss is {float(total)}: the run stops; a lower --lr may help")
        if args.clip_grad > 0:
            clip(args.clip_grad, model)
        optimizer.step()
        losses.append(float(total))
        if dist.get_rank() == 0 and (step + 1) % args.log_interval == 0:
            speed = args.global_batch_size * args.seq_length / (time.perf_counter() - begin)
            print(f"step {step + 1:4d}/{args.train_iters}  loss {losses[-1]:.4f}  {speed:,.0f} tokens/s", flush=True)
    if args.losses is not None and dist.get_rank() == 0:
        args.losses.write_text(json.dumps(losses))
    return losses


def clip(largest: float, model: torch.nn.Module) -> None:
    """Scales the gradients of all tensor-parallel parts of the model to at most the norm `largest`."""
    from megatron.core import parallel_state

    gradients = [(p, p.grad) for p in model.parameters() if p.grad is not None]
    group, first = (
        parallel_state.get_tensor_model_parallel_group(),
        parallel_state.get_tensor_model_parallel_rank() == 0,
    )
    # What is whole on every tensor-parallel rank counts once.
    parts = [g.float().square().sum() for p, g in gradients if getattr(p, "tensor_model_parallel", False) or first]
    square = torch.stack(parts).sum()
    dist.all_reduce(square, group=group)
    factor = (largest / (square.sqrt() + 1e-6)).clamp(max=1.0)
    for _, gradient in gradients:
        gradient.mul_(factor.to(gradient.dtype))


def cut(text: Tensor) -> dict[str, Tensor]:
    """This context-parallel rank's part of `[batch, seq + 1]` bytes, in zigzag, by Megatron's own split."""
    from megatron.core.utils import get_batch_on_this_cp_rank

    positions = torch.arange(text.shape[1] - 1, device=text.device).expand(text.shape[0], -1)
    return get_batch_on_this_cp_rank(
        {
            "tokens": text[:, :-1].contiguous(),
            "labels": text[:, 1:].contiguous(),
            "position_ids": positions.contiguous(),
        }
    )


if __name__ == "__main__":
    sys.exit(main())
