"""On paper: what context parallelism costs, and when a ring or an all-to-all is cheaper. One attention layer, forward
and backward.

Source of the shapes: Liu et al., "Ring Attention", 2023; Jacobs et al., "DeepSpeed Ulysses", 2023; counts from `plan`
and `trade`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

RANKS = (8, 16, 32, 64, 128, 256, 512)
LENGTHS = tuple(1 << power for power in range(15, 21))


@dataclass(frozen=True)
class Machine:
    """What a device does and how it is connected. Assumptions to be replaced by measurements.

    Attributes:
        tflops: attention throughput of one device that is reached, 1e12 operations a second.
        gbytes: bytes a second that one device sends while receiving as many, 1e9.
        latency: of one message, microseconds.
    """

    tflops: float = 150.0
    gbytes: float = 25.0
    latency: float = 20.0


@dataclass(frozen=True)
class Layer:
    """One attention layer over one sequence."""

    heads_q: int = 64
    heads_kv: int = 8
    dim: int = 128
    element: int = 2


@dataclass(frozen=True)
class Cost:
    """Seconds of forward and backward together: computing on each device, and waiting for messages on top of it."""

    compute: float
    waiting: float

    @property
    def total(self) -> float:
        return self.compute + self.waiting


def ring(length: int, ranks: int, layer: Layer, machine: Machine) -> Cost:
    """Zigzag ring: n - 1 steps, each computes c x 2c pairs (c = S / 2n) with at most 2c key rows on their way.

    Forward: keys and values. Backward: the same again, and their gradients back, at 2.5 times the computation.
    """
    chunk = length / (2 * ranks)
    pairs = 2 * chunk * chunk
    seconds_pair = 4 * layer.dim * layer.heads_q / (machine.tflops * 1e12)
    rows = 2 * chunk  # the busiest rank, which sees both chunks of every other; the mean is 3/4 of it
    message = rows * 2 * layer.heads_kv * layer.dim * layer.element / (machine.gbytes * 1e9) + machine.latency * 1e-6
    compute = 3.5 * seconds_pair * _triangle(length) / ranks
    waiting = 0.0
    for work, messages in ((1.0, 1.0), (2.5, 2.0)):
        waiting += (ranks - 1) * max(0.0, messages * message - work * pairs * seconds_pair)
    return Cost(compute, waiting)


def all_to_all(length: int, ranks: int, layer: Layer, machine: Machine) -> Cost | None:
    """q, k, v in and out back, before and after all computation; None where there are fewer query heads than ranks.

    Backward: the gradient of out in, those of q, k and v back. Where ranks are more than key heads, a key head goes to
    several.
    """
    if layer.heads_q % ranks or (layer.heads_kv % ranks and ranks % layer.heads_kv):
        return None
    local = length / ranks
    others = (ranks - 1) / ranks
    key_heads = max(1.0, layer.heads_kv / ranks) * (ranks - 1)  # sent to all other ranks together
    elements = local * layer.dim * (2 * layer.heads_q * others + 2 * key_heads)
    once = elements * layer.element / (machine.gbytes * 1e9) + 2 * machine.latency * 1e-6
    seconds_pair = 4 * layer.dim * layer.heads_q / (machine.tflops * 1e12)
    return Cost(3.5 * seconds_pair * _triangle(length) / ranks, 2 * once)


def hidden_from(layer: Layer, machine: Machine) -> float:
    """Tokens a device from which a ring hides its messages wholly behind computation, but for latency: the forward
    binds.
    """
    return layer.heads_kv / layer.heads_q * layer.element * machine.tflops * 1e12 / (machine.gbytes * 1e9)


def markdown(layer: Layer, machine: Machine) -> str:
    """The table: for each length and number of ranks the waiting as a share of computing, ring / all-to-all, the better
    one in bold.
    """
    head = "| S \\ devices | " + " | ".join(str(ranks) for ranks in RANKS) + " |"
    lines = [head, "|---" * (len(RANKS) + 1) + "|"]
    for length in LENGTHS:
        cells = [f"{length // 1024}K"]
        for ranks in RANKS:
            a, b = ring(length, ranks, layer, machine), all_to_all(length, ranks, layer, machine)
            first, second = _share(a), "-" if b is None else _share(b)
            better_ring = b is None or a.total <= b.total
            cells.append(f"**{first}** / {second}" if better_ring else f"{first} / **{second}**")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def draw(path: Path, layer: Layer, machine: Machine) -> None:
    """The picture: time against devices at each length, ring and all-to-all over the bare computation."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    lengths = [LENGTHS[0], LENGTHS[2], LENGTHS[5]]
    figure, axes = pyplot.subplots(1, len(lengths), figsize=(13, 4.2), layout="constrained")
    for axis, length in zip(axes, lengths):
        rings = [ring(length, ranks, layer, machine) for ranks in RANKS]
        trades = [(ranks, all_to_all(length, ranks, layer, machine)) for ranks in RANKS]
        axis.loglog(
            RANKS, [1e3 * cost.compute for cost in rings], color="#888888", linestyle=":", label="computation alone"
        )
        axis.loglog(RANKS, [1e3 * cost.total for cost in rings], color="#2a6fbb", marker="o", label="ring, zigzag")
        known = [(ranks, 1e3 * cost.total) for ranks, cost in trades if cost is not None]
        axis.loglog(*zip(*known), color="#c8553d", marker="s", label=f"all-to-all (up to {layer.heads_q} devices)")
        turn = length / hidden_from(layer, machine)
        if RANKS[0] <= turn <= RANKS[-1]:
            axis.axvline(turn, color="#2a6fbb", linewidth=0.8, linestyle="--")
            axis.annotate(
                " ring waits\n right of here", (turn, axis.get_ylim()[1]), va="top", fontsize=8, color="#2a6fbb"
            )
        axis.set_xticks(RANKS, [str(ranks) for ranks in RANKS])
        axis.minorticks_off()
        axis.set_title(f"S = {length // 1024}K")
        axis.set_xlabel("devices")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("milliseconds a layer, forward + backward")
    axes[0].legend(loc="lower left", fontsize=8)
    kind = f"{layer.heads_q} query heads, {layer.heads_kv} key heads, D = {layer.dim}, {layer.element} bytes an element"
    figure.suptitle(
        f"One attention layer: {kind}; {machine.tflops:g} TFLOP/s, {machine.gbytes:g} GB/s a device", fontsize=10
    )
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _triangle(length: int) -> float:
    return length * (length + 1) / 2


def _share(cost: Cost) -> str:
    share = 100 * cost.waiting / cost.compute
    return f"{share:.0f}%" if share < 1000 else f"{share / 100:.0f}x"
