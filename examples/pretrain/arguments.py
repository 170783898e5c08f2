"""Command line: flags named as in Megatron-LM and AscendSpeed, presets, and every check that needs no data and no
model."""

from __future__ import annotations

import argparse
import dataclasses
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ascendspeed_flags
import triangle_attn_op

# What a preset changes of the defaults; a flag on the command line still wins.
PRESETS: dict[str, dict[str, Any]] = {
    "demo": {
        "num_layers": 4,
        "hidden_size": 192,
        "ffn_hidden_size": 512,
        "num_attention_heads": 3,
        "seq_length": 512,
        "micro_batch_size": 4,
        "global_batch_size": 8,
        "lr": 3e-3,
        "train_iters": 100,
        "lr_warmup_iters": 10,
        "eval_interval": 25,
        "save_interval": 25,
        "triangle_attn": True,
    },
}

IMPLEMENTATIONS = ("triangle", "sdpa", "eager")

EXAMPLES = """
examples:
  pretrain_llama.py --preset demo                       a minute on two cores, with the comparison at its end
  pretrain_llama.py --triangle-attn --data my_texts/    your own text, byte by byte
  pretrain_llama.py --triangle-attn --num-layers 8 --hidden-size 512 --num-attention-heads 8 --num-query-groups 2 \\
      --seq-length 4096 --micro-batch-size 1 --global-batch-size 4 --train-iters 2000 --bf16
  torchrun --nproc-per-node 2 pretrain_llama.py --triangle-attn --global-batch-size 8 --micro-batch-size 2
  torchrun --nproc-per-node 2 pretrain_llama.py --triangle-attn --context-parallel-size 2 --seq-length 8192

A run that was interrupted goes on from its last checkpoint when the same command is given again.
"""


@dataclasses.dataclass(frozen=True)
class Config:
    """A run, checked. Lengths in tokens (bytes of text), batch sizes in sequences."""

    attn_implementation: str
    num_layers: int
    hidden_size: int
    ffn_hidden_size: int
    num_attention_heads: int
    num_query_groups: int
    seq_length: int
    attention_dropout: float
    context_parallel_size: int
    micro_batch_size: int
    global_batch_size: int
    train_iters: int
    lr: float
    min_lr: float
    lr_warmup_iters: int
    lr_decay_iters: int
    weight_decay: float
    adam_beta1: float
    adam_beta2: float
    clip_grad: float
    bf16: bool
    fp16: bool
    initial_loss_scale: float
    checkpoint_activations: bool
    ddp_impl: str
    distributed_timeout_minutes: float
    seed: int
    eval_interval: int
    eval_iters: int
    log_interval: int
    save_interval: int
    triangle_block_size: int
    data: Path | None
    output: Path
    fresh: bool
    compare: bool
    compare_seq_lengths: tuple[int, ...]
    compare_rounds: int

    # What may change between an interrupted run and its continuation; everything else decides the result.
    FREE = (
        "data",
        "output",
        "fresh",
        "context_parallel_size",
        "micro_batch_size",
        "checkpoint_activations",
        "ddp_impl",
        "distributed_timeout_minutes",
        "log_interval",
        "save_interval",
        "compare",
        "compare_seq_lengths",
        "compare_rounds",
    )

    def identity(self) -> dict[str, Any]:
        """The arguments that a checkpoint must share with the run that continues it."""
        return {name: value for name, value in dataclasses.asdict(self).items() if name not in self.FREE}


def parse(argv: Sequence[str] | None, world_size: int) -> Config:
    """The command line as a Config; SystemExit(2) with one clear line where it cannot be run on `world_size`
    processes."""
    parser = _parser()
    explicit = parser.parse_known_args(argv)[0]
    preset = explicit.preset
    if preset is not None:
        parser.set_defaults(**PRESETS[preset])
    args = parser.parse_args(argv)
    if args.attn_implementation is None:
        args.attn_implementation = "triangle" if args.triangle_attn else "sdpa"
    elif explicit.triangle_attn and args.attn_implementation != "triangle":
        parser.error(
            f"--attn-implementation: expected no such flag with --triangle-attn, got {args.attn_implementation}"
        )
    try:
        _fill_in(args, preset, world_size)
        _check(args, world_size)
    except ValueError as error:
        parser.error(str(error))
    for line in ascendspeed_flags.settle(args, parser.error):
        print(line, file=sys.stderr)
    return Config(**{field.name: getattr(args, field.name) for field in dataclasses.fields(Config)})


