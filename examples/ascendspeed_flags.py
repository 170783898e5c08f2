"""Flags of AscendSpeed's and Megatron-LM's launch scripts, for both examples: each is honoured, or does nothing here
and says so, or is refused with what the example does instead. None is silently dropped."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

# What asks for the one thing that the examples do: (flag, type, the values that mean it, what the example does).
_FIXED: tuple[tuple[str, type, tuple[Any, ...], str], ...] = (
    ("--pipeline-model-parallel-size", int, (1,), "1, no pipeline parallelism"),
    ("--position-embedding-type", str, ("rope",), "rope"),
    ("--normalization", str, ("RMSNorm",), "RMSNorm"),
    ("--optimizer", str, ("adam", "fused_adam"), "adam"),
    ("--hidden-dropout", float, (0.0,), "0, a Llama has none"),
    ("--lr-decay-style", str, ("cosine",), "cosine"),
)

# Nothing to do here: (flag, whether it takes a value, why).
_WITHOUT_EFFECT: tuple[tuple[str, bool, str], ...] = (
    ("--tokenizer-name-or-path", True, "the text is taken byte by byte"),
    ("--tokenizer-type", True, "the text is taken byte by byte"),
    ("--tokenizer-not-use-fast", False, "the text is taken byte by byte"),
    ("--data-impl", True, "the text is read as it is"),
    ("--split", True, "one byte in twenty is held out, whole files"),
    ("--distributed-backend", True, "gloo on a CPU, hccl on an NPU"),
    ("--make-vocab-size-divisible-by", True, "the vocabulary is the 256 bytes"),
    ("--use-contiguous-buffers-in-ddp", False, "gradients are summed in one buffer anyway"),
    ("--mlp-layer-fusion", False, "a matter of speed"),
    ("--use-fused-rotary-pos-emb", False, "a matter of speed"),
    ("--use-flash-attn", False, "--triangle-attn is the fused attention here"),
    ("--sequence-parallel", False, "a matter of memory"),
    ("--use-distributed-optimizer", False, "a matter of memory"),
    ("--recompute-method", True, "--checkpoint-activations recomputes every layer"),
    ("--recompute-num-layers", True, "--checkpoint-activations recomputes every layer"),
    ("--no-load-optim", False, "a run goes on with all of its state"),
    ("--no-load-rng", False, "a run goes on with all of its state"),
)


def add_flags(parser: argparse.ArgumentParser, without: tuple[str, ...] = ()) -> None:
    """Adds the flags, except those in `without`, which the example has itself."""
    group = parser.add_argument_group("flags of AscendSpeed's and Megatron-LM's scripts")
    group.add_argument(
        "--DDP-impl",
        dest="ddp_impl",
        choices=["local", "torch"],
        help="local: gradients are summed over the processes once, after the last micro batch, as Megatron-LM's own "
        "class of that name did. torch: by PyTorch's DistributedDataParallel, which begins during the last backward. "
        "The sums are the same but for rounding",
    )
    group.add_argument(
        "--distributed-timeout-minutes",
        type=_positive_number,
        default=10.0,
        metavar="N",
        help="how long a process waits for another one that does not come",
    )
    for flag, kind, _, instead in _FIXED:
        if flag not in without:
            group.add_argument(flag, type=kind, help=f"expected: {instead}")
    for flag, value, why in _WITHOUT_EFFECT:
        if flag in without:
            continue
        if value:
            group.add_argument(flag, metavar="X", help=f"no effect: {why}")
        else:
            group.add_argument(flag, action="store_true", help=f"no effect: {why}")


def settle(args: argparse.Namespace, error: Callable[[str], Any]) -> list[str]:
    """Calls `error` for what the examples do otherwise than asked, and returns a line for what has no effect here."""
    for flag, _, values, instead in _FIXED:
        got = getattr(args, _name(flag), None)
        if got is not None and got not in values:
            error(f"{flag}: expected {instead}, got {got}")
    ignored = [(flag, why) for flag, _, why in _WITHOUT_EFFECT if getattr(args, _name(flag), None) not in (None, False)]
    reasons = dict.fromkeys(why for _, why in ignored)
    return [f"note: no effect here: {', '.join(f for f, w in ignored if w == why)} ({why})" for why in reasons]


def decay(args: argparse.Namespace, error: Callable[[str], Any]) -> None:
    """Settles `lr_decay_iters` and `lr_warmup_iters` of `args` from each other and `lr_warmup_fraction`."""
    if args.lr_decay_iters is None:
        args.lr_decay_iters = args.train_iters
    if args.lr_warmup_fraction is not None:
        args.lr_warmup_iters = math.ceil(args.lr_warmup_fraction * args.lr_decay_iters)
    if args.lr_warmup_iters > args.lr_decay_iters:
        decay_iters = "--train-iters" if args.lr_decay_iters == args.train_iters else "--lr-decay-iters"
        error(f"--lr-warmup-iters: expected at most {decay_iters} {args.lr_decay_iters}, got {args.lr_warmup_iters}")


def writable(path: Path, flag: str) -> None:
    """ValueError where no file can be made at `path`, before anything is computed for it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a"):
            pass
    except OSError as problem:
        raise ValueError(f"{flag}: {path} cannot be written ({problem.strerror})") from None


def _name(flag: str) -> str:
    return flag.removeprefix("--").replace("-", "_")


def _positive_number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number > 0, got {text!r}")
    return value
