#!/usr/bin/env python3
"""Asserts what the package's shared objects depend on, by `readelf`: bare names of a short list, no folder, and no
version of a symbol that is too new.

    scripts/check_linkage.py dist/triangle_attn_op-0.1.0-cp310-abi3-linux_x86_64.whl [more wheels or .so files]

_C.abi3.so loads on a machine without CANN, so it may need nothing of CANN. The libraries of kernels are opened in a
process that has CANN's libraries; it may name them, but not where they were when it was built: no RPATH or RUNPATH, no
'/' in a name. _C.abi3.so loads wherever torch's own wheels do (manylinux_2_28: glibc 2.28, libstdc++ of GCC 7), and
those of kernels in the oldest system of CANN's containers (openEuler 22.03: glibc 2.34, GCC 10). Exit code 1
when something else is found.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

SYSTEM = r"ld-linux-[\w-]+\.so\.\d|lib(c|m|dl|rt|pthread|gcc_s|stdc\+\+)\.so\.\d+"
TORCH = r"lib(torch|torch_cpu|c10)\.so"
# What bisheng links by itself, and what CANN 8.1's ascendc_library tells its users to link.
CANN = (
    r"lib(ascendcl|acl_rt|runtime|register|error_manager|profapi|ge_common_base|ascendalog|unified_dlog|mmpa|"
    r"ascend_dump|c_sec)\.so(\.\d+)?"
)
KERNELS = ("libtriangle_attn_npu.so", "libtriangle_attn_measure.so")
ALLOWED = {"_C.abi3.so": f"{SYSTEM}|{TORCH}", **dict.fromkeys(KERNELS, f"{SYSTEM}|{CANN}")}

# The newest version of each kind of symbol that may be asked for.
NEWEST = {
    "_C.abi3.so": {"GLIBC": "2.28", "GLIBCXX": "3.4.24", "CXXABI": "1.3.11", "GCC": "7.0.0"},
    **{name: {"GLIBC": "2.34", "GLIBCXX": "3.4.28", "CXXABI": "1.3.12", "GCC": "7.0.0"} for name in KERNELS},
}


def dynamic(path: Path) -> list[tuple[str, str]]:
    """(tag, value) of the dynamic section's entries that hold text, such as ("NEEDED", "libc.so.6")."""
    text = subprocess.run(["readelf", "-d", "-W", str(path)], capture_output=True, text=True, check=True).stdout
    return re.findall(r"\((NEEDED|RPATH|RUNPATH|SONAME|DEPAUDIT|AUDIT)\)[^\[]*\[([^\]]*)\]", text)


def symbol_versions(path: Path) -> list[tuple[str, str]]:
    """What is needed of glibc's and libstdc++'s versions, such as [("GLIBC", "2.17"), ("GLIBCXX", "3.4.21")]."""
    text = subprocess.run(["readelf", "-V", "-W", str(path)], capture_output=True, text=True, check=True).stdout
    needs = text.partition(".gnu.version_r")[2]
    found = set(re.findall(r"Name: (GLIBC|GLIBCXX|CXXABI|GCC)_(\d[\d.]*)", needs))
    return sorted(found, key=lambda need: (need[0], number(need[1])))


def number(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


def symbols_of(path: Path, version: str) -> list[str]:
    """The symbols needed in that version."""
    text = subprocess.run(["readelf", "--dyn-syms", "-W", str(path)], capture_output=True, text=True, check=True).stdout
    return re.findall(rf"UND (\w+)@{re.escape(version)}(?: |$)", text, re.MULTILINE)


def problems(path: Path, name: str | None = None) -> list[str]:
    """What is wrong with one shared object; `name` decides what it may need, by default its file's name."""
    name = name or path.name
    if name not in ALLOWED:
        return [f"{name}: not a library of this package: {', '.join(ALLOWED)}"]
    entries = dynamic(path)
    needed = [value for tag, value in entries if tag == "NEEDED"]
    found = [] if needed else [f"{name}: has no dynamic section that names a library"]
    found += [
        f"{name}: has {tag} {value}" for tag, value in entries if tag in ("RPATH", "RUNPATH", "AUDIT", "DEPAUDIT")
    ]
    found += [f"{name}: is called {value}" for tag, value in entries if tag == "SONAME" and value != name]
    found += [f"{name}: needs {value}" for value in needed if not re.fullmatch(ALLOWED[name], value)]
    for kind, version in symbol_versions(path):
        if number(version) > number(NEWEST[name][kind]):
            symbols = ", ".join(symbols_of(path, f"{kind}_{version}"))
            found.append(f"{name}: needs {kind}_{version} ({symbols}), expected at most {kind}_{NEWEST[name][kind]}")
    return found


def libraries(path: Path, folder: Path) -> Iterator[Path]:
    """The shared objects of a wheel, unpacked into `folder`, or the file itself."""
    if path.suffix != ".whl":
        yield path
        return
    with zipfile.ZipFile(path) as wheel:
        members = [member for member in wheel.namelist() if member.endswith(".so") or ".so." in member]
        for member in members:
            yield Path(wheel.extract(member, folder))
    if not any(member.endswith("/_C.abi3.so") for member in members):
        raise SystemExit(f"{path.name}: has no _C.abi3.so")
    if ("+cann" in path.name) != any(member.endswith("/lib/libtriangle_attn_npu.so") for member in members):
        raise SystemExit(f"{path.name}: a name with +cann and lib/libtriangle_attn_npu.so go together")


def main() -> int:
    """Prints a line for each library, and what is wrong with it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    failures = 0
    for file in parser.parse_args().files:
        with tempfile.TemporaryDirectory() as folder:
            for library in libraries(file, Path(folder)):
                found = problems(library)
                needed = " ".join(value for tag, value in dynamic(library) if tag == "NEEDED")
                versions = " ".join(f"{kind}_{version}" for kind, version in dict(symbol_versions(library)).items())
                print(f"{'FAILED  ' if found else 'accepted'} {library.name}: {needed}; {versions}")
                for line in found:
                    print(f"    {line}")
                failures += bool(found)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
