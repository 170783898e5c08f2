"""`python -m triangle_attn_op.bench`: the table of goals with what this machine reaches, forward and backward."""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from .. import env
from . import report, validity
from .cases import FAMILIES, FULL, QUICK, TINY, Case, Sizes, cases
from .check import WrongResult
from .goals import FAILED, NOT_MEASURED, WRONG, Result, summarise
from .opponents import OpponentMissing

INSTALL = "pip install triangle-attn-op[bench]"


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0, or 1 where a result was wrong or a case failed; unmet goals are no error."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        _require_packages(options.png is not None)
        families = _families(options.rows)
        if options.png and not {"forward", "backward", "others"} & set(families):
            raise ValueError("--png: expected rows that have GFLOP/s to draw, forward, backward or others")
        for path in filter(None, (options.json, options.csv, options.markdown, options.png)):
            if not path.absolute().parent.is_dir():
                raise ValueError(f"{path}: no such directory")
        if options.threads is not None:
            if options.threads < 1:
                raise ValueError(f"--threads: expected at least 1, got {options.threads}")
            torch.set_num_threads(options.threads)
    except (ValueError, ImportError) as error:
        parser.exit(2, f"{parser.prog}: error: {error}\n")
    begin = time.monotonic()
    environment = env.collect()
    if environment["CPU kernels"].startswith("error"):
        parser.exit(2, f"{parser.prog}: {environment['CPU kernels']}\n")
    title = f"{environment['CPU']}, {torch.get_num_threads()} threads, cpu/{environment['CPU kernels']}"
    what = f"{title}, torch {environment['torch']}, triangle_attn_op {environment['triangle_attn_op']}"
    print(what, flush=True)
    sizes = TINY if options.tiny else QUICK if options.quick else FULL
    results = run([case for case in cases(sizes) if case.family in families], sizes)
    rows = summarise(results)
    report.print_summary(rows)
    print(
        f"{len(results)} cases in {time.monotonic() - begin:.0f} s" + (" (tiny: figures mean nothing)" * options.tiny)
    )
    if options.json:
        report.write_json(options.json, environment, results, rows)
    if options.csv:
        report.write_csv(options.csv, results)
    if options.markdown:
        report.write_markdown(options.markdown, what, results, rows)
    if options.png and report.drawable(results):
        report.draw(options.png, results, title)
    elif options.png:
        print(f"{parser.prog}: error: --png: nothing was measured that could be drawn", file=sys.stderr)
        return 1
    return 1 if any(result.status in (WRONG, FAILED) for result in results) else 0


def run(chosen: Sequence[Case], sizes: Sizes) -> list[Result]:
    """Measures the cases in turn, with a line on standard output as each finishes and a bar on standard error."""
    from tqdm import tqdm

    results = []
    with tqdm(chosen, file=sys.stderr, unit="case", dynamic_ncols=True) as bar:
        for case in bar:
            bar.set_description(f"{case.family} {case.problem.dtype} {case.direction}")
            results.append(measure(case, sizes))
            bar.write(report.line(results[-1]), file=sys.stdout)
            sys.stdout.flush()

    def again(index: int) -> Result:
        result = measure(chosen[index], sizes)
        print(f"again: {report.line(result)}", flush=True)
        return result

    if sizes.again is not None:
        validity.measure_again(results, again, sizes.again)
    return results


def measure(case: Case, sizes: Sizes) -> Result:
    """One case; a wrong result or a missing opponent stops it, and says so, before any time is taken."""
    result = Result(case.family, str(case.problem), case.problem.dtype, case.direction, case.goal, NOT_MEASURED)
    try:
        measured = case.measure(case.problem, case.direction, sizes.effort)
    except WrongResult as error:
        result.status, result.note = WRONG, str(error)
    except OpponentMissing as error:
        result.note = str(error)
    except Exception as error:  # of one case: the others are still worth their time
        first_line = (str(error).strip() or "no message").splitlines()[0]
        result.status, result.note = FAILED, f"{type(error).__name__}: {first_line}"
    else:
        result.status = case.goal.judge(measured.figures)
        result.figures, result.measured = measured.figures, measured.measured
        result.rates, result.seconds = measured.rates, measured.seconds
        result.rounds, result.note = measured.rounds, measured.note
    return result


def _families(text: str | None) -> list[str]:
    if text is None:
        return list(FAMILIES)
    names = [name.strip() for name in text.split(",")]
    unknown = [name for name in names if name not in FAMILIES]
    if unknown:
        raise ValueError(f"--rows: expected names from {', '.join(FAMILIES)}, got {', '.join(map(repr, unknown))}")
    return names


def _require_packages(picture: bool) -> None:
    for package in ("tqdm", "rich", *(["matplotlib"] if picture else [])):
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise ImportError(f"the benchmark needs {package}: {INSTALL}") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m triangle_attn_op.bench",
        description="Triangle attention on this CPU against PyTorch's SDPA, FlexAttention, attention in Python and the "
        "machine's own limits; each result is checked against SDPA before it is timed.",
    )
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="smaller shapes and fewer dtypes: under 3 minutes")
    size.add_argument("--tiny", action="store_true", help="shapes so small that the figures mean nothing: a self-test")
    parser.add_argument("--rows", metavar="NAME,...", help=f"only these rows: {', '.join(FAMILIES)}")
    parser.add_argument("--threads", type=int, metavar="N", help="torch threads (default: torch's)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure as JSON")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write a line a case as CSV")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write both tables as Markdown")
    parser.add_argument("--png", type=Path, metavar="FILE", help="draw GFLOP/s against the SGEMM line")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
