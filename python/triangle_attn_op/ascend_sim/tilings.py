"""Tilings of a matmul as CANN's tuning describes them, and their modelled times (kernel `matmul_tiled`)."""

from __future__ import annotations

import csv
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .launch import KernelLibrary, Struct
from .report import Report

HEADER = (
    "batch,m,n,k,out_dtype,cores_batch,cores_m,cores_n,base_m,base_n,base_k,l1a_buffers,l1a_k,l1a_m,"
    "l1b_buffers,l1b_k,l1b_n,l0a_buffers,l0b_buffers,l0c_buffers,us"
)
# Optional further columns, after us: what lies in GM. nz without them.
LAYOUTS = "a_layout,b_layout,c_layout"
_A_LAYOUTS, _B_LAYOUTS, _C_LAYOUTS = ("nz", "mk", "km"), ("nz", "kn", "nk"), ("nz", "mn")
_OUT = {"fp16": 2, "fp32": 4}


@dataclass(frozen=True)
class Tiling:
    """Sizes in elements. l1a_k or l1b_k None: the core's whole operand is loaded once for each batch.

    row_major: C as rows instead of NZ. a_layout: NZ of [m, k], or rows of k ("mk"), or rows of m ("km"); b_layout
    likewise "nz", "kn", "nk". layouts_known: whether these say what was measured, or a file without such columns left
    them open. l1a_batch, l1b_batch: batches in one packet of L1.
    """

    batch: int
    m: int
    n: int
    k: int
    cores_batch: int
    cores_m: int
    cores_n: int
    base_m: int
    base_n: int
    base_k: int
    out_dtype: str = "fp16"
    l1a_buffers: int = 1
    l1a_k: int | None = None
    l1a_m: int | None = None
    l1b_buffers: int = 1
    l1b_k: int | None = None
    l1b_n: int | None = None
    l0a_buffers: int = 1
    l0b_buffers: int = 1
    l0c_buffers: int = 1
    row_major: bool = False
    a_layout: str = "nz"
    b_layout: str = "nz"
    layouts_known: bool = True
    l1a_batch: int = 1
    l1b_batch: int = 1

    @property
    def cores(self) -> int:
        return self.cores_batch * self.cores_m * self.cores_n

    def row_lengths(self) -> list[int]:
        """Elements from row to row of the operands that lie in GM as rows."""
        lengths = {"mk": self.k, "km": self.m, "kn": self.n, "nk": self.k}
        rows = [lengths[layout] for layout in (self.a_layout, self.b_layout) if layout != "nz"]
        return [*rows, self.n] if self.row_major else rows

    def struct(self, wide: bool | None = None) -> Struct:
        """The kernel's argument."""
        wide = self.out_dtype == "fp32" if wide is None else wide
        words = (
            *(self.batch, self.m, self.n, self.k, int(wide), int(self.row_major)),
            *(_A_LAYOUTS.index(self.a_layout), _B_LAYOUTS.index(self.b_layout)),
            *(self.cores_batch, self.cores_m, self.cores_n, self.base_m, self.base_n, self.base_k),
            *(self.l1a_buffers, self.l1a_k or 0, self.l1a_m or 0, self.l1a_batch),
            *(self.l1b_buffers, self.l1b_k or 0, self.l1b_n or 0, self.l1b_batch),
            *(self.l0a_buffers, self.l0b_buffers, self.l0c_buffers),
        )
        return Struct(struct.pack(f"<{len(words)}i", *words))

    def inexpressible(self, padded: bool = False) -> str:
        """Why the model has no time for it; empty where it has. padded: sizes need not be multiples of 64."""
        if min(self.batch, self.m, self.n, self.k, self.base_m, self.base_n, self.base_k, self.cores) < 1:
            return "sizes are not positive"
        if any(size % 16 for size in (self.base_m, self.base_n, self.base_k)):
            return "tiles are no multiples of 16"
        if any(size % 16 for size in (self.m, self.n, self.k)):
            return "sizes are no multiples of 16"
        if not padded and any(size % 64 for size in (self.m, self.n, self.k)):
            # Sizes in the bank are rounded up to 16. In NZ that is how they lie in GM; rows of GM are as long as the
            # operand, and a copy of rows that begin anywhere takes up to 2 times as long.
            if not self.layouts_known:
                return "sizes are no multiples of 64, and layouts in GM are not given"
            if any(length % 64 for length in self.row_lengths()):
                return "rows of GM are no multiples of 128 B: how long they were is not given"
        rows, columns = (
            -(-size // 16 // cores) * 16 for size, cores in ((self.m, self.cores_m), (self.n, self.cores_n))
        )
        base_m, base_n, base_k = min(self.base_m, rows), min(self.base_n, columns), min(self.base_k, self.k)
        if max(base_m * self.l0a_buffers, base_n * self.l0b_buffers) * base_k * 2 > 65536:
            return "tiles exceed L0A or L0B"
        if base_m * base_n * 4 > 131072:
            return "the tile exceeds L0C"
        l1 = 0
        for buffers, packet_k, packet, whole, batches in (
            (self.l1a_buffers, self.l1a_k, self.l1a_m, rows, self.l1a_batch),
            (self.l1b_buffers, self.l1b_k, self.l1b_n, columns, self.l1b_batch),
        ):
            k = self.k if packet_k is None else min(packet_k, self.k)
            held = whole if packet_k is None else min(packet or whole, whole)
            l1 += buffers * k * held * 2 * (batches if k == self.k and held == whole else 1)
            if k < self.k and k % base_k:
                return "a packet of L1 ends inside a step of k"
        if l1 > 524288:
            return "packets exceed L1"
        return ""


@dataclass(frozen=True)
class Measured:
    """A tiling and its measured time."""

    tiling: Tiling
    microseconds: float


def read_rows(path: str | Path) -> list[Measured]:
    """A CSV file with the header HEADER, or that and LAYOUTS; an empty L1 field: all of it is loaded once. ValueError
    names the line.
    """
    with open(path, newline="") as file:
        return parse_rows(file, str(path))


def parse_rows(lines: Iterable[str], where: str) -> list[Measured]:
    """The same of lines; `where` names them in errors."""
    reader = csv.DictReader(lines)
    if reader.fieldnames not in (HEADER.split(","), f"{HEADER},{LAYOUTS}".split(",")):
        raise ValueError(f"{where}: line 1: expected the header {HEADER}, with or without {LAYOUTS} after it")
    return [_row(row, f"{where}: line {reader.line_num}") for row in reader]


def _row(row: Mapping[str, str], where: str) -> Measured:
    fields: dict[str, int | str | None] = {}
    for name, text in row.items():
        if name in ("us", "out_dtype", *LAYOUTS.split(",")):
            continue
        try:
            fields[name] = None if text == "" and name in ("l1a_k", "l1a_m", "l1b_k", "l1b_n") else int(text)
        except (TypeError, ValueError):
            raise ValueError(f"{where}: {name}: expected an integer, got {text!r}") from None
    if row["out_dtype"] not in _OUT:
        raise ValueError(f"{where}: out_dtype: expected fp16 or fp32, got {row['out_dtype']!r}")
    for name, known in zip(LAYOUTS.split(","), (_A_LAYOUTS, _B_LAYOUTS, _C_LAYOUTS)):
        layout = row.get(name, "nz")
        if layout not in known:
            raise ValueError(f"{where}: {name}: expected {', '.join(known)}, got {layout!r}")
        if name != "c_layout":
            fields[name] = layout
    fields["row_major"] = row.get("c_layout", "nz") == "mn"
    fields["layouts_known"] = "c_layout" in row
    try:
        microseconds = float(row["us"])
    except (TypeError, ValueError):
        raise ValueError(f"{where}: us: expected a number, got {row['us']!r}") from None
    return Measured(Tiling(out_dtype=row["out_dtype"], **fields), microseconds)  # type: ignore[arg-type]


def model_tiling(
    library: KernelLibrary, tiling: Tiling, parameters: Mapping[str, float] | None = None, soc: str = "Ascend910B2"
) -> Report:
    """The launch without data, L2 warm, at the clock the tuning's runs had unless `parameters` say otherwise."""
    t = tiling
    return library.launch(
        "matmul_tiled",
        *(2 * t.batch * t.m * t.k, 2 * t.batch * t.n * t.k, _OUT[t.out_dtype] * t.batch * t.m * t.n, t.struct()),
        block_dim=t.cores,
        soc=soc,
        parameters={"ghz": 1.5, "l2_warm": 1, **(parameters or {})},
        timing_only=True,
        watchdog_seconds=120.0,
    ).raise_on_findings()


PIPES = {"M": "cube", "FIX": "L0C -> GM", "MTE2": "GM -> L1", "MTE1": "L1 -> L0"}


def binding(report: Report) -> str:
    """The pipe of the cube cores that is busy for at least 90% of the launch, else "waiting"."""
    pipe = max(PIPES, key=report.busy)
    return pipe if report.busy(pipe) >= 0.9 else "waiting"


@dataclass(frozen=True)
class Comparison:
    """A measured tiling and its modelled time; reason: why it has none."""

    measured: Measured
    predicted: float | None
    binds: str
    reason: str = ""

    @property
    def error(self) -> float:
        """Signed and relative."""
        if self.predicted is None:
            raise ValueError(f"no time was modelled: {self.reason}")
        return self.predicted / self.measured.microseconds - 1


def compare(
    library: KernelLibrary,
    rows: Iterable[Measured],
    parameters: Mapping[str, float] | None = None,
    padded: bool = False,
) -> Iterator[Comparison]:
    """Models the rows one after the other. padded: also sizes that are no multiples of 64."""
    for row in rows:
        reason = row.tiling.inexpressible(padded)
        if reason:
            yield Comparison(row, None, "", reason)
            continue
        report = model_tiling(library, row.tiling, parameters)
        yield Comparison(row, report.microseconds, binding(report))


def quantile(values: Sequence[float], share: float) -> float | None:
    """With linear interpolation; None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    at = share * (len(ordered) - 1)
    low = int(at)
    return ordered[low] + (ordered[min(low + 1, len(ordered) - 1)] - ordered[low]) * (at - low)


def summary(rows: Sequence[Comparison]) -> dict[str, float | int | None]:
    """How many rows, how many have a modelled time, and absolute errors as fractions; None where there is no row."""
    sizes = [abs(row.error) for row in rows if row.predicted is not None]
    cube = [abs(row.error) for row in rows if row.binds == "M"]
    return {
        "rows": len(rows),
        "expressed": len(sizes),
        "median": quantile(sizes, 0.5),
        "p90": quantile(sizes, 0.9),
        "cube_median": quantile(cube, 0.5),
    }


def row_text(row: Comparison) -> str:
    t = row.measured.tiling
    name = (
        f"{t.batch},{t.m},{t.n},{t.k} {t.out_dtype} {t.cores_batch}x{t.cores_m}x{t.cores_n} "
        f"{t.base_m}x{t.base_n}x{t.base_k}"
    )
    if row.predicted is None:
        return f"{name:52s} {'':>10s} {row.measured.microseconds:10.2f} {'':>7s}  not expressed: {row.reason}"
    return f"{name:52s} {row.predicted:10.2f} {row.measured.microseconds:10.2f} {row.error:+7.1%}  {row.binds}"


def medians_text(rows: Sequence[Comparison]) -> str:
    lines = []
    for binds in (*PIPES, "waiting"):
        sizes = [abs(row.error) for row in rows if row.predicted is not None and row.binds == binds]
        if sizes:
            what = PIPES.get(binds, "no pipe is busy for 90% of the time")
            lines.append(
                f"  {binds:8s} {what:36s} {len(sizes):5d} rows, median error {quantile(sizes, 0.5):.1%}, "
                f"nine in ten {quantile(sizes, 0.9):.1%}"
            )
    return "\n".join(lines)
