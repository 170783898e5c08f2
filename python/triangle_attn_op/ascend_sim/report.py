"""What a launch reports: findings of the checkers, modelled time, and the trace."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np


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


@dataclass(frozen=True)
class SyncCall:
    """A synchronisation call in the kernel's source; its text names it for `ignore_sites`."""

    file: str
    line: int
    name: str  # "SetFlag<M_FIX>", "PipeBarrier<V>", "CrossCoreWaitFlag", "SyncAll"

    def __str__(self) -> str:
        return f"{self.file}:{self.line} {self.name}"


def _finding(data: dict[str, Any]) -> Finding:
    other = data["other"]
    return Finding(**{**data, "site": Place(**data["site"]), "other": None if other is None else Place(**other)})


@dataclass
class Report:
    """The outcome of one launch. Times are modelled, never measured.

    completed: the kernel ran to its end (a fatal finding stops it).
    cycles: of the slowest core. cores: per core its name, cycles, and per pipe the cycles it was busy (an instruction
    held it), active (an instruction was under way, its result's latency included) and its instructions.
    path_bytes: bytes moved on each data path ("GM->L1", ...).
    events: of a launch with trace=True, in order of issue: start, end (left the pipe) and done (result there) in
    cycles, core (an index into cores) and pipe (an index into pipes.PIPES).
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
    events: np.ndarray[Any, Any] | None = field(default=None, repr=False)

    @classmethod
    def from_json(cls, data: dict[str, Any], write_trace: Callable[[str], None] | None = None) -> Report:
        findings = [_finding(f) for f in data["findings"]]
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

    def followed_by(self, later: Report) -> Report:
        """This launch and one behind it on the same stream as one: times, bytes and counts add up, and synchronisation
        calls. Without traces, the critical path, and what is known of one launch only.
        """
        cores = {core["name"]: core for core in (_copied(core) for core in self.cores)}
        for core in later.cores:
            into = cores.setdefault(core["name"], {**core, "cycles": 0.0, "pipes": {}})
            into["cycles"] += core["cycles"]
            for pipe, figures in core["pipes"].items():
                have = into["pipes"].setdefault(pipe, dict.fromkeys(figures, 0))
                for name, figure in figures.items():
                    have[name] += figure
        bytes_of = {
            path: self.path_bytes.get(path, 0) + later.path_bytes.get(path, 0)
            for path in {**self.path_bytes, **later.path_bytes}
        }
        raw = {**self.raw, "sync": _joined_sync(self.raw.get("sync", {}), later.raw.get("sync", {}))}
        for name in ("dropped_findings", "cube_flops"):
            raw[name] = self.raw.get(name, 0) + later.raw.get(name, 0)
        raw.pop("critical_path", None)
        return Report(
            completed=self.completed and later.completed,
            findings=self.findings + later.findings,
            soc=self.soc,
            ghz=self.ghz,
            cycles=self.cycles + later.cycles,
            instructions=self.instructions + later.instructions,
            cube_steps=self.cube_steps + later.cube_steps,
            path_bytes=bytes_of,
            cores=list(cores.values()),
            raw=raw,
        )

    @property
    def suppressed(self) -> list[Finding]:
        """Findings left out by a comment in the kernel's line or by the launch's file of suppressions."""
        return [_finding(f) for f in self.raw.get("suppressed", [])]

    @property
    def dropped_findings(self) -> int:
        """Findings beyond the first 1000 different ones, which are only counted."""
        return int(self.raw.get("dropped_findings", 0))

    @property
    def microseconds(self) -> float:
        """At the clock of the launch, which is the chip's nominal one unless overridden."""
        return self.cycles / (self.ghz * 1e3)

    @property
    def sustained_microseconds(self) -> float:
        """The same cycles at the clock that long runs seem to have (`sustained_ghz`)."""
        return self.cycles / (float(self.raw["sustained_ghz"]) * 1e3)

    @property
    def ok(self) -> bool:
        return self.completed and not self.findings

    def rules(self) -> set[str]:
        """The ids of the rules that were broken."""
        return {f.rule for f in self.findings}

    def raise_on_findings(self) -> Report:
        """Returns self, or raises KernelError listing every finding."""
        if not self.ok:
            lines = [str(f) for f in self.findings]
            if self.dropped_findings:
                lines.append(f"and {self.dropped_findings} further findings, which are not kept")
            raise KernelError("\n".join(lines) or "the launch did not complete")
        return self

    def busy(self, pipe: str) -> float:
        """Busy share of a pipe ("M", "V", "MTE2", ...): mean over the cores that used it."""
        shares = [core["pipes"][pipe]["busy"] / self.cycles for core in self.cores if pipe in core["pipes"]]
        return sum(shares) / len(shares) if shares else 0.0

    @property
    def pipe_shares(self) -> dict[str, float]:
        """Busy share of every pipe of each core type ("aic.M", "aiv.V", ...): mean over the cores of that type."""
        totals: dict[str, float] = {}
        counts: dict[str, int] = {}
        for core in self.cores:
            kind = core["name"][:3]
            counts[kind] = counts.get(kind, 0) + 1
            for pipe, of in core["pipes"].items():
                totals[f"{kind}.{pipe}"] = totals.get(f"{kind}.{pipe}", 0.0) + of["busy"]
        return {k: v / counts[k[:3]] / self.cycles if self.cycles else 0.0 for k, v in sorted(totals.items())}

    def active_microseconds(self, pipe: str) -> float:
        """Time in which the pipe had an instruction under way, what profilers call its time: mean over the cores."""
        active = [core["pipes"][pipe]["active"] for core in self.cores if pipe in core["pipes"]]
        return sum(active) / len(active) / (self.ghz * 1e3) if active else 0.0

    @property
    def critical_path(self) -> dict[str, float]:
        """Shares of the chain of work that ends last, by core type and pipe: what to shorten to shorten the launch."""
        parts: dict[str, float] = self.raw.get("critical_path", {})
        total = sum(parts.values())
        return {k: v / total for k, v in sorted(parts.items(), key=lambda item: -item[1])} if total else {}

    @property
    def critical_pipe(self) -> str:
        """The largest part of the critical path, as "aic.FIX"; "" where nothing ran."""
        return next(iter(self.critical_path), "")

    @property
    def cube_flops(self) -> int:
        """Of all Mmads, padding to fractals included."""
        return int(self.raw.get("cube_flops", 0))

    @property
    def cube_flops_per_second(self) -> float:
        return self.cube_flops / (self.microseconds * 1e-6) if self.cycles else 0.0

    @property
    def cube_peak_share(self) -> float:
        """Of what all the chip's cubes could do in 16-bit FLOPs in the launch's time."""
        peak = float(self.raw.get("cube_peak_flops_per_second", 0.0))
        return self.cube_flops_per_second / peak if peak else 0.0

    @property
    def memory(self) -> dict[str, int]:
        """Bytes between GM and cores ("read", "written") and between L2 and HBM ("hbm_read", "hbm_written")."""
        return dict(self.raw.get("memory", {}))

    @property
    def sync_calls(self) -> dict[SyncCall, int]:
        """Every synchronisation call the kernel made and how often; empty for timing_only."""
        return {SyncCall(c["file"], c["line"], c["name"]): c["count"] for c in self._sync("calls")}

    @property
    def sync_pairs(self) -> dict[tuple[SyncCall, SyncCall], int]:
        """Which sets of flags were taken by which waits, and how often."""
        calls = list(self.sync_calls)
        return {(calls[first], calls[second]): count for first, second, count in self._sync("pairs")}

    def _sync(self, what: str) -> list[Any]:
        found: list[Any] = self.raw.get("sync", {}).get(what, [])
        return found

    def summary(self) -> str:
        """The modelled time in a few lines of text."""
        lines = [
            f"{self.soc}: {self.cycles:,.0f} cycles, {self.microseconds:,.2f} us (modelled, not measured)",
            f"  cube      {self.cube_flops_per_second / 1e12:.1f} TFLOP/s, {self.cube_peak_share:.1%} of the peak",
            "  busy      " + ", ".join(f"{k} {v:.1%}" for k, v in self.pipe_shares.items()),
            "  critical  " + ", ".join(f"{k} {v:.1%}" for k, v in self.critical_path.items() if v >= 0.005),
            "  bytes     " + ", ".join(f"{k} {v:,}" for k, v in self.path_bytes.items()),
            "  HBM       " + ", ".join(f"{k} {v:,}" for k, v in self.memory.items() if k.startswith("hbm")),
        ]
        return "\n".join(lines)

    def write_png(self, path: str | os.PathLike[str], title: str = "") -> None:
        """Draws how occupied each pipe of each core is: over time for a launch made with trace=True, else as means.

        Needs matplotlib.
        """
        from .plot import write_occupancy

        write_occupancy(self, path, title)

    def write_trace(self, path: str | os.PathLike[str]) -> None:
        """Writes the Chrome/Perfetto trace of a launch made with trace=True."""
        if self._write_trace is None:
            raise ValueError("write_trace: the launch was not made with trace=True")
        self._write_trace(os.fspath(path))


def _copied(core: dict[str, Any]) -> dict[str, Any]:
    return {**core, "pipes": {pipe: dict(figures) for pipe, figures in core["pipes"].items()}}


def _joined_sync(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Calls of both, each once; pairs name calls by their place in the list."""
    calls: dict[tuple[str, int, str], dict[str, Any]] = {}
    pairs: dict[tuple[int, int], int] = {}
    for part in (first, second):
        places = []
        for call in part.get("calls", []):
            key = (call["file"], call["line"], call["name"])
            into = calls.setdefault(key, {**call, "count": 0})
            into["count"] += call["count"]
            places.append(list(calls).index(key))
        for one, other, count in part.get("pairs", []):
            pair = (places[one], places[other])
            pairs[pair] = pairs.get(pair, 0) + count
    return {"calls": list(calls.values()), "pairs": [[one, other, count] for (one, other), count in pairs.items()]}
