"""Command-line arguments for Megatron-style training scripts."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Adds `--triangle-attn` and `--triangle-block-size` and returns the parser, as Megatron's `extra_args_provider`
    does.
    """
    group = parser.add_argument_group(title="triangle attention")
    group.add_argument(
        "--triangle-attn",
        action="store_true",
        help="use triangle attention: only blocks on and below the causal diagonal are computed",
    )
    group.add_argument(
        "--triangle-block-size",
        type=_positive,
        default=1024,
        help="height of the block rows where a masked-softmax callable is used; the fused kernels choose "
        "their own tiles",
    )
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected an integer >= 1, got {text}")
    return value
