"""`python -m triangle_attn_op.npu_bench`: attention on this machine's NPU beside what else runs there, as a table for
an issue, JSON and a picture; with --calibrate the chip's own rates, for `python -m triangle_attn_op.sim --parameters`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from .. import env
from . import report
from .calibrate import Calibration, Timer, calibrate
from .cases import DTYPES, FAMILIES, TINY, Sizes, cases
from .chip import Chip, NoNpu, find
from .measure import Effort, measure


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0, 1 where a result was wrong, 2 where there is nothing to measure on."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        if options.calibrate is not None:
            return _calibrate(options)
        return _table(options, find())
    except (NoNpu, ValueError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2


def _table(options: argparse.Namespace, chip: Chip) -> int:
    families = [name.strip() for name in options.rows.split(",")]
    unknown = [name for name in families if name not in FAMILIES]
    if unknown:
        raise ValueError(f"--rows: expected names from {', '.join(FAMILIES)}, got {', '.join(unknown)}")
    say = report.Printer(chip.simulated)
    say(chip.heading(options.dtype))
    if chip.simulated:
        say("the kernels run on the simulator: times are modelled, and of the opponents there is none")
    sizes = TINY if options.tiny else Sizes()
    effort = Effort(rounds=1, sample=0.0) if chip.simulated else Effort()
    rows: list[report.Row] = []
    for case in cases(sizes, families):
        rows.append((case, measure(case, options.dtype, effort, chip.simulated)))
        say(report.lines(*rows[-1], chip))
    say()
    say(report.markdown(chip, options.dtype, rows))
    report.write_json(options.json, report.document(chip, options.dtype, env.collect(), rows, None))
    say(f"wrote {options.json}")
    if "dense" in families:
        try:
            report.draw(options.png, chip, options.dtype, rows)
            say(f"wrote {options.png}")
        except ImportError as error:
            say(f"no picture: {error}")
    return 1 if any(timed.wrong for _, results in rows for timed in results) else 0


def _calibrate(options: argparse.Namespace) -> int:
    timer: Timer
    if options.simulator:
        from ..sim import library
        from .simulated import SimulatedTimer

        given = dict(_setting(text) for text in options.set)
        timer, simulated, what = SimulatedTimer(library.measure(), options.soc, given), True, options.soc
    else:
        from .device import DeviceTimer

        chip = find()
        timer, simulated, what = DeviceTimer(chip.cores, chip.simulated), chip.simulated, chip.heading("calibration")
    say = report.Printer(simulated)
    say(what)
    found = calibrate(timer)
    _say_calibration(say, found)
    options.calibrate.write_text(json.dumps(found.parameters, indent=1) + "\n")
    say(f"wrote {options.calibrate}: python -m triangle_attn_op.sim --parameters {options.calibrate} ...")
    return 0


def _say_calibration(say: report.Printer, found: Calibration) -> None:
    for name, number in found.parameters.items():
        say(f"{name:36s} {number:12.5g}")
    say("not parameters of the model:")
    for name, number in found.readings.items():
        say(f"{name:36s} {number:12.5g}")


def _setting(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError:
        raise ValueError(f"--set: expected NAME=VALUE with a number, got {text}") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m triangle_attn_op.npu_bench", description=__doc__)
    parser.add_argument("--rows", metavar="NAME,...", default=",".join(FAMILIES), help="only these rows of the table")
    parser.add_argument("--dtype", choices=DTYPES, default="bf16")
    parser.add_argument("--json", type=Path, metavar="FILE", default=Path("npu_bench.json"))
    parser.add_argument("--png", type=Path, metavar="FILE", default=Path("npu_bench.png"))
    parser.add_argument(
        "--tiny", action="store_true", help="shapes so small that the figures mean nothing: a self-test"
    )
    parser.add_argument("--calibrate", type=Path, metavar="FILE", help="instead: measure the chip's rates, write FILE")
    parser.add_argument("--simulator", action="store_true", help="of --calibrate: the timing model, without torch_npu")
    parser.add_argument("--soc", default="Ascend910B2", help="of --simulator")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="of --simulator: a parameter")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
