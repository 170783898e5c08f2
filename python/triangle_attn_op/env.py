"""`python -m triangle_attn_op.env`: what a bug report needs."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from pathlib import Path


def collect() -> dict[str, str]:
    """Versions, CPU features and live backends, by name, in the order to print."""
    report = {
        "triangle_attn_op": _version("triangle_attn_op"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "torch": _version("torch"),
        "torch_npu": _version("torch_npu"),
        "transformers": _version("transformers"),
        "CANN": _cann(),
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


def _cann() -> str:
    """Version of the CANN toolkit that ASCEND_HOME_PATH names."""
    home = os.environ.get("ASCEND_HOME_PATH")
    if not home:
        return "not found (ASCEND_HOME_PATH is not set)"
    for file in (
        *Path(home).glob("*/ascend_toolkit_install.info"),
        Path(home) / "version.cfg",
        *Path(home).glob("compiler/version.info"),
    ):
        if file.is_file():
            for line in file.read_text(errors="replace").splitlines():
                key, _, value = line.partition("=")
                if "version" in key.lower() and value:
                    return value.strip().strip("[]")
    return "found, its version is unknown"


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
    return f"{npu.device_count()} device(s)" if npu.is_available() else "not available: no device"


def main() -> int:
    report = collect()
    width = max(map(len, report))
    for name, value in report.items():
        print(f"{name:<{width}}  {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
