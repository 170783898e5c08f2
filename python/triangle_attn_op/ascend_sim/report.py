"""What a launch reports: findings of the checkers, modelled time, and the trace."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


class KernelError(RuntimeError):
    """A launch with findings; the message lists them."""


@dataclass(frozen=True)
class Place:
    """One side of a finding: a call in the kernel's source, and who made it."""

    file: str
    line: int
    instruction: str
    core: str
    pipe: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.instruction} [{self.core} PIPE_{self.pipe}]"


@dataclass(frozen=True)
class Finding:
    """rule: the checker's rule id; npuchk: CANN's name for it ("" if none); begin, end: byte range in buffer."""

    rule: str
    npuchk: str
    fatal: bool
    message: str
    count: int
    site: Place
    other: Place | None
    buffer: str
    region: str
    begin: int
    end: int

    def __str__(self) -> str:
        alias = f" ({self.npuchk})" if self.npuchk else ""
        times = f" [{self.count} times]" if self.count > 1 else ""
        where = f"{self.site.file}:{self.site.line}: " if self.site.line else ""
        return f"{where}{self.rule}{alias}: {self.message}{times}"


@dataclass
class Report:
    """The outcome of one launch. Times are modelled, never measured.

    completed: the kernel ran to its end (a fatal finding stops it).
    cycles: of the slowest core; pipes: per core and pipe the busy cycles and instruction count.
    """

    completed: bool
    findings: list[Finding]
    soc: str
    ghz: float
    cycles: float
    instructions: int
    cube_steps: int
    path_bytes: dict[str, int]
    cores: list[dict[str, Any]]
    raw: dict[str, Any] = field(repr=False)
    _write_trace: Callable[[str], None] | None = field(default=None, repr=False)

    @classmethod
    def from_json(cls, data: dict[str, Any], write_trace: Callable[[str], None] | None = None) -> Report:
        findings = [
            Finding(
                **{
                    **f,
                    "site": Place(**f["site"]),
                    "other": Place(**f["other"]) if f["other"] is not None else None,
                }
            )
            for f in data["findings"]
        ]
        return cls(
            completed=data["completed"],
            findings=findings,
            soc=data["soc"],
            ghz=data["ghz"],
            cycles=data["cycles"],
            instructions=data["instructions"],
            cube_steps=data["cube_steps"],
            path_bytes=data["path_bytes"],
            cores=data["cores"],
            raw=data,
            _write_trace=write_trace,
        )

    @property
    def microseconds(self) -> float:
        return self.cycles / (self.ghz * 1e3)

    @property
    def ok(self) -> bool:
        return self.completed and not self.findings

    def rules(self) -> set[str]:
        """The ids of the rules that were broken."""
        return {f.rule for f in self.findings}

    def raise_on_findings(self) -> Report:
        """Returns self, or raises KernelError listing every finding."""
        if not self.ok:
            raise KernelError("\n".join(str(f) for f in self.findings) or "the launch did not complete")
        return self

    def busy(self, pipe: str) -> float:
        """Busy share of a pipe ("M", "V", "MTE2", ...): mean over the cores that used it."""
        shares = [core["pipes"][pipe]["busy"] / self.cycles for core in self.cores if pipe in core["pipes"]]
        return sum(shares) / len(shares) if shares else 0.0

    def write_trace(self, path: str | os.PathLike[str]) -> None:
        """Writes the Chrome/Perfetto trace of a launch made with trace=True."""
        if self._write_trace is None:
            raise ValueError("write_trace: the launch was not made with trace=True")
        self._write_trace(os.fspath(path))
