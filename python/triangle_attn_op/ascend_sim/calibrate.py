"""Rates of the timing model from times alone: small kernels, each in two sizes, whose difference is one rate.

    python -m triangle_attn_op.ascend_sim.calibrate FILE.json [--soc Ascend910B2] [--set NAME=VALUE]

Here the times are the simulator's own, so what comes back must be the parameters it was given: that is the proof of the
method, and its test. On a chip `Timer` would launch the same kernels of sim/timing, built by CANN. The file is read by
`python -m triangle_attn_op.sim --parameters FILE.json`.
"""

from __future__ import annotations

import argparse
import functools
import json
from collections.abc import Callable, Mapping
from pathlib import Path

from .launch import KernelLibrary
from .timing_kernels import timing_library

# Microseconds of a launch of a kernel of sim/timing: its name, arguments (bytes for pointers), cores, whether L2 holds
# the data already.
Timer = Callable[[str, tuple[int, ...], int, bool], float]

_MIB = 2**20
# What the differences cannot tell apart from a latency: heads as the model has them.
_MTE_HEAD, _FIX_HEAD, _VECTOR_TAIL = 16.0, 15.0, 12.0


def simulated(library: KernelLibrary, soc: str, parameters: Mapping[str, float]) -> Timer:
    """The simulator in the place of a chip."""

    def time(kernel: str, args: tuple[int, ...], cores: int, warm: bool) -> float:
        given = {**parameters, "l2_warm": float(warm)}
        report = library.launch(kernel, *args, block_dim=cores, soc=soc, parameters=given, timing_only=True)
        return report.raise_on_findings().microseconds

    return time


def _products(k: int, count: int) -> tuple[int, ...]:
    return 128, 256, k, count


def _sums(repeats: int, count: int) -> tuple[int, ...]:
    return count, repeats, 1


def _sums_at(second: int, count: int) -> tuple[int, ...]:
    return 0, second, 0x20000, 1, 8, count


def calibrate(time: Timer) -> dict[str, float]:
    """Parameters of the model by name. In cycles of the clock that the cube shows, which is `ghz`."""

    def each(kernel: str, args: Callable[[int], tuple[int, ...]], count: int = 64, warm: bool = True) -> float:
        """Microseconds of one of the kernel's repetitions, without launch, first and last."""
        more, fewer = (time(kernel, args(n), 1, warm) for n in (2 * count, count))
        return (more - fewer) / count

    found: dict[str, float] = {}
    # An Mmad of 128 x 256 x k takes a head and 8 k cycles.
    long, short = (each("mmad_steps", functools.partial(_products, k)) for k in (64, 32))
    clock = 256 / (long - short)  # cycles in a microsecond
    found["ghz"] = clock / 1e3
    found["cube_head_cycles"] = long * clock - 512

    def line(
        kernel: str,
        small: tuple[Callable[[int], tuple[int, ...]], int],
        large: tuple[Callable[[int], tuple[int, ...]], int],
        warm: bool = True,
    ) -> tuple[float, float]:
        """Bytes per cycle and the cycles that are left at no bytes, of two sizes (arguments, bytes)."""
        cycles = [each(kernel, args, warm=warm) * clock for args, _ in (small, large)]
        rate = (large[1] - small[1]) / (cycles[1] - cycles[0])
        return rate, cycles[0] - small[1] / rate

    # Tiles of 128 x 256: fp16 plain, fp32 plain and atomic; CANN's Fixpipe waits for the one before.
    def tiles(wide: int, atomic: int) -> Callable[[int], tuple[int, ...]]:
        return lambda n: (n * 131072, n, 256, wide, atomic)

    rate, rest = line("fixpipe_tiles", (tiles(0, 0), 65536), (tiles(1, 0), 131072))
    found["fixpipe_bytes_per_cycle"] = rate
    found["fix_latency_cycles"] = rest - _FIX_HEAD
    found["fixpipe_atomic_bytes_per_cycle"] = 131072 / (each("fixpipe_tiles", tiles(1, 1)) * clock - rest)

    # Loads into UB one after the other: from L2, and from memory that it does not hold.
    def loads(size: int) -> tuple[Callable[[int], tuple[int, ...]], int]:
        return (lambda n: (n * size, n, size, 0)), size

    rate, rest = line("loads", loads(16384), loads(65536))
    found["l2_read_bytes_per_cycle"] = rate
    found["mte_latency_cycles"] = rest - _MTE_HEAD
    rate, cold = line("loads", loads(16384), loads(65536), warm=False)
    found["ddr_read_bytes_per_cycle"] = rate
    found["hbm_latency_cycles"] = cold - rest

    # Stores from UB, likewise.
    def stores(size: int) -> tuple[Callable[[int], tuple[int, ...]], int]:
        return (lambda n: (n * size, n, size)), size

    rate, rest = line("stores", stores(16384), stores(65536))
    found["ub_write_bytes_per_cycle"] = rate
    found["store_latency_cycles"] = rest - _MTE_HEAD

    # Additions that wait for each other: a head and a tail, and a repeat's cycles, with and without a bank conflict.
    many, few = (each("adds", functools.partial(_sums, r)) * clock for r in (200, 100))
    overhead = few - (many - few)
    apart, together = (each("add_at", functools.partial(_sums_at, b)) * clock for b in (0x10100, 0x4000))
    found["vector_add_cycles"] = (apart - overhead) / 64
    found["ub_read_conflict_cycles"] = (together - overhead) / 64 - 1
    found["vector_head_cycles"] = overhead - _VECTOR_TAIL

    # A launch without work, on one core and on 24.
    one, all_cores = (time("adds", (0, 1, 0), cores, True) for cores in (1, 24))
    found["launch_microseconds"] = one
    found["launch_core_microseconds"] = (all_cores - one) / 23
    return found


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="the parameter file to write")
    parser.add_argument("--soc", default="Ascend910B2")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a parameter of the simulator")
    options = parser.parse_args(arguments)
    given: dict[str, float] = {}
    for setting in options.set:
        name, _, value = setting.partition("=")
        try:
            given[name] = float(value)
        except ValueError:
            parser.error(f"--set: expected NAME=VALUE with a number, got {setting}")
    found = calibrate(simulated(timing_library(), options.soc, given))
    for name, number in found.items():
        print(f"simulated  {name:32s} {number:10.4g}")
    options.file.write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
