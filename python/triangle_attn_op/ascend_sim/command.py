"""The command line: `run` a kernel on arrays, or a program of kernels and host code."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np

from . import arguments as words
from ._building import build, build_program
from ._compiler import CompileError, Progress
from ._native import TraceEventC
from .launch import KernelLibrary, LaunchError
from .report import Report

_FINDINGS = 86  # how a program on the simulator's AscendCL ends where there were findings


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m triangle_attn_op.ascend_sim")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser(
        "run",
        help="compile and run a kernel or a program",
        description="With --kernel one kernel on the arrays of --args; without, the program of .asc sources.",
        epilog=(words.__doc__ or "").split("\n", 1)[1],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    run.add_argument("sources", nargs="+", type=Path, help="kernel.cpp, or add.asc and further sources")
    run.add_argument("--kernel", help='its name; a template instance as "k<half>"')
    run.add_argument("--args", nargs="*", default=[], metavar="ARG", help="its arguments, see below")
    run.add_argument("--blocks", type=int, help="cores to launch on (default 1)")
    run.add_argument("--type", default="", help="aiv_only, aic_only, mix_1_2, ... where the kernel declares none")
    run.add_argument("--soc", default="Ascend910B2", help="the chip (default Ascend910B2)")
    run.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a parameter of the chip")
    run.add_argument("--order", choices=["eager", "lazy", "random"], default="lazy")
    run.add_argument("--seed", type=int, default=0, help="of --order random and of random inputs")
    run.add_argument("--auto-sync", action="store_true", help="what bisheng inserts unless --cce-auto-sync=off")
    run.add_argument("--timing-only", action="store_true", help="no data and no checks, only the timeline")
    run.add_argument("--trace", type=Path, metavar="T.json", help="write a trace for ui.perfetto.dev")
    run.add_argument("--png", type=Path, metavar="P.png", help="draw how occupied each pipe is (needs matplotlib)")
    run.add_argument("--strict", action="store_true", help="stop at what goes beyond documented limits")
    run.add_argument("--suppressions", type=Path, metavar="FILE", help='findings to leave out: "rule file:line" a line')
    run.add_argument(
        "--ignore-site", action="append", default=[], metavar="FILE:LINE", help="leave a flag or barrier out"
    )
    run.add_argument("-I", "--include", action="append", default=[], metavar="DIR")
    run.add_argument("--cann", metavar="DIR", help="a CANN or its API's sources, for kernels on the high-level headers")
    run.add_argument("-D", "--define", action="append", default=[], metavar="NAME[=VALUE]")
    run.add_argument("--flag", action="append", default=[], metavar="FLAG", help="a further one of the compiler")
    run.add_argument("--compiler", help="g++ or clang++ to use (default: $CXX, else what is installed)")
    return parser


def run_command(given: list[str] | None = None) -> int:
    """The exit code; messages of what cannot be run go to stderr, in one line."""
    given = sys.argv[1:] if given is None else given
    own, program_arguments = given, list[str]()
    if "--" in given:
        own, program_arguments = given[: given.index("--")], given[given.index("--") + 1 :]
    options = _parser().parse_args(own)
    try:
        if options.kernel is None and _is_program(options.sources):
            return _run_program(options, program_arguments)
        if program_arguments:
            raise LaunchError("--: what follows are a program's arguments; a kernel's are given by --args")
        if options.kernel is None:
            return _only_kernel(options)
        return _run_kernel(options)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except (CompileError, ValueError, OSError, TypeError, OverflowError, MemoryError, ModuleNotFoundError) as error:
        print(error, file=sys.stderr)
        return 2


def _is_program(sources: list[Path]) -> bool:
    """.asc sources are one, and so is a source with a main()."""
    from ._sources import rewriter

    for path in sources:
        if path.suffix == ".asc":
            return True
        if path.is_file() and " main(" in rewriter().only_code(path.read_text(encoding="utf-8", errors="replace")):
            return True
    return False


def _only_kernel(options: argparse.Namespace) -> int:
    """Without --kernel the source's only kernel is meant."""
    from ._kernel_text import kernels_of

    names = [k.name for path in options.sources for k in (kernels_of(path) if path.is_file() else [])]
    if len(names) != 1:
        missing = [str(path) for path in options.sources if not path.is_file()]
        if missing:
            raise FileNotFoundError(f"{missing[0]}: no such source")
        raise LaunchError(f"--kernel: expected one of {', '.join(names) or '(the sources hold none)'}")
    options.kernel = names[0]
    return _run_kernel(options)


