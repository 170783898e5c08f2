"""What a run leaves behind: metrics.jsonl, the loss curve, the closing table and summary.json."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from .arguments import Config


class Metrics:
    """One JSON object a step, appended as it happens, so that a killed run keeps its lines."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: list[dict[str, Any]] = []

    def keep_until(self, iteration: int, write: bool) -> None:
        """Takes up the file's lines as far as the checkpoint goes; with `write` the later ones, which will be run
        again, are cut off."""
        self.entries = []
        if self.path.exists():
            for line in self.path.read_text().splitlines():
                try:
                    entry = json.loads(line)
                except json.JSONDecodeError:  # the kill came in the middle of the last line
                    break
                if entry["iteration"] <= iteration:
                    self.entries.append(entry)
        if write:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            replace(self.path, "".join(json.dumps(entry) + "\n" for entry in self.entries))

    def add(self, entry: dict[str, Any]) -> None:
        self.entries.append(entry)
        with self.path.open("a") as file:
            file.write(json.dumps(entry) + "\n")


def replace(path: Path, text: str) -> None:
    """Writes a file that is either the old one or the whole new one."""
    part = path.with_name(path.name + ".part")
    try:
        part.write_text(text)
        os.replace(part, path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def loss_curve(entries: list[dict[str, Any]], unigram_entropy: float, config: Config) -> Path:
    """loss.png: training and validation loss in nats over steps, against the unigram entropy."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 4.5), layout="constrained")
    steps = [entry["iteration"] for entry in entries]
    axes.plot(steps, [entry["loss"] for entry in entries], color="#9ecae1", linewidth=1.2, label="training")
    validated = [entry for entry in entries if "validation_loss" in entry]
    axes.plot(
        [entry["iteration"] for entry in validated],
        [entry["validation_loss"] for entry in validated],
        color="#08519c",
        marker="o",
        markersize=4,
        label="validation (held-out files)",
    )
    axes.axhline(
        unigram_entropy, color="#a50f15", linestyle="--", linewidth=1, label=f"unigram entropy {unigram_entropy:.2f}"
    )
    axes.set_xlabel(f"step ({config.global_batch_size} sequences of {config.seq_length} bytes)")
    axes.set_ylabel("loss, nats a byte")
    axes.set_title(f"Llama pretraining, attention: {config.attn_implementation}")
    axes.set_xlim(left=0)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    path = config.output / "loss.png"
    part = path.with_name("loss.part.png")
    figure.savefig(part, dpi=140)
    pyplot.close(figure)
    os.replace(part, path)
    return path


def comparison_table(rows: list[dict[str, Any]], console: Console) -> None:
    """One line for each length and implementation; the best figure of each length in bold."""
    table = Table(
        box=box.SIMPLE_HEAD, title="One training step of this model, by attention implementation", title_justify="left"
    )
    table.add_column("sequences", justify="right")
    table.add_column("attention")
    for heading in ("tokens/s", "slowest - fastest", "against sdpa", "peak memory", "against sdpa"):
        table.add_column(heading, justify="right")
    table.add_column("ran on")
    for length in sorted({row["seq_length"] for row in rows}):
        group = [row for row in rows if row["seq_length"] == length]
        sdpa = next(row for row in group if row["implementation"] == "sdpa")
        fastest, leanest = max(row["tokens_per_second"] for row in group), min(row["peak_bytes"] for row in group)
        for row in group:
            low, high = row["tokens_per_second_range"]
            table.add_row(
                f"{row['batch']} x {length}",
                row["implementation"],
                _bold(f"{row['tokens_per_second']:,.0f}", row["tokens_per_second"] == fastest),
                f"{low:,.0f} - {high:,.0f}",
                f"{row['tokens_per_second'] / sdpa['tokens_per_second']:.2f}x",
                _bold(f"{row['peak_bytes'] / 2**20:,.0f} MiB", row["peak_bytes"] == leanest),
                f"{row['peak_bytes'] / sdpa['peak_bytes']:.2f}x",
                row["backend"],
            )
        table.add_section()
    console.print(table)


def _bold(text: str, wanted: bool) -> str:
    return f"[bold]{text}[/bold]" if wanted else text
