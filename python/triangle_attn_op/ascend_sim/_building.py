"""Compiles kernels and programs with the user's compiler, without CMake; what did not change is not compiled again.

As sim/cmake/AscendSimKernel.cmake does it: every source once for AIC and once for AIV, the symbols of each half local.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from . import _cache
from ._compiler import CompileError, Compiler, Progress, find_compiler, run_all
from ._engine import engine_library, runtime_library, source_digest
from ._kernel_text import KernelText, kernels_of
from ._sources import rewriter, sources
from .launch import KernelLibrary, load

_DEFINES = ["__CCE_AICORE__=220", "__NPU_ARCH__=2201", "__DAV_C220__", "ASCEND_SIM=1"]
_CORES = {"aic": "__DAV_C220_CUBE__=1", "aiv": "__DAV_C220_VEC__=1"}
# A kernel's assert() and exit() are findings.
_WRAP = [f"-Wl,--wrap={name}" for name in ("__assert_fail", "exit", "_exit", "_Exit", "quick_exit")]

Paths = Sequence[str | os.PathLike[str]]


def build(
    kernel_sources: str | os.PathLike[str] | Paths,
    *,
    include: Paths = (),
    defines: Sequence[str] = (),
    flags: Sequence[str] = (),
    kernels: Sequence[str] | None = None,
    compiler: str | None = None,
    cann: str | os.PathLike[str] | None = None,
) -> KernelLibrary:
    """Compiles kernel sources (.cpp or .asc) for the simulator and loads them.

    include: folders of headers. defines: "NAME" or "NAME=value". flags: further ones of the compiler.
    kernels: those to register; template instances are named so, "k<half>". By default every kernel of the sources.
    compiler: a C++ compiler; by default $CXX where that is g++ or clang++, else what is installed.
    cann: a CANN, or a source tree of its API: its high-level headers are found behind the simulator's own ones.

    Raises CompileError with the compiler's first error; FileNotFoundError for a source or compiler that is not there;
    ValueError where the sources hold no such kernel.
    """
    paths = _paths([kernel_sources] if isinstance(kernel_sources, (str, os.PathLike)) else kernel_sources)
    found = find_compiler(compiler)
    engine = engine_library(found)
    by_path = {path: kernels_of(path) for path in paths}
    instances = _registered(by_path, kernels)
    is_program = any(path.suffix == ".asc" for path in paths)
    runtime = runtime_library(found) if is_program else None
    link = [str(engine), f"-Wl,-rpath,{engine.parent}"]
    if runtime is not None:
        link += [str(runtime), f"-Wl,-rpath,{runtime.parent}"]
    registrations = {
        path: "\n".join(f"ASCEND_SIM_REGISTER({kind}, {name})" for name, kind in names.items())
        for path, names in instances.items()
    }
    job = _Job(found, [str(Path(p).resolve()) for p in include], list(defines), [*_behind(cann), *flags])
    output = job.run("kernels.so", registrations, ["-shared", *_WRAP], link, keep_aiv=False)
    library = load(output, engine=engine)
    parameters = {text.name: text.parameters for texts in by_path.values() for text in texts}
    library.name_parameters(parameters)
    return library


def build_program(
    program_sources: Paths,
    *,
    include: Paths = (),
    defines: Sequence[str] = (),
    flags: Sequence[str] = (),
    compiler: str | None = None,
    cann: str | os.PathLike[str] | None = None,
) -> Path:
    """Compiles .asc sources, which hold kernels and a main(), to a program on the simulator's AscendCL.

    A .cpp source among them is compiled the same way. Raises as build() does.
    """
    paths = _paths(program_sources)
    found = find_compiler(compiler)
    engine, runtime = engine_library(found), runtime_library(found)
    link = [str(runtime), str(engine), f"-Wl,-rpath,{runtime.parent}", f"-Wl,-rpath,{engine.parent}"]
    job = _Job(found, [str(Path(p).resolve()) for p in include], list(defines), [*_behind(cann), *flags])
    return job.run("program", dict.fromkeys(paths, ""), _WRAP, [*link, "-pthread"], keep_aiv=True)


def _behind(cann: str | os.PathLike[str] | None) -> list[str]:
    """Flags for the folders of a CANN's high-level headers, lib/ in 8.x and adv_api/ in 9.x and source trees."""
    if cann is None:
        return []
    top = Path(cann).resolve()
    for name, marker in (("highlevel_api", "lib"), ("include", "adv_api")):
        for start in ("", "ascendc/include/", "*/ascendc/include/", "compiler/ascendc/include/", "asc/", "*/asc/"):
            for folder in sorted(top.glob(start + name)) if start + name else [top]:
                if (folder / marker).is_dir():
                    return [f"-idirafter{folder}", f"-idirafter{folder.parent}"]
    raise ValueError(
        f"cann: {top}: found neither highlevel_api/lib (CANN 8) nor include/adv_api (CANN 9 or its sources)"
    )


