"""Tests of the NPU path, run by `make npu-test` in an environment that has torch_npu.

On the simulator the run ends with what its kernels did: which ran, on which chip, with how many findings. A finding
that no test expected fails the run; tests that provoke findings do so in a process of their own (`npu_process`).
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

HAS_TORCH_NPU = importlib.util.find_spec("torch_npu") is not None
SIMULATED = "ASCEND_SIM_STREAMS" in os.environ  # scripts/npu_env.sh sets it
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


@pytest.fixture
def npu_process(tmp_path):
    """Runs Python source in a process of its own with its own report; environment variables as keywords."""

    def run(source: str, timeout: float = 300, **environment: str) -> Done:
        report = tmp_path / "report.jsonl"
        report.unlink(missing_ok=True)
        paths = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
        env = {**os.environ, "ASCEND_SIM_REPORT": str(report), "PYTHONPATH": paths, **environment}
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(source)], capture_output=True, text=True, env=env, timeout=timeout
        )
        lines = report.read_text().splitlines() if report.exists() else []
        return Done(done.returncode, done.stdout, done.stderr, [json.loads(line) for line in lines])

    return run


@pytest.fixture
def acl() -> raw_acl.Acl:
    """ACL as torch_npu uses it, with device 0 set on this thread."""
    import torch

    torch.npu.set_device(0)
    torch.npu.synchronize()
    return raw_acl.Acl()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "simulated: needs the simulator in the place of CANN")
    if HAS_TORCH_NPU:
        config.pluginmanager.register(device_guard.DeviceGuard())


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests marked `simulated` need the simulator; the others also run on a real NPU."""
    here = Path(__file__).parent
    for item in items:
        if not SIMULATED and here in item.path.parents and item.get_closest_marker("simulated"):
            item.add_marker(pytest.mark.skip(reason="needs the simulator: scripts/npu_env.sh"))


# ---- the report of the simulator ----------------------------------------------------------------------------------


def _report_path() -> Path | None:
    path = os.environ.get("ASCEND_SIM_REPORT", "")
    return Path(path) if SIMULATED and path else None


def pytest_sessionstart(session: pytest.Session) -> None:
    path = _report_path()
    if path is not None and "PYTEST_XDIST_WORKER" not in os.environ:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")


def _launches() -> list[dict[str, Any]]:
    path = _report_path()
    if path is None or not path.exists():
        return []
    return [line for line in map(json.loads, path.read_text().splitlines()) if "kernel" in line]


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if "PYTEST_XDIST_WORKER" in os.environ or exitstatus != 0:
        return
    if any(launch["findings"] or not launch["completed"] for launch in _launches()):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any) -> None:
    launches = _launches()
    if not launches:
        return
    terminalreporter.section("kernels on the simulated NPU")
    counts: dict[tuple[str, str], list[dict[str, Any]]] = collections.defaultdict(list)
    for launch in launches:
        counts[launch["kernel"], launch["soc"]].append(launch)
    for (kernel, soc), group in sorted(counts.items()):
        findings = sum(len(launch["findings"]) for launch in group)
        terminalreporter.line(f"{kernel:<40} {soc:<12} {len(group):>6} launches {findings:>4} findings")
    for launch in launches:
        for finding in launch["findings"]:
            site = finding["site"]
            terminalreporter.line(f"{launch['kernel']}: {site['file']}:{site['line']}: {finding['rule']}: "
                                  f"{finding['message']}")  # fmt: skip
    total = sum(len(launch["findings"]) for launch in launches)
    terminalreporter.line(f"{len(launches)} launches, {total} findings")
