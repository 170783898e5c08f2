"""Rows of attention over a cache: decoding against the read bandwidth, pages against one piece, prompts in chunks."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from .. import triangle_attention, triangle_attention_with_kvcache
from . import measures, opponents
from .measures import Measurement, Run
from .opponents import OpponentMissing
from .problem import Problem, caches
from .timing import Contender, Effort


def _call(problem: Problem, tensors: measures.Tensors) -> tuple[Run, tuple[Tensor, Tensor]]:
    """One call over a cache that is filled beforehand, and the cache's memory."""
    q, k, v, _ = tensors
    k_cache, v_cache, options = caches(problem, k, v)
    rows = q.transpose(1, 2).contiguous()
    lengths = torch.full((problem.batch,), problem.seq_k, dtype=torch.int32)
    return partial(triangle_attention_with_kvcache, rows, k_cache, v_cache, lengths, **options), (k_cache, v_cache)


def decode(problem: Problem, direction: str, effort: Effort) -> Measurement:
    """Bytes of keys and values a second as a share of the bandwidth of reading that cache, and over the same in one
    piece.
    """
    _, tensors = measures.checked(problem, direction)
    run, memory = _call(problem, tensors)
    one_piece, _ = _call(problem.with_(page_size=0), tensors)
    times = measures.alternate(
        {
            "ours": run,
            "one piece": one_piece,
            "read in C": opponents.read_in_c(*memory),
            "read by torch.sum": opponents.read_in_torch(*memory),
        },
        effort,
    )
    best = min(("read in C", "read by torch.sum"), key=times.median)
    size = problem.key_value_bytes()
    figures = {
        "of read bandwidth": times.speed_up("ours", over=best),
        "x one piece": times.speed_up("ours", over="one piece"),
        "GB/s": size / times.median("ours") * 1e-9,
    }
    measured = (
        f"{figures['GB/s']:.1f} GB/s = {figures['of read bandwidth']:.2f} of {best} "
        f"({size / times.median(best) * 1e-9:.1f} GB/s over {size / 2**20:.0f} MiB), "
        f"{figures['x one piece']:.2f} x a cache in one piece"
    )
    return measures._measurement(times, figures, measured)


def chunk(problem: Problem, direction: str, effort: Effort) -> Measurement:
    """The rate of a chunk of a prompt as a share of the forward's over the whole prompt."""
    _, tensors = measures.checked(problem, direction)
    run, _ = _call(problem, tensors)
    whole = problem.with_(seq_q=problem.seq_k, page_size=None)
    q, k, v, _ = whole.tensors()
    times = measures.alternate({"ours": run, "whole": partial(triangle_attention, q, k, v)}, effort)
    flops = {"ours": problem.flops(direction), "whole": whole.flops(direction)}
    rates = {name: count / times.median(name) * 1e-9 for name, count in flops.items()}
    figures = {"of the forward": times.speed_up("ours", over="whole") * flops["ours"] / flops["whole"]}
    measured = (
        f"{rates['ours']:.3g} GFLOP/s = {figures['of the forward']:.2f} of the forward over the whole prompt "
        f"({rates['whole']:.3g})"
    )
    return measures._measurement(times, figures, measured, rates)


def threads(problem: Problem, direction: str, effort: Effort) -> Measurement:
    """Speed of two threads over one."""
    if torch.get_num_threads() < 2:
        raise OpponentMissing("one thread only: the machine, OMP_NUM_THREADS or --threads gives no second one")
    _, tensors = measures.checked(problem, direction)
    run, _ = _call(problem, tensors)
    times = measures.alternate({"ours": Contender(run, threads=2), "1 thread": Contender(run, threads=1)}, effort)
    figures = {"x 1 thread": times.speed_up("ours", over="1 thread")}
    measured = f"{times.median('ours') * 1e3:.2f} ms = {figures['x 1 thread']:.2f} x 1 thread"
    return measures._measurement(times, figures, measured)
