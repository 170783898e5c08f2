"""Which chip, with what around it, and whether it is one: the heading of every table."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from .. import backends, env

_FLOPS_A_CYCLE = 2 * 16**3  # of a core's cube, 16-bit operands
# Nominal clocks in GHz, of CANN's platform files. What a chip sustains is less: --calibrate measures it.
_GHZ = {
    **dict.fromkeys(("Ascend910B1", "Ascend910_9391", "Ascend910_9392"), 1.85),
    **dict.fromkeys(("Ascend910B2", "Ascend910B2C", "Ascend910B3"), 1.8),
    **dict.fromkeys(("Ascend910_9381", "Ascend910_9382", "Ascend910_9372"), 1.8),
    **dict.fromkeys(("Ascend910B4", "Ascend910B4-1", "Ascend910_9362"), 1.5),
}


class NoNpu(RuntimeError):
    """There is nothing to measure on; the message says what is missing."""


@dataclass(frozen=True)
class Chip:
    """soc: such as Ascend910B2. simulated: kernels run on the simulator, and every time is modelled."""

    soc: str
    cores: int
    cann: str
    torch: str
    torch_npu: str
    package: str
    simulated: bool

    @property
    def ghz(self) -> float | None:
        """Nominal; None of a chip that this table does not know."""
        return _GHZ.get(self.soc)

    @property
    def peak_tflops(self) -> float | None:
        """Of the cores that may be used, at the nominal clock."""
        return None if self.ghz is None else self.cores * _FLOPS_A_CYCLE * self.ghz / 1e3

    def heading(self, dtype: str) -> str:
        peak = "peak unknown" if self.peak_tflops is None else f"peak {self.peak_tflops:.1f} TFLOP/s at {self.ghz} GHz"
        return (
            f"{self.soc}, {self.cores} AI cores, {peak}; CANN {self.cann}, torch {self.torch}, "
            f"torch_npu {self.torch_npu}, triangle_attn_op {self.package}; {dtype}"
        )


def torch_npu() -> Any:
    """torch.npu, which no checker of types knows. NoNpu where torch_npu is missing."""
    try:
        import torch
        import torch_npu  # noqa: F401
    except ImportError as error:
        raise NoNpu(f"expected torch_npu beside torch: {error}") from None
    return torch.npu  # type: ignore[attr-defined]


def find() -> Chip:
    """The current NPU. NoNpu where there is none, or no library of kernels for it."""
    npu = torch_npu()
    if not npu.is_available():
        raise NoNpu("torch_npu finds no NPU (torch.npu.is_available() is False)")
    npu.set_device(npu.current_device())
    said = backends.npu()
    match = re.fullmatch(r"npu/([\w-]+), (\d+) AI cores, (.*)", said)
    if match is None:
        raise NoNpu(said.removeprefix("error: "))
    report = env.collect()
    info = env.build_info()
    built = dict(part.split("=", 1) for part in match[3].split(";") if "=" in part)
    return Chip(
        match[1],
        int(match[2]),
        report["CANN"],
        report["torch"],
        report["torch_npu"],
        info.version if info is not None else report["triangle_attn_op"],
        built.get("way") == "sim",
    )
