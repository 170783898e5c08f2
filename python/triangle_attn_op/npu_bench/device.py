"""Launches of libtriangle_attn_measure.so on an NPU, for the calibration."""

from __future__ import annotations

import ctypes
import os
import statistics
from pathlib import Path

import torch

from .chip import NoNpu, torch_npu

_NAME = "libtriangle_attn_measure.so"
_VARIABLE = "TRIANGLE_ATTN_MEASURE_LIBRARY"
_ABI = 1
_WORDS = 12


def library_path() -> Path:
    """TRIANGLE_ATTN_MEASURE_LIBRARY, else beside the kernels' library. NoNpu where it is missing."""
    named = os.environ.get(_VARIABLE)
    if named:
        return Path(named)
    kernels = os.environ.get("TRIANGLE_ATTN_NPU_LIBRARY")
    folder = Path(kernels).parent if kernels else Path(__file__).resolve().parents[1] / "lib"
    if not (folder / _NAME).exists():
        raise NoNpu(f"{folder / _NAME} is missing: it is built with the NPU kernels; {_VARIABLE} names another place")
    return folder / _NAME


class DeviceTimer:
    """A Timer of calibrate.py on the current NPU: the median of several runs between two events.

    simulated: one run, few repetitions, and memory for these: modelled times do not scatter. Every launch begins with
    an empty L2 there.
    """

    def __init__(self, cores: int, simulated: bool) -> None:
        self.cores, self.effort = cores, 16 if simulated else 2048
        self._runs = 1 if simulated else 5
        self._library = ctypes.CDLL(str(library_path()))
        abi = self._library.triangle_measure_abi()
        if abi != _ABI:
            raise NoNpu(f"{library_path()}: belongs to another version of triangle_attn_op: ABI {abi}, not {_ABI}")
        self._launch = self._library.triangle_measure_launch
        self._launch.argtypes = [ctypes.c_uint32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
        # All vector cores read 2 * 128 times 32 KiB each: what a chip's L2 holds several times over.
        self._memory = torch.zeros((1 << 26) if simulated else (1 << 30), dtype=torch.uint8, device="npu")
        self._flush = None if simulated else torch.zeros(1 << 29, dtype=torch.uint8, device="npu")

    def __call__(self, words: list[int], cores: int, launches: int = 1, cold: bool = False) -> float:
        """Microseconds. RuntimeError with CANN's code where a launch is refused."""
        if self._runs > 1:
            self._time(words, cores, launches, cold)  # the first one loads code
        return statistics.median(self._time(words, cores, launches, cold) for _ in range(self._runs))

    def _time(self, words: list[int], cores: int, launches: int, cold: bool) -> float:
        if cold and self._flush is not None:
            self._flush.zero_()
        argument = (ctypes.c_int64 * _WORDS)(*words)
        npu = torch_npu()
        begin, end = npu.Event(enable_timing=True), npu.Event(enable_timing=True)
        begin.record()
        stream = npu.current_stream().npu_stream  # waits for torch_npu's queue: the event comes first
        for _ in range(launches):
            code = self._launch(cores, self._memory.data_ptr(), ctypes.addressof(argument), stream)
            if code != 0:
                raise RuntimeError(f"the launch of triangle_measure was refused: ACL error {code}")
        end.record()
        end.synchronize()
        return 1e3 * float(begin.elapsed_time(end))
