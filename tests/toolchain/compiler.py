#!/usr/bin/env python3
"""Stand-in for CANN's programs, told apart by the name it is called by. Appends its command line to record.jsonl.

bisheng           -c: compiles for both core types and the host, and makes an object of the host's side of launches,
                  whose <<<>>> become calls of asc/host_stub.cpp; else links as bisheng does, with the libraries that
                  it adds by itself
ascendc_compiler  -E: preprocesses with g++, with three words of Ascend C defined; -c: compiles for the core type named
ld.lld            an empty object; ascendc_pack_kernel: nothing

Compiling is scripts/device_check's, with the includes and macros of the command line; no object has device code.
Where there is no clang (and CI is not "true") nothing is compiled.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

PROGRAM = Path(sys.argv[0])
HOME = next(parent for parent in PROGRAM.parents if (parent / "stand-in").exists())
STUBS = HOME / "host_stub"
DEFAULT = ("runtime", "profapi", "unified_dlog", "mmpa", "ascend_dump", "c_sec", "error_manager", "ascendcl")


def option(arguments: list[str], name: str) -> str | None:
    return arguments[arguments.index(name) + 1] if name in arguments else None


def empty_object(output: str) -> int:
    return subprocess.run(["cc", "-fPIC", "-c", "-x", "c", "/dev/null", "-o", output]).returncode


def compile_source(program: str, arguments: list[str], output: str) -> int:
    """Lets clang say what is wrong with the source; an object without the device's code."""
    root = Path((HOME / "stand-in").read_text())
    sys.path.insert(0, str(root / "scripts"))
    from device_check.clang import CORES, HOST, Clang, Unit
    from device_check.main import check
    from device_check.units import DECLARATIONS, core_option

    clang = Clang.find()
    if clang is None and os.environ.get("CI") == "true":
        print("no clang found: see make check-device", file=sys.stderr)
        return 1
    arch = next((a.partition("=")[2] for a in arguments if a.startswith("--cce-aicore-arch=")), None)
    cores = {None: (*CORES, HOST), "dav-c220-cube": ("AIC",), "dav-c220-vec": ("AIV",)}[arch] if clang else ()
    macros = ["-DCHECK_ALWAYS_INLINE"] if program == "ascendc_compiler" else []
    kept = [a for a in arguments if a.startswith(("-D", "-I"))]
    declarations = (f"-I{DECLARATIONS}", f"-I{root / 'sim' / 'acl' / 'include'}")
    failed = False
    for core in cores:
        options = (*declarations, *kept, *macros, *core_option(core))
        for error in check(clang, Unit(Path(arguments[-1]), program, options), core)[0]:
            print(f"{core}: {error}", file=sys.stderr)
            failed = True
    if failed:
        return 1
    return host_side(arguments, output) if program == "bisheng" else empty_object(output)


def preprocess(arguments: list[str], output: str) -> int:
    kept = [a for a in arguments if a.startswith(("-D", "-I", "-include"))]
    command = ["g++", "-E", "-std=c++17", f"-I{HOME / 'preprocess'}", *kept, arguments[-1], "-o", output]
    return subprocess.run(command).returncode


def host_side(arguments: list[str], output: str) -> int:
    """The source that the .asc file includes, its launch_asc.h in place and without the kernels, as plain C++."""
    match = re.fullmatch(r'#include "(.*)"\s*', Path(arguments[-1]).read_text(encoding="utf-8"))
    if match is None:
        return 1
    launch = Path(match[1])
    text = launch.with_name("launch_asc.h").read_text(encoding="utf-8").replace("#pragma once", "")
    text = re.sub(r'#include "(acl/acl\.h|\w+\.cpp)"\n', "", text)
    text, launches = re.subn(r"(\w+)<<<(\w+), 0, (\w+)>>>\([^;]*\);", r'stand_in_launch("\1", \2, \3);', text)
    text = launch.read_text(encoding="utf-8").replace('#include "launch_asc.h"', text)
    head = "#include <stdint.h>\ntypedef uint8_t* GM_ADDR;\ntypedef void* aclrtStream;\n"
    head += 'void stand_in_launch(const char*, uint32_t, void*);\n#include "tiling_by_value.h"\n'
    source = Path(output).with_suffix(".host.cpp")
    source.write_text(head + text + '#include "host_stub.cpp"\n', encoding="utf-8")
    kept = [a for a in arguments if a.startswith(("-D", "-I"))]
    kept += [f"-I{STUBS}"] + (["-DSTAND_IN_8_5"] if (HOME / "launches-as-8.5").exists() else [])
    command = ["g++", "-std=c++17", "-O1", "-fPIC", "-w", "-fvisibility=hidden", *kept, "-c", str(source), "-o", output]
    return subprocess.run(command).returncode if launches in (1, 26) else 1  # measure.cpp; attention


def link(arguments: list[str], output: str) -> int:
    kept = [a for a in arguments if a.startswith(("-L", "-l", "-Wl,", "-shared", "-fPIC")) or a.endswith((".o", ".so"))]
    libraries = ["-lascendc_runtime", *(f"-l{name}" for name in DEFAULT)]
    command = ["g++", "-o", output, *kept, f"-L{HOME / 'lib64'}", "-Wl,--no-as-needed", *libraries]
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
    if "-c" in arguments and PROGRAM.name in ("bisheng", "ascendc_compiler"):
        return compile_source(PROGRAM.name, arguments, output)
    return empty_object(output)


if __name__ == "__main__":
    sys.exit(main())