def _run_kernel(options: argparse.Namespace) -> int:
    library = build(
        options.sources,
        include=options.include,
        defines=options.define,
        flags=options.flag,
        kernels=[options.kernel],
        compiler=options.compiler,
        cann=options.cann,
    )
    kernel = library.kernels[next(name for name in library.kernels if _same(name, options.kernel))]
    given = words.parse(options.args, kernel, options.timing_only, options.seed)
    before = [a.value.copy() if a.use == "inout" and not options.timing_only else None for a in given]
    report = _launch(library, kernel.name, given, options)
    harmless = _harmless(library, kernel.name, given, before, options, report)
    print(f"{kernel.name}<<<{1 if options.blocks is None else options.blocks}>>> on {report.soc}")
    if not options.timing_only:
        for i, argument in enumerate(given):
            if argument.use in ("out", "inout"):
                name = kernel.parameters[i] if i < len(kernel.parameters) else f"arg{i}"
                print(f"  {name:8s} {_describe(argument)}")
            if argument.save is not None:
                np.save(argument.save, argument.numbers())
    return _tell(report, options, harmless)


def _same(name: str, wanted: str) -> bool:
    return name.replace(" ", "") == wanted.replace(" ", "")


def _launch(
    library: KernelLibrary, kernel: str, given: list[words.Argument], options: argparse.Namespace, poison: int = 0xFF
) -> Report:
    parameters = {}
    for item in options.set:
        name, _, value = item.partition("=")
        try:
            parameters[name] = float(value)
        except ValueError:
            raise LaunchError(f"--set: expected name=number, got '{item}'") from None
    done = threading.Event()
    watcher = threading.Thread(target=_watch, args=(library, kernel, done), daemon=True)
    watcher.start()
    try:
        return library.launch(
            kernel,
            *(argument.value for argument in given),
            block_dim=1 if options.blocks is None else options.blocks,
            soc=options.soc,
            parameters=parameters,
            type=options.type,
            order=options.order,
            seed=options.seed,
            auto_sync=options.auto_sync,
            timing_only=options.timing_only,
            trace=options.trace is not None or options.png is not None,
            uninitialised=[i for i, a in enumerate(given) if a.use == "out"] if not options.timing_only else [],
            ignore_sites=options.ignore_site,
            strict=options.strict,
            suppressions=options.suppressions or "",
            poison=poison,
        )
    finally:
        done.set()
        watcher.join()


def _harmless(
    library: KernelLibrary,
    kernel: str,
    given: list[words.Argument],
    before: list[Any],
    options: argparse.Namespace,
    report: Report,
) -> bool:
    """Whether what nobody wrote reaches no result: the outputs are the same, bit for bit, with zeros there."""
    if "uninitialised-read" not in report.rules() or not report.completed:
        return False
    if any(f.rule == "uninitialised-read" and f.region for f in report.findings):
        return False  # of global memory, which is not filled anew
    again = []
    for argument, old in zip(given, before):
        value = argument.value
        if argument.use == "inout":
            value = old
        elif argument.use == "out":
            value = np.full(value.nbytes, 0xFF, np.uint8).view(value.dtype).reshape(value.shape)
        again.append(words.Argument(value, argument.use))
    second = _launch(library, kernel, again, options, poison=0)
    written = [(a.value, b.value) for a, b in zip(given, again) if a.use in ("out", "inout")]
    return second.completed and bool(written) and all(a.tobytes() == b.tobytes() for a, b in written)


def _watch(library: KernelLibrary, kernel: str, done: threading.Event) -> None:
    """Says from the third second on that the launch goes on."""
    progress = Progress(f"running {kernel}: instructions")
    interval = 3.0
    while not done.wait(interval):
        progress.update(int(library.engine.handle.ascend_sim_progress()))
        interval = 1.0
    progress.close()


def _describe(argument: words.Argument) -> str:
    values = argument.numbers()
    shape = ",".join(map(str, values.shape))
    kind = "bfloat16" if argument.bfloat16 else values.dtype.name
    if values.size == 0:
        return f"{kind}[{shape}]"
    first = " ".join(f"{v:.6g}" for v in values.reshape(-1)[:6])
    text = f"{kind}[{shape}]  first {first}"
    if values.dtype.kind == "f":
        finite = values[np.isfinite(values)].astype(np.float64)
        if finite.size:
            text += f"  min {finite.min():.6g} mean {finite.mean():.6g} max {finite.max():.6g}"
        if finite.size < values.size:
            text += f"  not finite {values.size - finite.size} of {values.size}"
    else:
        text += f"  min {values.min()} max {values.max()}"
    return text


