"""How each kind of row is measured: the gate, the contenders, and the figures that its goal names."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial

import torch
from torch import Tensor

from .. import schedule
from . import check, opponents
from .check import Attention
from .opponents import OpponentMissing
from .problem import Problem, ours
from .timing import Contender, Effort, Times, alternate

Tensors = tuple[Tensor, Tensor, Tensor, Tensor]
Run = Callable[[], object]


@dataclass
class Measurement:
    figures: dict[str, float]
    measured: str
    rates: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    rounds: int = 0
    note: str = ""


def call(attention: Attention, tensors: Tensors, direction: str) -> Run:
    """One forward without grad, one backward of a forward done here and now, or both."""
    q, k, v, dout = tensors
    if direction == "forward":
        return lambda: attention(q, k, v)
    leaves = [t.detach().requires_grad_() for t in (q, k, v)]
    if direction == "backward":
        out = attention(leaves[0], leaves[1], leaves[2])
        return lambda: torch.autograd.grad(out, leaves, dout, retain_graph=True)
    return lambda: torch.autograd.grad(attention(leaves[0], leaves[1], leaves[2]), leaves, dout)


def checked(problem: Problem, direction: str) -> tuple[Run, Tensors]:
    """This package's call on the problem, after its result passed the gate."""
    tensors = problem.tensors()
    attention = partial(ours, problem)
    check.gate(problem, attention, tensors, backward=direction != "forward")
    return call(attention, tensors, direction), tensors


def against_sdpa(problem: Problem, direction: str, effort: Effort) -> Measurement:
    """Speed over SDPA, and the rate as a share of SGEMM's and of the micro-kernel's."""
    run, tensors = checked(problem, direction)
    sgemm, sgemm_flops = opponents.sgemm()
    micro, micro_flops = opponents.micro_kernel(problem.dtype)
    times = alternate(
        {
            "ours": run,
            "SDPA": call(partial(opponents.sdpa, problem), tensors, direction),
            "SGEMM": sgemm,
            "micro": micro,
        },
        effort,
    )
    flops = problem.flops(direction)
    rates = _rates(times, {"ours": flops, "SDPA": flops, "SGEMM": sgemm_flops, "micro": micro_flops()})
    figures = {
        "x SDPA": times.speed_up("ours", over="SDPA"),
        "of SGEMM": times.speed_up("ours", over="SGEMM") * flops / sgemm_flops,
        "of micro-kernel": times.speed_up("ours", over="micro") * flops / micro_flops(),
    }
    measured = (
        f"{_rate(rates['ours'])} GFLOP/s = {figures['x SDPA']:.2f} x SDPA ({_rate(rates['SDPA'])}), "
        f"{figures['of SGEMM']:.2f} of SGEMM ({_rate(rates['SGEMM'])}), "
        f"{figures['of micro-kernel']:.2f} of micro-kernel ({_rate(rates['micro'])})"
    )
    return _measurement(times, figures, measured, rates)


def against_python(problem: Problem, direction: str, effort: Effort, *, opponent: str) -> Measurement:
    """Speed over "FlexAttention" (forward), "block loop" or "full matrix"."""
    run, tensors = checked(problem, direction)
    q, k, v, _ = tensors
    candidates: dict[str, Attention]
    if opponent == "FlexAttention":
        candidates = {"": opponents.flex(problem, q, k, v)}
    elif opponent == "block loop":
        blocks = [block for block in (256, 512, 1024) if block <= max(problem.seq_q, 256)]
        candidates = {f"block {block}": partial(opponents.block_loop, problem, block=block) for block in blocks}
    else:
        candidates = {"": partial(opponents.full_matrix, problem)}
    note = ""
    if len(candidates) > 1:  # only the fastest of its block sizes competes
        trial = alternate({name: call(f, tensors, "forward") for name, f in candidates.items()}, Effort(1, 1, 0.0))
        note = min(candidates, key=trial.median)
        candidates = {note: candidates[note]}
    attention = next(iter(candidates.values()))
    backward = direction != "forward"
    theirs = attention(q, k, v).detach()
    check.require(opponent, theirs, opponents.sdpa(problem, q, k, v), check.TOLERANCE[problem.dtype])
    times = alternate({"ours": run, opponent: call(attention, tensors, direction)}, effort)
    rates = _rates(times, dict.fromkeys(("ours", opponent), problem.flops(direction)))
    figures = {f"x {opponent}": times.speed_up("ours", over=opponent)}
    measured = (
        f"{_rate(rates['ours'])} GFLOP/s = {figures[f'x {opponent}']:.2f} x {opponent} ({_rate(rates[opponent])})"
        + ("" if backward else ", forward only")
    )
    return _measurement(times, figures, measured, rates, note)


