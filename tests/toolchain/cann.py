"""Makes a stand-in for an installed CANN: the files that the build reads, and programs that record their calls."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ARCH = f"{platform.machine()}-linux"
LIBRARIES = (
    *("ascendcl", "runtime", "register", "error_manager", "profapi", "ge_common_base", "ascendalog", "unified_dlog"),
    *("mmpa", "ascend_dump", "c_sec"),
)
# The words of Ascend C that the launchers' generator looks for in preprocessed text, as bisheng leaves them there.
PREPROCESS = """#pragma once
#include <stdint.h>
#define __global__ __attribute__((cce_kernel))
#define __aicore__ [aicore]
#define GM_ADDR __attribute__((cce_global)) uint8_t*
#define KERNEL_TASK_TYPE_DEFAULT(type) static const int __enable_feature_for_compile_default = type;
"""


@dataclass(frozen=True)
class Call:
    """One call of one of CANN's programs."""

    program: str
    arguments: list[str]


@dataclass(frozen=True)
class StandIn:
    """home: what ASCEND_HOME_PATH should be."""

    home: Path

    def calls(self, program: str) -> list[Call]:
        record = self.home / "record.jsonl"
        lines = record.read_text(encoding="utf-8").splitlines() if record.exists() else []
        return [call for call in (Call(**json.loads(line)) for line in lines) if call.program == program]


def write_version(home: Path, version: str, files: tuple[str, ...] = ("install", "info", "cfg")) -> None:
    """What a CANN says of its version, in the forms of 8.1 (where Version is a number of its packages) and of 8.5."""
    old = version.startswith(("8.0", "8.1", "8.2", "8.3"))
    texts = {
        "install": (f"{ARCH}/ascend_toolkit_install.info", f"package_name=Ascend-cann-toolkit\nversion={version}\n"),
        "info": (
            "compiler/version.info",
            f"Version=7.7.0.1.238\nversion_dir={version}\n" if old else f"Version={version}\nversion_dir=cann\n",
        ),
        "cfg": (
            "version.cfg",
            "# version: 1.0\ntoolkit_running_version=" + (f"[7.7.0.1.238:{version}]\n" if old else f"[{version}]\n"),
        ),
    }
    for name in files:
        path = home / texts[name][0]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(texts[name][1])


def make(home: Path, version: str, cmake: Path | None = None) -> StandIn:
    """A toolkit of that version below `home`. cmake: CANN's own folder ascendc_kernel_cmake, to use instead of the
    stand-in's files.
    """
    home.mkdir(parents=True)
    (home / "stand-in").write_text(str(HERE.parents[1]))  # where its programs find scripts/device_check
    write_version(home, version)
    _programs(home)
    _libraries(home)
    shutil.copytree(HERE / "asc", home / "host_stub", ignore=shutil.ignore_patterns("*.cmake*", "*_modules"))
    (home / "preprocess").mkdir()
    (home / "preprocess" / "kernel_operator.h").write_text(PREPROCESS)
    (home / "include" / "acl").mkdir(parents=True)
    (home / "include" / "acl" / "acl_base.h").write_text(
        "#pragma once\n#include <stdint.h>\ntypedef void* aclrtStream;\n"
    )
    (home / "include" / "securec.h").write_text(
        "#pragma once\n#include <string.h>\nstatic inline int memcpy_s(void* to, size_t, const void* from, size_t n)"
        " { memcpy(to, from, n); return 0; }\n"
    )
    folder = home / ARCH / "tikcpp" / "ascendc_kernel_cmake"
    folder.parent.mkdir(parents=True, exist_ok=True)
    if cmake is not None:
        shutil.copytree(cmake, folder)
    elif version.startswith("8.") and not version.startswith("8.5"):
        shutil.copytree(HERE / "ascendc_library", folder)
    else:
        shutil.copytree(HERE / "asc", folder)
        if version.startswith("8.5"):
            (folder / "asc-config.cmake").rename(folder / "ASCConfig.cmake")
            (home / "launches-as-8.5").touch()
        else:  # in lib64/cmake, with a link next to the other files
            (home / "lib64" / "cmake").mkdir()
            shutil.copy(folder / "asc-config.cmake", home / "lib64" / "cmake")
    (home / "compiler" / "tikcpp").symlink_to(home / ARCH / "tikcpp")
    return StandIn(home)


def _programs(home: Path) -> None:
    bin_folder = home / ARCH / "ccec_compiler" / "bin"
    places = {bin_folder: ("bisheng", "ld.lld"), home / "bin": ("ascendc_pack_kernel",)}
    places[home / ARCH / "tikcpp" / "ascendc_compiler"] = ("ascendc_compiler",)
    for folder, names in places.items():
        folder.mkdir(parents=True)
        for name in names:
            shutil.copy(HERE / "compiler.py", folder / name)
            (folder / name).chmod(0o755)
    (home / "compiler").mkdir(exist_ok=True)
    (home / "compiler" / "ccec_compiler").symlink_to(home / ARCH / "ccec_compiler")


def _libraries(home: Path) -> None:
    folder = home / "lib64"
    folder.mkdir()
    for name in LIBRARIES:
        library = folder / f"lib{name}.so"
        command = ["cc", "-shared", "-fPIC", "-x", "c", "-", "-o", library, f"-Wl,-soname,{library.name}"]
        subprocess.run(command, input=f"int stand_in_{name}(void) {{ return 0; }}\n", text=True, check=True)
    runtime = folder / "runtime.o"
    subprocess.run(["g++", "-O1", "-fPIC", "-c", HERE / "runtime.cpp", "-o", runtime], check=True)
    subprocess.run(["ar", "qc", folder / "libascendc_runtime.a", runtime], check=True)
