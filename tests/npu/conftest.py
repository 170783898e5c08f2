"""Tests of the NPU path, run by `make npu-test` in an environment that has torch_npu.

On the simulator a test whose kernels had a finding fails (device_guard.py), and the run ends with what its kernels did:
which ran, on which chip, with how many findings; device memory that no test freed fails it. Tests that provoke findings
do so in a process of their own (`npu_process`).
"""

from __future__ import annotations

import collections
import importlib.util
import json
import os
import subprocess
import sys
import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import device_guard
import pytest
import raw_acl
import simulator_report
from forks import Forks
from simulator_report import SIMULATED

HAS_TORCH_NPU = importlib.util.find_spec("torch_npu") is not None
HELD = pytest.StashKey[list[str]]()
if not HAS_TORCH_NPU:
    collect_ignore_glob = ["test_*.py"]


@dataclass
class Done:
    """What a process of its own came to: its output, and the simulator's report lines."""

    code: int
    out: str
    err: str
    report: list[dict[str, Any]] = field(default_factory=list)

    def launches(self) -> list[dict[str, Any]]:
        return [line for line in self.report if "kernel" in line]


@pytest.fixture(scope="session", autouse=True)  # before a test can change the environment
def forks():
    made = Forks()
    yield made
    made.close()


@pytest.fixture
def npu_process(tmp_path, forks):
    """Runs Python source in a process of its own with its own report; environment variables as keywords."""

    def run(source: str, timeout: float = 1200, **environment: str) -> Done:
        report = tmp_path / "report.jsonl"
        report.unlink(missing_ok=True)
        if forks.serves(environment):
            given = {"ASCEND_SIM_REPORT": str(report), **environment}
            code, out, err = forks.run(textwrap.dedent(source), tmp_path, given, timeout)
            return Done(code, out, err, lines_of(report))
        paths = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
        if "LD_PRELOAD" in environment:  # what is preloaded already stays so
            environment["LD_PRELOAD"] = " ".join([environment["LD_PRELOAD"], os.environ.get("LD_PRELOAD", "")])
        env = {**os.environ, "ASCEND_SIM_REPORT": str(report), "PYTHONPATH": paths, **environment}
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(source)], capture_output=True, text=True, env=env, timeout=timeout
        )
        return Done(done.returncode, done.stdout, done.stderr, lines_of(report))

    return run


def lines_of(report: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in report.read_text().splitlines()] if report.exists() else []


@pytest.fixture
def acl() -> raw_acl.Acl:
    """ACL as torch_npu uses it, with device 0 set on this thread."""
    import torch

    torch.npu.set_device(0)
    torch.npu.synchronize()
    return raw_acl.Acl()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "simulated: needs the simulator in the place of CANN")
    config.stash[HELD] = []
    if HAS_TORCH_NPU:
        config.pluginmanager.register(device_guard.DeviceGuard())


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests marked `simulated` need the simulator; the others also run on a real NPU."""
    here = Path(__file__).parent
    for item in items:
        if not SIMULATED and here in item.path.parents and item.get_closest_marker("simulated"):
            item.add_marker(pytest.mark.skip(reason="needs the simulator: scripts/npu_env.sh"))


# ---- the report of the simulator ----------------------------------------------------------------------------------

LEFT = "npu_memory_left"  # in a worker's output: what its process held at the end


def pytest_sessionstart(session: pytest.Session) -> None:
    path = simulator_report.path()
    if path is not None and "PYTEST_XDIST_WORKER" not in os.environ:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    left = device_guard.memory_left() if SIMULATED and HAS_TORCH_NPU else ""
    if "PYTEST_XDIST_WORKER" in os.environ:
        session.config.workeroutput[LEFT] = left
        return
    if left:
        session.config.stash[HELD].append(left)
    launches = simulator_report.of_the_whole_run()
    if exitstatus == 0 and (simulator_report.wrong(launches) or session.config.stash[HELD]):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object | None) -> None:
    left = getattr(node, "workeroutput", {}).get(LEFT, "")
    if left:
        node.config.stash[HELD].append(f"{node.gateway.id}: {left}")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    for left in terminalreporter.config.stash[HELD]:
        terminalreporter.line(f"device memory that nothing freed: {left}")
    launches = simulator_report.of_the_whole_run()
    if not launches:
        return
    terminalreporter.section("kernels on the simulated NPU")
    counts: dict[tuple[str, str], list[simulator_report.Launch]] = collections.defaultdict(list)
    for launch in launches:
        counts[launch["kernel"], launch["soc"]].append(launch)
    for (kernel, soc), group in sorted(counts.items()):
        findings = sum(len(launch["findings"]) for launch in group)
        terminalreporter.line(f"{kernel:<40} {soc:<12} {len(group):>6} launches {findings:>4} findings")
    for text in simulator_report.wrong(launches):
        terminalreporter.line(text)
    total = sum(len(launch["findings"]) for launch in launches)
    terminalreporter.line(f"{len(launches)} launches, {total} findings")
