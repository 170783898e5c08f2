#!/usr/bin/env python3
"""Stand-in for CANN's programs, told apart by the name it is called by. Appends its command line to record.jsonl.

bisheng           -c: an empty object; else links as bisheng does, with the libraries that it adds by itself
ascendc_compiler  -E: preprocesses with g++, with three words of Ascend C defined; -c: an empty object
ld.lld            an empty object; ascendc_pack_kernel: nothing
"""

import json
import subprocess
import sys
from pathlib import Path

PROGRAM = Path(sys.argv[0])
HOME = next(parent for parent in PROGRAM.parents if (parent / "stand-in").exists())
DEFAULT = ("runtime", "profapi", "unified_dlog", "mmpa", "ascend_dump", "c_sec", "error_manager", "ascendcl")


def option(arguments: list[str], name: str) -> str | None:
    return arguments[arguments.index(name) + 1] if name in arguments else None


def empty_object(output: str) -> int:
    return subprocess.run(["cc", "-fPIC", "-c", "-x", "c", "/dev/null", "-o", output]).returncode


def preprocess(arguments: list[str], output: str) -> int:
    kept = [a for a in arguments if a.startswith(("-D", "-I", "-include"))]
    command = ["g++", "-E", "-std=c++17", f"-I{HOME / 'preprocess'}", *kept, arguments[-1], "-o", output]
    return subprocess.run(command).returncode


def link(arguments: list[str], output: str) -> int:
    kept = [a for a in arguments if a.startswith(("-L", "-l", "-Wl,", "-shared", "-fPIC")) or a.endswith((".o", ".so"))]
    libraries = [f"-l{name}" for name in DEFAULT]
    command = ["cc", "-o", output, *kept, f"-L{HOME / 'lib64'}", "-Wl,--no-as-needed", *libraries]
    return subprocess.run(command).returncode


def main() -> int:
    arguments = sys.argv[1:]
    with open(HOME / "record.jsonl", "a", encoding="utf-8") as record:
        record.write(json.dumps({"program": PROGRAM.name, "arguments": arguments}) + "\n")
    output = option(arguments, "-o")
    depfile = option(arguments, "-MF")
    if depfile is not None:
        Path(depfile).write_text(f"{output}:\n")
    if output is None:
        return 0
    if "-E" in arguments:
        return preprocess(arguments, output)
    if PROGRAM.name == "bisheng" and "-c" not in arguments:
        return link([a for a in arguments if a != output], output)
    return empty_object(output)


if __name__ == "__main__":
    sys.exit(main())