def _tell(report: Report, options: argparse.Namespace, harmless: bool) -> int:
    """Prints findings and summary, writes trace and picture; the exit code."""
    aside = [f for f in report.findings if harmless and f.rule == "uninitialised-read"]
    findings = [f for f in report.findings if f not in aside]
    for finding in findings:
        print(finding)
    for finding in aside:
        print(f"harmless, the outputs are the same with other bytes there: {finding}")
    parts = [str(len(findings) or "none")]
    if aside:
        parts.append(f"{len(aside)} harmless")
    if report.suppressed:
        parts.append(f"{len(report.suppressed)} suppressed")
    if not report.completed:
        parts.append("the launch stopped")
    print("findings: " + ", ".join(parts))
    print(report.summary())
    if options.trace is not None:
        report.write_trace(options.trace)
    if options.png is not None:
        report.write_png(options.png)
    return 1 if findings or not report.completed else 0


def _keep_traces(folder: Path, options: argparse.Namespace) -> None:
    """The traces and pictures of a program's launches: T.json of its only one, else T-1.json, T-2.json, ..."""
    launches = sorted(folder.glob("*-*.events"), key=lambda path: int(path.stem.split("-")[1]))
    for number, events in enumerate(launches, 1):

        def named(path: Path, number: int = number) -> Path:
            return path if len(launches) == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}")

        if options.trace is not None:
            shutil.copyfile(events.with_suffix(".trace.json"), named(options.trace))
        if options.png is not None:
            report = Report.from_json(json.loads(events.with_suffix(".json").read_text(encoding="utf-8")))
            report.events = np.fromfile(events, np.dtype(TraceEventC))
            if report.cycles:
                report.write_png(named(options.png))


def _run_program(options: argparse.Namespace, program_arguments: list[str]) -> int:
    ones = ("args", "blocks", "type", "auto_sync")
    wrong = [name for name in ones if getattr(options, name) not in (None, False, "", [])]
    if wrong:
        raise LaunchError(f"--{wrong[0].replace('_', '-')}: is of one kernel, name it by --kernel; this is a program")
    program = build_program(
        options.sources,
        include=options.include,
        defines=options.define,
        flags=options.flag,
        compiler=options.compiler,
        cann=options.cann,
    )
    environment = dict(os.environ)
    environment["ASCEND_SIM_SOC"] = options.soc
    environment["ASCEND_SIM_ORDER"] = options.order
    environment["ASCEND_SIM_SEED"] = str(options.seed)
    environment["ASCEND_SIM_STRICT"] = "1" if options.strict else "0"
    if options.suppressions is not None:
        environment["ASCEND_SIM_SUPPRESSIONS"] = str(options.suppressions.absolute())
    if options.set:
        environment["ASCEND_SIM_PARAMETERS"] = ";".join(options.set)
    if options.ignore_site:
        environment["ASCEND_SIM_IGNORE_SITES"] = ";".join(options.ignore_site)
    if options.timing_only:
        environment["ASCEND_SIM_TIMING_ONLY"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        launches = Path(folder) / "launches.jsonl"
        environment["ASCEND_SIM_REPORT"] = str(launches)
        if options.trace is not None or options.png is not None:
            environment["ASCEND_SIM_TRACE"] = folder
        process = subprocess.Popen([str(program), *program_arguments], env=environment)
        try:
            code = process.wait()
        except KeyboardInterrupt:
            process.kill()
            process.wait()
            raise
        lines = launches.read_text(encoding="utf-8").splitlines() if launches.exists() else []
        _keep_traces(Path(folder), options)
    kept = os.environ.get("ASCEND_SIM_REPORT")
    if kept:
        with open(kept, "a", encoding="utf-8") as file:
            file.writelines(line + "\n" for line in lines)
    findings = 0
    for line in lines:
        data: dict[str, Any] = json.loads(line)
        if "findings" not in data:  # of something else than a launch
            continue
        findings += len(data["findings"])
        microseconds = data["cycles"] / (data["ghz"] * 1e3) if data["ghz"] else 0.0
        print(
            f"{data['kernel']}<<<{data['blocks']}>>>: {data['cycles']:,.0f} cycles, {microseconds:,.2f} us (modelled), "
            f"findings: {len(data['findings']) or 'none'}"
        )
    if code == _FINDINGS or (findings and code == 0):
        return 1
    if code < 0:
        print(f"the program was ended by signal {-code}", file=sys.stderr)
        return 128 - code
    return code
