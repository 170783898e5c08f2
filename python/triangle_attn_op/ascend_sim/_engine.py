"""The simulator itself, compiled once per machine and compiler: libascend_sim.so and, for programs, libascendcl.so.

ASCEND_SIM_LIBRARY names one that is compiled already (a developer's build); libascendcl.so is looked for beside it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from . import _cache
from ._compiler import CompileError, Compiler, Progress, run_all
from ._sources import sources

# The runtime of sim/acl that programs link: what libascendcl.so is made of, not the operators for torch_npu.
_COMMON = ["-std=c++17", "-fPIC", "-ffp-contract=off", "-w"]
_ENGINE = [*_COMMON, "-O3", "-march=native"]
_RUNTIME = [*_COMMON, "-O1"]
_NOT_ASCENDCL = {"hccl.cpp", "op_compiler.cpp", "empty.cpp", "profiler.cpp"}


def source_digest(root: Path) -> str:
    """Of everything that a kernel or the simulator is compiled from."""
    state = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        if path.suffix in (".h", ".cpp", ".py") and "opapi" not in path.parts and "__pycache__" not in path.parts:
            state.update(f"{path.relative_to(root)}\0{_cache.digest(path)}\n".encode())
    return state.hexdigest()


def engine_library(compiler: Compiler) -> Path:
    """libascend_sim.so for this compiler; compiled where it is not there or not as it was made."""
    if named := os.environ.get("ASCEND_SIM_LIBRARY"):
        return _named(Path(named))
    root = sources()
    files = [*root.glob("core/*.cpp"), *root.glob("isa/*.cpp"), *root.glob("framework/*.cpp")]
    return _built("simulator", "libascend_sim.so", root, compiler, files, _ENGINE, ["-ldl", "-lrt", "-pthread"])


def runtime_library(compiler: Compiler) -> Path:
    """libascendcl.so, AscendCL on the simulator, which programs of .asc sources link."""
    engine = engine_library(compiler)
    if named := os.environ.get("ASCEND_SIM_LIBRARY"):
        folder = Path(named).absolute().parent  # of the name: it may be a link to a simulator that builds share
        for place in (folder / "libascendcl.so", folder / "acl" / "libascendcl.so"):
            if place.exists():
                return _named(place)
    root = sources()
    files = [path for path in root.glob("acl/*.cpp") if path.name not in _NOT_ASCENDCL]
    link = [str(engine), f"-Wl,-rpath,{engine.parent}", "-ldl", "-pthread"]
    return _built("AscendCL on the simulator", "libascendcl.so", root, compiler, files, _RUNTIME, link)


def _named(path: Path) -> Path:
    path = path.resolve()
    if not path.is_file():
        raise FileNotFoundError(f"ASCEND_SIM_LIBRARY: {path}: no such library")
    _cache.check_owned(path.parent)
    return path


def _built(
    what: str, name: str, root: Path, compiler: Compiler, files: list[Path], flags: list[str], link: list[str]
) -> Path:
    key = hashlib.sha256("\0".join([source_digest(root), compiler.identity, name, *flags, *link]).encode()).hexdigest()
    top = _cache.own_folder("simulator")
    folder = top / key[:24]
    if _cache.intact(folder):
        os.utime(folder)
        return folder / name
    with _cache.locked(top / f"{key[:24]}.lock"):
        if _cache.intact(folder):  # another process was faster
            return folder / name
        if not files:
            raise FileNotFoundError(f"{root}: the simulator's sources are incomplete: install triangle_attn_op again")
        work = Path(tempfile.mkdtemp(prefix="new-", dir=top))
        progress = Progress(f"compiling {what}, once for this machine ({compiler.kind}, 1 to 3 minutes)", len(files))
        try:
            progress.update(0)
            include = [f"-I{root}", f"-I{root / 'acl' / 'include'}"]
            objects = [str(work / f"{path.parent.name}-{path.stem}.o") for path in files]
            # The largest first, so that none is left alone at the end.
            order = sorted(zip(files, objects), key=lambda item: -item[0].stat().st_size)
            run_all(
                [[compiler.path, *flags, *include, "-c", str(path), "-o", target] for path, target in order],
                progress.update,
            )
            run_all([[compiler.path, "-shared", f"-Wl,-soname,{name}", "-o", str(work / name), *objects, *link]])
            for target in objects:
                os.unlink(target)
            _cache.record(work, [name])
            shutil.rmtree(folder, ignore_errors=True)
            os.rename(work, folder)
        except CompileError as error:
            raise CompileError(f"the simulator does not compile with {compiler.path}: {error}", error.log) from None
        finally:
            progress.close()
            shutil.rmtree(work, ignore_errors=True)
        _cache.keep_newest(top, 6)
    return folder / name
