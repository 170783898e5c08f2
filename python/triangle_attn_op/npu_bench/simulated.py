"""The simulator in the place of a chip, for the calibration alone: no torch_npu, no data."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..ascend_sim import KernelLibrary
from ..ascend_sim.launch import Struct

WORDS = 12


@dataclass
class SimulatedTimer:
    """Launches of op_kernel/measure in the timing model. parameters: overrides of the chip's."""

    library: KernelLibrary
    soc: str = "Ascend910B2"
    parameters: Mapping[str, float] = field(default_factory=dict)
    cores: int = 24
    effort: int = 32

    def __call__(self, words: list[int], cores: int, launches: int = 1, cold: bool = False) -> float:
        """Every launch begins with an empty L2, so `cold` is at no address twice."""
        padded = words + [0] * (WORDS - len(words))
        report = self.library.launch(
            "triangle_measure",
            *(1 << 30, Struct(struct.pack(f"<{WORDS}q", *padded))),
            block_dim=cores,
            soc=self.soc,
            parameters=self.parameters,
            timing_only=True,
        )
        return launches * report.raise_on_findings().microseconds
