"""Pretrains a Llama (transformers, random weights) on real text; compares triangle attention with eager and SDPA.

    python examples/pretrain_llama.py --preset demo
    torchrun --nproc-per-node 2 examples/pretrain_llama.py --triangle-attn --global-batch-size 8

`--help` lists every flag; examples/README.md says what comes out.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
import triangle_attn_op
from pretrain import arguments, compare, data, launch, lock, report, trainer
from pretrain.arguments import Config
from pretrain.launch import Place
from rich.console import Console


def main(argv: Sequence[str] | None = None) -> int:
    """One run from the command line to summary.json; returns the exit status."""
    config = arguments.parse(argv, launch.world_size())
    try:
        corpus = data.load(
            config.data, max(config.seq_length, *config.compare_seq_lengths) if config.compare else config.seq_length
        )
    except (ValueError, OSError) as error:
        return _fail(error)
    place = launch.start(config.distributed_timeout_minutes)
    with contextlib.ExitStack() as held:
        try:
            place.agree(_take(config, place, held))
            run = trainer.Trainer(config, place, corpus)
            if place.first:
                _introduce(config, place, corpus, run)
            outcome = run.train()
        except KeyboardInterrupt:
            print(
                f"\ninterrupted; the same command goes on from the last checkpoint in {config.output}", file=sys.stderr
            )
            return 130
        except (ValueError, OSError, MemoryError, RuntimeError) as error:
            return _fail(_one_line(error))
        finally:
            run = None  # its reducer must not outlive the processes' group
            launch.stop(place)
        try:
            return _close(config, place, corpus, outcome) if place.first else 0
        except OSError as error:
            return _fail(_one_line(error))


def _take(config: Config, place: Place, held: contextlib.ExitStack) -> Exception | None:
    """The first process takes the output folder for this run until `held` closes; what stands in the way."""
    if not place.first:
        return None
    try:
        held.enter_context(lock.exclusive(config.output))
        if aside := trainer.set_aside_if_finished(config):
            print(f"the run that was in {config.output} is now in {aside}")
    except (ValueError, OSError) as error:
        return _one_line(error)
    return None


def _one_line(error: Exception) -> Exception:
    """What a user can act on, in one line; an error that is none of these is a fault of the program and keeps its
    traceback."""
    if isinstance(error, OSError) and error.filename is not None:
        return ValueError(f"--output: {error.filename}: {error.strerror}")
    text = str(error)
    if isinstance(error, MemoryError) or "not enough memory" in text or "out of memory" in text.lower():
        return ValueError("out of memory; a smaller --micro-batch-size or --seq-length, or --checkpoint-activations")
    if isinstance(error, ValueError | OSError):
        return error
    if isinstance(error, dist.DistError) or "Timed out" in text or "Connection closed by peer" in text:
        return ValueError(f"another process is gone or does not answer ({text.splitlines()[0]})")
    raise error


def _introduce(config: Config, place: Place, corpus: data.Corpus, run: trainer.Trainer) -> None:
    parameters = sum(p.numel() for p in run.model.parameters())
    processes = "" if place.world_size == 1 else f" x {place.world_size} processes"
    heads = config.num_attention_heads
    precision = "bfloat16" if config.bf16 else "float16" if config.fp16 else "float32"
    print(
        f"text        {corpus.source}: {corpus.files:,} files, {len(corpus.train):,} bytes to train on, "
        f"{len(corpus.held_out):,} held out\n"
        f"model       Llama, {parameters / 1e6:.2f} M parameters, {config.num_layers} layers, "
        f"{heads} heads of {config.hidden_size // heads}, attention: {config.attn_implementation}\n"
        f"training    {config.train_iters} steps of {config.global_batch_size} x {config.seq_length} tokens on "
        f"{place.device.type}{processes}, {torch.get_num_threads()} threads, {precision}",
        flush=True,
    )


def _close(config: Config, place: Place, corpus: data.Corpus, outcome: trainer.Outcome) -> int:
    """The result in words, the comparison, and both in summary.json, whose presence marks the run as finished."""
    below = outcome.unigram_entropy - outcome.validation_loss
    print(f"\nvalidation loss  {outcome.validation_loss:.4f} nats a byte, {abs(below):.4f} ", end="")
    print("below" if below > 0 else "ABOVE", "the best that is possible without context:")
    print(f"unigram entropy  {outcome.unigram_entropy:.4f} nats a byte, of the held-out text")
    if outcome.tokens:
        print(f"training speed   {outcome.tokens_per_second:,.0f} tokens/s")
    if config.attn_implementation == "triangle":
        print(f"last backend     {triangle_attn_op.last_backend() or 'none, there was nothing left to train'}")
    rows: list[dict[str, Any]] = []
    status = 0
    if config.compare:
        try:
            rows = _compare(config, place, corpus)
        except compare.ComparisonError as error:  # the training is done all the same
            status = _fail(error)
        except KeyboardInterrupt:
            print("\ninterrupted; the training is done, the comparison is left out", file=sys.stderr)
            status = 130
    summary = {
        "arguments": {**config.identity(), "data": str(config.data) if config.data else None},
        "validation_loss": outcome.validation_loss,
        "unigram_entropy": outcome.unigram_entropy,
        "parameters": outcome.parameters,
        "tokens_per_second": outcome.tokens_per_second,
        "last_backend": triangle_attn_op.last_backend(),
        "comparison": rows,
    }
    report.replace(config.output / "summary.json", json.dumps(summary, indent=2, allow_nan=False) + "\n")
    print(f"\nin {config.output}: loss.png (the loss curve), summary.json, metrics.jsonl, checkpoints/")
    return status


def _compare(config: Config, place: Place, corpus: data.Corpus) -> list[dict[str, Any]]:
    print("\nmeasuring triangle, sdpa and eager in turns ...\n", flush=True)
    rows = compare.measure(config, place, corpus)
    report.comparison_table(rows, Console(width=None if sys.stdout.isatty() else 120))
    losses = [(row["seq_length"], row["first_loss"]) for row in rows]
    spread = max(abs(a - b) for length, a in losses for other, b in losses if length == other)
    print(
        f"tokens/s: median of {config.compare_rounds} steps each (forward, backward, AdamW), taken in turns.\n"
        "Peak memory: growth of a fresh process beyond the loaded model.\n"
        f"The first step's loss is the same for all three to {spread:.1e}."
    )
    return rows


def _fail(error: Exception) -> int:
    print(f"pretrain_llama.py: error: {error}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
