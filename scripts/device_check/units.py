"""What is compiled: the kernels, and the launch sources of all three ways, with declarations of our own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from . import trees
from .clang import CORES, HOST, Unit

ROOT = Path(__file__).resolve().parents[2]
DECLARATIONS = Path(__file__).resolve().parent / "include"
KERNELS = ROOT / "op_kernel"
HOST_STUB = ROOT / "tests" / "toolchain" / "ascendc_library" / "host_stub.py"  # stands in for CANN's generator
INCLUDES = (
    f"-I{KERNELS}",
    f"-I{KERNELS / 'measure'}",
    f"-I{ROOT}",
    f"-I{ROOT / 'sim' / 'acl' / 'include'}",
    f"-I{ROOT / 'sim'}",
)
VERSION = '-DTRIANGLE_CANN_VERSION="check"'


def core_option(core: str) -> tuple[str, ...]:
    """Tells the declarations which core type is compiled."""
    return (f"-DCHECK_{core}",) if core in CORES else ()


def launchers(folder: Path, sources: list[Path]) -> Path:
    """The headers aclrtlaunch_<kernel>.h that ascendc_library generates, below `folder`."""
    command = [sys.executable, str(HOST_STUB), str(folder / "host_stub.cpp"), str(folder), *map(str, sources)]
    subprocess.run(command, check=True)
    return folder


WAYS = {
    # 8.1 to 8.3: kernels apart from the launch source, and inline functions forced (language.h).
    "ascendc_library": ("-DTRIANGLE_LAUNCH_ASCENDC_LIBRARY", "-DCHECK_ALWAYS_INLINE"),
    "asc": ("-DTRIANGLE_LAUNCH_ASC",),
    "sim": ("-DTRIANGLE_LAUNCH_SIM",),
}
KERNEL_NAMES = (
    "forward",
    "forward_bent",
    "forward_cache",
    "forward_intervals",
    "backward",
    "backward_bent",
    "backward_intervals",
)
SOURCES = [*(KERNELS / f"{name}.cpp" for name in KERNEL_NAMES), KERNELS / "measure" / "measure.cpp"]
LAUNCHES = [KERNELS / "launch.cpp", KERNELS / "measure" / "launch.cpp"]


def own_units(scratch: Path) -> list[tuple[Unit, str]]:
    """Every source with every core type and the host. scratch: a folder for generated headers."""
    generated = launchers(scratch, SOURCES)
    result = []
    for way, macros in WAYS.items():
        options = (f"-I{DECLARATIONS}", *INCLUDES, f"-I{generated}", VERSION, *macros)
        for source in [*(SOURCES if way == "ascendc_library" else []), *LAUNCHES]:
            has_kernels = source in SOURCES or way == "asc"
            result += [
                (Unit(source, way, (*options, *core_option(core)), has_kernels and core != HOST), core)
                for core in (*CORES, HOST)
            ]
    return result


def unit_of(source: Path, core: str, options: tuple[str, ...], measured: bool) -> Unit:
    """A kernel that somebody names, with our declarations."""
    return Unit(source.resolve(), "own", (f"-I{DECLARATIONS}", *INCLUDES, *core_option(core), *options), measured)


def cann_units(
    tree: trees.Tree, lists: trees.Lists, scratch: Path, sources: list[Path], extra: tuple[str, ...]
) -> list[tuple[Unit, str]]:
    """The kernels, or the sources given, as device code with headers of a CANN; from 8.5 on with the launch source.

    Not for the host: the shim of what bisheng has built in serves the device only.
    """
    adapted = trees.options(tree, lists, scratch)
    own = sources or (LAUNCHES if tree.is_new else SOURCES)
    macros = WAYS[tree.way][:1]
    return [
        (
            Unit(
                source.resolve(),
                tree.name,
                (*adapted, *trees.core_options(core), *INCLUDES, VERSION, *macros, *extra),
                True,
            ),
            core,
        )
        for source in own
        for core in CORES
    ]
