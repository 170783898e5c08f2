"""Runs a function on n gloo ranks over the loopback device, each a process, and brings back what they return.

Processes are forked from a server that has imported torch once, so a group of ranks starts in a fraction of a second.
None outlives `run`.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import tempfile
import time
import traceback
from collections.abc import Callable
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(
    [
        "torch.distributed",
        "triangle_attn_op.distributed",
        "triangle_attn_op.integrations.transformers",
        "transformers.models.llama.modeling_llama",
        "transformers.trainer",
        "megatron.core.models.gpt",
    ]
)


class RankFailed(AssertionError):
    """Ranks that raised or died, with what each said."""

    def __init__(self, failures: dict[int, str]) -> None:
        super().__init__("".join(f"\n--- rank {rank} ---\n{text}" for rank, text in sorted(failures.items())))
        self.failures = failures


def run(
    function: Callable[..., Any],
    ranks: int,
    *args: Any,
    limit: float = 120.0,
    group_timeout: float = 60.0,
    **kwargs: Any,
) -> list[Any]:
    """`function(rank, ranks, *args, **kwargs)` on each rank, with an initialised default group; returns the ranks'
    results.

    Raises RankFailed where a rank raised, died or was still running after `limit` seconds.
    """
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store"
        processes, pipes = [], []
        try:
            for rank in range(ranks):
                receiver, sender = _context.Pipe(duplex=False)
                arguments = (sender, function, rank, ranks, str(store), group_timeout, args, kwargs)
                process = _context.Process(target=_main, args=arguments, daemon=True)
                process.start()
                sender.close()
                processes.append(process)
                pipes.append(receiver)
            results, failures = _collect(pipes, time.monotonic() + limit)
            for rank, process in enumerate(processes):
                process.join(timeout=5 if rank in results else 0.1)
                if rank not in results and rank not in failures:
                    failures[rank] = "still running, stopped by the test"
        finally:
            for process in processes:
                if process.is_alive():
                    process.kill()
                process.join()
    if failures:
        raise RankFailed(failures)
    return [results[rank] for rank in range(ranks)]


def _collect(pipes: list[Connection], deadline: float) -> tuple[dict[int, Any], dict[int, str]]:
    """Each rank's result or failure, as they come; a rank that closes its pipe without a word has died."""
    results: dict[int, Any] = {}
    failures: dict[int, str] = {}
    open_pipes = {pipe: rank for rank, pipe in enumerate(pipes)}
    while open_pipes and time.monotonic() < deadline:
        for pipe in wait(list(open_pipes), timeout=max(0.0, deadline - time.monotonic())):
            assert isinstance(pipe, Connection)
            rank = open_pipes.pop(pipe)
            try:
                good, value = pickle.loads(pipe.recv_bytes())
            except EOFError:
                good, value = False, "died without a word"
            (results if good else failures)[rank] = value
    return results, failures


def _main(
    pipe: Connection,
    function: Callable[..., Any],
    rank: int,
    ranks: int,
    store: str,
    group_timeout: float,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> None:
    import torch
    import torch.distributed as dist

    os.environ.update(GLOO_SOCKET_IFNAME="lo", RANK=str(rank), WORLD_SIZE=str(ranks), LOCAL_RANK=str(rank))
    torch.set_num_threads(1)
    try:
        dist.init_process_group(
            "gloo", init_method=f"file://{store}", rank=rank, world_size=ranks, timeout=timedelta(seconds=group_timeout)
        )
        result = function(rank, ranks, *args, **kwargs)
        pipe.send_bytes(
            pickle.dumps((True, result))
        )  # by value: a pipe's own pickling shares memory, which dies with its sender
        dist.destroy_process_group()
    except BaseException:
        pipe.send_bytes(pickle.dumps((False, traceback.format_exc())))
    finally:
        pipe.close()
