"""Triangle against eager and SDPA: one training step of the same model, each in its own process, timed in turns.

The processes are alive together but only one works at a time, step by step in rotating order, so whatever else the
machine does hits all alike. Peak memory is the growth of the process's resident set (of the device's allocation on an
NPU) beyond the loaded model: activations, gradients and optimizer state.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import multiprocessing
import resource
import signal
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
import triangle_attn_op

from . import model
from .arguments import IMPLEMENTATIONS, Config
from .data import Corpus
from .launch import Place


@dataclasses.dataclass(frozen=True)
class Job:
    """One implementation at one length; tokens int64 [B, S] are the same for all implementations."""

    config: Config
    implementation: str
    tokens: torch.Tensor
    device: torch.device
    threads: int


class ComparisonError(RuntimeError):
    """A measuring process failed; the message says which and why."""


def measure(config: Config, place: Place, corpus: Corpus) -> list[dict[str, Any]]:
    """A row for each length and implementation: tokens/s (median of the rounds, and their range), peak bytes, first
    loss, backend."""
    rows: list[dict[str, Any]] = []
    for length in config.compare_seq_lengths:
        size = max(1, config.micro_batch_size * config.seq_length // length)
        tokens = corpus.train_batch(config.seed, 0, size, length)
        jobs = [Job(config, name, tokens, place.device, torch.get_num_threads()) for name in IMPLEMENTATIONS]
        rows += _measure_together(jobs, config.compare_rounds)
    return rows


def _measure_together(jobs: list[Job], rounds: int) -> list[dict[str, Any]]:
    with _workers(jobs) as pipes:
        first = [_ask(pipe) for pipe in pipes]  # warm-up, and the same weights and tokens must give the same loss
        seconds: list[list[float]] = [[] for _ in jobs]
        for turn in range(rounds):
            for offset in range(len(jobs)):
                index = (turn + offset) % len(jobs)
                seconds[index].append(_ask(pipes[index])["seconds"])
        closing = [_ask(pipe, "finish") for pipe in pipes]
    rows = []
    for job, warm_up, times, last in zip(jobs, first, seconds, closing):
        batch, length = job.tokens.shape
        count = batch * length
        rows.append(
            {
                "implementation": job.implementation,
                "seq_length": length,
                "batch": batch,
                "tokens_per_second": count / statistics.median(times),
                "tokens_per_second_range": (count / max(times), count / min(times)),
                "peak_bytes": last["peak_bytes"],
                "first_loss": warm_up["loss"],
                "backend": last["backend"],
            }
        )
    return rows


@contextmanager
def _workers(jobs: list[Job]) -> Iterator[list[Connection]]:
    """A pipe to a fresh process for each job."""
    # A fork server imports the libraries once and has run nothing when it forks; a device's runtime, though, does not
    # survive a fork.
    context: Any = multiprocessing.get_context("forkserver" if jobs[0].device.type == "cpu" else "spawn")
    if jobs[0].device.type == "cpu":
        context.set_forkserver_preload([__name__, "transformers.models.llama.modeling_llama"])
    pipes, processes = [], []
    try:
        for job in jobs:
            here, there = context.Pipe()
            process = context.Process(target=_work, args=(job, there), daemon=True)
            with _no_interrupt():
                process.start()
            there.close()
            pipes.append(here)
            processes.append(process)
        yield pipes
    finally:
        for pipe in pipes:
            pipe.close()
        for process in processes:
            process.join(timeout=10)
            if process.is_alive():
                process.terminate()


@contextmanager
def _no_interrupt() -> Iterator[None]:
    """What is started meanwhile never sees Ctrl-C, since it inherits the mask: the parent handles it, and closes the
    pipes. Ctrl-C that comes here meanwhile waits."""
    resource_tracker.ensure_running()  # else it would be started now, which ends with Ctrl-C unblocked
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _ask(pipe: Connection, what: str = "step") -> dict[str, Any]:
    try:
        pipe.send(what)
        answer: dict[str, Any] = pipe.recv()
    except (EOFError, OSError):  # the pipe's end, or a reset where the process was killed while writing
        reason = "a measuring process ended without an answer, perhaps for want of memory"
        raise ComparisonError(f"comparison: {reason}; shorter --compare-seq-lengths, or --no-compare") from None
    if "error" in answer:
        raise ComparisonError(f"comparison: {answer['error']}")
    return answer


def _work(job: Job, pipe: Connection) -> None:
    """The measuring process: one training step for each "step", the peak and the backend for "finish"."""
    try:
        torch.set_num_threads(job.threads)
        llama = model.build(job.config, job.device, job.implementation, seq_length=job.tokens.shape[1])
        optimizer = model.optimizer(job.config, llama)
        tokens = job.tokens.to(job.device)
        llama.train()
        memory = _PeakMemory(job.device)
        while pipe.recv() == "step":
            started = time.perf_counter()
            optimizer.zero_grad(set_to_none=True)
            loss = model.loss(llama, {"input_ids": tokens, "labels": tokens}, job.config)
            loss.backward()
            optimizer.step()
            value = loss.item()  # waits for the device
            pipe.send({"seconds": time.perf_counter() - started, "loss": value})
        backend = triangle_attn_op.last_backend() if job.implementation == "triangle" else f"torch {torch.__version__}"
        pipe.send({"peak_bytes": memory.growth(), "backend": backend.removesuffix(" backward")})
    except EOFError:
        return  # the parent gave up
    except Exception as error:
        with contextlib.suppress(OSError):
            pipe.send(
                {"error": f"{job.implementation}, {list(job.tokens.shape)} tokens: {type(error).__name__}: {error}"}
            )


class _PeakMemory:
    """Growth of this process's peak memory since construction, in bytes."""

    def __init__(self, device: torch.device) -> None:
        gc.collect()
        self._npu = None if device.type == "cpu" else getattr(torch, device.type)
        if self._npu is not None:
            self._npu.reset_peak_memory_stats()
            self._base = self._npu.memory_allocated()
            return
        # Resets the peak to what is resident now (proc(5)); where it cannot, imports count too, for all alike.
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
        self._base = self._peak()

    def growth(self) -> int:
        return int(self._npu.max_memory_allocated() if self._npu is not None else self._peak()) - self._base

    @staticmethod
    def _peak() -> int:
        with contextlib.suppress(OSError):
            for line in Path("/proc/self/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
