"""The timing model against published measurements.

    python -m triangle_attn_op.ascend_sim.validate [--json]
    python -m triangle_attn_op.ascend_sim.validate --rows FILE.csv

A figure a parameter was fitted to is called fitted: that it agrees shows nothing. "Validated" figures use no parameter
fitted to them; "compared" ones have kernels or rates that are not known well enough to claim agreement.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .launch import KernelLibrary
from .measured import CATLASS, MATMULS, SAMPLES
from .pipes import PIPES
from .report import Report
from .tilings import (
    HEADER,
    LAYOUTS,
    Measured,
    Tiling,
    compare,
    medians_text,
    model_tiling,
    parse_rows,
    read_rows,
    row_text,
    summary,
)
from .timing_kernels import timing_library

SOC = "Ascend910B1"  # 24 cores at 1.85 GHz: what the measured cube time of the matmul implies
SIZE = 8192


@dataclass(frozen=True)
class Row:
    """A measured figure and the model's. kind: "validated", "fitted" or "compared"; tolerance: claimed if validated.

    measured: lowest and highest published value.
    """

    what: str
    unit: str
    measured: tuple[float, float]
    modelled: float
    kind: str
    note: str
    tolerance: float | None = None

    @property
    def error(self) -> float:
        """Signed, relative to the nearer end of the measured range; 0 inside it."""
        low, high = self.measured
        if low <= self.modelled <= high:
            return 0.0
        nearest = low if self.modelled < low else high
        return self.modelled / nearest - 1.0


def span(report: Report, pipes: tuple[str, ...], after: str = "") -> float:
    """Cycles from the first start to the last result on `pipes`, of bars that start once those of `after` are done."""
    events = report.events
    if events is None:
        raise ValueError("span: the launch was not made with trace=True")
    chosen = events[[PIPES[p] in pipes for p in events["pipe"]]]
    if after:
        chosen = chosen[chosen["start"] >= events["done"][events["pipe"] == PIPES.index(after)].max()]
    return float(chosen["done"].max() - chosen["start"].min())


def matmul(library: KernelLibrary, size: int = SIZE, parameters: Mapping[str, float] | None = None) -> Report:
    """C = A B^T of `size` over the chip, staged like the public sample: 4 x 6 cores, base tiles 128 x 256 x 64."""
    single_m, single_n = size // 4, -(-size // 6 // 256) * 256
    memory = 2 * size * size
    return library.launch(
        "matmul_staged",
        *(memory, memory, memory, size, single_m, single_n),
        block_dim=4 * -(-size // single_n),
        soc=SOC,
        parameters=parameters,
        timing_only=True,
        watchdog_seconds=60.0,
    ).raise_on_findings()


def fixpipe_output(library: KernelLibrary, parameters: Mapping[str, float] | None = None, **flags: int) -> Report:
    """8192 x 8192 results of L0C to GM, 24 cores: as fp16 (134 MB), with wide=1 as fp32, with atomic=1 added."""
    wide = flags.get("wide", 0)
    return library.launch(
        "fixpipe_tiles",
        *((4 if wide else 2) * SIZE * SIZE, 2048, SIZE, wide, flags.get("atomic", 0)),
        block_dim=24,
        soc=SOC,
        parameters=parameters,
        timing_only=True,
    ).raise_on_findings()


def rows(library: KernelLibrary, parameters: Mapping[str, float] | None = None) -> list[Row]:
    """The validation table; `parameters` override the chip's."""

    def traced(kernel: str, *args: int) -> Report:
        return library.launch(
            kernel, *args, soc=SOC, parameters=parameters, timing_only=True, trace=True
        ).raise_on_findings()

    table = [
        Row(
            "Mmad 128x256x512, 8 steps",
            "cycles",
            (4209, 4225),
            span(traced("mmad_steps", 128, 256, 64, 8), ("M",)),
            "validated",
            "steps of k = 64",
            0.01,
        ),
        Row(
            "Mmad 128x128x512, 8 steps",
            "cycles",
            (2172, 2172),
            span(traced("mmad_steps", 128, 128, 64, 8), ("M",)),
            "fitted",
            "cube_head_cycles",
        ),
    ]
    product = matmul(library, parameters=parameters)
    means = sum(core["cycles"] for core in product.cores) / len(product.cores) / (product.ghz * 1e3)
    title = "matmul 8192^3, 24 cores: "
    table += [
        Row(title + "cube", "us", (3081.7, 3082.2), product.active_microseconds("M"), "validated", "", 0.02),
        Row(
            title + "MTE1",
            "us",
            (2538.3, 2553.1),
            product.active_microseconds("MTE1"),
            "compared",
            "the profiler may count waiting",
        ),
        Row(
            title + "MTE2",
            "us",
            (3487.1, 3552.2),
            product.active_microseconds("MTE2"),
            "fitted",
            "nd2nz_bytes_per_cycle",
        ),
        Row(title + "a core", "us", (3636.9, 3670.7), means, "fitted", "nd2nz_bytes_per_cycle, by this and MTE2's"),
        Row(title + "slowest core", "us", (4081.6, 4121.2), product.microseconds, "compared", "a core's, by imbalance"),
    ]
    out = "134 MB fp16 by Fixpipe, 24 cores"
    for latency in (None, 450.0):
        chosen = dict(parameters or {})
        if latency is not None:
            chosen["fix_latency_cycles"] = latency
        table.append(
            Row(
                out + (f", completed after {latency:.0f} cycles" if latency else ""),
                "us",
                (45.8, 45.8),
                fixpipe_output(library, chosen).microseconds,
                "fitted" if latency else "compared",
                "the upper end of fix_latency_cycles is this measurement"
                if latency
                else "each call waits for the last",
            )
        )
    stages = [
        (
            "QK",
            (2487, 2487),
            span(traced("stage_qk", 32768, 65536, 131072), ("M", "FIX")),
            "compared",
            "another kernel, its Fixpipe slower than any measured stream",
        ),
        (
            "P",
            (2489, 2489),
            span(traced("stage_p", 65536, 32768), ("V",), "MTE2"),
            "compared",
            "another softmax kernel",
        ),
        (
            "PV",
            (1617, 1617),
            span(traced("stage_pv", 65536, 65536, 65536), ("M", "FIX")),
            "compared",
            "unitFlag assumed",
        ),
        ("O update", (834, 834), span(traced("stage_o", 32768), ("V",), "MTE2"), "compared", "vector work only"),
    ]
    table += [
        Row(f"attention stage {name}, D = 128, 128x256", "cycles", measured, modelled, kind, note)
        for name, measured, modelled, kind, note in stages
    ]
    return table