def _fill_in(args: argparse.Namespace, preset: str | None, world_size: int) -> None:
    """Defaults that depend on other flags; ValueError where two of them contradict each other."""
    ascendspeed_flags.decay(args, _raise)
    if args.ffn_hidden_size is None:
        args.ffn_hidden_size = max(16, round(args.hidden_size * 8 / 3 / 16) * 16)  # SwiGLU's usual 8/3
    if args.num_query_groups is None:
        args.num_query_groups = args.num_attention_heads
    if args.global_batch_size is None:
        args.global_batch_size = args.micro_batch_size * max(1, world_size // args.context_parallel_size)
    if args.min_lr is None:
        args.min_lr = args.lr / 10
    if args.output is None:
        args.output = args.save or args.load or Path("runs") / (preset or "llama")
    if args.ddp_impl is None:
        args.ddp_impl = "torch"
    if args.compare_seq_lengths is None:
        args.compare_seq_lengths = (args.seq_length, 4 * args.seq_length)


def _raise(message: str) -> None:
    raise ValueError(message)


def _check(args: argparse.Namespace, world_size: int) -> None:
    heads = args.num_attention_heads
    if args.seq_length < 2 or (args.compare and min(args.compare_seq_lengths) < 2):
        raise ValueError("--seq-length, --compare-seq-lengths: expected at least 2, a token and its successor")
    if args.hidden_size % heads:
        raise ValueError(f"--hidden-size: expected a multiple of --num-attention-heads {heads}, got {args.hidden_size}")
    if args.hidden_size // heads % 2:
        raise ValueError(
            f"--hidden-size: expected an even number for each of {heads} heads (rotary), got {args.hidden_size}"
        )
    if heads % args.num_query_groups:
        raise ValueError(
            f"--num-query-groups: expected a divisor of --num-attention-heads {heads}, got {args.num_query_groups}"
        )
    _check_processes(args, world_size)
    if args.min_lr > args.lr:
        raise ValueError(f"--min-lr: expected at most --lr {args.lr}, got {args.min_lr}")
    if args.bf16 and args.fp16:
        raise ValueError("--bf16, --fp16: expected at most one of the two")
    if args.max_position_embeddings is not None and args.max_position_embeddings < args.seq_length:
        raise ValueError(
            f"--max-position-embeddings: expected at least --seq-length {args.seq_length}, "
            f"got {args.max_position_embeddings}"
        )
    if args.tensor_model_parallel_size != 1:
        raise ValueError(
            f"--tensor-model-parallel-size: expected 1, got {args.tensor_model_parallel_size}; "
            "examples/megatron/pretrain_llama.py divides the heads"
        )
    for name in ("save", "load"):
        folder = getattr(args, name)
        if folder is not None and folder != args.output:
            raise ValueError(
                f"--{name}: expected the folder of the run, {args.output}, in which it goes on by itself, got {folder}"
            )
    if args.data is not None and not args.data.exists():
        raise ValueError(f"--data: expected a file or a folder, found nothing at {args.data}")


def _check_processes(args: argparse.Namespace, world_size: int) -> None:
    """Whether the processes can share the sequences and the batch."""
    cut = args.context_parallel_size
    if world_size % cut:
        raise ValueError(f"--context-parallel-size: expected a divisor of the {world_size} processes, got {cut}")
    if cut > 1 and args.attn_implementation != "triangle":
        raise ValueError(f"--context-parallel-size: expected --triangle-attn with it, got {args.attn_implementation}")
    if cut > 1 and args.attention_dropout > 0.0:
        raise ValueError(
            f"--attention-dropout: expected 0 with --context-parallel-size {cut}, got {args.attention_dropout}"
        )
    if args.seq_length % (2 * cut) and cut > 1:
        raise ValueError(
            f"--seq-length: expected a multiple of {2 * cut} with --context-parallel-size {cut}, got {args.seq_length}"
        )
    parts = world_size // cut
    step = args.micro_batch_size * parts
    if args.global_batch_size % step:
        processes = "process" if parts == 1 else "processes"
        processes = processes if cut == 1 else f"groups of {cut} processes"
        raise ValueError(
            f"--global-batch-size: expected a multiple of --micro-batch-size times the number of processes, "
            f"{args.micro_batch_size} x {parts} {processes} = {step}, got {args.global_batch_size}"
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pretrain_llama.py",
        description="Trains a Llama with random weights on real text, byte by byte, "
        "and compares triangle attention with eager and SDPA.",
        epilog=EXAMPLES,
        formatter_class=_Formatter,
    )
    parser.add_argument(
        "--preset", choices=sorted(PRESETS), help="sizes that fit together; any flag given besides still wins"
    )

    group = parser.add_argument_group("model")
    group.add_argument("--num-layers", type=_positive, default=4, metavar="N", help="transformer layers")
    group.add_argument("--hidden-size", type=_positive, default=256, metavar="N", help="width of the model")
    group.add_argument(
        "--ffn-hidden-size",
        type=_positive,
        metavar="N",
        help="width of the feed-forward layers (default: 8/3 of the hidden size)",
    )
    group.add_argument("--num-attention-heads", type=_positive, default=4, metavar="N", help="query heads")
    group.add_argument(
        "--num-query-groups", type=_positive, metavar="N", help="key and value heads (default: as many as query heads)"
    )
    group.add_argument("--seq-length", type=_positive, default=1024, metavar="N", help="tokens a sequence")
    group.add_argument(
        "--attention-dropout", type=_probability, default=0.0, metavar="P", help="on the attention probabilities"
    )

    group = parser.add_argument_group("training")
    group.add_argument(
        "--micro-batch-size", type=_positive, default=4, metavar="N", help="sequences at a time on each process"
    )
    group.add_argument(
        "--context-parallel-size",
        type=_positive,
        default=1,
        metavar="N",
        help="processes that cut each sequence among themselves (ring attention)",
    )
    group.add_argument(
        "--global-batch-size",
        type=_positive,
        metavar="N",
        help="sequences a step over all processes (default: one micro batch on each)",
    )
    group.add_argument("--train-iters", type=_positive, default=500, metavar="N", help="optimizer steps")
    group.add_argument(
        "--lr",
        type=_number(0.0, above=True),
        default=1e-3,
        help="peak learning rate of AdamW, reached after the warm-up",
    )
    group.add_argument(
        "--min-lr", type=_number(0.0), help="learning rate at the end of the cosine (default: a tenth of --lr)"
    )
    group.add_argument("--lr-warmup-iters", type=_natural, default=20, metavar="N", help="steps of linear warm-up")
    group.add_argument(
        "--lr-warmup-fraction", type=_probability, metavar="X", help="the same, as a part of --lr-decay-iters"
    )
    group.add_argument(
        "--lr-decay-iters", type=_positive, metavar="N", help="steps of the cosine (default: --train-iters)"
    )
    group.add_argument("--weight-decay", type=_number(0.0), default=0.1, help="of matrices; vectors have none")
    group.add_argument("--adam-beta1", type=_probability, default=0.9, metavar="B")
    group.add_argument("--adam-beta2", type=_probability, default=0.95, metavar="B")
    group.add_argument("--clip-grad", type=_number(0.0, above=True), default=1.0, help="largest norm of the gradient")
    group.add_argument(
        "--bf16", action="store_true", help="compute in bfloat16 by autocast; weights and optimizer stay float32"
    )
    group.add_argument(
        "--fp16", action="store_true", help="compute in float16 by autocast, with a loss scale that adapts"
    )
    group.add_argument(
        "--initial-loss-scale", type=_number(0.0, above=True), default=2.0**16, metavar="X", help="of --fp16"
    )
    group.add_argument(
        "--checkpoint-activations",
        action="store_true",
        help="keep each layer's input only and compute the layer again in the backward",
    )
    group.add_argument("--seed", type=_seed, default=1234, help="of weights, data order and dropout")

    triangle_attn_op.add_arguments(parser)
    group = parser.add_argument_group("attention, and the comparison at the end")
    group.add_argument(
        "--attn-implementation", choices=IMPLEMENTATIONS, help="instead of --triangle-attn (default without it: sdpa)"
    )
    group.add_argument("--no-compare", dest="compare", action="store_false", help="leave out the closing table")
    group.add_argument(
        "--compare-seq-lengths",
        type=_positive,
        nargs="+",
        metavar="N",
        help="lengths measured for it (default: --seq-length and four times it)",
    )
    group.add_argument(
        "--compare-rounds",
        type=_positive,
        default=5,
        metavar="N",
        help="timed steps of each implementation at each length",
    )

    group = parser.add_argument_group("data, evaluation, output")
    group.add_argument(
        "--data",
        "--data-path",
        type=Path,
        metavar="PATH",
        help="a text file, or a folder of them (default: the Python standard library's sources)",
    )
    group.add_argument("--eval-interval", type=_positive, default=50, metavar="N", help="steps between validations")
    group.add_argument(
        "--eval-iters", type=_positive, default=4, metavar="N", help="global batches of held-out text a validation"
    )
    group.add_argument(
        "--log-interval",
        type=_positive,
        default=10,
        metavar="N",
        help="steps between printed lines where there is no terminal",
    )
    group.add_argument(
        "--save-interval",
        type=_positive,
        default=50,
        metavar="N",
        help="steps between checkpoints: what an interruption may lose",
    )
    group.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help="checkpoints, metrics.jsonl, loss.png, summary.json (default: runs/<preset or llama>)",
    )
    group.add_argument("--save", type=Path, metavar="DIR", help="another name of --output")
    group.add_argument("--load", type=Path, metavar="DIR", help="the same folder: a run goes on from what is there")
    group.add_argument("--fresh", action="store_true", help="start anew even if --output holds a run that could go on")

    group = parser.add_argument_group("sizes that another script gives")
    group.add_argument(
        "--max-position-embeddings",
        type=_positive,
        metavar="N",
        help="at least --seq-length, no effect besides",
    )
    group.add_argument("--tensor-model-parallel-size", type=_positive, default=1, metavar="N", help="expected: 1")
    # torch.distributed.launch passes it, torchrun does not.
    group.add_argument("--local-rank", "--local_rank", type=int, default=None, help=argparse.SUPPRESS)
    ascendspeed_flags.add_flags(parser)
    return parser


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Defaults in the help of every flag that has one worth saying."""

    def __init__(self, prog: str, **kwargs: Any) -> None:
        super().__init__(prog, max_help_position=30, width=min(kwargs.pop("width", 110), 110), **kwargs)

    def _get_help_string(self, action: argparse.Action) -> str | None:
        help_text = action.help
        silent = action.default is None or isinstance(action.default, bool) or action.default == argparse.SUPPRESS
        return (
            help_text
            if silent or (help_text and "default" in help_text)
            else f"{help_text or ''} (default: {action.default})".strip()
        )


def _positive(text: str) -> int:
    value = _integer(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected an integer >= 1, got {text}")
    return value


def _natural(text: str) -> int:
    value = _integer(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"expected an integer >= 0, got {text}")
    return value


def _seed(text: str) -> int:
    value = _natural(text)
    if value >= 2**63:
        raise argparse.ArgumentTypeError(f"expected an integer below 2**63, got {text}")
    return value


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected an integer, got {text!r}") from None


def _number(least: float, above: bool = False) -> Callable[[str], float]:
    def convert(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or value < least or (above and value == least):
            raise argparse.ArgumentTypeError(f"expected a number {'>' if above else '>='} {least:g}, got {text!r}")
        return value

    return convert


def _probability(text: str) -> float:
    value = _number(0.0)(text)
    if value >= 1.0:
        raise argparse.ArgumentTypeError(f"expected 0 <= p < 1, got {text}")
    return value
