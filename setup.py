"""Builds the C++ library by CMake and puts it into the package; everything else is in pyproject.toml."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent


def find_tool(name: str) -> tuple[str, dict[str, str]]:
    """Path of cmake or ninja (the installed PyPI package, else the one on PATH, else fetched into build/) and the
    environment it needs.
    """
    for place in (Path(sys.executable).parent / name, shutil.which(name)):
        if place and Path(place).exists():
            return str(place), {}
    target = ROOT / "build" / "tools"  # pip --no-build-isolation installs no build requirements
    if not (target / "bin" / name).exists():
        subprocess.check_call(
            [sys.executable, "-m", "pip", "install", "-q", "--target", str(target), "--upgrade", "cmake", "ninja"]
        )
    return str(target / "bin" / name), {"PYTHONPATH": f"{target}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}


class CMakeBuild(build_ext):
    """One CMake project makes the one extension."""

    def build_extension(self, ext: Extension) -> None:
        try:
            import torch
        except ImportError as error:
            raise SystemExit(
                "triangle_attn_op builds against the torch that is installed: install torch >= 2.10 first, then "
                "`pip install --no-build-isolation .`"
            ) from error
        output = Path(self.get_ext_fullpath(ext.name)).resolve().parent
        build = ROOT / "build" / "cmake"
        cmake, environment = find_tool("cmake")
        ninja, _ = find_tool("ninja")
        env = {**os.environ, **environment}
        jobs = os.environ.get("MAX_JOBS", str(os.cpu_count() or 1))
        configure = [
            "-G",
            "Ninja",
            f"-DCMAKE_MAKE_PROGRAM={ninja}",
            f"-DTRIANGLE_TORCH_DIR={torch.__path__[0]}",
            f"-DTRIANGLE_OUTPUT_DIR={output}",
        ]
        subprocess.check_call([cmake, "-S", str(ROOT), "-B", str(build), *configure], env=env)
        subprocess.check_call([cmake, "--build", str(build), "-j", jobs], env=env)


setup(
    ext_modules=[Extension("triangle_attn_op._C", sources=[], py_limited_api=True)],
    cmdclass={"build_ext": CMakeBuild},
    options={"bdist_wheel": {"py_limited_api": "cp310"}},
)
