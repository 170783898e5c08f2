"""`python -m triangle_attn_op.env`: what a bug report needs."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path

from . import _cann


@dataclass(frozen=True)
class BuildInfo:
    """What this copy of the package was built from; the text is "none" where a part was not built.

    version: of the sources. cann, way, npu_arch: the CANN that compiled the NPU kernels, how
    (cmake/TriangleKernels.cmake) and for which chips. cpu: the processor family. torch: the version compiled against;
    from 2.10 on every other one from there on serves too, before it that minor version only.
    """

    version: str
    cann: str
    way: str
    npu_arch: str
    cpu: str
    torch: str
    compiler: str

    def __str__(self) -> str:
        npu = f"NPU kernels {self.npu_arch} by CANN {self.cann} ({self.way})" if self.way != "none" else "CPU only"
        return f"{self.version}, {npu}, {self.cpu}, torch {self.torch}, {self.compiler}"


def build_info() -> BuildInfo | None:
    """What the build recorded, or None where the package runs without having been built by setup.py."""
    try:
        written = importlib.import_module("triangle_attn_op._build_info")
    except ModuleNotFoundError:
        return None
    return BuildInfo(**{name: getattr(written, name.upper()) for name in BuildInfo.__dataclass_fields__})


def collect() -> dict[str, str]:
    """Versions, CPU features and live backends, by name, in the order to print."""
    report = {
        "triangle_attn_op": _version("triangle_attn_op"),
        "built": str(build_info() or "unknown: the package was not built by setup.py"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "torch": _version("torch"),
        "torch_npu": _version("torch_npu"),
        "transformers": _version("transformers"),
        "CANN": _installed_cann(),
        "CPU": _cpu_model(),
        "CPU features": _cpu_features(),
    }
    try:
        import torch

        from . import _library, backends

        report["library"] = _library.path().name
        report["CPU kernels"] = backends.cpu_isa()
        report["CPU threads"] = str(torch.get_num_threads())
        report["backend cpu"] = "unavailable" if report["CPU kernels"].startswith("error") else "live"
        report["backend npu"] = _npu(torch)
    except ImportError as error:
        report["library"] = f"not loaded: {error}"
    for name in sorted(name for name in os.environ if name.startswith("TRIANGLE_ATTN_")):
        report[name] = os.environ[name]
    return report


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _installed_cann() -> str:
    """Version of the CANN toolkit that ASCEND_HOME_PATH or ASCEND_TOOLKIT_HOME names."""
    try:
        found = _cann.find()
    except ValueError as error:
        return str(error)
    if found:
        return found.version
    return _cann.forgotten() or f"not found (neither {' nor '.join(_cann.VARIABLES)} is set)"


def _cpu_model() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _cpu_features() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    flags = next(
        (set(line.split(":", 1)[1].split()) for line in lines if line.startswith(("flags", "Features"))), set()
    )
    known = (
        "avx2",
        "fma",
        "f16c",
        "avx512f",
        "avx512bw",
        "avx512_bf16",
        "avx512_fp16",
        "amx_bf16",
        "asimd",
        "asimdhp",
        "fphp",
        "bf16",
        "sve",
    )
    return " ".join(flag for flag in known if flag in flags) or "none of those the kernels use"


def _npu(torch: object) -> str:
    if _version("torch_npu") == "not installed":
        return "not available: torch_npu is not installed"
    npu = getattr(torch, "npu", None)
    if npu is None:
        return "not available: torch_npu is installed but not loaded"
    if not npu.is_available():
        return "not available: no device"
    from . import backends

    return f"{npu.device_count()} device(s), {backends.npu()}"


def main() -> int:
    report = collect()
    width = max(map(len, report))
    for name, value in report.items():
        print(f"{name:<{width}}  {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
