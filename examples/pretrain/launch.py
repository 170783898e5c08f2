"""Where a run runs: the device, and the processes that torchrun started, if any."""

from __future__ import annotations

import dataclasses
import datetime
import gc
import importlib.util
import os
from typing import Any

import torch
import torch.distributed as dist


@dataclasses.dataclass(frozen=True)
class Place:
    """This process among its peers."""

    device: torch.device
    rank: int
    world_size: int

    @property
    def first(self) -> bool:
        return self.rank == 0

    def sum(self, *values: float) -> list[float]:
        """Each value summed over all processes, in float64."""
        if self.world_size == 1:
            return list(values)
        kind = torch.float64 if self.device.type == "cpu" else torch.float32
        total = torch.tensor(values, dtype=kind, device=self.device)
        dist.all_reduce(total)
        return [float(x) for x in total.tolist()]

    def from_all(self, value: Any) -> list[Any]:
        """Every process's `value`, in the order of ranks."""
        if self.world_size == 1:
            return [value]
        values: list[Any] = [None] * self.world_size
        dist.all_gather_object(values, value)
        return values

    def agree(self, error: Exception | str | None = None) -> None:
        """Called by every process with what went wrong there: ValueError in all of them where one has an error, so that
        none waits for another that has given up."""
        failed = [
            (rank, text) for rank, text in enumerate(self.from_all(None if error is None else str(error))) if text
        ]
        if failed:
            rank, text = failed[0]
            raise ValueError(text if self.world_size == 1 else f"process {rank}: {text}")


def world_size() -> int:
    """The number of processes, known before any of them talks to another."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def start(timeout_minutes: float = 10.0) -> Place:
    """Picks the NPU of this process where torch_npu is installed and finds one, else the CPU; joins the other processes
    (hccl or gloo), which must each come to every meeting within `timeout_minutes`."""
    rank, local_rank = int(os.environ.get("RANK", "0")), int(os.environ.get("LOCAL_RANK", "0"))
    device = torch.device("cpu")
    if importlib.util.find_spec("torch_npu") is not None:
        import torch_npu

        if torch_npu.npu.is_available():
            device = torch.device("npu", local_rank)
            torch_npu.npu.set_device(device)
    if world_size() > 1:
        dist.init_process_group(
            "gloo" if device.type == "cpu" else "hccl", timeout=datetime.timedelta(minutes=timeout_minutes)
        )
    return Place(device, rank, world_size())


def wait(place: Place) -> None:
    """Until every process has come here."""
    if place.world_size > 1:
        dist.barrier()


def stop(place: Place) -> None:
    """Leaves the other processes. No DistributedDataParallel may be left: its reducer would be the process group's last
    owner, and gives it up while it holds the interpreter's lock, which gloo's thread may be waiting for
    (https://github.com/pytorch/pytorch/issues/56297)."""
    if place.world_size > 1:
        gc.collect()  # modules are parts of cycles
        dist.destroy_process_group()