def _paths(given: Paths) -> list[Path]:
    paths = [Path(path).resolve() for path in given]
    if not paths:
        raise ValueError("build: no source given")
    for path in paths:
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such source")
    return paths


def _registered(by_path: dict[Path, list[KernelText]], wanted: Sequence[str] | None) -> dict[Path, dict[str, str]]:
    """For each source the kernels to register and their types; ValueError for one that no source has."""
    types = {text.name: text for texts in by_path.values() for text in texts}
    result: dict[Path, dict[str, str]] = {path: {} for path in by_path}
    if wanted is None:
        for path, texts in by_path.items():
            result[path] = {text.name: text.type for text in texts if not text.template}
        if not any(result.values()):
            templates = [text.name for text in types.values()]
            names = ", ".join(str(path) for path in by_path)
            raise ValueError(
                f"{names}: the kernels are templates ({', '.join(templates)}): name instances, such as "
                f"{templates[0]}<half>"
                if templates
                else f"{names}: no kernel (a `__global__` function) in it; one in a header is named by its name"
            )
        return result
    for name in wanted:
        base = name.split("<")[0].split("::")[-1].strip()
        text = types.get(base)
        if text is not None and text.template and "<" not in name:
            raise ValueError(f"kernel '{name}' is a template: name an instance, such as {name}<half>")
        owner = next(
            (path for path, texts in by_path.items() if any(t.name == base for t in texts)), next(iter(by_path))
        )
        if text is None and not _mentions(by_path, base):
            known = ", ".join(types) or "none"
            raise ValueError(f"kernel '{name}' is not in {', '.join(p.name for p in by_path)}; kernels there: {known}")
        result[owner][name] = text.type if text is not None and not text.template else "kUnset"
    return result


def _mentions(by_path: dict[Path, list[KernelText]], name: str) -> bool:
    """Whether a header that a source includes by quotes defines the kernel."""
    rewrite = rewriter()
    return any(name in rewrite.included_types(path, set()) for path in by_path)


