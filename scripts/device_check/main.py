"""The command line: which clang, which headers, what is printed, and the exit code."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from .budgets import BUDGET, UNITS, excesses, measure
from .clang import CORES, HOST, INSTALL, Clang, Unit
from .ir import parse
from .rules import findings
from .units import ROOT, own_units, unit_of

HEADER = f"{'kernel':<28}{'way':<17}{'core':<6}{'code':>8}{'stack':>8}{'arguments':>11}{'depth':>7}{'divisions':>11}"


def check(clang: Clang, unit: Unit, core: str, own: str = "") -> tuple[list[str], list[str]]:
    """One source for one core type or the host: what is wrong, and a line of figures for each kernel."""
    compiled = clang.front_end(unit, core)
    if compiled.errors or core == HOST:
        return compiled.errors, []
    wrong = findings(parse(compiled.code), own)
    rows: list[str] = []
    if wrong or not unit.measured:
        return wrong, rows
    for kernel, taken in measure(clang, compiled.code).items():
        rows.append(
            f"{kernel:<28}{unit.way:<17}{core:<6}{taken.code:>8}{taken.stack:>8}{taken.arguments:>11}"
            f"{taken.depth:>7}{taken.divisions:>11}"
        )
        wrong += [f"{kernel}: {text}" for text in excesses(taken)]
    return wrong, rows


def run(clang: Clang, work: Iterable[tuple[Unit, str]], own: str = "") -> bool:
    """Checks all and prints the outcome; whether all of it passes."""
    passes, table = True, []
    for unit, core in work:
        wrong, rows = check(clang, unit, core, own)
        source = unit.source.relative_to(ROOT) if unit.source.is_relative_to(ROOT) else unit.source
        print(f"{'FAILED ' if wrong else 'accepted'} {source} ({unit.way}) for {core}", flush=True)
        for text in wrong:
            print(f"    {text.replace(f'{ROOT}/', '')}")
        passes = passes and not wrong
        table += rows
    if table:
        limits = ", ".join(f"{name} {getattr(BUDGET, name)} {unit}" for name, unit in UNITS.items())
        print(f"\n{HEADER}", *table, f"at most: {limits}", sep="\n")
    return passes


def main() -> int:
    """Exit code 0 where everything passes, and where there is no clang outside of CI."""
    parser = argparse.ArgumentParser(
        description=sys.modules["__main__"].__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sources", nargs="*", type=Path, help="kernels; default: op_kernel/ and the launch sources")
    parser.add_argument("--core", choices=CORES, help="only this core type")
    parser.add_argument("--measure", action="store_true", help="hold the given sources' kernels to the budgets too")
    parser.add_argument("--option", action="append", default=[], help="passed to the preprocessor; repeatable")
    arguments = parser.parse_args()
    clang = Clang.find()
    if clang is None:
        print(f"check-device: no clang found: {INSTALL}", file=sys.stderr)
        return 1 if os.environ.get("CI") == "true" else 0
    with tempfile.TemporaryDirectory() as scratch:
        if arguments.sources:
            cores = [arguments.core] if arguments.core else list(CORES)
            work = [
                (unit_of(source, core, tuple(arguments.option), arguments.measure), core)
                for source in arguments.sources
                for core in cores
            ]
        else:
            work = own_units(Path(scratch))
        return 0 if run(clang, work) else 1
