"""Headers of a real CANN as clang's CUDA mode can read them.

They are written in bisheng's dialect, so a copy is adapted: `[aicore]` becomes an attribute, literals lose the address
space that bisheng gives them. What bisheng has built in is declared by cann/builtin.h; the names of instructions and of
their modes are read from two lists of an 8.x toolkit, stub_fun.h (its CPU debugging) and cce_aicore_intrinsics.h (its
compiler). Nothing of CANN is kept: the copy lives as long as the check.
"""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
DIALECT = [
    (re.compile(pattern), to)
    for pattern, to in (
        (r"\b(?:__gm__ const|const __gm__) char\b", "const char"),
        (r"const_cast<__gm__ char ?\*>\(", "(__gm__ char*)("),
        (r"reinterpret_cast<(?:const __gm__|__gm__ const) uint8_t ?\*>\(", "(__gm__ const uint8_t*)("),
        (r"\[ *(?:host *, *aicore|aicore *, *host) *\]", "__attribute__((host)) __attribute__((device))"),
        (r"\[ *aicore *\]", "__attribute__((device))"),
        (r"\[ *host *\]", "__attribute__((host))"),
        (r'"\+l"', '"+r"'),  # of assembly, in which x86-64 has no such constraint
        (r"(?m)^inline __gm__ uint8_t ?\* (?:__gm__ )?g_", "__attribute__((device)) inline __gm__ uint8_t* g_"),
        (r"(?m)^(\s*)asc_prof_st(art|op)\(\);", r"\1bisheng::cce::metrics_prof_st\2();"),
        (r'(?m)^\s*#include "reg_compute/kernel_reg_compute_intf\.h"', "//"),  # of a later chip
        (r"AscendC::tiling::", ""),
    )
]
# Instructions of later chips' vector registers, whose types are not declared.
NOT_HERE = re.compile(r"\bvector_(?:bool|[usf]\d+|bf16|address|align)\b|Literal")
OLD_FOLDERS = ("basic_api", "basic_api/interface", "basic_api/impl", "highlevel_api", "highlevel_api/impl")
NEW_FOLDERS = (
    *("include", "include/basic_api", "include/adv_api", "include/utils"),
    *("impl", "impl/basic_api", "impl/adv_api", "impl/utils", "."),
)


@dataclass(frozen=True)
class Tree:
    """Headers of one CANN. root: what holds basic_api (8.1 to 8.3) or include and impl (from 8.5 on)."""

    root: Path
    is_new: bool

    @property
    def way(self) -> str:
        """How kernels are built and launched with it."""
        return "asc" if self.is_new else "ascendc_library"

    @property
    def name(self) -> str:
        """A short name for what is printed: the folder below which the headers are."""
        parts = [part for part in self.root.parts if part not in ("include", "ascendc", "asc")]
        return "/".join(parts[-2:])


@dataclass(frozen=True)
class Lists:
    """stub: instructions; modes: the enumerations in their parameters; tiling: structs that 9.x sources lack."""

    stub: Path | None
    modes: Path | None
    tiling: Path | None


def search(homes: list[Path]) -> tuple[list[Tree], Lists]:
    """The headers below `homes`, each once, and the first of each list."""
    found: dict[Path, Tree] = {}
    lists: dict[str, Path] = {}
    for home in homes:
        for name, _, files in os.walk(home, followlinks=True):
            folder = Path(name)
            if "kernel_tpipe.h" in files:
                tree = None
                if name.endswith("basic_api/interface"):
                    tree = Tree(folder.parents[1], False)
                elif name.endswith("include/basic_api") and (folder.parents[1] / "impl" / "basic_api").is_dir():
                    tree = Tree(folder.parents[1], True)
                if tree is not None:
                    found.setdefault(tree.root.resolve(), tree)
            for file in ("stub_fun.h", "cce_aicore_intrinsics.h", "kernel_tiling.h"):
                if file in files and folder.name in ("include", "kernel_tiling"):
                    lists.setdefault(file, folder / file)
    tiling = lists.get("kernel_tiling.h")
    return list(found.values()), Lists(
        lists.get("stub_fun.h"), lists.get("cce_aicore_intrinsics.h"), tiling.parent if tiling else None
    )


def _copy(source: Path, to: Path) -> None:
    shutil.copytree(source, to, dirs_exist_ok=True)
    for path in to.rglob("*"):
        if path.suffix in (".h", ".hpp", ".cppm") and path.is_file():
            path.chmod(0o644)
            before = text = path.read_text(errors="replace")
            for pattern, replacement in DIALECT:
                text = pattern.sub(replacement, text)
            if text != before:
                path.write_text(text)


def _instructions(stub: str) -> str:
    lines = ["#pragma once"]
    for line in stub.splitlines():
        if re.match(r"^[A-Za-z_].*\);$", line) and not line.startswith("typedef") and not NOT_HERE.search(line):
            # The list names the wrong buffer for loads into L0B.
            lines.append("DEVICE " + re.sub(r"^(\w+ load_\w+?_to_cb\w*\()__ca__", r"\1__cb__", line))
    return "\n".join(lines) + "\n"


def options(tree: Tree, lists: Lists, folder: Path) -> tuple[str, ...]:
    """Adapts the headers in `folder` and says how to compile with them; LookupError where a list is missing."""
    if lists.stub is None or lists.modes is None:
        raise LookupError("stub_fun.h and cce_aicore_intrinsics.h: not found; name an 8.x toolkit beside these headers")
    for part in ("include", "impl") if tree.is_new else ("basic_api", "highlevel_api"):
        _copy(tree.root / part, folder / part)
    if tree.is_new and lists.tiling is not None and not (folder / "include" / "kernel_tiling").is_dir():
        _copy(lists.tiling, folder / "include" / "kernel_tiling")
    shutil.copy(HERE / "cann" / "builtin.h", folder / "cann_builtin.h")
    (folder / "cann_modes.h").write_text(lists.modes.read_text(errors="replace"))
    (folder / "cann_instructions.h").write_text(_instructions(lists.stub.read_text(errors="replace")))
    names = NEW_FOLDERS if tree.is_new else OLD_FOLDERS
    macros = ("__CCE_AICORE__=220", "__NPU_ARCH__=2201", "__CCE__=1", "TILING_KEY_VAR=0")
    return (
        *("-include", str(folder / "cann_builtin.h"), f"-I{folder}"),
        *(f"-I{folder / name}" for name in names),
        *(f"-D{macro}" for macro in macros),
    )


def core_options(core: str) -> tuple[str, ...]:
    """Tells CANN's headers which core type is compiled."""
    kind = {"AIC": "CUBE", "AIV": "VEC"}.get(core)
    return (f"-D__DAV_C220_{kind}__=1", f"-D__DAV_{kind}__=1") if kind else ()
