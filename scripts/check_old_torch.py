#!/usr/bin/env python3
"""Compiles csrc/ against the headers of torch versions before the stable ABI, whose binding is `csrc/torch_api.h`'s
second half. Checks that every call exists with its types; nothing is linked or run.

    scripts/check_old_torch.py [--folder build/old-torch] 2.9.1 2.6.0

PyPI's builds for x86_64 are CUDA's, of a gigabyte; headers are the same everywhere, so those of the CPU builds for
aarch64 are taken (about 100 MB each). Exit code 1 where a file does not compile.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def headers(version: str, folder: Path) -> Path:
    """The include folder of that torch, fetched once."""
    place = folder / version
    include = place / "torch" / "include"
    if not include.is_dir():
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "-d", str(place)]
        command += ["--platform", "manylinux_2_28_aarch64", "--python-version", "311", f"torch=={version}"]
        subprocess.run(command, check=True)
        (wheel,) = place.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(place, [name for name in archive.namelist() if name.startswith("torch/include/")])
        wheel.unlink()
    return include


def compile_one(include: Path, source: Path) -> str:
    """What the compiler says of one file, "" where it is content."""
    command = [os.environ.get("CXX", "g++"), "-std=c++17", "-fsyntax-only", "-DTRIANGLE_CLASSIC_TORCH", "-Wall"]
    command += [f"-I{ROOT}", f"-I{ROOT / 'csrc'}", "-isystem", str(include)]
    command += ["-isystem", str(include / "torch" / "csrc" / "api" / "include"), str(source)]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stderr if done.returncode else ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("versions", nargs="+")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "old-torch")
    args = parser.parse_args()
    sources = sorted([*(ROOT / "csrc").glob("*.cpp"), *(ROOT / "csrc" / "npu").glob("*.cpp")])
    failed = 0
    for version in args.versions:
        include = headers(version, args.folder)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for source, said in zip(sources, pool.map(partial(compile_one, include), sources)):
                print(f"{'FAILED' if said else 'ok    '} torch {version} {source.relative_to(ROOT)}", flush=True)
                print(said, end="")
                failed += bool(said)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
