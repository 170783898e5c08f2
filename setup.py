"""Lets CMake build the libraries into the package; everything else is in pyproject.toml.

Where ASCEND_HOME_PATH or ASCEND_TOOLKIT_HOME is set the NPU kernels are built too, and the version says with which
CANN: 0.1.0+cann9.1.0. A build for a torch before 2.10 says for which one: 0.1.0+cann8.5.0.torch2.9.
"""

from __future__ import annotations

import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
VERSION = (ROOT / "VERSION").read_text().strip()
# Where the sources are: for the metadata, and for README's links, which are relative in the tree and must not be on
# PyPI. The release workflow sets the variable to the repository that it runs in; a build elsewhere does not know, and
# names none.
REPOSITORY = os.environ.get("TRIANGLE_REPOSITORY", "")
CANN = runpy.run_path(str(ROOT / "python" / "triangle_attn_op" / "_cann.py"))
TORCH = runpy.run_path(str(ROOT / "python" / "triangle_attn_op" / "_torch.py"))


def readme() -> str:
    """README.md with the links and images that name files of the tree as addresses of this version's files, or as
    their texts where no repository is known.
    """

    def absolute(match: re.Match[str]) -> str:
        if not REPOSITORY:
            return match[2]
        kind = "raw" if match[1] else "blob"
        target = f"README.md{match[3]}" if match[3].startswith("#") else match[3]  # PyPI gives headings no names
        return f"{match[1]}[{match[2]}]({REPOSITORY}/{kind}/v{VERSION}/{target})"

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.sub(r"(!?)\[([^\]]*)\]\((?![a-z]+:)([^)\s]+)\)", absolute, text)


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
    """One CMake project makes the extension, the NPU library and _build_info.py."""

    def build_extension(self, ext: Extension) -> None:
        if torch is None:
            raise SystemExit(
                "triangle_attn_op builds against the torch that is installed: install torch >= 2.10 (or 2.6 to 2.9) "
                "first, then `pip install --no-build-isolation .`"
            )
        output = Path(self.get_ext_fullpath(ext.name)).resolve().parent
        # A folder for each CANN and binding: CMake does not change the compiler of a configured one.
        label = "-".join(part for part in (f"cann{cann.version}" if cann else "", torch.label) if part)
        build = ROOT / "build" / (f"cmake-{label}" if label else "cmake")
        shutil.rmtree(output / "lib", ignore_errors=True)
        cmake, environment = find_tool("cmake")
        generator = cann.generator if cann else "Ninja"
        env = {**os.environ, **environment}
        if cann:
            env["ASCEND_HOME_PATH"] = str(cann.home)  # what CANN's own rules read
        jobs = os.environ.get("MAX_JOBS", str(os.cpu_count() or 1))
        configure = [
            "-G",
            generator,
            *([f"-DCMAKE_MAKE_PROGRAM={find_tool('ninja')[0]}"] if generator == "Ninja" else []),
            f"-DPython3_EXECUTABLE={sys.executable}",
            f"-DTRIANGLE_TORCH_DIR={torch.folder}",
            f"-DTRIANGLE_OUTPUT_DIR={output}",
            *shlex.split(os.environ.get("CMAKE_ARGS", "")),
        ]
        subprocess.check_call([cmake, "-S", str(ROOT), "-B", str(build), *configure], env=env)
        subprocess.check_call([cmake, "--build", str(build), "-j", jobs], env=env)

    def copy_extensions_to_source(self) -> None:
        """For editable installs: all that CMake made, not the extension alone."""
        super().copy_extensions_to_source()
        built = Path(self.build_lib) / "triangle_attn_op"
        package = ROOT / "python" / "triangle_attn_op"
        shutil.copy(built / "_build_info.py", package)
        shutil.rmtree(package / "lib", ignore_errors=True)  # the NPU library of an earlier build
        if (built / "lib").is_dir():
            shutil.copytree(built / "lib", package / "lib")


class BuildPackage(build_py):
    """Adds the simulator's sources, which an installed package compiles on first use (ascend_sim/_sources.py)."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return  # the package lies in the source tree then
        target = Path(self.build_lib) / "triangle_attn_op" / "ascend_sim" / "_source"
        shutil.rmtree(target, ignore_errors=True)
        for part in ("core", "isa", "framework", "include", "acl", "cmake", "timing"):
            shutil.copytree(
                ROOT / "sim" / part,
                target / part,
                ignore=shutil.ignore_patterns("opapi", "*.md", "CMakeLists.txt", "*.cmake", "__pycache__"),
            )


cann = CANN["find"]()
if message := CANN["forgotten"]():
    print(f"triangle_attn_op: WARNING: {message}", file=sys.stderr)
torch = TORCH["find"]()
setup(
    version=CANN["wheel_version"](VERSION, cann, torch.label if torch else ""),
    install_requires=[torch.requirement if torch else "torch>=2.10"],
    long_description=readme(),
    long_description_content_type="text/markdown",
    project_urls={
        "Repository": REPOSITORY,
        "Issues": f"{REPOSITORY}/issues",
        "Changelog": f"{REPOSITORY}/blob/v{VERSION}/CHANGELOG.md",
    }
    if REPOSITORY
    else {},
    ext_modules=[Extension("triangle_attn_op._C", sources=[], py_limited_api=True)],
    cmdclass={"build_ext": CMakeBuild, "build_py": BuildPackage},
    options={"bdist_wheel": {"py_limited_api": "cp310"}},
)