class _Job:
    """One compilation: its flags, its key in the cache, its folder."""

    def __init__(self, compiler: Compiler, include: list[str], defines: list[str], flags: list[str]) -> None:
        self.compiler = compiler
        root = sources()
        self.root = root
        self.include = [*include, str(root / "include"), str(root), str(root / "acl" / "include")]
        self.options = [
            *compiler.kernel_flags(),
            *(f"-D{d}" for d in (*_DEFINES, *defines)),
            *(f"-I{folder}" for folder in self.include),
            *flags,
        ]

    def run(self, name: str, registrations: dict[Path, str], head: list[str], link: list[str], keep_aiv: bool) -> Path:
        """The library or program `name` of these sources, each with what registers its kernels."""
        parts = [source_digest(self.root), self.compiler.identity, name, *self.options, *head, *link]
        parts += [f"{path}={text}" for path, text in registrations.items()]
        key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]
        top = _cache.own_folder("kernels")
        with _cache.locked(top / ".lock"):
            pointer = top / f"{key}.json"
            known = self._known(top, pointer)
            if known is not None:
                os.utime(known)
                return known / name
            work = Path(tempfile.mkdtemp(prefix="new-", dir=top))
            progress = Progress("compiling " + ", ".join(path.name for path in registrations))
            try:
                inputs = self._compile(work, name, registrations, head, link, keep_aiv, progress)
                _cache.record(work, [name], inputs)
                # A name by content: a library that this process has loaded is never written over.
                content = hashlib.sha256("\0".join([key, *inputs.values()]).encode()).hexdigest()[:24]
                folder = top / content
                shutil.rmtree(folder, ignore_errors=True)
                os.rename(work, folder)
                pointer.write_text(json.dumps({"folder": content}), encoding="utf-8")
            finally:
                progress.close()
                shutil.rmtree(work, ignore_errors=True)
            _cache.keep_newest(top, 100)
            return folder / name

    @staticmethod
    def _known(top: Path, pointer: Path) -> Path | None:
        try:
            folder = top / str(json.loads(pointer.read_text(encoding="utf-8"))["folder"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return folder if _cache.intact(folder) else None

    def _compile(
        self,
        work: Path,
        name: str,
        registrations: dict[Path, str],
        head: list[str],
        link: list[str],
        keep_aiv: bool,
        progress: Progress,
    ) -> dict[str, str]:
        """Makes work/name; the digests of all files that it was made from, the simulator's own left out."""
        commands, objects = [], {core: list[str]() for core in _CORES}
        for i, (path, text) in enumerate(registrations.items()):
            included = self._rewritten(path, work / f"source{i}")
            wrapper = work / f"wrapper{i}.cpp"
            wrapper.write_text(
                _included_before(path, bool(text), self.root)
                + f'#include "{included}"\n#include "ascend_sim/register.h"\n{text}\n',
                encoding="utf-8",
            )
            for core, define in _CORES.items():
                target = str(work / f"{core}{i}.o")
                objects[core].append(target)
                commands.append(
                    [
                        self.compiler.path,
                        *self.options,
                        f"-D{define}",
                        f"-iquote{path.parent}",
                        "-MMD",
                        "-c",
                        str(wrapper),
                        "-o",
                        target,
                    ]
                )
        progress.update(0)
        try:
            run_all(commands)
            merged = []
            for core, parts in objects.items():
                whole = str(work / f"{core}.o")
                run_all(
                    [
                        [self.compiler.path, "-r", "-nostdlib", "-Wl,--force-group-allocation", "-o", whole, *parts],
                    ]
                )
                if core == "aic" or not keep_aiv:
                    run_all([[self.compiler.objcopy, "--localize-hidden", whole]])
                merged.append(whole)
            run_all([[self.compiler.path, *head, "-o", str(work / name), *merged, *link]])
        except CompileError as error:
            raise CompileError(_at_source(str(error), registrations), error.log) from None
        inputs = {str(path): _cache.digest(path) for path in registrations}
        for file in work.glob("*.d"):
            for word in _dependencies(file.read_text(encoding="utf-8", errors="replace")):
                path = Path(word)
                if not path.is_relative_to(work) and not path.is_relative_to(self.root):
                    inputs[str(path.resolve())] = _cache.digest(path)
        for path in work.iterdir():
            if path.name != name:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        return inputs

    def _rewritten(self, path: Path, folder: Path) -> Path:
        """The file to compile for a source: itself, or with its launches <<<>>> made calls."""
        rewrite = rewriter()
        if path.suffix != ".asc" and not rewrite.has_launch(path, self.include):
            return path
        try:
            result: Path = rewrite.rewrite_files(path, folder, self.include)
        except rewrite.RewriteError as error:
            raise CompileError(str(error)) from None
        return result


def _included_before(path: Path, kernels: bool, root: Path) -> str:
    """What the device's compiler knows before the first line of a source with kernels: its language."""
    if not kernels and path.suffix != ".asc":
        text = path.read_text(encoding="utf-8", errors="replace")
        kernels = re.search(r"\b__(aicore|global)__\b", text) is not None
    return f'#include "{root}/include/kernel_operator.h"\n' if kernels else ""


def _dependencies(text: str) -> list[str]:
    """The files of a make rule that a compiler wrote."""
    body = text.replace("\\\n", " ").split(":", 1)[-1]
    return [word.replace("\0", " ") for word in body.replace("\\ ", "\0").split()]


def _at_source(message: str, registrations: dict[Path, str]) -> str:
    """A linker names objects of the cache: a kernel's missing definition is told as that."""
    if "undefined reference" in message or "undefined symbol" in message:
        sources_given = ", ".join(path.name for path in registrations)
        return f"{sources_given}: not linked: {message.split(': ', 1)[-1]}: is a source file missing?"
    return message
