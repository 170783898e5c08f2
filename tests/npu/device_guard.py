"""After every test: nothing may be left on the device that fails, no kernel may have had a finding (the simulator's
report has those of which torch_npu makes a warning, too), and torch_npu's task queue must be alive.

A call that fails in torch_npu's task queue ends that queue for good: later operators do nothing, waits for events never
return. So the test that did it fails, and those after it in the same process fail at once instead of reading old
numbers or hanging. A test that hangs all the same ends the process with the stacks of its threads.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import sys
import time

import pytest
from simulator_report import OwnLaunches, wrong

HANG_SECONDS = 900


class DeviceGuard:
    """A pytest plugin; conftest.py registers it."""

    def __init__(self, patience: int = 3000) -> None:
        self.dead = ""
        self.patience = patience  # hundredths of a second for the queue's thread to take an event
        self.launches = OwnLaunches()
        self.stderr = os.fdopen(os.dup(2), "w")  # pytest captures the other one

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        if self.dead:
            pytest.fail(f"torch_npu's task queue ended in {self.dead}; see there", pytrace=False)
        faulthandler.dump_traceback_later(HANG_SECONDS, exit=True, file=self.stderr)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> None:
        faulthandler.cancel_dump_traceback_later()
        left = self.left_on_the_devices(item)
        left += wrong(self.launches.new())
        if left:
            pytest.fail("\n".join(left), pytrace=False)

    def left_on_the_devices(self, item: pytest.Item) -> list[str]:
        torch = sys.modules.get("torch")
        if self.dead or "torch_npu" not in sys.modules or torch is None or not torch.npu.is_initialized():
            return []
        left = []
        for device in range(torch.npu.device_count()):
            if torch.npu.memory_reserved(device) == 0 and device != torch.npu.current_device():
                continue
            try:
                torch.npu.synchronize(device)
            except RuntimeError as error:
                left.append(f"left on the device: {error}")
            if not queue_is_alive(device, self.patience):
                self.dead = item.nodeid
                left = left or ["a call failed in torch_npu's task queue, which ended it"]
        return left


def queue_is_alive(device: int, patience: int) -> bool:
    """Whether an event recorded now comes to pass."""
    import torch

    with torch.npu.device(device):
        event = torch.npu.Event()
        event.record()
    for delay in [0.0] * 100 + [0.01] * patience:
        if event.query():
            return True
        time.sleep(delay)
    return False


def memory_left() -> str:
    """What torch holds on the devices when all tests are done and their objects collected; empty where nothing."""
    torch = sys.modules.get("torch")
    if "torch_npu" not in sys.modules or torch is None or not torch.npu.is_initialized():
        return ""
    gc.collect()
    held = {device: torch.npu.memory_allocated(device) for device in range(torch.npu.device_count())}
    return ", ".join(f"{size} bytes on device {device}" for device, size in held.items() if size)