def small(problem: Problem, direction: str, effort: Effort) -> Measurement:
    """Speed over SDPA where a call costs about as much as its dispatch."""
    run, tensors = checked(problem, direction)
    times = alternate({"ours": run, "SDPA": call(partial(opponents.sdpa, problem), tensors, direction)}, effort)
    figures = {"x SDPA": times.speed_up("ours", over="SDPA")}
    measured = (
        f"{times.median('ours') * 1e6:.0f} us = {figures['x SDPA']:.2f} x SDPA ({times.median('SDPA') * 1e6:.0f} us)"
    )
    return _measurement(times, figures, measured)


def speed_over(
    problem: Problem, direction: str, effort: Effort, *, other: Problem, name: str, figure: str
) -> Measurement:
    """How many times faster the problem is than another problem of this package."""
    run, _ = checked(problem, direction)
    run_other, _ = checked(other, direction)
    times = alternate({"ours": run, name: run_other}, effort)
    figures = {figure: times.speed_up("ours", over=name)}
    measured = f"{_time(times.median('ours'))} = {figures[figure]:.2f} {figure} ({_time(times.median(name))})"
    return _measurement(times, figures, measured)


def predicted_by_blocks(problem: Problem, direction: str, effort: Effort, *, dense: Problem) -> Measurement:
    """The speed-up over the dense problem as a share of what the counted blocks predict."""
    run, _ = checked(problem, direction)
    run_dense, _ = checked(dense, direction)
    times = alternate({"ours": run, "dense": run_dense}, effort)
    speed_up = times.speed_up("ours", over="dense")
    predicted = blocks(dense, direction) / blocks(problem, direction)
    figures = {"of prediction": speed_up / predicted, "x dense": speed_up, "x predicted": predicted}
    measured = (
        f"{speed_up:.2f} x dense, blocks predict {predicted:.2f}: {figures['of prediction']:.2f} of it "
        f"({_time(times.median('ours'))}, {_time(times.median('dense'))})"
    )
    flops = {"ours": problem.flops(direction), "dense": dense.flops(direction)}
    return _measurement(times, figures, measured, _rates(times, flops))


def intervals(problem: Problem, direction: str, effort: Effort, *, dense: Problem) -> Measurement:
    """As predicted_by_blocks(), and against SDPA with the equivalent bool mask."""
    run, tensors = checked(problem, direction)
    run_dense, _ = checked(dense, direction)
    masked = call(partial(opponents.masked_sdpa, problem.mask()), tensors, direction)
    times = alternate({"ours": run, "dense": run_dense, "SDPA": masked}, effort)
    speed_up = times.speed_up("ours", over="dense")
    predicted = blocks(dense, direction) / blocks(problem, direction)
    figures = {"of prediction": speed_up / predicted, "x dense": speed_up, "x predicted": predicted}
    figures["x SDPA"] = times.speed_up("ours", over="SDPA")
    measured = (
        f"{speed_up:.2f} x causal, blocks predict {predicted:.2f}: {figures['of prediction']:.2f} of it; "
        f"{figures['x SDPA']:.2f} x SDPA ({_time(times.median('ours'))}, {_time(times.median('SDPA'))})"
    )
    flops = {"ours": problem.flops(direction), "dense": dense.flops(direction), "SDPA": problem.flops(direction)}
    return _measurement(times, figures, measured, _rates(times, flops))


def blocks(problem: Problem, direction: str) -> int:
    """Blocks of the schedule that hold a visible pair."""
    if problem.intervals is not None:
        return problem.planned(direction == "backward").blocks
    packed = problem.documents > 1
    cu_seq = problem.cu_seq().tolist() if packed else None
    heads_q, heads_kv, seq_q, seq_k = problem.heads_q, problem.heads_kv, problem.seq_q, problem.seq_k
    plan = schedule.plan(
        (problem.batch, heads_q, heads_kv, seq_q, seq_k),
        cores=1,
        window_size_left=None if problem.keys_in_window is None else problem.keys_in_window - 1,
        cu_seq_q=cu_seq,
        backward=direction == "backward",
    )
    return plan.blocks


