"""How fast the simulator itself is, in processor time of this machine.

    python benchmarks/sim_speed.py [--build build/sim_tests] [--scale 1.0]

Builds the kernels it needs. One line per case: API calls a second, and GFLOP/s or GB/s of simulated work; what is timed
without data (`timing_only`) says how many times as many calls a second that is as with checks.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "python" / "triangle_attn_op"))

import ascend_sim  # noqa: E402


def build(folder: Path, names: list[str]) -> None:
    """Configures and builds the test kernels `names`."""
    subprocess.run(
        ["cmake", "-S", str(ROOT / "tests/sim/kernels"), "-B", str(folder), "-G", "Ninja"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    subprocess.run(["ninja", "-C", str(folder), *(f"lib{n}.so" for n in names)], check=True, stdout=subprocess.DEVNULL)


def measure(
    title: str,
    library: Any,
    kernel: str,
    args: list[Any],
    work: float,
    unit: str,
    checked: float | None = None,
    **options: Any,
) -> float:
    """Prints a line and returns millions of calls a second. work: in units of 1e9; checked: that figure with checks."""
    best = float("inf")
    for _ in range(3):
        start = time.process_time()
        report = library.launch(kernel, *args, **options)
        best = min(best, time.process_time() - start)
        report.raise_on_findings()
    calls = report.instructions / best / 1e6
    rate = f"{work / best:8.2f} {unit}" if work else " " * 15
    ratio = f"  {calls / checked:.1f} x as many" if checked is not None else ""
    print(f"{title:58s} {best:8.3f} s {calls:8.2f} M calls/s {rate}  {report.microseconds:10.1f} us modelled{ratio}")
    return calls


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "sim_tests")
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies the amount of work")
    options = parser.parse_args()
    build(options.build, ["speed"])
    speed = ascend_sim.load(options.build / "libspeed.so")
    rng = np.random.default_rng(0)

    loops = int(300 * options.scale)
    flops = 2 * 128**3 * loops / 1e9
    product = np.zeros((128, 128), np.float32)
    measure("Mmad 128x128x128 alone, checks on", speed, "mmad_loop", [product, loops], flops, "GFLOP/s")
    if not np.all(product == 128 * 0.125 * loops):
        raise SystemExit("mmad_loop: wrong product")

    k_tiles = int(200 * options.scale)
    a = rng.standard_normal((128, 128 * k_tiles)).astype(np.float16)
    b = rng.standard_normal((128, 128 * k_tiles)).astype(np.float16)
    c = np.zeros((128, 128), np.float32)
    flops = 2 * 128**3 * k_tiles / 1e9
    for order in ("eager", "lazy", "random"):
        title = f"matmul tiles GM -> L1 -> L0 -> Mmad, checks on, {order}"
        checked = measure(title, speed, "matmul_loop", [a, b, c, k_tiles], flops, "GFLOP/s", order=order)
    expected = a.astype(np.float32) @ b.astype(np.float32).T
    if not np.allclose(c, expected, rtol=1e-3, atol=1e-2):
        raise SystemExit("matmul_loop: wrong product")
    many = int(20000 * options.scale)
    memory = [128 * 128 * many * 2] * 2 + [24 * 128 * 128 * 4]
    memory[0] *= 24
    title = f"the same, timing only, 24 cores x {many} tiles"
    flops = 2 * 128**3 * many * 24 / 1e9
    measure(title, speed, "matmul_loop", [*memory, many], flops, "GFLOP/s", checked, block_dim=24, timing_only=True)

    for count, blocks, iterations in ((64, 1, 20000), (4096, 1, 2000), (64, 48, 500)):
        iterations = int(iterations * options.scale)
        x = np.ones((blocks, count), np.float32)
        work = blocks * iterations * count * 4 * 8 / 1e9  # operands touched: 2 copies of 2, 2 sums of 3, less reuse
        title = f"vector loop, {count} floats, {blocks} cores, checks on"
        args = [x, np.zeros_like(x), iterations, count]
        checked = measure(title, speed, "vector_loop", args, work, "GB/s   ", block_dim=blocks)
        title = f"vector loop, {count} floats, {blocks} cores, timing only"
        measure(title, speed, "vector_loop", args, 0, "", checked, block_dim=blocks, timing_only=True)


if __name__ == "__main__":
    main()
