"""The command line: which clang, which headers, what is printed, and the exit code."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path

from .budgets import BUDGET, OWN_BUDGET, Measure, excesses, measure
from .clang import CORES, HOST, INSTALL, Clang, Unit
from .ir import parse
from .rules import findings
from .trees import search
from .units import ROOT, cann_units, own_units, unit_of

FIGURES = [field.name for field in fields(Measure)]


def check(
    clang: Clang, unit: Unit, core: str, own: str = "", budget: Measure = BUDGET
) -> tuple[list[str], dict[str, Measure]]:
    """One source for one core type or the host: what is wrong, and the figures of each kernel.

    own: the rules of generated code are for functions with this in their linkage name; "": for all.
    """
    compiled = clang.front_end(unit, core)
    if compiled.errors or core == HOST:
        return compiled.errors, {}
    wrong = findings(parse(compiled.code), own)
    if wrong or not unit.measured:
        return wrong, {}
    measures = measure(clang, compiled.code)
    return [f"{kernel}: {text}" for kernel, taken in measures.items() for text in excesses(taken, budget)], measures


def run(clang: Clang, work: Iterable[tuple[Unit, str]], own: str = "", budget: Measure = BUDGET) -> bool:
    """Checks all against a budget and prints the outcome; whether all of it passes."""
    passes = True
    table = [("kernel", "way", "core", *FIGURES)]
    for unit, core in work:
        wrong, measures = check(clang, unit, core, own, budget)
        source = unit.source.relative_to(ROOT) if unit.source.is_relative_to(ROOT) else unit.source
        print(f"{'FAILED ' if wrong else 'accepted'} {source} ({unit.way}) for {core}", flush=True)
        for text in wrong:
            print(f"    {text.replace(f'{ROOT}/', '')}")
        passes = passes and not wrong
        table += [
            (kernel, unit.way, core, *(str(getattr(taken, name)) for name in FIGURES))
            for kernel, taken in measures.items()
        ]
    if len(table) > 1:
        table.append(("at most", "", "", *(str(getattr(budget, name)) for name in FIGURES)))
        widths = [max(map(len, column)) for column in zip(*table)]
        print()
        for row in table:
            cells = [
                cell.ljust(width) if i < 3 else cell.rjust(width) for i, (cell, width) in enumerate(zip(row, widths))
            ]
            print("  ".join(cells))
    return passes


def own_work(arguments: argparse.Namespace, scratch: Path) -> list[tuple[Unit, str]]:
    """With our declarations: what is named, else all."""
    if not arguments.sources:
        return own_units(scratch)
    return [
        (unit_of(source, core, tuple(arguments.option), arguments.measure), core)
        for source in arguments.sources
        for core in CORES
    ]


def with_cann(clang: Clang, homes: list[Path], arguments: argparse.Namespace) -> bool:
    """With each tree of headers below `homes`; whether all passes."""
    found, lists = search(homes)
    if not found:
        print(f"{arguments.headers}: found no headers of CANN (kernel_tpipe.h)", file=sys.stderr)
    passes = bool(found)
    for tree in found:
        with tempfile.TemporaryDirectory() as scratch:
            print(f"\nheaders of {tree.root}")
            try:
                work = cann_units(tree, lists, Path(scratch), arguments.sources, tuple(arguments.option))
            except LookupError as error:
                print(error, file=sys.stderr)
                return False
            passes = run(clang, work, own="triangle") and passes
    return passes


def main() -> int:
    """Exit code 0 where everything passes, and where there is no clang outside of CI."""
    parser = argparse.ArgumentParser(
        description=sys.modules["__main__"].__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sources", nargs="*", type=Path, help="kernels; default: op_kernel/ and the launch sources")
    parser.add_argument(
        "--headers", default=os.environ.get("ASCEND_HOME_PATH"), help="of a CANN, besides; default: $ASCEND_HOME_PATH"
    )
    parser.add_argument("--measure", action="store_true", help="hold the given sources' kernels to the budgets too")
    parser.add_argument("--option", action="append", default=[], help="passed to the preprocessor; repeatable")
    arguments = parser.parse_args()
    clang = Clang.find()
    if clang is None:
        print(f"check-device: no clang found: {INSTALL}", file=sys.stderr)
        return 1 if os.environ.get("CI") == "true" else 0
    passes = True
    if not (arguments.sources and arguments.headers):  # our declarations have what our kernels call, hardly more
        with tempfile.TemporaryDirectory() as scratch:
            passes = run(clang, own_work(arguments, Path(scratch)), budget=OWN_BUDGET)
    if arguments.headers:
        passes = with_cann(clang, [Path(home) for home in arguments.headers.split(":")], arguments) and passes
    return 0 if passes else 1
