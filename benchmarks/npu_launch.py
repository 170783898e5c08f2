"""Host time of a call on an NPU: launched inside torch_npu's host queue, and by the caller after draining that queue.

    scripts/npu_env.sh .venv-npu/bin/python benchmarks/npu_launch.py     # on the emulated runtime
    python benchmarks/npu_launch.py                                      # on an NPU

Both ways take turns in one process. Before each timed call `--before` operators of torch_npu are queued; the time
is that until the call returns. On the emulated runtime, where kernels run when the host waits, this is time of
torch_npu's and our own host code and of the emulation's bookkeeping: its ratio says what draining costs there, and
nothing of a real runtime. Printed are the lower quartiles, which another load on the machine disturbs least.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time

import torch
import torch_npu  # noqa: F401
import triangle_attn_op

WAY = "TRIANGLE_ATTN_NPU_LAUNCH"  # read at each call
WAYS = {"in the queue": "", "draining": "drain"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=int, default=20, help="operators that wait in the queue (20)")
    parser.add_argument("--rounds", type=int, default=30, help="timed calls of each way (30)")
    parser.add_argument("--length", type=int, default=64, help="Sq = Sk (64)")
    arguments = parser.parse_args()
    q, k, v = (torch.randn(1, 1, arguments.length, 64, dtype=torch.float16).npu() for _ in range(3))
    other = torch.ones(1024).npu()
    times: dict[str, list[float]] = {way: [] for way in WAYS}
    for round_ in range(arguments.rounds + 2):  # the first two warm up
        for way, setting in WAYS.items():
            os.environ[WAY] = setting
            torch.npu.synchronize()
            for _ in range(arguments.before):
                other.mul_(1.0)
            begin = time.perf_counter()
            triangle_attn_op.triangle_attention(q, k, v)
            end = time.perf_counter()
            if round_ >= 2:
                times[way].append(end - begin)
    torch.npu.synchronize()
    quartiles = {way: statistics.quantiles(taken, n=4)[0] for way, taken in times.items()}
    for way, quartile in quartiles.items():
        print(f"{way:<14} {1e6 * quartile:8.0f} us a call, lower quartile of {arguments.rounds}")
    print(
        f"ratio {quartiles['in the queue'] / quartiles['draining']:.2f}, {arguments.before} operators before each call"
    )


if __name__ == "__main__":
    main()
