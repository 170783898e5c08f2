"""The simulator's report (ASCEND_SIM_REPORT): a line of JSON for every launch of every process of the test run."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

Launch = dict[str, Any]
SIMULATED = "ASCEND_SIM_STREAMS" in os.environ  # scripts/npu_env.sh sets it


def path() -> Path | None:
    name = os.environ.get("ASCEND_SIM_REPORT", "")
    return Path(name) if SIMULATED and name else None


def launches(text: str) -> list[Launch]:
    return [line for line in map(json.loads, text.splitlines()) if "kernel" in line]


def of_the_whole_run() -> list[Launch]:
    report = path()
    return launches(report.read_text()) if report is not None and report.exists() else []


def wrong(launched: list[Launch]) -> list[str]:
    """A line for every finding, and for every kernel that did not end."""
    texts = []
    for launch in launched:
        for finding in launch["findings"]:
            site = finding["site"]
            place = f"{launch['kernel']}: {site['file']}:{site['line']}"
            texts.append(f"{place}: {finding['rule']}: {finding['message']}")
        if not launch["findings"] and not launch["completed"]:
            texts.append(f"{launch['kernel']}: did not end")
    return texts


class OwnLaunches:
    """What this process launched since it was last asked; other processes append to the same file."""

    def __init__(self) -> None:
        self.at = 0

    def new(self) -> list[Launch]:
        report = path()
        if report is None or not report.exists():
            return []
        with report.open("rb") as file:
            file.seek(self.at)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]  # a line that is being written is read next time
        self.at += len(whole)
        return [launch for launch in launches(whole.decode()) if launch["process"] == os.getpid()]
