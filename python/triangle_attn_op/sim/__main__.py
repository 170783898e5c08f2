"""python -m triangle_attn_op.sim --shape B,Hq,Hkv,Sq,Sk,D[,Dv] --dtype bf16 --soc Ascend910B2 [--timing-only]

Runs the kernel on random inputs with every check (and compares with fp64 where the score matrix is small), or only
times it, and prints what it did. `--goals` prints the table of goals instead.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch

from ..ascend_sim import Report
from .attention import attn_forward
from .backward import attn_backward, model_backward
from .model import Bends, Modelled, Shape, model_forward

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
_PIPES = {
    "M": "cube",
    "MTE1": "L1 -> L0",
    "MTE2": "GM -> L1, UB",
    "FIX": "L0C -> GM",
    "V": "vector",
    "MTE3": "UB -> GM",
}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m triangle_attn_op.sim", description=(__doc__ or "").split("\n\n")[1]
    )
    parser.add_argument("--shape", help="B,Hq,Hkv,Sq,Sk,D or B,Hq,Hkv,Sq,Sk,D,Dv")
    parser.add_argument("--dtype", choices=_DTYPES, default="bf16")
    parser.add_argument("--soc", default="Ascend910B2")
    parser.add_argument("--cores", type=int, help="AI cores to use (default: the chip's)")
    parser.add_argument("--pass", dest="direction", choices=["fwd", "bwd"], default="fwd")
    parser.add_argument("--deterministic", action="store_true", help="the backward's deterministic path")
    parser.add_argument("--window-size-left", type=int)
    parser.add_argument("--diagonal", type=int)
    parser.add_argument(
        "--bend",
        default="",
        metavar="LIST",
        help="with --timing-only: softcap, alibi, sinks, mask (float, q's dtype), mask32, separated by commas",
    )
    parser.add_argument("--timing-only", action="store_true", help="no data, no checks: any size, in seconds")
    parser.add_argument("--order", choices=["eager", "lazy", "random"], default="eager")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="override a chip parameter")
    parser.add_argument(
        "--parameters", type=Path, metavar="FILE", help="chip parameters: a JSON object of names, numbers"
    )
    parser.add_argument("--trace", type=Path, help="write a Chrome/Perfetto trace")
    parser.add_argument("--png", type=Path, help="draw one core's timeline (needs matplotlib)")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--goals", action="store_true", help="the table of modelled goals")
    options = parser.parse_args(arguments)
    try:
        if options.goals:
            from .goals import print_goals

            return print_goals(as_json=options.json)
        if options.shape is None:
            raise ValueError("--shape: expected B,Hq,Hkv,Sq,Sk,D")
        modelled, extra = _run(options)
    except (ValueError, NotImplementedError, FileNotFoundError) as error:
        print(error, file=sys.stderr)
        return 2
    figures = _figures(modelled) | extra
    if options.trace is not None:
        modelled.report.write_trace(options.trace)
    if options.png is not None:
        from .timeline import draw

        draw(modelled, options.png)
    print(json.dumps(figures, indent=2) if options.json else _text(figures))
    return 1 if figures["findings"] else 0


def _run(options: argparse.Namespace) -> tuple[Modelled, dict[str, Any]]:
    shape = _shape(options.shape)
    dtype = _DTYPES[options.dtype]
    parameters = _file_parameters(options.parameters) | _parameters(options.set)
    band = {"window_size_left": options.window_size_left, "diagonal": options.diagonal}
    common = {"soc": options.soc, "cores": options.cores, "parameters": parameters}
    trace = options.trace is not None or options.png is not None
    backward = {"deterministic": options.deterministic}
    bends = _bends(options)
    if options.direction == "bwd":
        modelled = model_backward(shape, dtype=dtype, trace=trace, bends=bends, **backward, **band, **common)
    else:
        modelled = model_forward(shape, dtype=dtype, trace=trace, bends=bends, **band, **common)
    extra: dict[str, Any] = {"findings": []}
    if options.timing_only:
        return modelled, extra
    g = torch.Generator().manual_seed(options.seed)
    dv = shape.d if shape.dv is None else shape.dv
    q = torch.randn(shape.batch, shape.heads_q, shape.sq, shape.d, generator=g).to(dtype)
    k = torch.randn(shape.batch, shape.heads_kv, shape.sk, shape.d, generator=g).to(dtype)
    v = torch.randn(shape.batch, shape.heads_kv, shape.sk, dv, generator=g).to(dtype)
    schedule = {"order": options.order, "seed": options.seed}
    out, lse, report = attn_forward(q, k, v, **schedule, **band, **common)
    findings, inputs, results = report.findings, [q, k, v], {"out": out}
    if options.direction == "bwd" and report.completed:
        dout = torch.randn(out.shape, generator=g).to(dtype)
        *gradients, report = attn_backward(dout, q, k, v, out, lse, **schedule, **backward, **band, **common)
        findings, inputs, results = (
            findings + report.findings,
            [*inputs, dout],
            dict(zip(("dq", "dk", "dv"), gradients)),
        )
    extra["findings"] = [str(finding) for finding in findings]
    if report.completed:
        extra["largest_error"] = _errors(inputs, results, options)
    return modelled, extra


def _bends(options: argparse.Namespace) -> Bends | None:
    names = {name for name in options.bend.split(",") if name}
    wrong = names - {"softcap", "alibi", "sinks", "mask", "mask32"}
    if wrong or (names and not options.timing_only):
        raise ValueError(
            "--bend: expected softcap, alibi, sinks, mask or mask32 with --timing-only, "
            f"got {options.bend}{'' if options.timing_only else ' without it'}"
        )
    mask = 4 if "mask32" in names else 2 if "mask" in names else 0
    return Bends("softcap" in names, "alibi" in names, "sinks" in names, mask) if names else None


def _errors(
    inputs: list[torch.Tensor], results: dict[str, torch.Tensor], options: argparse.Namespace
) -> dict[str, float]:
    """Largest differences from fp64; one query head's scores at a time."""
    q, k, v, *given = inputs
    sq, sk, group = q.shape[2], k.shape[2], q.shape[1] // k.shape[1]
    scale = q.shape[-1] ** -0.5
    diagonal = sk - sq if options.diagonal is None else options.diagonal
    position, key = torch.arange(sq)[:, None] + diagonal, torch.arange(sk)[None, :]
    hidden = key > position
    if options.window_size_left is not None:
        hidden |= key < position - options.window_size_left
    exact = {name: torch.zeros(t.shape, dtype=torch.float64) for name, t in results.items()}
    for b in range(q.shape[0]):
        for h in range(q.shape[1]):
            qd, kd, vd = q[b, h].double(), k[b, h // group].double(), v[b, h // group].double()
            p = torch.softmax((qd @ kd.T * scale).masked_fill(hidden, -torch.inf), -1).nan_to_num(0.0)
            if not given:
                exact["out"][b, h] = p @ vd
                continue
            dout = given[0][b, h].double()
            dp = dout @ vd.T
            ds = p * (dp - (dout * (p @ vd)).sum(-1, keepdim=True)) * scale
            exact["dq"][b, h] = ds @ kd
            exact["dk"][b, h // group] += ds.T @ qd
            exact["dv"][b, h // group] += p.T @ dout
    return {name: float((t.double() - exact[name]).abs().max()) for name, t in results.items()}


def _shape(text: str) -> Shape:
    try:
        sizes = [int(size) for size in text.split(",")]
    except ValueError:
        sizes = []
    if len(sizes) not in (6, 7) or min(sizes) < 1:
        raise ValueError(f"--shape: expected B,Hq,Hkv,Sq,Sk,D or B,Hq,Hkv,Sq,Sk,D,Dv of positive sizes, got {text}")
    if sizes[1] % sizes[2] != 0:
        raise ValueError(f"--shape: expected Hq % Hkv == 0, got Hq = {sizes[1]}, Hkv = {sizes[2]}")
    return Shape(*sizes)


def _parameters(settings: list[str]) -> dict[str, float]:
    parameters = {}
    for setting in settings:
        name, _, value = setting.partition("=")
        try:
            parameters[name] = float(value)
        except ValueError:
            raise ValueError(f"--set: expected NAME=VALUE with a number, got {setting}") from None
    return parameters


def _file_parameters(path: Path | None) -> dict[str, float]:
    if path is None:
        return {}
    try:
        given = json.loads(path.read_text())
    except OSError as error:
        raise ValueError(f"--parameters: {error}") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"--parameters: {path}: {error}") from None
    if not isinstance(given, dict) or not all(isinstance(v, (int, float)) for v in given.values()):
        raise ValueError(f"--parameters: {path}: expected a JSON object of parameter names and numbers")
    return {name: float(value) for name, value in given.items()}


def _figures(m: Modelled) -> dict[str, Any]:
    report: Report = m.report
    return {
        "pass": m.direction,
        "shape": str(m.shape),
        "soc": m.soc,
        "cores": m.cores,
        "blocks": m.blocks,
        "block": [m.block_rows, 128],
        "visible_pairs": m.visible_pairs,
        "visible_of_computed": m.visible_of_computed,
        "imbalance": m.imbalance,
        "cycles": report.cycles,
        "microseconds": m.microseconds,
        "tflops": m.tflops,
        "cube_share": m.cube_share,
        "busy": {pipe: report.busy(pipe) for pipe in _PIPES},
        "bytes": report.path_bytes,
        "compulsory_bytes": m.compulsory_bytes,
        "ring_bytes_per_core": m.ring_bytes_per_core,
        "workspace_bytes": m.workspace_bytes,
        "accumulator_bytes": m.accumulator_bytes,
    }


def _text(f: dict[str, Any]) -> str:
    lines = [
        f"{f['pass']} {f['shape']} on {f['soc']}, {f['cores']} AI cores",
        f"  blocks       {f['blocks']:,} of {f['block'][0]} x {f['block'][1]}; {f['visible_pairs']:,} visible pairs, "
        f"{f['visible_of_computed']:.1%} of those computed",
        f"  imbalance    {f['imbalance']:.2%} (busiest core over the mean, counted blocks)",
        f"  time         {f['cycles']:,.0f} cycles, {f['microseconds']:,.1f} us (modelled)",
        f"  rate         {f['tflops']:.1f} TFLOP/s on visible pairs, {f['cube_share']:.1%} of the cube's peak",
        "  busy         " + ", ".join(f"{name} {f['busy'][pipe]:.1%}" for pipe, name in _PIPES.items()),
        "  bytes        " + ", ".join(f"{path} {count / 1e6:,.1f} MB" for path, count in f["bytes"].items()),
        f"  compulsory   {f['compulsory_bytes'] / 1e6:,.1f} MB between GM and cores",
        f"  workspace    ring {f['ring_bytes_per_core'] / 2**20:.2f} MiB a core, "
        + (f"fp32 accumulators {f['accumulator_bytes'] / 2**20:.1f} MiB, " if f["accumulator_bytes"] else "")
        + f"{f['workspace_bytes'] / 2**20:.1f} MiB in all",
    ]
    if "largest_error" in f:
        errors = ", ".join(f"{name} {error:.3g}" for name, error in f["largest_error"].items())
        lines.append(f"  error        {errors} at most, against fp64")
    lines.append(f"  findings     {len(f['findings']) or 'none'}")
    return "\n".join([*lines, *(f"    {finding}" for finding in f["findings"])])


if __name__ == "__main__":
    sys.exit(main())