def table_text(table: list[Row]) -> str:
    """The rows as an aligned text table."""
    lines = [f"{'figure':64s} {'measured':>15s} {'modelled':>9s} {'unit':6s} {'error':>7s}  {'':9s} note"]
    for row in table:
        low, high = row.measured
        measured = f"{low:,.6g}" if low == high else f"{low:,.6g} - {high:,.6g}"
        claim = f"within {row.tolerance:.0%} claimed" if row.tolerance is not None else ""
        note = ", ".join(part for part in (claim, row.note) if part)
        lines.append(
            f"{row.what:64s} {measured:>15s} {row.modelled:9,.1f} {row.unit:6s} "
            f"{row.error:+7.1%}  {row.kind:9s} {note}".rstrip()
        )
    return "\n".join(lines)


def sample_rows(library: KernelLibrary, parameters: Mapping[str, float] | None = None) -> list[Row]:
    """Public samples of whole kernels. Some rates are fitted to some of them: docs/simulator-timing.md."""
    return [
        Row(
            sample.what,
            "us",
            (sample.microseconds, sample.microseconds),
            library.launch(
                sample.kernel,
                *sample.args,
                block_dim=sample.cores,
                soc=SOC,
                parameters=parameters,
                timing_only=True,
                watchdog_seconds=60.0,
            )
            .raise_on_findings()
            .microseconds,
            "compared",
            sample.why,
        )
        for sample in SAMPLES
    ]


def catlass_rows(library: KernelLibrary, parameters: Mapping[str, float] | None = None) -> list[Row]:
    """CATLASS's examples by their tiles: 20 cores at 1.8 GHz, packets of L1 and L0 double-buffered, L2 cold."""
    table = []
    for matmul in CATLASS:
        (m, n, k), (tile_m, tile_n, tile_k), (cores_m, cores_n) = matmul.size, matmul.tile, matmul.cores
        two: dict[str, Any] = dict.fromkeys(("l1a_buffers", "l1b_buffers", "l0a_buffers", "l0b_buffers"), 2)
        tiling = Tiling(
            *(1, m, n, k, 1, cores_m, cores_n, tile_m, tile_n, tile_k // 4),
            l1a_k=tile_k,
            l1a_m=tile_m,
            l1b_k=tile_k,
            l1b_n=tile_n,
            a_layout="mk",
            b_layout=matmul.b_layout,
            row_major=True,
            **two,
        )
        given = {"ghz": 1.8, "l2_warm": 0, **(parameters or {})}
        modelled = model_tiling(library, tiling, given, "Ascend910B3").microseconds
        measured = (matmul.microseconds, matmul.microseconds)
        table.append(Row(f"CATLASS {matmul.what}", "us", measured, modelled, "compared", matmul.why))
    return table


def built_in_matmuls() -> list[Measured]:
    """The 20 rows of `measured.py`, whose operands and results lie in NZ as the bank's fields say."""
    rows = [f"{row},nz,nz,nz" for row in MATMULS.split()]
    return parse_rows([f"{HEADER},{LAYOUTS}", *rows], "measured.MATMULS")


def print_matmuls(library: KernelLibrary, rows: Iterable[Measured], padded: bool = False) -> None:
    """Predicted, measured and error of each row, medians by what binds, and as the last line the summary as JSON."""
    done = []
    print(f"{'matmul, tiling (Ascend910B2, L2 warm)':52s} {'predicted':>10s} {'measured':>10s} {'error':>7s}  binds")
    for row in compare(library, rows, padded=padded):
        done.append(row)
        print(row_text(row), flush=True)
    print(medians_text(done))
    print(json.dumps(summary(done)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the table as JSON")
    parser.add_argument(
        "--rows",
        type=Path,
        metavar="FILE.csv",
        help=f"measured matmuls instead; header: {HEADER}, and perhaps {LAYOUTS}",
    )
    parser.add_argument("--padded", action="store_true", help="also matmuls of sizes that are no multiples of 64")
    options = parser.parse_args()
    if options.rows is not None:
        try:
            rows_given = read_rows(options.rows)
        except (OSError, ValueError) as error:
            parser.error(f"--rows: {error}")
        print_matmuls(timing_library(), rows_given, options.padded)
        return
    library = timing_library()
    start = time.process_time()
    table = rows(library) + sample_rows(library) + catlass_rows(library)
    if options.json:
        print(json.dumps([{**asdict(row), "error": row.error} for row in table], indent=1))
        return
    print(f"Modelled times of {SOC}, none measured by this project; measured ones are public.\n")
    print(table_text(table))
    print()
    print_matmuls(library, built_in_matmuls(), options.padded)
    print(f"\nModelled in {time.process_time() - start:.1f} s of processor time.", file=sys.stderr)


if __name__ == "__main__":
    main()