def odd(problem: Problem, direction: str, effort: Effort, *, full: Problem) -> Measurement:
    """The rate as a share of the next full size's."""
    run, _ = checked(problem, direction)
    run_full, _ = checked(full, direction)
    times = alternate({"ours": run, "full size": run_full}, effort)
    flops, full_flops = problem.flops(direction), full.flops(direction)
    rates = _rates(times, {"ours": flops, "full size": full_flops})
    figures = {"of full size": times.speed_up("ours", over="full size") * flops / full_flops}
    share, full_rate = figures["of full size"], _rate(rates["full size"])
    measured = f"{_rate(rates['ours'])} GFLOP/s = {share:.2f} of full size {full} ({full_rate})"
    return _measurement(times, figures, measured, rates)


def decode(problem: Problem, direction: str, effort: Effort) -> Measurement:
    """Bytes of K and V a second, as a share of the machine's read bandwidth over that very memory."""
    run, tensors = checked(problem, direction)
    _, k, v, _ = tensors
    times = alternate(
        {
            "ours": run,
            "SDPA": call(partial(opponents.sdpa, problem), tensors, direction),
            "read in C": opponents.read_in_c(k, v),
            "read by torch.sum": opponents.read_in_torch(k, v),
        },
        effort,
    )
    readers = ("read in C", "read by torch.sum")
    best = min(readers, key=times.median)
    size = problem.key_value_bytes()
    figures = {
        "of read bandwidth": times.speed_up("ours", over=best),
        "x SDPA": times.speed_up("ours", over="SDPA"),
        "GB/s": size / times.median("ours") * 1e-9,
    }
    measured = (
        f"{figures['GB/s']:.1f} GB/s = {figures['of read bandwidth']:.2f} of {best} "
        f"({size / times.median(best) * 1e-9:.1f} GB/s over {size / 2**20:.0f} MiB), {figures['x SDPA']:.2f} x SDPA"
    )
    return _measurement(times, figures, measured)


def scaling(problem: Problem, direction: str, effort: Effort) -> Measurement:
    """Speed of two threads over one."""
    if torch.get_num_threads() < 2:
        raise OpponentMissing("one thread only: the machine, OMP_NUM_THREADS or --threads gives no second one")
    run, _ = checked(problem, direction)
    times = alternate({"ours": Contender(run, threads=2), "1 thread": Contender(run, threads=1)}, effort)
    figures = {"x 1 thread": times.speed_up("ours", over="1 thread")}
    flops = problem.flops(direction)
    rates = _rates(times, {"ours": flops, "1 thread": flops})
    measured = (
        f"{_rate(rates['ours'])} GFLOP/s = {figures['x 1 thread']:.2f} x 1 thread ({_rate(rates['1 thread'])} GFLOP/s)"
    )
    return _measurement(times, figures, measured, rates)


def memory(problem: Problem, direction: str, effort: Effort) -> Measurement:
    """Extra memory of a fresh process, as a share of what the goal allows."""
    checked(problem, direction)
    command = [sys.executable, "-m", f"{__package__}.memory", json.dumps(asdict(problem)), str(torch.get_num_threads())]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last_line = (done.stderr.strip() or "no message").splitlines()[-1]
        raise OpponentMissing(f"the process that measures memory failed: {last_line}")
    extra, allowed = json.loads(done.stdout)
    figures = {"of allowed memory": extra / allowed, "MiB": extra / 2**20}
    measured = f"{extra / 2**20:.1f} MiB extra, {allowed / 2**20:.1f} MiB allowed"
    return Measurement(figures, measured)


def _rates(times: Times, flops: dict[str, float]) -> dict[str, float]:
    return {name: count / times.median(name) * 1e-9 for name, count in flops.items()}


def _rate(gflops: float) -> str:
    return f"{gflops:.0f}" if gflops >= 10 else f"{gflops:.2g}"


def _time(seconds: float) -> str:
    return f"{seconds * 1e3:.2f} ms" if seconds < 1 else f"{seconds:.2f} s"


def _measurement(
    times: Times, figures: dict[str, float], measured: str, rates: dict[str, float] | None = None, note: str = ""
) -> Measurement:
    return Measurement(figures, measured, rates or {}, times.medians(), times.count(), note)
